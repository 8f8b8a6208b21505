//! The head of a backend's answer: it is the same however it is cut, what is taken says the same when it is written down again,
//! and nothing that follows is taken with it.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sidegate::core::fields::Field;
use sidegate::net::http1::head::Scan;
use sidegate::upstream::http1::head::{self, Head};

/// What is taken of `raw`, handed over in pieces, and what is left.
fn taken(raw: &[u8], step: usize) -> Option<(Head, BytesMut)> {
    let (mut buffer, mut scan) = (BytesMut::new(), Scan::default());
    for piece in raw.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        if let Some(head) = head::take(&mut buffer, &mut scan).ok()? {
            return Some((head, buffer));
        }
    }
    None
}

fn written(head: &Head) -> Vec<u8> {
    let mut text = format!("{:?} {}\r\n", head.version, head.status.as_u16()).into_bytes();
    head.lines.write_to(&mut text, |_, _| true);
    text.extend(b"\r\n");
    text
}

fuzz_target!(|raw: &[u8]| {
    let Some((&step, raw)) = raw.split_first() else { return };
    let whole = taken(raw, raw.len());
    let pieces = taken(raw, usize::from(step));
    assert_eq!(whole.as_ref().map(|(head, _)| written(head)), pieces.as_ref().map(|(head, _)| written(head)));
    let Some((head, rest)) = whole else { return };
    assert!(raw.ends_with(&rest));
    assert!(head.lines.iter().all(|Field { name, value, .. }| {
        let plain = |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        plain(name) && plain(value) && !name.is_empty() && !name.iter().any(u8::is_ascii_uppercase)
    }));
    let again = written(&head);
    if again.len() > head::BYTES_MAX {
        return;
    }
    let (again, rest) = taken(&again, again.len()).expect("what was accepted is accepted again");
    assert_eq!((written(&again), rest.len()), (written(&head), 0));
});
