//! Paths as attackers write them.

use std::collections::HashSet;

use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use sidegate::core::decision::Outcome;
use sidegate::core::head::RequestHead;
use sidegate::core::snapshot::{PathReading, Snapshot};
use sidegate::core::time::UnixSeconds;
use sidegate::core::{Facts, NoMemo, decide};

use crate::support::routes::{route, snapshot};

/// `tests/cases/paths/attacks.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attacks {
    routes: Vec<RouteRow>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteRow {
    #[serde(rename = "match")]
    matcher: String,
    host: Option<String>,
    #[serde(default)]
    paths: Paths,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Paths {
    #[default]
    Folding,
    Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    path: String,
    method: Option<String>,
    host: Option<String>,
    expect: Expect,
    why: String,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Expect {
    Status(u16),
    Route(String),
}

#[test]
fn no_attack_gets_through() {
    let attacks: Attacks = serde_yaml::from_str(include_str!("../cases/paths/attacks.yaml")).expect("attacks.yaml");
    let snapshot = snapshot(attacks.routes.iter().map(RouteRow::route).collect());
    let wrong: Vec<String> = attacks
        .cases
        .iter()
        .filter_map(|case| {
            let answer = case.answer(&snapshot);
            let Case { path, expect, why, .. } = case;
            (answer != *expect).then(|| format!("{path:?} ({why}): {answer:?}, not {expect:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attacks.cases.len(), wrong.join("\n"));
    let refused = attacks.cases.iter().filter(|case| matches!(case.expect, Expect::Status(_))).count();
    println!("{} rows, {refused} of them refused", attacks.cases.len());
}

#[test]
fn no_row_is_there_twice() {
    let attacks: Attacks = serde_yaml::from_str(include_str!("../cases/paths/attacks.yaml")).expect("attacks.yaml");
    let mut seen = HashSet::new();
    for case in &attacks.cases {
        assert!(seen.insert((&case.path, &case.method, &case.host)), "{}", case.path);
    }
}

impl RouteRow {
    fn route(&self) -> (sidegate::core::route::Match, sidegate::core::snapshot::Route) {
        let paths = match self.paths {
            Paths::Folding => PathReading::Folding,
            Paths::Exact => PathReading::Exact,
        };
        route(&self.matcher, self.host.as_deref(), paths)
    }
}

impl Case {
    fn answer(&self, snapshot: &Snapshot) -> Expect {
        let host = HeaderValue::from_str(self.host.as_deref().unwrap_or("other.example")).expect("a host");
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        let method: Method = self.method.as_deref().unwrap_or("GET").parse().expect("a method");
        let head = RequestHead { method: &method, target: &self.path, headers: &headers };
        let Ok(decision) = decide(snapshot, &head, &Facts { memo: &NoMemo }, UnixSeconds(0));
        match decision.outcome {
            Outcome::Forward(permit) => {
                Expect::Route(snapshot.routes.get(permit.route()).expect("a route").label.to_string())
            }
            Outcome::Reject(rejection) => Expect::Status(rejection.reason.answer().status),
            Outcome::Answer(answer) => panic!("{answer:?}"),
        }
    }
}
