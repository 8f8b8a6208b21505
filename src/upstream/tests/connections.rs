//! Connections: used again, given up, timed.

use std::time::Duration;

use http::header;

use super::harness::*;
use crate::config::HostHeader;
use crate::upstream::UpstreamErrorKind;

#[test]
fn requests_one_after_the_other_share_a_connection() {
    worker(async {
        let backend = Backend::counting().await;
        let worker = Worker::to(&[backend.address]);
        for _ in 0..3 {
            assert_eq!(worker.get().await.unwrap(), "1");
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn requests_at_the_same_time_do_not() {
    worker(async {
        let backend = Backend::counting().await;
        let worker = Worker::to(&[backend.address]);
        let first = worker.send(request("GET", TestBody::empty())).await.unwrap();
        assert_eq!(worker.get().await.unwrap(), "2");
        assert_eq!(text(first).await.unwrap(), "1");
    });
}

#[test]
fn responses_without_content_give_the_connection_back_at_once() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            while !peer.head().await.is_empty() {
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        for _ in 0..3 {
            let response = worker.send(request("HEAD", TestBody::empty())).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_LENGTH], "7");
        }
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_connection_is_not_used_after_connection_close_or_http_1_0() {
    for head in ["HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"] {
        worker(async move {
            let backend = Backend::new(move |mut peer| async move {
                peer.head().await;
                peer.write(&format!("{head}Content-Length: 1\r\n\r\na")).await;
                peer.closed().await;
            })
            .await;
            let worker = Worker::to(&[backend.address]);
            for _ in 0..2 {
                assert_eq!(worker.get().await.unwrap(), "a");
            }
            assert_eq!(backend.connections(), 2, "{head}");
        });
    }
}

#[test]
fn the_target_goes_through_byte_for_byte_and_host_as_configured() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            loop {
                let head = peer.head().await;
                let length = head.len();
                if length == 0 {
                    return;
                }
                peer.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}")).await;
            }
        })
        .await;
        let preserve = Worker::to(&[backend.address]).get().await.unwrap();
        assert!(preserve.starts_with("GET /v1/users?a=%20 HTTP/1.1\r\n"), "{preserve}");
        assert!(preserve.contains("host: api.example.com\r\n"), "{preserve}");
        assert!(!preserve.contains("content-length") && !preserve.contains("transfer-encoding"), "{preserve}");

        let mut config = upstream(&[backend.address]);
        config.host = HostHeader::Upstream;
        let replaced = Worker::new(config).get().await.unwrap();
        assert!(replaced.contains(&format!("host: {}\r\n", backend.address)), "{replaced}");

        let mut without_host = request("GET", TestBody::empty());
        without_host.headers_mut().clear();
        *without_host.uri_mut() = "http://elsewhere.example/a?b".parse().unwrap();
        let sent = text(Worker::to(&[backend.address]).send(without_host).await.unwrap()).await.unwrap();
        assert!(sent.starts_with("GET /a?b HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains(&format!("host: {}\r\n", backend.address)), "{sent}");
    });
}

#[test]
fn a_backend_that_does_not_answer_times_out_and_sees_the_connection_closed() {
    worker(async {
        let (sender, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let backend = Backend::new(move |mut peer| {
            let sender = sender.clone();
            async move {
                peer.head().await;
                peer.closed().await;
                sender.send(()).unwrap();
            }
        })
        .await;
        let mut config = upstream(&[backend.address]);
        config.timeout = Duration::from_millis(50);
        let worker = Worker::new(config);
        let error = worker.get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Timeout);
        closed.recv().await.unwrap();
        assert_eq!(worker.healthy(), [true], "slow is not broken");
    });
}

#[test]
fn a_long_upload_does_not_count_as_waiting() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.read_to("0\r\n\r\n").await;
            peer.write("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        let mut config = upstream(&[backend.address]);
        config.timeout = Duration::from_millis(100);
        let worker = Worker::new(config);
        let (body, request_body) = TestBody::channel();
        let upload = async {
            for _ in 0..3 {
                body.send(Ok(data("abc"))).unwrap();
                // Time has to pass: it is what the test is about.
                tokio::time::sleep(Duration::from_millis(70)).await;
            }
            drop(body);
        };
        let (response, ()) = tokio::join!(worker.send(request("POST", request_body)), upload);
        assert_eq!(response.unwrap().status(), 204);
    });
}

#[test]
fn the_time_limit_starts_when_the_upload_has_ended() {
    worker(async {
        let backend = Backend::new(|mut peer| async move { peer.closed().await }).await;
        let mut config = upstream(&[backend.address]);
        config.timeout = Duration::from_millis(50);
        let error = Worker::new(config).send(request("POST", TestBody::of("abc"))).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Timeout);
    });
}

#[test]
fn a_backend_that_takes_no_more_of_a_body_times_out() {
    worker(async {
        let backend = Backend::new(|peer| async move {
            std::future::pending::<()>().await;
            drop(peer);
        })
        .await;
        let worker = Worker::with_idle(upstream(&[backend.address]), Duration::from_millis(100));
        let (body, request_body) = TestBody::channel();
        let piece = bytes::Bytes::from(vec![b'a'; 1 << 20]);
        for _ in 0..64 {
            body.send(Ok(http_body::Frame::data(piece.clone()))).unwrap();
        }
        let error = worker.send(request("POST", request_body)).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Timeout);
    });
}
