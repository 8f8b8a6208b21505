//! The table of malformed token requests, for what reads them and for what answers them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request, and the answer to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    method: Option<String>,
    pub(crate) query: Option<String>,
    content_types: Option<Vec<String>>,
    pub(crate) authorization: Vec<String>,
    body: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    pad: usize,
    pub(crate) status: u16,
    pub(crate) error: String,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        serde_yaml::from_str(include_str!("../../cases/token_requests/malformed.yaml")).unwrap()
    }

    pub(crate) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("POST")
    }

    pub(crate) fn content_types(&self) -> Vec<&str> {
        self.content_types.as_ref().map_or(vec![FORM], |types| types.iter().map(String::as_str).collect())
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(encoded)) => STANDARD.decode(encoded).unwrap(),
            _ => panic!("{}: one body", self.name),
        };
        body.extend(std::iter::repeat_n(b'x', self.pad));
        body
    }
}
