//! Requests and their answers, with a client that keeps to the rules.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ask, begin, client, request, reset_of, run, settle, text, whole};
use crate::net::head::HeadError;
use crate::net::service::Refusal;
use crate::net::stream_io::StreamIo;

#[test]
fn a_request_is_answered() {
    run(async {
        let (mut send, served) = client().await;
        let (head, body) = ask(&mut send, request("GET", "/a?b")).await.unwrap();
        assert_eq!((head.status(), &*body), (StatusCode::OK, ""));
        assert!(head.headers().contains_key("date"));
        assert_eq!(*served.service.asked.borrow(), ["GET /a?b"]);
    });
}

#[test]
fn body_and_trailers_go_both_ways() {
    run(async {
        let (mut send, _served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/"));
        stream.send_data(Bytes::from("abc"), false).unwrap();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        stream.send_trailers(trailers.clone()).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!(text(&mut body).await.unwrap(), "abc");
        assert!(!head.headers.contains_key("content-length"), "nobody knew the length");
        assert_eq!(body.trailers().await.unwrap(), Some(trailers));
    });
}

#[test]
fn an_answer_without_a_body_ends_with_its_head() {
    run(async {
        let (mut send, _served) = client().await;
        for (method, path, status) in [("GET", "/empty", 204), ("HEAD", "/early", 200), ("GET", "/", 200)] {
            let (response, _) = send.send_request(request(method, path), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status);
            assert!(response.body().is_end_stream(), "{method} {path}");
        }
    });
}

#[test]
fn a_body_that_breaks_off_is_no_clean_end() {
    run(async {
        let (mut send, _served) = client().await;
        for path in ["/broken", "/short"] {
            let error = ask(&mut send, request("GET", path)).await.unwrap_err();
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
        }
        assert!(ask(&mut send, request("GET", "/early")).await.is_ok(), "the connection goes on");
    });
}

#[test]
fn informational_answers_pass_without_connection_fields() {
    run(async {
        let (mut send, _served) = client().await;
        let (mut response, _) = send.send_request(request("GET", "/hints"), true).unwrap();
        let hints = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((hints.status(), hints.headers().len()), (StatusCode::EARLY_HINTS, 1));
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    });
}

#[test]
fn a_large_answer_waits_for_the_client_to_take_it() {
    run(async {
        let (mut send, _served) = client().await;
        let (_, body) = ask(&mut send, request("GET", "/large")).await.unwrap();
        assert_eq!(body.len(), 4 * 1024 * 1024);
    });
}

#[test]
fn many_streams_are_served_side_by_side() {
    run(async {
        let (mut send, served) = client().await;
        let (hanging, _stream) = send.send_request(request("GET", "/hang"), true).unwrap();
        let answers: Vec<_> = (0..100).map(|_| send.send_request(request("GET", "/early"), true).unwrap().0).collect();
        for answer in answers {
            assert_eq!(whole(answer).await.unwrap().1, "early");
        }
        assert_eq!(served.service.asked.borrow().len(), 101);
        drop(hanging);
    });
}

#[test]
fn what_cannot_be_read_is_answered_by_the_service() {
    run(async {
        let (mut send, served) = client().await;
        let (head, body) =
            ask(&mut send, http::Request::builder().uri("/no-authority").body(()).unwrap()).await.unwrap();
        assert_eq!((head.status(), &*body), (StatusCode::BAD_REQUEST, "refused"));
        let mut large = request("GET", "/");
        large.headers_mut().insert("x", "y".repeat(4096).parse().unwrap());
        assert_eq!(ask(&mut send, large).await.unwrap().0.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(served.service.refused.borrow()[1], Refusal::Head(HeadError::TooLarge));
        assert!(served.service.asked.borrow().is_empty());
    });
}

fn websocket(path: &str) -> http::Request<()> {
    let mut connect = request("CONNECT", path);
    connect.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    connect.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    connect
}

#[test]
fn a_tunnel_takes_the_place_of_an_extended_connect() {
    run(async {
        let (mut send, _served) = client().await;
        settle().await;
        assert!(send.is_extended_connect_protocol_enabled());
        let connect = websocket("/chat");
        let (response, mut up) = begin(&mut send, connect);
        let (head, mut down) = response.await.unwrap().into_parts();
        assert_eq!((head.status, head.headers.get("connection")), (StatusCode::OK, None));
        for said in ["hello", "again"] {
            up.send_data(Bytes::from(said), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), said);
        }
        up.send_data(Bytes::new(), true).unwrap();
        assert_eq!(text(&mut down).await.unwrap(), "", "the end is passed on as well");
    });
}

#[test]
fn too_many_connections_are_told_so_and_closed() {
    run(async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let refused = tokio::task::spawn_local(async move {
            super::super::refuse(far, &super::Tell::default(), super::LIMITS, Refusal::TooManyConnections).await;
        });
        let (mut send, connection) = h2::client::handshake(near).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        assert_eq!(ask(&mut send, request("GET", "/")).await.unwrap().0.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(send);
        refused.await.unwrap();
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn a_protocol_that_nobody_switches_to_is_no_tunnel() {
    run(async {
        let (mut send, _served) = client().await;
        settle().await;
        let connect = websocket("/early");
        let (_response, mut up) = begin(&mut send, connect);
        assert_eq!(reset_of(&mut up).await, h2::Reason::CONNECT_ERROR);
    });
}

#[test]
fn bytes_in_a_tunnel_keep_their_order_and_their_number() {
    run(async {
        let (mut send, _served) = client().await;
        settle().await;
        let connect = websocket("/chat");
        let (response, up) = begin(&mut send, connect);
        let down = response.await.unwrap().into_body();
        let (mut read, mut write) = tokio::io::split(StreamIo::new(down, up));
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut received = Vec::new();
        let (written, _) = tokio::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown().await
            },
            read.read_to_end(&mut received)
        );
        written.unwrap();
        assert!(sent == received, "{} bytes of {}", received.len(), sent.len());
    });
}
