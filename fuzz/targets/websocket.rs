//! The boundaries of WebSocket frames are where they are however the bytes are cut, and every byte is of some frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sidegate::net::websocket::Frames;

/// Where there are boundaries, up to the close frame with which it ends, and whether it has.
fn boundaries<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<usize>, bool) {
    let (mut frames, mut at, mut found) = (Frames::default(), 0, Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let read = frames.follow_one(piece);
            assert!(0 < read && read <= piece.len());
            at += read;
            piece = &piece[read..];
            if frames.at_boundary() {
                found.push(at);
            }
        }
    }
    (found, frames.closed())
}

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, step) = input;
    let at_once = boundaries(std::iter::once(bytes));
    assert_eq!(at_once, boundaries(bytes.chunks(1)));
    assert_eq!(at_once, boundaries(bytes.chunks(usize::from(step).max(1))));
    let mut frames = Frames::default();
    frames.follow(bytes);
    assert_eq!(
        (frames.at_boundary(), frames.closed()),
        (bytes.is_empty() || at_once.0.last() == Some(&bytes.len()), at_once.1)
    );
});
