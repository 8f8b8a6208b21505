//! 1xx responses on their way to the client (RFC 9110 section 15.2).

use http::{HeaderMap, Response, StatusCode};

use super::headers::{clean_response, clean_response_lines};
use crate::core::fields::Lines;
use crate::net::interim::Interim;

/// Hands one on that came in HTTP/1.1, without hop-by-hop fields.
pub(super) fn give(to: &Interim, status: StatusCode, mut lines: Lines) {
    clean_response_lines(&mut lines);
    let mut headers = HeaderMap::new();
    lines.append_to(&mut headers);
    push(to, status, headers);
}

/// Hands one on that came in HTTP/2.
pub(super) fn give_response(to: &Interim, response: Response<()>) {
    let (parts, ()) = response.into_parts();
    let mut headers = parts.headers;
    clean_response(&mut headers);
    push(to, parts.status, headers);
}

fn push(to: &Interim, status: StatusCode, headers: HeaderMap) {
    let mut informational = Response::new(());
    *informational.status_mut() = status;
    *informational.headers_mut() = headers;
    to.push(informational);
}
