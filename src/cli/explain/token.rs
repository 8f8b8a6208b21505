//! What a token says of itself, for people to read. Nothing is decided from it: the decision reads the token on its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use crate::core::bearer;
use crate::core::head::RequestHead;
use crate::core::snapshot::Snapshot;

/// Longest value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// Header and claims of a JWT, unverified.
pub(super) struct Said {
    header: Value,
    claims: Value,
}

impl Said {
    /// What the request's token says; `None` without a token that can be read.
    pub(super) fn read(snapshot: &Snapshot, head: &RequestHead<'_>) -> Option<Self> {
        let bearer = bearer::extract(head.headers, snapshot.token_bytes_max).ok()?;
        let mut parts = bearer.reveal().split('.');
        let mut json = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
        Some(Self { header: json()?, claims: json()? })
    }

    /// `alg ES256, kid "k1", typ "at+jwt"`.
    pub(super) fn header(&self) -> String {
        listed(["alg", "kid", "typ"].map(|name| (name, self.header.get(name).map(plain))))
    }

    /// Who, for whom, and from when until when.
    pub(super) fn claims(&self) -> String {
        let text = |name| (name, self.claims.get(name).map(plain));
        let time = |name| (name, self.claims.get(name).map(time));
        listed([text("iss"), text("aud"), text("sub"), time("iat"), time("nbf"), time("exp")])
    }
}

fn listed<const N: usize>(values: [(&str, Option<String>); N]) -> String {
    let values = values.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    values.collect::<Vec<_>>().join(", ")
}

/// A foreign value as one bounded word that a terminal can show.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let shown: String = text.chars().take(VALUE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(VALUE_CHARS_MAX).is_some() { format!("{shown}…") } else { shown }
}

fn time(value: &Value) -> String {
    let time = value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| plain(value), |time| time.to_string())
}
