//! A key set (RFC 7517) is parsed or refused, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sidegate::core::keyset::Keyset;

fuzz_target!(|json: &[u8]| {
    let _ = Keyset::parse(json);
});
