//! What a feed says is read the same however it is cut, and what was read can be told on and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sidegate::live::registry::wire::{Decoder, Event, WireError};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<WireError>) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((size, feed)) = input.split_first() else { return };
    let whole = read(std::iter::once(feed));
    assert_eq!(read(feed.chunks(usize::from(*size).max(1))), whole);
    let told: Vec<u8> = whole.0.iter().flat_map(|event| event.encode()).collect();
    let (again, error) = read(std::iter::once(told.as_slice()));
    assert_eq!(error, None);
    assert_eq!(again, whole.0);
});
