//! Bodies of requests: JSON, bounded, and without anything in it that nobody asked for.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;
use super::route::Operation;
use crate::net::service::RequestBody;

/// Longest body, in bytes.
const BYTES_MAX: usize = 64 * 1024;
const JSON: &str = "application/json";
/// RFC 7396.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// The whole body. None at all stands for `{}`.
pub(super) async fn collect(headers: &HeaderMap, body: RequestBody, operation: Operation) -> Result<Bytes, Problem> {
    let body = Limited::new(body, BYTES_MAX).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
        true => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the body is longer than 64 KiB"),
        false => Problem::malformed("the body broke off"),
    })?;
    let body = body.to_bytes();
    if !body.is_empty() {
        check_type(headers, operation)?;
    }
    Ok(body)
}

fn check_type(headers: &HeaderMap, operation: Operation) -> Result<(), Problem> {
    let unsupported = |detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail);
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(unsupported("the body has to come as it is, without Content-Encoding"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.to_str().unwrap_or_default());
    let is = |given: &str, wanted: &str| {
        given.split(';').next().is_some_and(|given| given.trim().eq_ignore_ascii_case(wanted))
    };
    match (types.next(), types.next(), operation) {
        (Some(given), None, Operation::Edit) if is(given, MERGE_PATCH) || is(given, JSON) => Ok(()),
        (Some(given), None, _) if is(given, JSON) => Ok(()),
        (_, _, Operation::Edit) => {
            Err(unsupported("Content-Type has to be application/merge-patch+json or application/json"))
        }
        _ => Err(unsupported("Content-Type has to be application/json")),
    }
}

/// What it says.
pub(super) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, Problem> {
    let content = if content.is_empty() { b"{}" } else { content };
    // A list could be taken for the members in their order.
    if content
        .trim_ascii_start()
        .first()
        .is_some_and(|first| matches!(first, b'[' | b'"' | b'0'..=b'9' | b't' | b'f' | b'n'))
    {
        return Err(Problem::invalid("the body has to be a JSON object"));
    }
    serde_json::from_slice(content).map_err(|error| {
        let detail = error.to_string();
        match error.classify() {
            Category::Data => match named(&detail) {
                Some(field) => Problem::invalid(&*detail).about(field),
                None => Problem::invalid(&*detail),
            },
            Category::Syntax | Category::Eof | Category::Io => Problem::malformed(format!("no valid JSON: {detail}")),
        }
    })
}

/// The member that serde says something about.
fn named(detail: &str) -> Option<&str> {
    let kinds = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = kinds.iter().find_map(|kind| detail.strip_prefix(kind))?;
    rest.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::admin::api::model::{NewClient, Rotation};

    fn problem<T: DeserializeOwned>(content: &str) -> String {
        match parse::<T>(content.as_bytes()) {
            Ok(_) => panic!("{content} is taken"),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse::<Rotation>(b"").is_ok() && parse::<Rotation>(b" {} ").is_ok());
        for (content, expected) in [
            (r#"{"name":"x","scope":[]}"#, "unknown field `scope`"),
            (r#"{"name":"x","name":"y"}"#, "duplicate field `name`"),
            (r#"{}"#, "missing field `name`"),
            (r#"{"name":7}"#, "expected a string at line 1"),
            (r#"["x"]"#, "has to be a JSON object"),
            ("null", "has to be a JSON object"),
            (r#"{"name":"x"} {}"#, "no valid JSON"),
            (r#"{"name""#, "no valid JSON"),
        ] {
            let problem = problem::<NewClient>(content);
            assert!(problem.contains(expected), "{content}: {problem}");
        }
        assert!(problem::<NewClient>(r#"{"tenant":""}"#).contains("field: Some(\"tenant\")"));
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(5000));
        assert!(problem::<NewClient>(&long).len() < 2000);
    }

    #[test]
    fn json_is_what_bodies_are() {
        let check = |types: &[&'static str], operation| {
            let types = types.iter().map(|text| (CONTENT_TYPE, HeaderValue::from_static(text)));
            check_type(&types.collect(), operation).is_ok()
        };
        assert!(check(&["Application/JSON; charset=utf-8"], Operation::Create));
        assert!(check(&[MERGE_PATCH], Operation::Edit) && check(&[JSON], Operation::Edit));
        assert!(!check(&[MERGE_PATCH], Operation::Create));
        for odd in
            [&[][..], &["text/plain"], &["application/x-www-form-urlencoded"], &["application/jsonx"], &[JSON, JSON]]
        {
            assert!(!check(odd, Operation::Create), "{odd:?}");
        }
        let coded = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(JSON)),
            (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        assert!(check_type(&coded, Operation::Create).is_err());
    }
}
