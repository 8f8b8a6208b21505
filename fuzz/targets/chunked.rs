//! A chunked body says the same whether it comes at once or byte by byte, and what waits for more is bounded.

#![no_main]

use bytes::BytesMut;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use sidegate::net::http1::chunked::{Decoded, Decoder};

/// More than the decoder may leave in the buffer while it waits: a size line or a trailer section, and a bit.
const WAITING_BYTES_MAX: usize = 20 * 1024;

#[derive(Debug, PartialEq)]
enum End {
    Trailers(Option<HeaderMap>),
    Broken,
    Waiting,
}

/// The data, how it ended, and how many bytes behind the body were left alone.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, End, usize) {
    let (mut decoder, mut buffer, mut data) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut end = End::Waiting;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while end == End::Waiting {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Data(piece)) => data.extend(piece),
                Ok(Decoded::Trailers(trailers)) => end = End::Trailers(Some(trailers)),
                Ok(Decoded::End) => end = End::Trailers(None),
                Ok(Decoded::NeedsMore) => break,
                Err(_) => end = End::Broken,
            }
        }
        assert!(end != End::Waiting || buffer.len() <= WAITING_BYTES_MAX, "{} bytes wait", buffer.len());
    }
    let left = if end == End::Broken { 0 } else { buffer.len() };
    (data, end, left)
}

fuzz_target!(|body: &[u8]| {
    let at_once = decode(std::iter::once(body));
    let bytewise = decode(body.chunks(1));
    assert_eq!(at_once, bytewise);
});
