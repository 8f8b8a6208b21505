//! The server over a pipe in memory, with a service that does what a request's path says. Time stands still while
//! anything happens and leaps when nothing does, so that waiting for a time limit costs none.

mod answers;
mod bodies;
mod ends;
mod floods;
mod raw;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};

use crate::net::drain::Drain;
use crate::net::head::Head;
use crate::net::service::{Answer, Limits, Refusal, Request, Service};
use crate::net::tunnel::{Protocol, Tunnel};

const IDLE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { header_bytes: 4096, request_head: Duration::from_secs(10), idle: IDLE };

/// An answer's body: pieces, then trailers, or a failure, or nothing more ever.
#[derive(Default)]
struct Told {
    pieces: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    fails: bool,
    hangs: bool,
    length: Option<u64>,
    tunnel: Option<Tunnel>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if !self.pieces.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.pieces.remove(0)))));
        }
        match self.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None if self.fails => Poll::Ready(Some(Err("broken off"))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none() && !self.fails && !self.hangs
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Answer for Told {
    fn take_tunnel(&mut self) -> Option<Tunnel> {
        self.tunnel.take()
    }
}

/// Does what the path says, and writes down what it was asked.
#[derive(Default)]
struct Tell {
    asked: RefCell<Vec<String>>,
    refused: RefCell<Vec<Refusal>>,
    /// Drops of calls that were not answered.
    dropped: Rc<RefCell<usize>>,
}

struct Unanswered(Rc<RefCell<usize>>, bool);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.1 {
            *self.0.borrow_mut() += 1;
        }
    }
}

impl Service for Tell {
    type Body = Told;

    async fn call(&self, request: Request) -> Response<Told> {
        let Request { head, body, interim } = request;
        self.asked.borrow_mut().push(format!("{} {}", head.method, head.target()));
        let mut unanswered = Unanswered(Rc::clone(&self.dropped), false);
        let mut response = Response::new(Told::default());
        match head.target() {
            "/hang" => pending::<()>().await,
            "/early" => response.body_mut().pieces = vec![Bytes::from("early")],
            "/empty" => *response.status_mut() = StatusCode::NO_CONTENT,
            "/hold" => {
                let _body = body;
                pending::<()>().await;
            }
            "/broken" => {
                *response.body_mut() = Told { pieces: vec![Bytes::from("half")], fails: true, ..Told::default() };
            }
            "/short" => {
                *response.body_mut() = Told { pieces: vec![Bytes::from("abc")], length: Some(4), ..Told::default() };
            }
            "/large" => response.body_mut().pieces = vec![Bytes::from(vec![b'x'; 1024 * 1024]); 4],
            "/endless" => {
                *response.body_mut() = Told { pieces: vec![Bytes::from("begin")], hangs: true, ..Told::default() };
            }
            "/hints" => {
                let hints = Response::builder().status(103).header("link", "</a>").header("connection", "x");
                interim.push(hints.body(()).unwrap());
                // Until the connection has come for it.
                tokio::task::yield_now().await;
            }
            "/chat" => {
                assert_eq!(head.upgrade.as_ref().unwrap(), "websocket");
                let (near, far) = duplex(1024);
                spawn_local(async move {
                    let (mut read, mut write) = tokio::io::split(far);
                    tokio::io::copy(&mut read, &mut write).await
                });
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().insert("connection", "upgrade".parse().unwrap());
                response.body_mut().tunnel = Some(Tunnel {
                    backend: Box::new(near),
                    protocol: Protocol::Other,
                    expires_in: None,
                    ending: Rc::default(),
                    traffic: Rc::default(),
                });
            }
            _ => *response.body_mut() = echo(body.collect().await),
        }
        unanswered.1 = true;
        response
    }

    fn refuse(&self, refusal: Refusal, _: Option<&Head>) -> Response<Told> {
        self.refused.borrow_mut().push(refusal);
        let mut response = Response::new(Told { pieces: vec![Bytes::from("refused")], ..Told::default() });
        *response.status_mut() = match refusal {
            Refusal::Head(crate::net::head::HeadError::TooLarge) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::Head(_) => StatusCode::BAD_REQUEST,
            Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
        };
        response
    }
}

/// What was sent, trailers included, or why it could not be read.
fn echo<E: std::fmt::Display>(body: Result<http_body_util::Collected<Bytes>, E>) -> Told {
    match body {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            let pieces = Some(body.to_bytes()).filter(|bytes| !bytes.is_empty()).into_iter().collect();
            Told { pieces, trailers, ..Told::default() }
        }
        Err(error) => Told { pieces: vec![Bytes::from(error.to_string())], ..Told::default() },
    }
}

/// A connection that is being served.
struct Served {
    service: Rc<Tell>,
    drain: Drain,
    over: JoinHandle<()>,
}

/// Serves one end of a pipe.
fn serve() -> (DuplexStream, Served) {
    let (near, far) = duplex(64 * 1024);
    let (service, drain) = (Rc::new(Tell::default()), Drain::default());
    let (asked, told) = (Rc::clone(&service), drain.clone());
    let over = spawn_local(async move { super::serve(far, asked, LIMITS, &told).await });
    (near, Served { service, drain, over })
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build_local(LocalOptions::default());
    runtime.unwrap().block_on(test)
}

/// A client of the crate `h2` to a connection that is being served.
async fn client() -> (SendRequest<Bytes>, Served) {
    let (near, served) = serve();
    let (send, connection) = h2::client::Builder::new().handshake(near).await.unwrap();
    spawn_local(async move { drop(connection.await) });
    (send.ready().await.unwrap(), served)
}

fn request(method: &str, path: &str) -> http::Request<()> {
    http::Request::builder().method(method).uri(format!("http://h{path}")).body(()).unwrap()
}

async fn ask(send: &mut SendRequest<Bytes>, request: http::Request<()>) -> Result<(Response<()>, String), h2::Error> {
    let (response, _) = send.send_request(request, true).unwrap();
    whole(response).await
}

fn begin(send: &mut SendRequest<Bytes>, request: http::Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    send.send_request(request, false).unwrap()
}

async fn whole(response: ResponseFuture) -> Result<(Response<()>, String), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let text = text(&mut body).await?;
    Ok((Response::from_parts(head, ()), text))
}

async fn text(body: &mut RecvStream) -> Result<String, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    Ok(String::from_utf8(all).unwrap())
}

/// Waits until everything else has come to a stop, and time would leap.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn reset_of(stream: &mut SendStream<Bytes>) -> h2::Reason {
    poll_fn(|cx| stream.poll_reset(cx)).await.unwrap()
}
