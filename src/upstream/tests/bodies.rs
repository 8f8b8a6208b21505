//! Bodies: streamed both ways, with trailers, and broken off.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::harness::*;
use crate::upstream::{ResponseBodyError, UpstreamErrorKind};

/// A backend that sends what it reads up to `end` to the test, then answers.
async fn recording(end: &'static str) -> (Backend, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backend = Backend::new(move |mut peer| {
        let sender = sender.clone();
        async move {
            sender.send(peer.read_to(end).await).unwrap();
            peer.try_write("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer.closed().await;
        }
    })
    .await;
    (backend, receiver)
}

#[test]
fn a_body_of_unknown_length_is_sent_in_chunks_whatever_the_method() {
    for method in ["GET", "POST"] {
        worker(async move {
            let (backend, mut seen) = recording("0\r\n\r\n").await;
            let response = Worker::to(&[backend.address]).send(request(method, TestBody::of("abc"))).await.unwrap();
            assert_eq!(response.status(), 204);
            let seen = seen.recv().await.unwrap();
            assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
            assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
        });
    }
}

#[test]
fn announced_request_trailers_reach_the_backend() {
    worker(async {
        let (backend, mut seen) = recording("x-sum: 1\r\n\r\n").await;
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        body.send(Ok(Frame::trailers(trailers))).unwrap();
        drop(body);
        let mut request = request("POST", request_body);
        request.headers_mut().insert("trailer", "X-Sum".parse().unwrap());
        Worker::to(&[backend.address]).send(request).await.unwrap();
        assert!(seen.recv().await.unwrap().ends_with("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"));
    });
}

#[test]
fn response_trailers_reach_the_client_without_framing() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            while !peer.head().await.is_empty() {
                peer.write("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
                peer.write("0\r\nX-Sum: 1\r\nContent-Length: 9\r\nConnection: close\r\n\r\n").await;
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        for _ in 0..2 {
            let response = worker.send(request("GET", TestBody::empty())).await.unwrap();
            assert_eq!(response.headers()["trailer"], "X-Sum");
            assert!(!response.headers().contains_key("transfer-encoding"));
            let (text, trailers) = body_and_trailers(response).await.unwrap();
            assert_eq!(text, "abc");
            assert_eq!(trailers.unwrap(), HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]));
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_broken_off_response_is_an_error_for_its_reader() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
    ];
    for head in heads {
        worker(async move {
            let backend = Backend::new(move |mut peer| async move {
                peer.head().await;
                peer.write(head).await;
            })
            .await;
            let worker = Worker::to(&[backend.address]);
            let mut response = worker.send(request("GET", TestBody::empty())).await.unwrap();
            let first = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "abc", "{head}");
            let error = response.body_mut().frame().await.unwrap().unwrap_err();
            assert!(matches!(error, ResponseBodyError::Aborted(_)), "{head}");
            assert!(response.body_mut().frame().await.is_none());
        });
    }
}

#[test]
fn a_response_that_ends_with_its_connection_is_read_to_there() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\n\r\nabc").await;
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        for number in 1..3 {
            assert_eq!(worker.get().await.unwrap(), "abc");
            assert_eq!(backend.connections(), number);
        }
    });
}

#[test]
fn a_silent_backend_within_a_body_is_an_error() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
            peer.closed().await;
        })
        .await;
        let worker = Worker::with_idle(upstream(&[backend.address]), Duration::from_millis(50));
        let mut response = worker.send(request("GET", TestBody::empty())).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        let error = response.body_mut().frame().await.unwrap().unwrap_err();
        assert!(matches!(error, ResponseBodyError::Idle));
    });
}

#[test]
fn a_response_nobody_reads_any_more_closes_the_connection() {
    worker(async {
        let (sender, mut closed) = mpsc::unbounded_channel();
        let backend = Backend::new(move |mut peer| {
            let sender = sender.clone();
            async move {
                peer.head().await;
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
                peer.closed().await;
                sender.send(()).unwrap();
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        drop(worker.send(request("GET", TestBody::empty())).await.unwrap());
        closed.recv().await.unwrap();
    });
}

#[test]
fn a_request_body_that_fails_reaches_the_backend_as_aborted_and_the_front_as_its_own_error() {
    worker(async {
        let (backend, mut seen) = recording("0\r\n\r\n").await;
        let worker = Worker::to(&[backend.address]);
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        body.send(Err("too large".into())).unwrap();
        let error = worker.send(request("POST", request_body)).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (UpstreamErrorKind::RequestBody, None));
        assert_eq!(error.into_request_body_error().unwrap().to_string(), "too large");
        let seen = seen.recv().await.unwrap();
        assert!(!seen.ends_with("0\r\n\r\n"), "{seen}");
        assert_eq!(worker.healthy(), [true]);
    });
}

#[test]
fn a_body_shorter_than_its_length_reaches_the_backend_as_aborted() {
    worker(async {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let backend = Backend::new(move |mut peer| {
            let sender = sender.clone();
            async move {
                sender.send(peer.read_to("abc").await).unwrap();
                sender.send(peer.read_to("end of the connection").await).unwrap();
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        let ending = async {
            let begin = seen.recv().await.unwrap();
            assert!(begin.contains("content-length: 5\r\n"), "{begin}");
            drop(body);
            assert_eq!(seen.recv().await.unwrap(), "");
        };
        let (result, ()) = tokio::join!(worker.send(request("PUT", request_body.with_length(5))), ending);
        assert_eq!(result.unwrap_err().kind(), UpstreamErrorKind::RequestBody);
        assert_eq!(worker.healthy(), [true]);
    });
}

#[test]
fn a_body_of_known_length_is_sent_with_it() {
    worker(async {
        let (backend, mut seen) = recording("abc").await;
        let worker = Worker::to(&[backend.address]);
        let mut request = request("PUT", TestBody::of("abc").with_length(3));
        request.headers_mut().append("content-length", "7".parse().unwrap());
        request.headers_mut().append("transfer-encoding", "chunked".parse().unwrap());
        worker.send(request).await.unwrap();
        let seen = seen.recv().await.unwrap();
        assert!(seen.contains("content-length: 3\r\n") && seen.ends_with("\r\n\r\nabc"), "{seen}");
        assert_eq!(seen.matches("content-length").count() + seen.matches("transfer-encoding").count(), 1, "{seen}");
    });
}

#[test]
fn a_full_answer_before_the_upload_has_ended_ends_the_upload() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
            peer.closed().await;
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        let response = worker.send(request("POST", request_body)).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(text(response).await.unwrap(), "no");
        body.closed().await;
    });
}

#[test]
fn both_directions_stream_at_the_same_time() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for _ in 0..3 {
                assert_eq!(peer.read_to("abc\r\n").await, "3\r\nabc\r\n");
                peer.write("3\r\nabc\r\n").await;
            }
            assert_eq!(peer.read_to("0\r\n\r\n").await, "0\r\n\r\n");
            peer.write("0\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let (body, request_body) = TestBody::channel();
        let mut response = worker.send(request("POST", request_body)).await.unwrap();
        for _ in 0..3 {
            body.send(Ok(data("abc"))).unwrap();
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), Bytes::from_static(b"abc"));
        }
        drop(body);
        assert!(response.body_mut().frame().await.is_none());
    });
}
