//! A request head: what is accepted says the same when it is written down again, and has one framing at most.

#![no_main]

use bytes::BytesMut;
use http::{Version, header};
use libfuzzer_sys::fuzz_target;
use sidegate::net::http1::{framing, head};

const BYTES_MAX: usize = 16 * 1024;

fuzz_target!(|raw: &[u8]| {
    let Ok(Some(parsed)) = head::take(&mut BytesMut::from(raw), BYTES_MAX) else { return };
    let plain = |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    assert!(plain(parsed.target().as_bytes()) && !parsed.target().contains(' '));
    assert!(parsed.headers().values().all(|value| plain(value.as_bytes())));

    let framed = framing::of_request(parsed.version, parsed.fields()).is_ok();
    let of = |name| parsed.headers().get_all(name).iter().count();
    assert!(!framed || of(header::CONTENT_LENGTH) + of(header::TRANSFER_ENCODING) <= 1, "two framings");

    let version = if parsed.version == Version::HTTP_11 { "1.1" } else { "1.0" };
    let mut again = format!("{} {} HTTP/{version}\r\n", parsed.method, parsed.target()).into_bytes();
    parsed.fields().for_each(|field| {
        let before = again.len();
        field.write_to(&mut again);
        assert_eq!(again[before..], [field.name, b": ", field.value, b"\r\n"].concat());
    });
    again.extend(b"\r\n");
    let again =
        head::take(&mut BytesMut::from(&again[..]), 2 * BYTES_MAX).expect("what was accepted is accepted again");
    let again = again.expect("all of it is there");
    assert_eq!((&again.method, again.version, again.headers()), (&parsed.method, parsed.version, parsed.headers()));
});
