//! A backend that speaks HTTP/2, with and without TLS.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};

use super::harness::upstream;
use crate::config::{HttpUpstream, Scheme};

/// A connection, as the backend has it.
pub(super) struct H2Peer {
    /// Which one it is, from 1.
    pub(super) number: usize,
    pub(super) connection: Connection<TcpStream, Bytes>,
}

/// A backend: every connection runs `script`.
pub(super) struct H2Backend {
    pub(super) address: SocketAddr,
    connections: Rc<Cell<usize>>,
}

/// A request, and how it is answered.
pub(super) struct Exchange {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    /// The number of its connection.
    pub(super) connection: usize,
}

impl H2Backend {
    pub(super) async fn new<F: Future<Output = ()> + 'static>(
        builder: Builder,
        script: impl Fn(H2Peer) -> F + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Rc::new(Cell::new(0));
        let count = Rc::clone(&connections);
        let script = Rc::new(script);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                let (number, builder, script) = (count.get(), builder.clone(), Rc::clone(&script));
                tokio::task::spawn_local(async move {
                    if let Ok(connection) = builder.handshake(stream).await {
                        script(H2Peer { number, connection }).await;
                    }
                });
            }
        });
        Self { address, connections }
    }

    /// Every request is given to `answer`, all at the same time.
    pub(super) async fn answering<F: Future<Output = ()> + 'static>(
        builder: Builder,
        answer: impl Fn(Exchange) -> F + 'static,
    ) -> Self {
        let answer = Rc::new(answer);
        Self::new(builder, move |mut peer| {
            let answer = Rc::clone(&answer);
            async move {
                while let Some(exchange) = peer.next().await {
                    tokio::task::spawn_local(answer(exchange));
                }
            }
        })
        .await
    }

    /// Answers every request with 200 and the number of its connection.
    pub(super) async fn counting() -> Self {
        Self::answering(Builder::new(), |mut exchange| async move { exchange.answer_with_number() }).await
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }

    pub(super) fn upstream(&self) -> HttpUpstream {
        h2c(&[self.address])
    }
}

impl H2Peer {
    pub(super) async fn next(&mut self) -> Option<Exchange> {
        let (request, respond) = self.connection.accept().await?.ok()?;
        Some(Exchange { request, respond, connection: self.number })
    }

    /// Lets what was begun go on until the other side is gone.
    pub(super) async fn ended(&mut self) {
        while self.connection.accept().await.is_some() {}
    }
}

impl Exchange {
    pub(super) fn answer_with_number(&mut self) {
        let mut body = self.begin();
        body.send_data(self.connection.to_string().into(), true).unwrap();
    }

    /// Sends the head of a 200.
    pub(super) fn begin(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).unwrap()
    }

    pub(super) fn answer(&mut self, status: StatusCode) {
        let mut head = Response::new(());
        *head.status_mut() = status;
        self.respond.send_response(head, true).unwrap();
    }

    /// The request's body and its trailers, or the error that it ends in.
    pub(super) async fn body(&mut self) -> Result<(String, Option<HeaderMap>), h2::Error> {
        let stream = self.request.body_mut();
        let mut text = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            text.extend_from_slice(&data);
        }
        Ok((String::from_utf8(text).unwrap(), stream.trailers().await?))
    }
}

/// An upstream of HTTP/2 at `addresses`.
pub(super) fn h2c(addresses: &[SocketAddr]) -> HttpUpstream {
    let mut config = upstream(addresses);
    config.endpoints.iter_mut().for_each(|endpoint| endpoint.scheme = Scheme::H2c);
    config
}
