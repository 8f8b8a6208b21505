//! A backend that speaks HTTP/2 without TLS and sends back what it is sent, as a gRPC service would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use h2::{RecvStream, SendStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// The backend: it ends with the tests.
pub(crate) struct H2Backend {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl H2Backend {
    /// Sends back each piece of a body as it comes, and at the end trailers that say that all is well. In the head
    /// `x-te` is what it was told in `te`, `x-id` the request's id; and it gives an id of its own, which is nobody's.
    pub(crate) fn echo() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, count));
        });
        Self { address, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: std::net::TcpListener, connections: Arc<AtomicUsize>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let Ok(body) = respond.send_response(head(&request), false) else { continue };
        tokio::spawn(async move { drop(echo(request.into_body(), body).await) });
    }
}

fn head(request: &Request<RecvStream>) -> Response<()> {
    let mut head = Response::new(());
    for (told, name) in [("x-te", "te"), ("x-id", "x-request-id")] {
        let value = request.headers().get(name).cloned().unwrap_or(HeaderValue::from_static(""));
        head.headers_mut().insert(told, value);
    }
    head.headers_mut().insert("x-request-id", HeaderValue::from_static("its-own"));
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    head
}

async fn echo(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(piece) = from.data().await {
        let mut piece = piece?;
        // Taken and sent on only as there is room for it, so that whoever is slow slows the other one down.
        while !piece.is_empty() {
            to.reserve_capacity(piece.len());
            if to.capacity() == 0 && std::future::poll_fn(|context| to.poll_capacity(context)).await.is_none() {
                return Ok(());
            }
            let part = piece.split_to(to.capacity().min(piece.len()));
            from.flow_control().release_capacity(part.len())?;
            to.send_data(part, false)?;
        }
    }
    to.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]))
}
