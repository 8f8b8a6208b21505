//! What is sent again, and what is not.

use super::harness::*;
use crate::upstream::UpstreamErrorKind;

/// A backend whose first connection serves one request, and does `then` with the second. Later connections serve all.
async fn breaking(then: &'static str) -> Backend {
    Backend::new(move |mut peer| async move {
        let mut served = 0;
        while !peer.head().await.is_empty() {
            if peer.number == 1 && served == 1 {
                peer.write(then).await;
                return;
            }
            let number = peer.number;
            peer.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
            served += 1;
        }
    })
    .await
}

#[test]
fn idempotent_requests_without_body_are_sent_again_when_a_reused_connection_closes_in_silence() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        worker(async move {
            let backend = breaking("").await;
            let worker = Worker::to(&[backend.address]);
            worker.get().await.unwrap();
            let mut again = request(method, TestBody::empty());
            again.headers_mut().append("x-a", "1".parse().unwrap());
            again.headers_mut().append("x-a", "2".parse().unwrap());
            assert_eq!(worker.send(again).await.unwrap().status(), 200, "{method}");
            assert_eq!(backend.connections(), 2, "{method}");
            assert_eq!(worker.healthy(), [true]);
        });
    }
}

#[test]
fn others_are_not() {
    for method in ["POST", "PATCH"] {
        worker(async move {
            let backend = breaking("").await;
            let worker = Worker::to(&[backend.address]);
            worker.get().await.unwrap();
            let error = worker.send(request(method, TestBody::empty())).await.unwrap_err();
            assert_eq!(error.kind(), UpstreamErrorKind::Protocol, "{method}");
            assert_eq!(backend.connections(), 1, "{method}");
        });
    }
}

#[test]
fn nor_is_one_with_a_body() {
    worker(async {
        let backend = breaking("").await;
        let worker = Worker::to(&[backend.address]);
        worker.get().await.unwrap();
        let error = worker.send(request("PUT", TestBody::of("abc"))).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn nor_one_of_whose_answer_a_byte_came() {
    for answer in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        worker(async move {
            let backend = breaking(answer).await;
            let worker = Worker::to(&[backend.address]);
            worker.get().await.unwrap();
            let error = worker.get().await.unwrap_err();
            assert_eq!(error.kind(), UpstreamErrorKind::Protocol, "{answer:?}");
            assert_eq!(backend.connections(), 1, "{answer:?}");
        });
    }
}

#[test]
fn it_is_sent_again_once_and_on_a_fresh_connection_only() {
    worker(async {
        // Two connections serve one request each and go idle; then none answers.
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            if peer.number <= 2 {
                let number = peer.number;
                peer.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
                peer.head().await;
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let first = worker.send(request("GET", TestBody::empty())).await.unwrap();
        worker.get().await.unwrap();
        text(first).await.unwrap();
        let error = worker.get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
        assert_eq!(backend.connections(), 3);
    });
}

#[test]
fn a_fresh_connection_that_closes_in_silence_is_an_error() {
    worker(async {
        let backend = Backend::new(|mut peer| async move { drop(peer.head().await) }).await;
        let worker = Worker::to(&[backend.address]);
        let error = worker.get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
        assert_eq!((backend.connections(), worker.healthy()), (1, vec![false]));
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used_even_for_a_post() {
    worker(async {
        let (sender, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let backend = Backend::new(move |mut peer| {
            let sender = sender.clone();
            async move {
                peer.head().await;
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await;
                if peer.number > 1 {
                    peer.closed().await;
                }
                drop(peer);
                sender.send(()).unwrap();
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        worker.get().await.unwrap();
        closed.recv().await.unwrap();
        // The connection's task has to see it as well; it is woken in the same turn of the reactor.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let response = worker.send(request("POST", TestBody::of("abc"))).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "a");
        assert_eq!(backend.connections(), 2);
    });
}

#[test]
fn where_nothing_was_sent_another_endpoint_is_asked_whatever_the_request() {
    for method in ["GET", "POST"] {
        worker(async move {
            let backend = Backend::counting().await;
            let worker = Worker::to(&[refusing().await, backend.address]);
            for _ in 0..3 {
                let response = worker.send(request(method, TestBody::empty())).await.unwrap();
                assert_eq!(response.status(), 200, "{method}");
            }
            assert_eq!(worker.healthy(), [false, true]);
        });
    }
}

#[test]
fn nobody_listening_is_an_error_and_is_tried_again_with_the_next_request() {
    worker(async {
        let addresses = [refusing().await, refusing().await];
        let worker = Worker::to(&addresses);
        for _ in 0..2 {
            assert_eq!(worker.get().await.unwrap_err().kind(), UpstreamErrorKind::Connect);
        }
        assert_eq!(worker.healthy(), [false, false]);
        let listener = tokio::net::TcpListener::bind(addresses[1]).await.unwrap();
        let answer = async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await.unwrap();
        };
        let (response, ()) = tokio::join!(worker.get(), answer);
        assert_eq!(response.unwrap(), "a");
        assert_eq!(worker.healthy(), [false, true]);
    });
}
