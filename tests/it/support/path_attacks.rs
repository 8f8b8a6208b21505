//! Reads `tests/cases/paths/attacks.yaml`, so that the same table can be put to the core and to a running gateway.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attacks {
    pub(crate) routes: Vec<RouteRow>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteRow {
    #[serde(rename = "match")]
    pub(crate) matcher: String,
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) paths: Paths,
}

#[derive(Deserialize, Debug, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Paths {
    #[default]
    Folding,
    Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) path: String,
    method: Option<String>,
    host: Option<String>,
    pub(crate) expect: Expect,
    pub(crate) why: String,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(untagged)]
pub(crate) enum Expect {
    Status(u16),
    Route(String),
}

pub(crate) fn load() -> Attacks {
    serde_yaml::from_str(include_str!("../../cases/paths/attacks.yaml")).expect("attacks.yaml")
}

impl Case {
    pub(crate) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("GET")
    }

    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("other.example")
    }
}
