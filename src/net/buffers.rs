//! Buffers that are used again. Heads, short bodies and what is written are gone before the worker turns to another
//! connection, and a buffer that is made for each of them costs more than what is done in it.
//!
//! Each worker has its own, few of them: they are for what is at work. A connection that waits for a request holds none.

use std::cell::RefCell;
use std::mem;

use bytes::BytesMut;

/// Room of a buffer that is read into, in bytes: a client's head, a backend's answer.
const READ_BYTES: [usize; 2] = [4 * 1024, 8 * 1024];
/// Room of one that is written to: a head, a longer one, and one with a short body behind it.
const WRITE_BYTES: [usize; 3] = [2 * 1024, 4 * 1024, 12 * 1024];
/// How many of each are kept.
const KEPT_MAX: usize = 32;

struct Kept {
    read: [Vec<BytesMut>; READ_BYTES.len()],
    written: [Vec<Vec<u8>>; WRITE_BYTES.len()],
}

thread_local! {
    static KEPT: RefCell<Kept> =
        const { RefCell::new(Kept { read: [const { Vec::new() }; 2], written: [const { Vec::new() }; 3] }) };
}

/// Makes room for as many bytes behind what is in a buffer.
pub fn reserve(buffer: &mut BytesMut, bytes: usize) {
    let size = READ_BYTES.iter().position(|size| bytes <= *size).filter(|_| buffer.capacity() == 0);
    let Some(size) = size else { return buffer.reserve(bytes) };
    let kept = KEPT.with_borrow_mut(|kept| kept.read.get_mut(size).and_then(Vec::pop));
    *buffer = kept.unwrap_or_else(|| BytesMut::with_capacity(READ_BYTES.get(size).copied().unwrap_or(bytes)));
}

/// Takes back what was read into, whatever is in it. It is kept if nobody else holds a part of it.
pub fn was_read(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    let mut buffer = mem::take(buffer);
    buffer.clear();
    // All of its room shows only once it has it back, and it gets back all that it had if it is to have more than is left.
    let [small, large] = READ_BYTES;
    let _ = (buffer.capacity() >= small && buffer.try_reclaim(large)) || buffer.try_reclaim(small);
    keep(buffer.capacity(), READ_BYTES, |kept| &mut kept.read, buffer);
}

/// An empty buffer to write as many bytes to.
#[must_use]
pub fn to_write(bytes: usize) -> Vec<u8> {
    let Some(size) = WRITE_BYTES.iter().position(|size| bytes <= *size) else { return Vec::with_capacity(bytes) };
    let kept = KEPT.with_borrow_mut(|kept| kept.written.get_mut(size).and_then(Vec::pop));
    kept.unwrap_or_else(|| Vec::with_capacity(WRITE_BYTES.get(size).copied().unwrap_or(bytes)))
}

/// Takes back what was written to.
pub fn was_written(buffer: &mut Vec<u8>) {
    let mut buffer = mem::take(buffer);
    buffer.clear();
    keep(buffer.capacity(), WRITE_BYTES, |kept| &mut kept.written, buffer);
}

/// Keeps a buffer that has the room of one of these sizes. What has grown is not kept: a client decides how far.
fn keep<T, const N: usize>(room: usize, sizes: [usize; N], of: fn(&mut Kept) -> &mut [Vec<T>; N], buffer: T) {
    let Some(size) = sizes.iter().position(|size| room == *size) else { return };
    KEPT.with_borrow_mut(|kept| match of(kept).get_mut(size) {
        Some(kept) if kept.len() < KEPT_MAX => kept.push(buffer),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: usize) -> BytesMut {
        let mut buffer = BytesMut::new();
        reserve(&mut buffer, bytes);
        buffer
    }

    #[test]
    fn what_was_read_into_is_used_again_whatever_was_split_off_it() {
        for size in READ_BYTES {
            let mut buffer = taken(size);
            let first = buffer.as_ptr();
            buffer.extend_from_slice(b"head, body");
            drop((buffer.split_to(4).freeze(), buffer.split_to(2)));
            was_read(&mut buffer);
            assert_eq!(buffer.capacity(), 0);
            let again = taken(size);
            assert!(again.as_ptr() == first && again.is_empty() && again.capacity() == size);
        }
    }

    #[test]
    fn what_somebody_still_holds_a_part_of_is_not() {
        let mut buffer = taken(100);
        buffer.extend_from_slice(b"head, body");
        let head = buffer.split_to(4).freeze();
        was_read(&mut buffer);
        taken(100).extend_from_slice(b"other");
        assert_eq!(head, "head");
    }

    #[test]
    fn what_was_written_to_is_used_again() {
        for size in WRITE_BYTES {
            let mut buffer = to_write(size);
            let first = buffer.as_ptr();
            buffer.extend_from_slice(b"head");
            was_written(&mut buffer);
            let again = to_write(size);
            assert!(again.as_ptr() == first && again.is_empty() && again.capacity() == size);
        }
    }

    #[test]
    fn what_has_grown_and_what_is_too_many_is_not_kept() {
        let (mut read, mut written) = (taken(100), to_write(1));
        read.reserve(64 * 1024);
        written.reserve(64 * 1024);
        was_read(&mut read);
        was_written(&mut written);
        was_read(&mut BytesMut::new());
        was_written(&mut Vec::new());
        let mut many: Vec<_> = (0..2 * KEPT_MAX).map(|_| (taken(100), to_write(1))).collect();
        many.iter_mut().for_each(|(read, written)| {
            was_read(read);
            was_written(written);
        });
        KEPT.with_borrow(|kept| {
            assert_eq!(kept.read.each_ref().map(Vec::len), [KEPT_MAX, 0]);
            assert_eq!(kept.written.each_ref().map(Vec::len), [KEPT_MAX, 0, 0]);
        });
    }
}
