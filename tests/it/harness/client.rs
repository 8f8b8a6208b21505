//! A client that sends exactly the bytes it is given.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;
use super::response::{Response, status};
use super::tunnel::Tunnel;
use super::wire::{Fields, Framing, Head, Reader};

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    reader: Reader<S>,
    /// Tokens that were sent: they must not come back in a refusal.
    tokens: Vec<String>,
}

/// Why there is no whole response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection ended before the first byte of a response.
    Closed,
    /// It ended within the body; this much was there.
    Truncated(Box<Response>),
    /// What came is no HTTP, or did not come in time.
    Other(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "the connection ended"),
            Self::Truncated(part) => write!(f, "the connection ended within {part:?}"),
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let reader = stream.try_clone()?;
        Ok(Self::over(stream, reader))
    }

    /// Sends a FIN: nothing more will come.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The stream itself, for another thread to write to.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

impl<S: Read + Write> Client<S> {
    /// On a stream, of which both arguments are one end.
    pub(crate) fn over(stream: S, reader: S) -> Self {
        Self { stream, reader: Reader::new(reader, 0), tokens: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the gateway takes what is sent");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.tokens.extend(bearer_tokens(bytes.as_ref()));
        self.stream.write_all(bytes.as_ref())
    }

    /// The next response, whole.
    pub(crate) fn receive(&mut self) -> Response {
        self.try_receive().unwrap_or_else(|failure| panic!("no response: {failure}"))
    }

    /// The next response, whole, or what came instead.
    pub(crate) fn try_receive(&mut self) -> Result<Response, Failure> {
        let mut response = self.try_receive_head()?;
        let mut framing = framing(&response).map_err(Failure::Other)?;
        loop {
            match self.reader.piece(&mut framing, &mut response.trailers) {
                Ok(Some(piece)) => response.body.extend(piece),
                Ok(None) => break,
                Err(error) if is_end(&error) => return Err(Failure::Truncated(Box::new(response))),
                Err(error) => return Err(Failure::Other(error)),
            }
        }
        response.check(&self.tokens);
        Ok(response)
    }

    /// The next response's head; that is all there is for a HEAD request.
    pub(crate) fn receive_head(&mut self) -> Response {
        let response = self.try_receive_head().unwrap_or_else(|failure| panic!("no response: {failure}"));
        response.check(&self.tokens);
        response
    }

    /// Hands the body of `response`, whose head was received, to `each`, piece by piece.
    pub(crate) fn stream_body(&mut self, response: &Response, mut each: impl FnMut(&[u8])) {
        let mut framing = framing(response).unwrap();
        while let Some(piece) = self.reader.piece(&mut framing, &mut Fields::default()).unwrap() {
            each(&piece);
        }
    }

    /// Hands what comes of the body of `response`, whose head was received, to `each`, until the connection ends within it.
    pub(crate) fn truncated_body(&mut self, response: &Response, mut each: impl FnMut(&[u8])) {
        let mut framing = framing(response).unwrap();
        loop {
            match self.reader.piece(&mut framing, &mut Fields::default()) {
                Ok(Some(piece)) => each(&piece),
                Ok(None) => panic!("the body came to its end"),
                Err(error) if is_end(&error) => return,
                Err(error) => panic!("the connection should have ended: {error}"),
            }
        }
    }

    /// An interim response (1xx), which has to be the next thing that comes.
    pub(crate) fn receive_interim(&mut self) -> Head {
        let head = self.reader.head().unwrap().expect("an interim response");
        assert!(status(&head) < 200, "a final response came before an interim one: {head:?}");
        head
    }

    /// The connection behind `101 Switching Protocols`, which has to be the next answer.
    pub(crate) fn switched(mut self) -> Tunnel<S> {
        let response = self.receive_head();
        assert_eq!((response.status, response.interim.len()), (101, 0), "{response:?}");
        self.into_tunnel()
    }

    /// The connection behind `101 Switching Protocols`, which has come.
    pub(crate) fn into_tunnel(self) -> Tunnel<S> {
        Tunnel::new(self.stream, self.reader)
    }

    /// Waits until the other side has ended the connection and panics if it sends anything before.
    pub(crate) fn expect_closed(&mut self) {
        match self.try_receive_head() {
            Err(Failure::Closed) => {}
            other => panic!("the connection should have ended: {other:?}"),
        }
    }

    /// Waits until the other side has ended the connection, with or without a refusal before.
    pub(crate) fn expect_refused_or_closed(&mut self) {
        match self.try_receive() {
            Err(Failure::Closed) => {}
            Ok(response) if response.status >= 400 => self.expect_closed(),
            other => panic!("the connection should have ended: {other:?}"),
        }
    }

    fn try_receive_head(&mut self) -> Result<Response, Failure> {
        let mut interim = Vec::new();
        loop {
            let head = match self.reader.head() {
                Ok(Some(head)) => head,
                Ok(None) => return Err(Failure::Closed),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Failure::Closed),
                Err(error) => return Err(Failure::Other(error)),
            };
            match status(&head) {
                101 | 200.. => return Ok(Response::new(&head, interim)),
                _ => interim.push(head),
            }
        }
    }
}

/// How the end of a response to anything but HEAD is known (RFC 9112 section 6.3).
fn framing(response: &Response) -> io::Result<Framing> {
    match response.status {
        204 | 304 => Ok(Framing::Ended),
        _ => Framing::of(&response.fields, Framing::UntilClose),
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
}

fn bearer_tokens(request: &[u8]) -> Vec<String> {
    let head = String::from_utf8_lossy(request);
    let credentials = head.lines().filter_map(|line| line.split_once(':')).filter_map(|(name, value)| {
        let value = name.trim().eq_ignore_ascii_case("authorization").then_some(value)?;
        value.split_whitespace().last().map(str::to_owned)
    });
    credentials.filter(|token| token.len() >= 8).collect()
}
