//! Heads, bodies and trailers.

use std::time::Duration;

use h2::Reason;
use h2::server::Builder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc as channel;

use crate::config::HostHeader;
use crate::net::interim::Interim;
use crate::upstream::tests::h2_backend::{Exchange, H2Backend};
use crate::upstream::tests::harness::*;
use crate::upstream::{ResponseBodyError, UpstreamErrorKind, Wishes};

/// A backend that sends the head, the body and the trailers that it reads to the test.
async fn recording() -> (H2Backend, channel::UnboundedReceiver<(http::request::Parts, String, Option<HeaderMap>)>) {
    let (sender, seen) = channel::unbounded_channel();
    let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
        let sender = sender.clone();
        async move {
            let (body, trailers) = exchange.body().await.unwrap();
            exchange.answer(StatusCode::NO_CONTENT);
            sender.send((exchange.request.into_parts().0, body, trailers)).unwrap();
        }
    })
    .await;
    (backend, seen)
}

/// A backend that answers with this head and nothing else.
async fn answering(response: Response<()>) -> H2Backend {
    H2Backend::answering(Builder::new(), move |mut exchange| {
        let response = response.clone();
        async move { drop(exchange.respond.send_response(response, true)) }
    })
    .await
}

#[test]
fn a_head_is_translated() {
    worker(async {
        let (backend, mut seen) = recording().await;
        let mut request = request("POST", TestBody::of("abc"));
        for (name, value) in [("connection", "TE"), ("te", "trailers"), ("transfer-encoding", "chunked"), ("x-a", "1")]
        {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(Worker::new(backend.upstream()).send(request).await.unwrap().status(), 204);
        let (head, body, _) = seen.recv().await.unwrap();
        assert_eq!((head.method.as_str(), head.version, body.as_str()), ("POST", Version::HTTP_2, "abc"));
        assert_eq!(head.uri, "http://api.example.com/v1/users?a=%20");
        let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["te", "x-a"]);
    });
}

#[test]
fn the_authority_is_the_upstreams_where_configured() {
    worker(async {
        let (backend, mut seen) = recording().await;
        let mut config = backend.upstream();
        config.host = HostHeader::Upstream;
        Worker::new(config).send(request("GET", TestBody::empty())).await.unwrap();
        let (head, ..) = seen.recv().await.unwrap();
        assert_eq!(head.uri.authority().unwrap().as_str(), backend.address.to_string());
        assert!(head.headers.is_empty(), "{:?}", head.headers);
    });
}

#[test]
fn a_length_is_sent_if_it_is_known() {
    worker(async {
        let (backend, mut seen) = recording().await;
        let worker = Worker::new(backend.upstream());
        let mut known = request("PUT", TestBody::of("abc").with_length(3));
        known.headers_mut().append("content-length", HeaderValue::from_static("7"));
        for (request, length) in [(known, Some("3")), (request("POST", TestBody::empty()), Some("0"))] {
            worker.send(request).await.unwrap();
            let (head, ..) = seen.recv().await.unwrap();
            assert_eq!(head.headers.get("content-length").map(|value| value.to_str().unwrap()), length);
        }
    });
}

#[test]
fn trailers_go_both_ways_without_being_announced() {
    worker(async {
        let (backend, mut seen) = recording().await;
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        body.send(Ok(Frame::trailers(sum.clone()))).unwrap();
        Worker::new(backend.upstream()).send(request("POST", request_body)).await.unwrap();
        assert_eq!(seen.recv().await.unwrap().2, Some(sum.clone()));

        let backend = H2Backend::answering(Builder::new(), |mut exchange: Exchange| async move {
            let mut body = exchange.begin();
            body.send_data("abc".into(), false).unwrap();
            let trailers = [("x-sum", "1"), ("content-length", "9")];
            let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            body.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
        })
        .await;
        let response = Worker::new(backend.upstream()).send(request("GET", TestBody::empty())).await.unwrap();
        assert_eq!(body_and_trailers(response).await.unwrap(), ("abc".to_owned(), Some(sum)));
    });
}

#[test]
fn an_answer_that_is_all_head_is_at_its_end() {
    worker(async {
        let head = Response::builder().header("grpc-status", "12").header("content-type", "application/grpc");
        let backend = answering(head.body(()).unwrap()).await;
        let response = Worker::new(backend.upstream()).send(request("POST", TestBody::of("abc"))).await.unwrap();
        assert!(response.body().is_end_stream());
        assert_eq!(response.headers()["grpc-status"], "12");
    });
}

#[test]
fn a_known_length_is_handed_on_and_counted_down() {
    worker(async {
        let backend = H2Backend::answering(Builder::new(), |mut exchange| async move {
            let head = Response::builder().header("content-length", "3").body(()).unwrap();
            let mut body = exchange.respond.send_response(head, false).unwrap();
            body.send_data("ab".into(), false).unwrap();
            body.send_data("c".into(), true).unwrap();
        })
        .await;
        let mut response = Worker::new(backend.upstream()).send(request("GET", TestBody::empty())).await.unwrap();
        assert_eq!(response.body().size_hint().exact(), Some(3));
        assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert_eq!(response.body().size_hint().exact(), Some(1));
    });
}

#[test]
fn heads_with_two_lengths_are_no_answer() {
    worker(async {
        let head = Response::builder().header("content-length", "0").header("content-length", "0");
        let backend = answering(head.body(()).unwrap()).await;
        let worker = Worker::new(backend.upstream());
        assert_eq!(worker.get().await.unwrap_err().kind(), UpstreamErrorKind::Protocol);
        assert_eq!(worker.healthy(), [false]);
    });
}

#[test]
fn heads_that_are_too_long_are_no_answer() {
    worker(async {
        let head = Response::builder().header("x-a", "a".repeat(100 * 1024));
        let backend = answering(head.body(()).unwrap()).await;
        let error = Worker::new(backend.upstream()).get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
    });
}

#[test]
fn a_body_that_breaks_off_is_an_error_for_its_reader() {
    for reason in [Reason::INTERNAL_ERROR, Reason::NO_ERROR, Reason::CANCEL] {
        worker(async move {
            let backend = H2Backend::answering(Builder::new(), move |mut exchange| async move {
                let mut body = exchange.begin();
                body.send_data("abc".into(), false).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                body.send_reset(reason);
            })
            .await;
            let mut response = Worker::new(backend.upstream()).send(request("GET", TestBody::empty())).await.unwrap();
            assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
            let error = response.body_mut().frame().await.unwrap().unwrap_err();
            assert!(matches!(error, ResponseBodyError::Aborted(_)), "{reason:?}");
            assert!(response.body_mut().frame().await.is_none());
        });
    }
}

#[test]
fn a_request_body_that_fails_reaches_the_backend_as_reset_and_the_front_as_its_own_error() {
    worker(async {
        let (sender, mut seen) = channel::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let sender = sender.clone();
            async move { sender.send(exchange.body().await.unwrap_err().reason()).unwrap() }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let broken = [Err("too large".into()), Ok(data("xyz"))];
        for (last, text) in broken.into_iter().zip(["too large", "the client's body was not as long as its length"]) {
            let (body, request_body) = TestBody::channel();
            body.send(Ok(data("abc"))).unwrap();
            body.send(last).unwrap();
            drop(body);
            let error = worker.send(request("POST", request_body.with_length(5))).await.unwrap_err();
            assert_eq!((error.kind(), error.reason()), (UpstreamErrorKind::RequestBody, None));
            assert_eq!(error.into_request_body_error().unwrap().to_string(), text);
            assert_eq!(seen.recv().await, Some(Some(Reason::CANCEL)));
        }
        assert_eq!((worker.healthy(), backend.connections()), (vec![true], 1));
    });
}

#[test]
fn a_body_shorter_than_its_length_is_reset_and_not_ended() {
    worker(async {
        let (sender, mut seen) = channel::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let sender = sender.clone();
            async move { sender.send(exchange.body().await.is_err()).unwrap() }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let error = worker.send(request("PUT", TestBody::of("abc").with_length(5))).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::RequestBody);
        assert_eq!(seen.recv().await, Some(true));
    });
}

#[test]
fn a_full_answer_before_the_upload_has_ended_ends_the_upload() {
    worker(async {
        let backend = H2Backend::answering(Builder::new(), |mut exchange| async move {
            exchange.answer(StatusCode::PAYLOAD_TOO_LARGE);
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let (body, request_body) = TestBody::channel();
        body.send(Ok(data("abc"))).unwrap();
        let response = worker.send(request("POST", request_body)).await.unwrap();
        assert_eq!(response.status(), 413);
        body.closed().await;
        drop(response);
    });
}

#[test]
fn informational_responses_come_out_of_the_sink_before_the_final_one() {
    worker(async {
        let backend = H2Backend::answering(Builder::new(), |mut exchange| async move {
            let hints = Response::builder().status(103).header("link", "</a>; rel=preload").body(()).unwrap();
            exchange.respond.send_informational(hints).unwrap();
            exchange.answer_with_number();
        })
        .await;
        let interim = Interim::default();
        let wishes = Wishes { interim: Some(interim.clone()), upgrade: None };
        let request = request("GET", TestBody::empty());
        let response = Worker::new(backend.upstream()).send_with(request, wishes).await.unwrap();
        let informational =
            interim.take().into_iter().map(|response| (response.status().as_u16(), response.headers().len()));
        assert_eq!(informational.collect::<Vec<_>>(), [(103, 1)]);
        assert_eq!(text(response).await.unwrap(), "1");
    });
}
