//! A client that writes frames itself, and so can write wrong ones.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const GOAWAY: u8 = 7;

pub(super) struct Raw<T = DuplexStream>(T);

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Raw {
    /// Sends the preface and empty settings.
    pub(super) async fn begin(pipe: DuplexStream) -> Self {
        let mut raw = Self(pipe);
        raw.send(&[PREFACE, &Self::frame(4, 0, 0, &[])].concat()).await;
        raw
    }

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// HEADERS with these fields, literal and never indexed (RFC 7541 section 6.2.2).
    pub(super) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        Self::frame(1, flags, stream, &Self::block(fields))
    }

    pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let text = |text: &str| {
            [&[u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap()], text.as_bytes()].concat()
        };
        fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
    }

    pub(super) fn get(path: &str) -> [(&'static str, &str); 4] {
        [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", path)]
    }
}

impl<T: AsyncWrite + Unpin> Raw<T> {
    /// Sends as much as is taken.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }
}

impl<T: AsyncRead + Unpin> Raw<T> {
    pub(super) fn new(pipe: T) -> Self {
        Self(pipe)
    }

    /// The next frame, or `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [high, middle, low, kind, _, a, b, c, d] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Seen { kind, stream: u32::from_be_bytes([a, b, c, d]), payload })
    }

    /// The next frame of this type.
    pub(super) async fn next_of(&mut self, kind: u8) -> Option<Seen> {
        loop {
            let seen = self.next().await?;
            if seen.kind == kind {
                return Some(seen);
            }
        }
    }

    /// The code of the next GOAWAY.
    pub(super) async fn goaway(&mut self) -> u32 {
        let goaway = self.next_of(GOAWAY).await.expect("a GOAWAY before the end");
        u32::from_be_bytes(goaway.payload[4..8].try_into().unwrap())
    }

    /// Reads to the end of the connection.
    pub(super) async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}
