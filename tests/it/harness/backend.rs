//! A backend that records every byte it is sent and answers as a test tells it to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::tunnel::Tunnel;
use super::wire::{Fields, Framing, Head, Reader};
use super::{PATIENCE, free_address};

/// The most that is recorded of one request.
const RECORD_BYTES_MAX: usize = 256 * 1024;

/// A plain good answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    /// Number of the request on its connection, from 0.
    pub(crate) turn: usize,
    pub(crate) head: Head,
    /// The body without its framing, as far as it came.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Whether the message came to its end.
    pub(crate) complete: bool,
    /// The bytes it came in.
    pub(crate) raw: Vec<u8>,
}

impl Seen {
    /// `METHOD target`.
    pub(crate) fn request(&self) -> &str {
        self.head.start_line.strip_suffix(" HTTP/1.1").expect("requests to a backend are HTTP/1.1")
    }
}

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    Close,
}

/// One request in the hands of a script.
pub(crate) struct Exchange {
    pub(crate) seen: Seen,
    framing: Framing,
    stream: TcpStream,
    reader: Reader<TcpStream>,
}

impl Exchange {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next piece of the request's body.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.reader.piece(&mut self.framing, &mut self.seen.trailers)
    }

    /// The next byte behind the request; `None` at the end of the connection.
    pub(crate) fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The connection behind the request, for whoever has switched protocols.
    pub(crate) fn switched(&mut self) -> io::Result<Tunnel> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let reader = std::mem::replace(&mut self.reader, Reader::new(self.stream.try_clone()?, 0));
        Ok(Tunnel::new(self.stream.try_clone()?, reader))
    }

    fn collect_body(&mut self) {
        let end = loop {
            match self.piece() {
                Ok(Some(piece)) => self.seen.body.extend(piece),
                end => break end,
            }
        };
        self.seen.complete = end.is_ok();
        self.seen.raw.extend(self.reader.take_record());
    }
}

type Script = dyn Fn(&mut Exchange) -> io::Result<Then> + Send + Sync;

/// When a script gets its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    AfterHead,
    AfterBody,
}

/// The backend: a thread for each connection.
pub(crate) struct RawBackend {
    pub(crate) address: SocketAddr,
    seen: Receiver<Seen>,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    script: Box<Script>,
    when: When,
    seen: Sender<Seen>,
    connections: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
    ended: AtomicBool,
}

impl RawBackend {
    /// Answers whole requests. One that breaks off is recorded and not answered.
    pub(crate) fn start(script: impl Fn(&mut Exchange) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::spawn(When::AfterBody, Box::new(script))
    }

    /// The script gets its turn after the head and reads the body itself; what is recorded is the head.
    pub(crate) fn streaming(script: impl Fn(&mut Exchange) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::spawn(When::AfterHead, Box::new(script))
    }

    /// Always the same answer.
    pub(crate) fn fixed(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |exchange| exchange.send(&answer).map(|()| Then::KeepAlive))
    }

    /// An address where nothing listens.
    pub(crate) fn nowhere() -> SocketAddr {
        free_address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next request.
    pub(crate) fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the backend sees a request")
    }

    /// What came and was not yet asked for.
    pub(crate) fn so_far(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }

    /// Everything that came and was not yet asked for, once all connections have ended: whoever made them must be gone.
    pub(crate) fn finish(self) -> Vec<Seen> {
        self.end_accepting();
        for (_, server) in self.shared.connections.lock().unwrap().drain(..) {
            server.join().unwrap();
        }
        self.so_far()
    }

    /// Ends the thread that accepts, behind whatever it has still to accept.
    fn end_accepting(&self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes it
        if let Some(acceptor) = self.acceptor.lock().unwrap().take() {
            let _ = acceptor.join();
        }
    }

    fn spawn(when: When, script: Box<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = channel();
        let (connections, ended) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { script, when, seen: sender, connections, ended });
        let acceptor = Arc::clone(&shared);
        let acceptor = Mutex::new(Some(thread::spawn(move || acceptor.accept(&listener))));
        Self { address, seen, shared, acceptor }
    }
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        self.end_accepting();
        for (connection, _) in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            if self.ended.load(Ordering::SeqCst) {
                // Whoever is already waiting is still served, and then there is nobody.
                let _ = listener.set_nonblocking(true);
            }
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&self);
            let handle = stream.try_clone().unwrap();
            let server = thread::spawn(move || {
                let _ = shared.serve(number, &stream);
                let _ = stream.shutdown(Shutdown::Both);
            });
            self.connections.lock().unwrap().push((handle, server));
        }
    }

    fn serve(&self, connection: usize, stream: &TcpStream) -> io::Result<()> {
        let mut reader = Reader::new(stream.try_clone()?, RECORD_BYTES_MAX);
        for turn in 0.. {
            let head = match reader.head() {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(()),
                Err(error) => return self.record_garbage(connection, turn, &mut reader, error),
            };
            let framing = match Framing::of(&head.fields, Framing::Ended) {
                Ok(framing) => framing,
                Err(error) => return self.record_garbage(connection, turn, &mut reader, error),
            };
            let raw = reader.take_record();
            let (body, trailers) = (Vec::new(), Fields::default());
            let seen = Seen { connection, turn, head, body, trailers, complete: true, raw };
            let mut exchange = Exchange { seen, framing, stream: stream.try_clone()?, reader };
            if self.when == When::AfterBody {
                exchange.collect_body();
            }
            let _ = self.seen.send(exchange.seen.clone());
            if !exchange.seen.complete || (self.script)(&mut exchange)? == Then::Close {
                return Ok(());
            }
            reader = exchange.reader;
        }
        Ok(())
    }

    /// What is no request has to be seen by the test all the same. A connection that ends between two messages is
    /// nothing to see.
    fn record_garbage(
        &self,
        connection: usize,
        turn: usize,
        reader: &mut Reader<TcpStream>,
        error: io::Error,
    ) -> io::Result<()> {
        let raw = reader.take_record();
        if !raw.is_empty() || matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
            let start_line = format!("{error}: {:?} HTTP/1.1", String::from_utf8_lossy(&raw));
            let head = Head { start_line, fields: Fields::default() };
            let (body, trailers) = (Vec::new(), Fields::default());
            let _ = self.seen.send(Seen { connection, turn, head, body, trailers, complete: false, raw });
        }
        Err(error)
    }
}
