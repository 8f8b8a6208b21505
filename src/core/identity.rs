//! What the backend is told of the caller: the identity headers, made once for each token.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::grant::{Grant, is_one_name};
use super::json::{Json, Object};
use super::snapshot::{Identity, IdentitySource};

/// Most bytes of all identity headers together. A header that would exceed them is left out.
const BYTES_MAX: usize = 16 * 1024;

/// The headers of `identity.headers` that this token has something to say for.
pub(super) fn headers(
    identity: &Identity,
    claims: &Object,
    client_id: Option<&str>,
    grant: &Grant,
) -> Box<[(HeaderName, HeaderValue)]> {
    let mut bytes_left = BYTES_MAX;
    let header = |(name, source): &(HeaderName, IdentitySource)| {
        let text = text(source, claims, client_id, grant)?;
        bytes_left = bytes_left.checked_sub(text.len())?;
        Some((name.clone(), value(&text)?))
    };
    identity.headers.iter().filter_map(header).collect()
}

/// A header value of exactly this text, in UTF-8, that can be cloned without allocating. `None` where it would not arrive
/// as it was sent: control characters are refused by HTTP or read as line ends by somebody behind it, and outer spaces
/// are dropped on the way.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    if text.is_empty() || text.trim() != text || text.contains(char::is_control) {
        return None;
    }
    let value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    // The buffer becomes a shared one at its first clone, which allocates. This is that clone: those at requests only
    // count.
    drop(value.clone());
    Some(value)
}

fn text<'a>(
    source: &IdentitySource,
    claims: &'a Object,
    client_id: Option<&'a str>,
    grant: &'a Grant,
) -> Option<Cow<'a, str>> {
    match source {
        IdentitySource::ClientId => client_id.map(Cow::Borrowed),
        IdentitySource::Scopes => Some(grant.scope_names.join(" ").into()),
        IdentitySource::Roles => Some(grant.role_names.join(" ").into()),
        IdentitySource::Claim(reference) => claim_text(reference.find(claims)?),
    }
}

fn claim_text(claim: &Json) -> Option<Cow<'_, str>> {
    match claim {
        Json::Array(elements) => {
            let texts: Vec<_> = elements.iter().filter_map(scalar_text).filter(|text| is_one_name(text)).collect();
            Some(texts.join(" ").into())
        }
        scalar => scalar_text(scalar),
    }
}

/// Strings as they are, integers in decimal digits, `true` and `false`. A float has no one spelling, and an object none
/// that a header could hold.
fn scalar_text(claim: &Json) -> Option<Cow<'_, str>> {
    match claim {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Integer(number) => Some(number.to_string().into()),
        Json::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
        Json::Null | Json::Float(_) | Json::Array(_) | Json::Object(_) => None,
    }
}
