//! A connection after `101 Switching Protocols`: bytes, and WebSocket frames (RFC 6455) for those who speak it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::wire::{Fields, Reader};

/// The example of RFC 6455 section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// One end of a connection that is no longer HTTP.
pub(crate) struct Tunnel<S = TcpStream> {
    stream: S,
    reader: Reader<S>,
}

/// A WebSocket frame that is not fragmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl Tunnel {
    /// Sends a FIN.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The stream itself, for another thread to write to.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

impl<S: Read + Write> Tunnel<S> {
    /// What `reader` has read of `stream` already comes first.
    pub(crate) fn new(stream: S, reader: Reader<S>) -> Self {
        Self { stream, reader }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("what is sent is taken");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next so many bytes.
    pub(crate) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let missing = (length - bytes.len()) as u64;
            bytes.extend(self.reader.some(missing).unwrap_or_else(|error| panic!("{error} behind {bytes:?}")));
        }
        bytes
    }

    /// What comes until the other side has ended the connection, by a reset too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        loop {
            match self.reader.some(u64::MAX) {
                Ok(bytes) => rest.extend(bytes),
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return rest;
                }
                Err(error) => panic!("the connection should have ended: {error}"),
            }
        }
    }

    /// The next frame.
    pub(crate) fn frame(&mut self) -> Frame {
        let head = self.receive(2);
        assert_eq!(head[0] & 0xf0, 0x80, "fragments and reserved bits are not used here");
        let length = match head[1] & 0x7f {
            126 => u16::from_be_bytes(self.receive(2).try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.receive(8).try_into().unwrap()),
            length => length.into(),
        };
        let masked = head[1] & 0x80 != 0;
        let mask = if masked { self.receive(4) } else { vec![0; 4] };
        let mut payload = self.receive(length.try_into().unwrap());
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Frame { opcode: head[0] & 0xf, masked, payload }
    }
}

impl Frame {
    /// As a client sends it.
    pub(crate) fn of_client(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode, masked: true, payload: payload.into() }
    }

    /// As a server sends it.
    pub(crate) fn of_server(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode, masked: false, payload: payload.into() }
    }

    /// A close frame's code.
    pub(crate) fn close_code(&self) -> u16 {
        assert_eq!((self.opcode, self.payload.len()), (CLOSE, 2), "{self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mask = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | self.opcode];
        match self.payload.len() {
            length @ 0..126 => bytes.push(mask | u8::try_from(length).unwrap()),
            length @ 126..0x1_0000 => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if !self.masked {
            return [bytes, self.payload.clone()].concat();
        }
        bytes.extend(MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// The handshake of a WebSocket client. `fields` are further ones, each with its line end.
pub(crate) fn handshake(target: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

/// A WebSocket server's answer to a handshake with these fields.
pub(crate) fn handshake_answer(request: &Fields) -> String {
    let key = request.one("sec-websocket-key").expect("a handshake has a key");
    let accept = accept(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// RFC 6455 section 4.2.2.
pub(crate) fn accept(key: &str) -> String {
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    BASE64.encode(proof)
}
