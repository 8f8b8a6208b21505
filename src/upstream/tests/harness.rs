//! A backend that does what a test says, and a worker that forwards to it.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::{Endpoint, HostHeader, HttpUpstream, Scheme, Upstream, UpstreamKind};
use crate::core::decision::Permit;
use crate::core::snapshot::{PathReading, UpstreamId};
use crate::upstream::{
    BoxError, Health, Outgoing, OutgoingFields, OutgoingLines, ResponseBody, UpstreamError, Upstreams, Wishes,
};

/// Runs a test as a worker runs: on a runtime of one thread. Nothing takes longer than this.
pub(super) fn worker(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(20), test).await.expect("the test hangs") });
}

/// A request body that a test sends piece by piece.
#[derive(Debug)]
pub(super) struct TestBody {
    pieces: Option<mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>>,
    length: Option<u64>,
}

pub(super) type BodySender = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

impl TestBody {
    pub(super) fn empty() -> Self {
        Self { pieces: None, length: Some(0) }
    }

    pub(super) fn channel() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self { pieces: Some(receiver), length: None })
    }

    /// The same with a length, whether it is right or not.
    pub(super) fn with_length(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    pub(super) fn of(text: &'static str) -> Self {
        let (sender, body) = Self::channel();
        sender.send(Ok(data(text))).unwrap();
        body
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().pieces {
            Some(receiver) => receiver.poll_recv(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

pub(super) fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// One connection, as the backend has it.
pub(super) struct Peer {
    /// Which one it is, from 1.
    pub(super) number: usize,
    stream: TcpStream,
}

impl Peer {
    /// What comes up to and with `end`; all there is if the connection ends before.
    pub(super) async fn read_to(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            match self.stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// A request head; empty if the connection ended.
    pub(super) async fn head(&mut self) -> String {
        self.read_to("\r\n\r\n").await
    }

    pub(super) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Writes to somebody who may be gone.
    pub(super) async fn try_write(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).await.is_ok()
    }

    /// Waits until the other side is gone.
    pub(super) async fn closed(&mut self) {
        while self.stream.read_u8().await.is_ok() {}
    }
}

/// A backend: every connection runs `script`.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    connections: Rc<Cell<usize>>,
}

impl Backend {
    pub(super) async fn new<F: Future<Output = ()> + 'static>(script: impl Fn(Peer) -> F + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Rc::new(Cell::new(0));
        let count = Rc::clone(&connections);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                tokio::task::spawn_local(script(Peer { number: count.get(), stream }));
            }
        });
        Self { address, connections }
    }

    /// A backend that answers every request with 200 and the number of its connection.
    pub(super) async fn counting() -> Self {
        Self::new(|mut peer| async move {
            while !peer.head().await.is_empty() {
                let number = peer.number;
                peer.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
            }
        })
        .await
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }
}

/// An address where nobody listens.
pub(super) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An upstream at `addresses`.
pub(super) fn upstream(addresses: &[SocketAddr]) -> HttpUpstream {
    let endpoint = |address: &SocketAddr| Endpoint {
        scheme: Scheme::Http,
        host: address.ip().to_string().into(),
        port: address.port(),
    };
    HttpUpstream {
        endpoints: addresses.iter().map(endpoint).collect(),
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(10),
        host: HostHeader::Preserve,
        health_check: None,
        tls: None,
    }
}

/// A worker's upstreams, with one upstream.
pub(super) struct Worker {
    pub(super) health: Arc<Health>,
    pub(super) config: Vec<Upstream>,
    upstreams: Upstreams,
}

impl Worker {
    pub(super) fn new(upstream: HttpUpstream) -> Self {
        Self::with_idle(upstream, Duration::from_secs(10))
    }

    pub(super) fn with_idle(upstream: HttpUpstream, idle: Duration) -> Self {
        let kind = UpstreamKind::Http(upstream);
        let config = vec![Upstream { name: "u".into(), kind, paths: PathReading::Exact }];
        let health = Health::new(&config);
        Self { upstreams: Upstreams::new(&config, idle, &health), health, config }
    }

    pub(super) fn to(addresses: &[SocketAddr]) -> Self {
        Self::new(upstream(addresses))
    }

    pub(super) async fn send(&self, request: Request<TestBody>) -> Result<Response<ResponseBody>, UpstreamError> {
        self.send_with(request, Wishes::default()).await
    }

    /// The same with wishes, and in lines of HTTP/1.1 where the upstream takes them, as the proxy does.
    pub(super) async fn send_with(
        &self,
        request: Request<TestBody>,
        wishes: Wishes,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let mut request = Outgoing::from(request);
        let takes_lines = self.upstreams.takes_lines(UpstreamId(0)) && wishes.upgrade.is_none();
        if let (OutgoingFields::Map(path, map), true) = (&request.fields, takes_lines) {
            let mut lines = OutgoingLines::begin(&request.method, path.as_str(), 0);
            map.iter().for_each(|field| lines.put(field.into()));
            request.fields = OutgoingFields::Lines(lines);
        }
        let mut response = self.upstreams.forward(Permit::for_tests(UpstreamId(0), None), request, wishes).await?;
        if let Some(lines) = response.body_mut().take_lines() {
            lines.append_to(response.headers_mut());
        }
        Ok(response)
    }

    /// GET, read to the end.
    pub(super) async fn get(&self) -> Result<String, UpstreamError> {
        Ok(text(self.send(request("GET", TestBody::empty())).await?).await.unwrap())
    }

    /// Whether each endpoint is healthy.
    pub(super) fn healthy(&self) -> Vec<bool> {
        self.health.upstreams().flat_map(|upstream| upstream.status()).map(|endpoint| endpoint.healthy).collect()
    }
}

pub(super) fn request(method: &str, body: TestBody) -> Request<TestBody> {
    Request::builder().method(method).uri("/v1/users?a=%20").header("host", "api.example.com").body(body).unwrap()
}

/// The body of a response, read to its end.
pub(super) async fn text(response: Response<ResponseBody>) -> Result<String, BoxError> {
    Ok(body_and_trailers(response).await?.0)
}

/// The body and the trailers of a response.
pub(super) async fn body_and_trailers(
    response: Response<ResponseBody>,
) -> Result<(String, Option<HeaderMap>), BoxError> {
    let collected = response.into_body().collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((String::from_utf8(collected.to_bytes().to_vec())?, trailers))
}
