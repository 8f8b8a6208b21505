//! Response heads: which are passed on, and which are no answer.

use super::harness::*;
use crate::net::interim::Interim;
use crate::upstream::{UpstreamErrorKind, Wishes};

/// What a worker makes of an answer.
fn answered(answer: String, check: impl FnOnce(Result<String, UpstreamErrorKind>) + 'static) {
    worker(async move {
        let backend = Backend::new(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.head().await;
                peer.try_write(&answer).await;
                peer.closed().await;
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let result = worker.get().await.map_err(|error| error.kind());
        if result.is_err() {
            assert_eq!(worker.healthy(), [false]);
        }
        check(result);
    });
}

#[test]
fn what_is_no_http_is_a_protocol_error() {
    let answers = [
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
    ];
    for answer in answers {
        answered(answer.to_owned(), move |result| assert_eq!(result, Err(UpstreamErrorKind::Protocol), "{answer}"));
    }
}

#[test]
fn a_head_without_end_is_a_protocol_error() {
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(100 * 1024));
    answered(long, |result| assert_eq!(result, Err(UpstreamErrorKind::Protocol)));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: 1\r\n".repeat(1000));
    answered(many, |result| assert_eq!(result, Err(UpstreamErrorKind::Protocol)));
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n").await;
            peer.write("Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-A: 1\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        let response = Worker::to(&[backend.address]).send(request("GET", TestBody::empty())).await.unwrap();
        let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-a"]);
    });
}

#[test]
fn bytes_behind_a_response_are_nobodys_answer() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            let number = peer.number;
            while !peer.head().await.is_empty() {
                let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                peer.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}{smuggled}")).await;
            }
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        for number in 1..4 {
            assert_eq!(worker.get().await.unwrap(), number.to_string());
        }
    });
}

#[test]
fn informational_responses_come_out_of_the_sink_before_the_final_one() {
    worker(async {
        let backend = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: close\r\n\r\n").await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await;
            peer.closed().await;
        })
        .await;
        let worker = Worker::to(&[backend.address]);
        let interim = Interim::default();
        let wishes = Wishes { interim: Some(interim.clone()), upgrade: None };
        let request = request("GET", TestBody::empty());
        let response = worker.send_with(request, wishes).await.unwrap();
        let informational =
            interim.take().into_iter().map(|response| (response.status().as_u16(), response.headers().len()));
        assert_eq!(informational.collect::<Vec<_>>(), [(100, 0), (103, 1)]);
        assert_eq!(text(response).await.unwrap(), "a");
    });
}

#[test]
fn connect_is_not_forwarded() {
    worker(async {
        let backend = Backend::counting().await;
        let error = Worker::to(&[backend.address]).send(request("CONNECT", TestBody::empty())).await.unwrap_err();
        assert_eq!((error.kind(), backend.connections()), (UpstreamErrorKind::Protocol, 0));
    });
}
