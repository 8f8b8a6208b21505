//! Header fields, one a line: a bearer token comes out of exactly one well-formed field or not at all.

#![no_main]

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use sidegate::core::bearer;

const BYTES_MAX: usize = 4096;

fuzz_target!(|fields: &[u8]| {
    let mut headers = HeaderMap::new();
    for field in fields.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(field) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let Ok(token) = bearer::extract(&headers, BYTES_MAX) else { return };
    let token = token.reveal();
    assert_eq!(headers.len(), 1, "a token out of several fields");
    assert!((1..=BYTES_MAX).contains(&token.len()));
    // b64token of RFC 6750 section 2.1.
    let body = token.trim_end_matches('=');
    assert!(!body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)));
});
