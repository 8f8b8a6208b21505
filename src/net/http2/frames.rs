//! Where the frames of HTTP/2 begin and end (RFC 9113 section 4.1). Pure: it looks at the bytes that pass and keeps nine
//! of them at most.

/// Bytes before a frame's payload.
const HEAD_BYTES: usize = 9;

/// What a frame's head says, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    flags: u8,
    payload_bytes: u32,
}

/// The types of frames that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Continuation,
    WindowUpdate,
    /// Any other.
    Control,
}

/// Walks along a sequence of frames, however it is cut into pieces.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
    /// A block of header fields was begun and its last frame has not come.
    in_block: bool,
}

impl Frames {
    /// For a sequence with `skipped` bytes before the first frame.
    pub(super) fn behind(skipped: usize) -> Self {
        Self { head: [0; HEAD_BYTES], head_bytes: 0, payload_left: skipped, in_block: false }
    }

    /// Goes over the next bytes, and calls `seen` with each frame whose head is complete.
    pub(super) fn walk(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let passed = self.payload_left.min(bytes.len());
                self.payload_left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let room = self.head.get_mut(self.head_bytes..).unwrap_or_default();
            let taken = room.len().min(bytes.len());
            let (of_head, rest) = bytes.split_at(taken);
            room.iter_mut().zip(of_head).for_each(|(room, byte)| *room = *byte);
            self.head_bytes += taken;
            bytes = rest;
            if self.head_bytes == HEAD_BYTES {
                seen(self.begin());
            }
        }
    }

    /// Whether a block of header fields is incomplete.
    pub(super) fn is_in_block(&self) -> bool {
        self.in_block || self.in_last_of_block()
    }

    /// The head is complete: the payload comes next.
    fn begin(&mut self) -> Frame {
        let [high, middle, low, kind, flags, ..] = self.head;
        let payload_bytes = u32::from_be_bytes([0, high, middle, low]);
        let frame = Frame { kind: Kind::from(kind), flags, payload_bytes };
        self.head_bytes = 0;
        self.payload_left = payload_bytes as usize;
        if frame.is_of_block() {
            self.in_block = !frame.ends_block();
        }
        frame
    }

    /// Whether the frame under way is the last of a block.
    fn in_last_of_block(&self) -> bool {
        let [_, _, _, kind, flags, ..] = self.head;
        let frame = Frame { kind: Kind::from(kind), flags, payload_bytes: 0 };
        self.head_bytes == 0 && self.payload_left > 0 && frame.is_of_block()
    }
}

impl Frame {
    /// Whether it brings nothing and ends nothing.
    pub(super) fn is_empty_data(&self) -> bool {
        const END_STREAM: u8 = 0x1;
        self.kind == Kind::Data && self.payload_bytes == 0 && self.flags & END_STREAM == 0
    }

    fn is_of_block(&self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::Continuation)
    }

    fn ends_block(&self) -> bool {
        const END_HEADERS: u8 = 0x4;
        self.flags & END_HEADERS != 0
    }
}

impl From<u8> for Kind {
    fn from(kind: u8) -> Self {
        match kind {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x3 => Self::Reset,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            _ => Self::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, kind: u8, flags: u8) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let sequence = [vec![1; 24], frame(3, 1, 4), frame(0, 0, 0), frame(70_000, 0, 1), frame(8, 6, 0)].concat();
        for length in [1, 2, 7, 9, 10, 4096, sequence.len()] {
            let mut frames = Frames::behind(24);
            let mut kinds = Vec::new();
            sequence.chunks(length).for_each(|piece| frames.walk(piece, |frame| kinds.push(frame.kind)));
            assert_eq!(kinds, [Kind::Headers, Kind::Data, Kind::Data, Kind::Control], "pieces of {length}");
            assert!(!frames.is_in_block());
        }
    }

    #[test]
    fn a_block_is_incomplete_until_the_last_byte_of_its_last_frame() {
        let sequence = [frame(2, 1, 0), frame(1, 9, 0), frame(3, 9, 4)].concat();
        let mut frames = Frames::behind(0);
        for (place, byte) in sequence.iter().enumerate() {
            let before_head = place < 9;
            assert_eq!(frames.is_in_block(), !before_head, "{place}");
            frames.walk(&[*byte], |_| {});
        }
        assert!(!frames.is_in_block());
    }

    #[test]
    fn data_that_bring_nothing_are_told_from_those_that_end_something() {
        let mut empty = Vec::new();
        let sequence = [frame(0, 0, 0), frame(0, 0, 1), frame(1, 0, 0), frame(0, 4, 0)].concat();
        Frames::behind(0).walk(&sequence, |frame| empty.push(frame.is_empty_data()));
        assert_eq!(empty, [true, false, false, false]);
    }
}
