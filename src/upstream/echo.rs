//! The built-in upstream that answers with what a backend would see, as JSON. For trying a configuration out.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Serialize;

use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::response_body::ResponseBody;

/// A body of at most this many bytes is shown, if it is text. Longer ones are counted and not kept.
const SHOWN_MAX: usize = 1024;

/// What is answered.
#[derive(Debug, Serialize)]
struct Echo<'a> {
    method: &'a str,
    path: &'a str,
    headers: BTreeMap<&'a str, Values>,
    body_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// One value as a string, several as a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

/// Answers `request` when its body has ended.
pub(super) async fn answer<B>(request: Request<B>) -> Result<Response<ResponseBody>, UpstreamError>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let (body_bytes, body) = swallow(body).await.map_err(|error| {
        UpstreamError::because(UpstreamErrorKind::RequestBody, "the client's body ended in an error", error)
    })?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let echo = Echo { method: head.method.as_str(), path, headers: values(&head.headers), body_bytes, body };
    let mut text = serde_json::to_vec_pretty(&echo)
        .map_err(|error| UpstreamError::because(UpstreamErrorKind::Protocol, "the echo has no JSON", error))?;
    text.push(b'\n');
    Ok(response(&head.method, text.into()))
}

fn response(method: &Method, text: Bytes) -> Response<ResponseBody> {
    let length = HeaderValue::from(text.len());
    let text = if method == Method::HEAD { Bytes::new() } else { text };
    let mut response = Response::new(ResponseBody::full(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// Counts a body and keeps the beginning of it, whatever its length.
async fn swallow<B>(mut body: B) -> Result<(u64, Option<String>), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut count, mut kept) = (0u64, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            count = count.saturating_add(data.len() as u64);
            if count <= SHOWN_MAX as u64 {
                kept.extend_from_slice(&data);
            }
        }
    }
    let whole = count > 0 && kept.len() as u64 == count;
    Ok((count, whole.then(|| String::from_utf8(kept).ok()).flatten()))
}

fn values(headers: &HeaderMap) -> BTreeMap<&str, Values> {
    let mut values = BTreeMap::new();
    for name in headers.keys() {
        let mut all: Vec<String> = headers.get_all(name).iter().map(|value| shown(name, value)).collect();
        let several = if all.len() == 1 { all.pop().map(Values::One) } else { None };
        values.insert(name.as_str(), several.unwrap_or(Values::Several(all)));
    }
    values
}

/// A value as text. What is echoed ends up on screens and in tickets, so of credentials only the scheme is shown.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if *name != header::AUTHORIZATION {
        return text.into_owned();
    }
    match text.split_once(' ') {
        Some((scheme, credentials)) => format!("{scheme} [{} characters]", credentials.trim_start().len()),
        None => format!("[{} characters]", text.len()),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn echo(request: Request<Full<Bytes>>) -> (HeaderMap, serde_json::Value) {
        let response = answer(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.headers, serde_json::from_slice(&text).unwrap_or_default())
    }

    #[tokio::test]
    async fn it_shows_method_path_headers_and_a_small_body() {
        let request = Request::post("/v1/users?a=1&b")
            .header("x-tenant-id", "t1")
            .header("accept", "a")
            .header("accept", "b")
            .header("authorization", "Bearer abc.def")
            .body(Full::from("hello"))
            .unwrap();
        let (_, json) = echo(request).await;
        let expected = serde_json::json!({
            "method": "POST",
            "path": "/v1/users?a=1&b",
            "headers": {"x-tenant-id": "t1", "accept": ["a", "b"], "authorization": "Bearer [7 characters]"},
            "body_bytes": 5,
            "body": "hello",
        });
        assert_eq!(json, expected);
    }

    #[tokio::test]
    async fn a_large_or_binary_body_is_only_counted() {
        for body in [vec![b'a'; SHOWN_MAX + 1], vec![0xff; 3]] {
            let (count, request) = (body.len(), Request::put("/").body(Full::from(body)).unwrap());
            let (_, json) = echo(request).await;
            assert_eq!((json["body_bytes"].as_u64(), json.get("body")), (Some(count as u64), None));
        }
    }

    #[tokio::test]
    async fn head_has_a_length_and_no_body() {
        let (headers, json) = echo(Request::head("/").body(Full::default()).unwrap()).await;
        assert!(json.is_null());
        assert_ne!(headers[header::CONTENT_LENGTH], "0");
    }
}
