//! As much of WebSocket (RFC 6455) as it takes to say goodbye on one: where frames end, since nothing can be said within
//! one, and what a close frame looks like. What frames carry is between the client and the backend. Pure.

/// Longest frame header in bytes: two, an extended length, a masking key (RFC 6455 section 5.2).
const HEADER_BYTES_MAX: usize = 2 + 8 + 4;
/// Without `FIN`, the opcode of a close frame (RFC 6455 section 5.5.1).
const CLOSE: u8 = 0x8;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Why a WebSocket ends, as a close frame says it (RFC 6455 section 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The gateway ends.
    GoingAway = 1001,
    /// The caller's token has expired.
    PolicyViolation = 1008,
}

/// The key that a client masks a frame with (RFC 6455 section 5.3).
pub type MaskingKey = [u8; 4];

/// A close frame: from a server if there is no key, else from a client.
#[must_use]
pub fn close_frame(code: CloseCode, key: Option<MaskingKey>) -> Vec<u8> {
    let [high, low] = (code as u16).to_be_bytes();
    match key {
        None => vec![FIN | CLOSE, 2, high, low],
        Some([a, b, c, d]) => vec![FIN | CLOSE, MASKED | 2, a, b, c, d, high ^ a, low ^ b],
    }
}

/// Follows the frames that pass in one direction, however they are cut. Every sequence of bytes is one of frames: what is
/// no WebSocket has boundaries as well, if only here.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_BYTES_MAX],
    /// How much of a header was read. At zero this is the boundary between two frames.
    header_bytes: usize,
    /// How much of the payload is to come, once the header is complete.
    payload_left: Option<u64>,
    closed: bool,
}

impl Frames {
    /// Whether this is a boundary: no frame was begun that has not ended.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.header_bytes == 0
    }

    /// Whether a close frame has passed. Nothing may follow it (RFC 6455 section 5.5.1).
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Follows `bytes` to their end.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = bytes.get(self.follow_one(bytes)..).unwrap_or_default();
        }
    }

    /// Follows `bytes` to the end of the present frame, or as far as they go. Returns how many bytes that were: at least
    /// one, if there is one.
    pub fn follow_one(&mut self, bytes: &[u8]) -> usize {
        let header = self.follow_header(bytes);
        let Some(left) = self.payload_left else { return header };
        let payload = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - header);
        self.payload_left = Some(left - payload as u64);
        if self.payload_left == Some(0) {
            self.end();
        }
        header + payload
    }

    /// Takes what still belongs to the header. Returns how many bytes that were.
    fn follow_header(&mut self, bytes: &[u8]) -> usize {
        for (read, byte) in bytes.iter().enumerate() {
            if self.payload_left.is_some() {
                return read;
            }
            if let Some(place) = self.header.get_mut(self.header_bytes) {
                *place = *byte;
            }
            self.header_bytes += 1;
            self.payload_left = self.payload_bytes();
        }
        bytes.len()
    }

    /// The length of the payload, if the header is complete.
    fn payload_bytes(&self) -> Option<u64> {
        let [_, second, rest @ ..] = self.header;
        let extended_bytes = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key_bytes = if second & MASKED == 0 { 0 } else { size_of::<MaskingKey>() };
        if self.header_bytes < 2 + extended_bytes + key_bytes {
            return None;
        }
        let extended = rest.iter().take(extended_bytes).fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(if extended_bytes == 0 { u64::from(second & !MASKED) } else { extended })
    }

    fn end(&mut self) {
        let [first, ..] = self.header;
        self.closed |= first & 0xf == CLOSE;
        self.header_bytes = 0;
        self.payload_left = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as RFC 6455 section 5.2 describes it, with a length of whatever size.
    fn frame(opcode: u8, masked: bool, size: usize, payload: &[u8]) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![FIN | opcode];
        match size {
            0 => frame.push(mask | u8::try_from(payload.len()).unwrap()),
            2 => frame.extend([&[mask | 126], &u16::try_from(payload.len()).unwrap().to_be_bytes()[..]].concat()),
            _ => frame.extend([&[mask | 127], &(payload.len() as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        frame.extend(payload);
        frame
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..126);
        let long = proptest::collection::vec(any::<u8>(), 0..70_000);
        prop_oneof![
            8 => (0_u8..8, any::<bool>(), prop_oneof![Just(0), Just(2), Just(8)], payload)
                .prop_map(|(opcode, masked, size, payload)| frame(opcode, masked, size, &payload)),
            1 => (0_u8..8, any::<bool>(), long).prop_map(|(opcode, masked, payload)| frame(opcode, masked, 8, &payload)),
        ]
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            sent in proptest::collection::vec(any_frame(), 1..8),
            cut in 1_usize..200,
        ) {
            let bytes = sent.concat();
            let ends: Vec<usize> =
                sent.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) }).collect();
            let (mut frames, mut at) = (Frames::default(), 0);
            for piece in bytes.chunks(cut) {
                let mut piece = piece;
                while !piece.is_empty() {
                    let read = frames.follow_one(piece);
                    prop_assert!(read > 0);
                    at += read;
                    piece = &piece[read..];
                    prop_assert_eq!(frames.at_boundary(), ends.contains(&at));
                }
            }
            prop_assert!(frames.at_boundary() && !frames.closed());
        }
    }

    #[test]
    fn a_close_frame_is_seen_when_it_has_passed() {
        let mut frames = Frames::default();
        let (last, before) = (2, [frame(0x9, true, 0, b"ping"), frame(CLOSE, true, 0, b"\x03\xe8")].concat());
        frames.follow(&before[..before.len() - last]);
        assert!(!frames.closed() && !frames.at_boundary());
        frames.follow(&before[before.len() - last..]);
        assert!(frames.closed() && frames.at_boundary());
    }

    #[test]
    fn close_frames_are_well_formed() {
        assert_eq!(close_frame(CloseCode::GoingAway, None), b"\x88\x02\x03\xe9");
        let masked = close_frame(CloseCode::PolicyViolation, Some([1, 2, 3, 4]));
        assert_eq!(masked, b"\x88\x82\x01\x02\x03\x04\x02\xf2");
        let mut frames = Frames::default();
        frames.follow(&masked);
        assert!(frames.closed() && frames.at_boundary());
    }

    #[test]
    fn a_length_beyond_all_bounds_is_just_long() {
        let mut frames = Frames::default();
        frames.follow(&[&[0x82, 0x7f][..], &[0xff; 8], &[0; 100]].concat());
        assert!(!frames.at_boundary());
    }
}
