//! A response, with the checks that every response must pass.

use serde_json::Value;

use super::wire::{Fields, Head};

/// Header fields that a refusal may have. Anything else on one is a leak or a surprise.
const REFUSAL_FIELDS: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];

/// A final response and the interim ones (1xx) before it.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) interim: Vec<Head>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

impl Response {
    pub(crate) fn new(head: &Head, interim: Vec<Head>) -> Self {
        let (status, fields) = (status(head), head.fields.clone());
        Self { status, fields, interim, body: Vec::new(), trailers: Fields::default() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `error.code` of a refusal; panics if this is none.
    pub(crate) fn code(&self) -> String {
        let code = self.refusal().map(|error| error["code"].as_str().unwrap().to_owned());
        code.unwrap_or_else(|| panic!("not a refusal: {self:?}"))
    }

    pub(crate) fn closes(&self) -> bool {
        self.fields.lists("connection", "close")
    }

    /// What must hold for every response of a proxy listener. `tokens` were in the request.
    pub(crate) fn check(&self, tokens: &[String]) {
        let id = self.fields.one("x-request-id").unwrap_or_else(|| panic!("no X-Request-Id: {self:?}"));
        let id_ok = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!((1..=128).contains(&id.len()) && id.bytes().all(id_ok), "odd X-Request-Id: {self:?}");
        if let Some(error) = self.refusal() {
            self.check_refusal(&error, id, tokens);
        }
    }

    fn check_refusal(&self, error: &Value, id: &str, tokens: &[String]) {
        assert!(self.status >= 400, "a refusal with a good status: {self:?}");
        assert_eq!(error["requestId"], id, "another request id in the body");
        assert_eq!(self.fields.one("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(self.fields.one("content-length"), Some(&*self.body.len().to_string()), "{self:?}");
        assert!(self.status != 401 || self.fields.one("www-authenticate").is_some(), "no challenge: {self:?}");
        for (name, _) in &self.fields.0 {
            assert!(REFUSAL_FIELDS.contains(&&*name.to_ascii_lowercase()), "{name} on a refusal: {self:?}");
        }
        let everything = format!("{:?} {}", self.fields, self.text());
        assert!(!tokens.iter().any(|token| everything.contains(token)), "a token in a refusal: {everything}");
    }

    /// The `error` object, if the gateway itself made this response as a refusal.
    fn refusal(&self) -> Option<Value> {
        let mut body: Value = serde_json::from_slice(&self.body).ok()?;
        let error = body.get_mut("error")?.take();
        (error.get("code")?.is_string() && error.get("requestId").is_some()).then_some(error)
    }
}

/// The status in a status line (RFC 9112 section 4).
pub(crate) fn status(head: &Head) -> u16 {
    let line = &head.start_line;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let complete = line.as_bytes().get("HTTP/1.1 200".len()) == Some(&b' ');
    status.filter(|_| complete).unwrap_or_else(|| panic!("{line:?} is no status line"))
}
