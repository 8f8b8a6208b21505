//! The head of a request as HTTP/2 has it (RFC 9113 section 8.3.1).

use http::header::{self, HeaderMap};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, request, uri};

use crate::upstream::error::{UpstreamError, UpstreamErrorKind};

/// Turns a head of HTTP/1.1, made ready by [`crate::upstream::plan`], into one of HTTP/2: `Host` is the authority, and the
/// connection and the framing go unsaid. `TE: trailers` stays, as gRPC wants it.
///
/// # Errors
/// `Host` is no authority.
pub(super) fn head(parts: request::Parts, scheme: Scheme) -> Result<Request<()>, UpstreamError> {
    let request::Parts { method, uri, mut headers, .. } = parts;
    let authority = take_authority(&mut headers)
        .ok_or(UpstreamError::new(UpstreamErrorKind::Protocol, "the request's Host is no authority"))?;
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    let mut head = Request::new(());
    *head.method_mut() = method;
    *head.uri_mut() = absolute(scheme, authority, uri)?;
    *head.headers_mut() = headers;
    Ok(head)
}

fn take_authority(headers: &mut HeaderMap) -> Option<Authority> {
    headers.remove(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok())
}

fn absolute(scheme: Scheme, authority: Authority, target: Uri) -> Result<Uri, UpstreamError> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(target.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts)
        .map_err(|error| UpstreamError::because(UpstreamErrorKind::Protocol, "the request has no URL", error))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn converted(fields: &[(&'static str, &'static str)]) -> Result<Request<()>, UpstreamError> {
        let mut request = Request::builder().method(Method::POST).uri("/a%20b?c=%zz");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        head(request.body(()).unwrap().into_parts().0, Scheme::HTTPS)
    }

    #[test]
    fn host_becomes_the_authority_and_the_connection_stays_behind() {
        let head = converted(&[
            ("host", "api.example:8443"),
            ("connection", "TE"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
            ("x-a", "1"),
        ])
        .unwrap();
        assert_eq!(head.uri(), "https://api.example:8443/a%20b?c=%zz");
        let mut names: Vec<_> = head.headers().keys().map(header::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "te", "x-a"]);
    }

    #[test]
    fn a_host_that_is_no_authority_is_refused() {
        for fields in [&[][..], &[("host", "")], &[("host", "a b")], &[("host", "a/b")]] {
            assert!(converted(fields).is_err(), "{fields:?}");
        }
    }
}
