//! What the backend is told of the caller: the identity headers, made once for each token.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::grant::{Grant, is_one_name};
use super::json::{Json, Object};
use super::snapshot::{Identity, IdentitySource};

/// Most bytes of all identity headers together. A header that would exceed them is left out.
const BYTES_MAX: usize = 16 * 1024;

type Header = (HeaderName, HeaderValue);

/// The headers of `identity.headers` that this token has something to say for, and values of the names of its tenants. All of
/// them lie in one place.
pub(super) fn told(
    identity: &Identity,
    claims: &Object<'_>,
    client_id: Option<&str>,
    grant: &Grant,
    tenants: &[Box<str>],
) -> (Box<[Header]>, Vec<Option<HeaderValue>>) {
    let mut bytes_left = BYTES_MAX;
    let told = identity.headers.iter().filter_map(|(name, source)| {
        let text = text(source, claims, client_id, grant)?;
        bytes_left = bytes_left.checked_sub(text.len())?;
        arrives_as_sent(&text).then_some((name, text))
    });
    let (names, mut texts): (Vec<&HeaderName>, Vec<Cow<'_, str>>) = told.unzip();
    texts.extend(tenants.iter().map(|name| Cow::Borrowed(&**name)));
    let mut values = values(&texts);
    let headers = names.into_iter().zip(&mut values).filter_map(|(name, value)| Some((name.clone(), value?))).collect();
    (headers, values.collect())
}

/// Whether a text is the same behind the network as before it: control characters are refused by HTTP or read as line ends by
/// somebody behind it, and outer spaces are dropped on the way. An empty text says nothing.
pub(super) fn arrives_as_sent(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
}

/// Header values of exactly these texts, in UTF-8, that can be cloned without allocating. They share one buffer: it is made,
/// and given back, once for all of them. `None` for a text that no header can hold.
fn values(texts: &[Cow<'_, str>]) -> impl Iterator<Item = Option<HeaderValue>> {
    let all: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let mut all = Bytes::from(all.concat());
    // A buffer becomes a shared one at its first clone, which allocates. This is that clone: those at requests only count.
    drop(all.clone());
    texts.iter().map(move |text| HeaderValue::from_maybe_shared(all.split_to(text.len())).ok())
}

fn text<'a>(
    source: &IdentitySource,
    claims: &'a Object<'_>,
    client_id: Option<&'a str>,
    grant: &'a Grant,
) -> Option<Cow<'a, str>> {
    match source {
        IdentitySource::ClientId => client_id.map(Cow::Borrowed),
        IdentitySource::Scopes => Some(Cow::Borrowed(grant.scope_names.as_str())),
        IdentitySource::Roles => Some(Cow::Borrowed(grant.role_names.as_str())),
        IdentitySource::Claim(reference) => claim_text(reference.find(claims)?),
    }
}

fn claim_text<'a>(claim: &'a Json<'_>) -> Option<Cow<'a, str>> {
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
fn scalar_text<'a>(claim: &'a Json<'_>) -> Option<Cow<'a, str>> {
    match claim {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Integer(number) => Some(number.to_string().into()),
        Json::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
        Json::Null | Json::Float(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scope::NameList;
    use crate::core::snapshot::{Authorization, ClaimRef};

    /// The one header that says this claim, for a token with these claims.
    fn header(claims: &str, claim: &str) -> Option<Vec<u8>> {
        let source = IdentitySource::Claim(ClaimRef::parse(claim).unwrap());
        told(claims, source, &Grant::default())
    }

    fn told(claims: &str, source: IdentitySource, grant: &Grant) -> Option<Vec<u8>> {
        let claims = Json::parse(claims.as_bytes()).unwrap().into_object().unwrap();
        let headers = [(HeaderName::from_static("x-claim"), source)].into();
        let identity = Identity { tenant: None, headers, authorization: Authorization::Forward };
        super::told(&identity, &claims, Some("acme"), grant, &[]).0.first().map(|(_, value)| value.as_bytes().to_vec())
    }

    #[test]
    fn a_claim_is_told_in_one_spelling() {
        let told = [
            (r#"{"c":"a b"}"#, "a b"),
            (r#"{"c":"Zoë"}"#, "Zoë"),
            (r#"{"c":-42}"#, "-42"),
            (r#"{"c":true}"#, "true"),
            (r#"{"c":["a",7,false]}"#, "a 7 false"),
            (r#"{"c":["a","b c",{"x":1},["y"],null,1.5,"","d"]}"#, "a d"),
        ];
        for (claims, value) in told {
            assert_eq!(header(claims, "c"), Some(value.as_bytes().to_vec()), "{claims}");
        }
    }

    #[test]
    fn what_would_not_arrive_as_it_was_sent_is_left_out() {
        for claims in [
            r#"{"c":"a\r\nX-Admin: 1"}"#,
            r#"{"c":"a\u0000"}"#,
            r#"{"c":"a\u007f"}"#,
            r#"{"c":"a\u0085b"}"#,
            r#"{"c":" a"}"#,
            r#"{"c":"a "}"#,
            r#"{"c":"\u00a0a"}"#,
            r#"{"c":""}"#,
            r#"{"c":[]}"#,
            r#"{"c":["ok","bad\u0007"]}"#,
            r#"{"c":{"x":1}}"#,
            r#"{"c":1.5}"#,
            r#"{"c":null}"#,
            "{}",
        ] {
            assert_eq!(header(claims, "c"), None, "{claims}");
        }
    }

    #[test]
    fn client_scopes_and_roles_are_told_as_they_were_worked_out() {
        let (scope_names, role_names) = (NameList::new(&["a", "b"]), NameList::new(&["r"]));
        let grant = Grant { scope_names, role_names, ..Grant::default() };
        assert_eq!(told("{}", IdentitySource::ClientId, &grant), Some(b"acme".to_vec()));
        assert_eq!(told("{}", IdentitySource::Scopes, &grant), Some(b"a b".to_vec()));
        assert_eq!(told("{}", IdentitySource::Roles, &grant), Some(b"r".to_vec()));
        assert_eq!(told("{}", IdentitySource::Roles, &Grant::default()), None);
    }

    #[test]
    fn all_headers_together_have_an_end() {
        let claims = format!(r#"{{"c":"{}"}}"#, "x".repeat(BYTES_MAX));
        assert!(header(&claims, "c").is_some());
        let claims = format!(r#"{{"c":"{}"}}"#, "x".repeat(BYTES_MAX + 1));
        assert!(header(&claims, "c").is_none());
    }
}
