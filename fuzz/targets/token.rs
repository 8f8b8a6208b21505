//! A token is parsed without a panic, and one that nobody has signed is never attributed to anybody.

#![no_main]

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use sidegate::core::snapshot::Issuers;
use sidegate::core::{bearer, token::DecodedToken, token::UnverifiedToken};

fuzz_target!(|token: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else { return };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let Ok(bearer) = bearer::extract(&headers, usize::MAX) else { return };
    let Ok(decoded) = DecodedToken::of(&bearer) else { return };
    let Ok(unverified) = UnverifiedToken::parse(&decoded) else { return };
    assert!(unverified.attribute(&Issuers::default()).is_err(), "attributed to no issuer");
});
