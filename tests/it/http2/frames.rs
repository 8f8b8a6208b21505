//! A client that writes the frames of HTTP/2 itself (RFC 9113 section 4.1), and so can write wrong ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What has come of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer: its status and its body.
    Answer(u16, String),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection was closed.
    Closed,
}

pub(crate) struct FrameClient(TcpStream);

impl FrameClient {
    /// A connection on which nothing was sent.
    pub(crate) fn connect(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// A connection on which preface and settings were sent.
    pub(crate) fn begin(gateway: SocketAddr) -> Self {
        let mut client = Self::connect(gateway);
        client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
        client
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// The next frame, or `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let [high, middle, low, kind, flags, a, b, c, d] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.fill(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), payload })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.0.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
            Err(error) => panic!("nothing comes: {error}"),
        }
    }

    /// What comes of the request on this stream.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        let mut answer = None;
        while let Some(frame) = self.next() {
            let code = |place: usize| u32::from_be_bytes(frame.payload[place..place + 4].try_into().unwrap());
            match frame.kind {
                GOAWAY if code(4) != 0 => return Outcome::GoAway(code(4)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(code(0)),
                HEADERS if frame.stream == stream && answer.is_none() => {
                    answer = Some((status(&frame.payload), Vec::new()));
                }
                DATA if frame.stream == stream => {
                    answer.as_mut().expect("a head before the body").1.extend_from_slice(&frame.payload);
                }
                _ => continue,
            }
            if frame.stream == stream && frame.flags & END_STREAM != 0 {
                let (status, body) = answer.expect("a head");
                return Outcome::Answer(status, String::from_utf8(body).unwrap());
            }
        }
        Outcome::Closed
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of fields, literal and never indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [vec![0x10], text(name), text(value)].concat()).collect()
}

/// A string, not compressed (RFC 7541 section 5.2).
fn text(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match text.len() {
        length if length < 127 => out.push(u8::try_from(length).unwrap()),
        length => {
            out.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
    }
    [out, text.to_vec()].concat()
}

/// The status in the first block of a connection, which begins with it: one of the static table, or three digits in the
/// code of Huffman (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    match *block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x48, 0x83, a, b, c, ..] => digits(&format!("{a:08b}{b:08b}{c:08b}")),
        [0x48, 0x82, a, b, ..] => digits(&format!("{a:08b}{b:08b}")),
        _ => panic!("no status: {block:02x?}"),
    }
}

fn digits(mut bits: &str) -> u16 {
    let codes = ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];
    (0..3).fold(0, |number, _| {
        let digit = codes.iter().position(|code| bits.starts_with(code)).expect("a digit");
        bits = &bits[codes[digit].len()..];
        number * 10 + u16::try_from(digit).unwrap()
    })
}
