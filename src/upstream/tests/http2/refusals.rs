//! What is sent again, and what is not.

use std::rc::Rc;

use h2::Reason;
use h2::server::Builder;
use tokio::sync::mpsc;

use crate::upstream::UpstreamErrorKind;
use crate::upstream::tests::h2_backend::{H2Backend, h2c};
use crate::upstream::tests::harness::*;

/// A backend that resets each stream with `reason`, the request's body read or not.
async fn resetting(reason: Reason) -> H2Backend {
    H2Backend::answering(Builder::new(), move |mut exchange| async move { exchange.respond.send_reset(reason) }).await
}

#[test]
fn a_refused_stream_is_sent_elsewhere_with_its_body_whatever_the_method() {
    for method in ["GET", "POST"] {
        worker(async move {
            let refusing = resetting(Reason::REFUSED_STREAM).await;
            let echo = H2Backend::answering(Builder::new(), |mut exchange| async move {
                let (text, _) = exchange.body().await.unwrap();
                exchange.begin().send_data(text.into(), true).unwrap();
            })
            .await;
            let worker = Worker::new(h2c(&[refusing.address, echo.address]));
            for _ in 0..3 {
                let (body, request_body) = TestBody::channel();
                body.send(Ok(data("ab"))).unwrap();
                body.send(Ok(data("c"))).unwrap();
                drop(body);
                let response = worker.send(request(method, request_body)).await.unwrap();
                assert_eq!(text(response).await.unwrap(), "abc", "{method}");
            }
            assert_eq!(worker.healthy(), [true, true], "a busy backend is not a broken one");
        });
    }
}

#[test]
fn a_refused_stream_without_another_backend_is_an_error() {
    worker(async {
        let backend = resetting(Reason::REFUSED_STREAM).await;
        let worker = Worker::new(backend.upstream());
        for _ in 0..2 {
            assert_eq!(worker.get().await.unwrap_err().kind(), UpstreamErrorKind::Busy);
        }
        assert_eq!((backend.connections(), worker.healthy()), (1, vec![true]));
    });
}

#[test]
fn a_body_of_which_too_much_was_read_is_not_sent_again() {
    worker(async {
        let refusing = H2Backend::answering(Builder::new(), |mut exchange| async move {
            let mut read = 0;
            while read < 80 * 1024 {
                let piece = exchange.request.body_mut().data().await.unwrap().unwrap();
                exchange.request.body_mut().flow_control().release_capacity(piece.len()).unwrap();
                read += piece.len();
            }
            exchange.respond.send_reset(Reason::REFUSED_STREAM);
        })
        .await;
        let worker = Worker::new(h2c(&[refusing.address]));
        let (body, request_body) = TestBody::channel();
        for _ in 0..10 {
            body.send(Ok(http_body::Frame::data(vec![b'a'; 10_000].into()))).unwrap();
        }
        let error = worker.send(request("POST", request_body)).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Busy);
        body.closed().await;
    });
}

#[test]
fn other_resets_are_the_backends_failure() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR, Reason::ENHANCE_YOUR_CALM] {
        worker(async move {
            let backend = resetting(reason).await;
            let worker = Worker::new(backend.upstream());
            let error = worker.get().await.unwrap_err();
            assert_eq!((error.kind(), worker.healthy()), (UpstreamErrorKind::Protocol, vec![false]), "{reason:?}");
            assert!(error.to_string().starts_with("the backend reset the request's stream: "), "{error}");
        });
    }
}

#[test]
fn streams_above_the_last_of_a_goaway_are_sent_on_another_connection() {
    worker(async {
        let gate = Rc::new(tokio::sync::Notify::new());
        let opened = Rc::clone(&gate);
        let backend = H2Backend::new(Builder::new(), move |mut peer| {
            let opened = Rc::clone(&opened);
            async move {
                let mut first = peer.next().await.unwrap();
                first.answer_with_number();
                if peer.number == 1 {
                    tokio::select! {
                        biased;
                        // The next request is on its way, and never looked at.
                        () = opened.notified() => peer.connection.abrupt_shutdown(Reason::NO_ERROR),
                        next = peer.next() => panic!("there is a request: {}", next.is_some()),
                    }
                }
                peer.ended().await;
            }
        })
        .await;
        let worker = Rc::new(Worker::new(backend.upstream()));
        assert_eq!(worker.get().await.unwrap(), "1");
        let asking = Rc::clone(&worker);
        let second = tokio::task::spawn_local(async move {
            text(asking.send(request("POST", TestBody::of("abc"))).await.unwrap()).await.unwrap()
        });
        tokio::task::yield_now().await;
        gate.notify_one();
        assert_eq!(second.await.unwrap(), "2");
        assert_eq!(worker.healthy(), [true]);
    });
}

#[test]
fn idempotent_requests_without_body_are_sent_again_when_a_reused_connection_closes_in_silence() {
    for (method, expected) in [("GET", Ok("2")), ("POST", Err(UpstreamErrorKind::Protocol))] {
        worker(async move {
            let backend = H2Backend::new(Builder::new(), |mut peer| async move {
                peer.next().await.unwrap().answer_with_number();
                let second = peer.next().await;
                if peer.number == 1 {
                    return;
                }
                drop(second);
                peer.ended().await;
            })
            .await;
            let worker = Worker::new(backend.upstream());
            worker.get().await.unwrap();
            let answer = match worker.send(request(method, TestBody::empty())).await {
                Ok(response) => Ok(text(response).await.unwrap()),
                Err(error) => Err(error.kind()),
            };
            assert_eq!(answer, expected.map(str::to_owned), "{method}");
        });
    }
}

#[test]
fn a_fresh_connection_that_closes_in_silence_is_an_error() {
    worker(async {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let backend = H2Backend::new(Builder::new(), move |mut peer| {
            let sender = sender.clone();
            async move { sender.send(peer.next().await.is_some()).unwrap() }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let error = worker.get().await.unwrap_err();
        assert_eq!((error.kind(), worker.healthy()), (UpstreamErrorKind::Protocol, vec![false]));
        assert!(seen.recv().await.unwrap());
        assert_eq!(backend.connections(), 1);
    });
}
