//! Which endpoint is asked, and how it is found out which can be.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::harness::*;
use crate::config::{Endpoint, HealthCheck, Scheme};
use crate::upstream::{Failure, check_forever};

#[test]
fn the_endpoint_with_fewer_requests_outstanding_is_asked() {
    worker(async {
        let (a, b) = (Backend::counting().await, Backend::counting().await);
        let worker = Worker::to(&[a.address, b.address]);
        let mut open = Vec::new();
        for _ in 0..6 {
            open.push(worker.send(request("GET", TestBody::empty())).await.unwrap());
        }
        assert_eq!((a.connections(), b.connections()), (3, 3));
        // Two of the six are done; wherever they were, the next two take their places.
        for response in open.drain(..2) {
            text(response).await.unwrap();
        }
        for _ in 0..2 {
            open.push(worker.send(request("GET", TestBody::empty())).await.unwrap());
        }
        assert_eq!((a.connections(), b.connections()), (3, 3));
    });
}

#[test]
fn equals_take_turns() {
    worker(async {
        let (a, b) = (Backend::counting().await, Backend::counting().await);
        let worker = Worker::to(&[a.address, b.address]);
        worker.get().await.unwrap();
        worker.get().await.unwrap();
        assert_eq!((a.connections(), b.connections()), (1, 1));
    });
}

#[test]
fn an_endpoint_that_speaks_no_http_is_left_alone() {
    worker(async {
        let bad = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("garbage\r\n\r\n").await;
        })
        .await;
        let good = Backend::counting().await;
        let worker = Worker::to(&[bad.address, good.address]);
        let mut failed = 0;
        for _ in 0..10 {
            failed += usize::from(worker.get().await.is_err());
        }
        assert_eq!((failed, bad.connections()), (1, 1));
    });
}

fn health_check(interval_ms: u64) -> Option<HealthCheck> {
    Some(HealthCheck { path: "/healthz?a".into(), interval: Duration::from_millis(interval_ms) })
}

#[test]
fn an_active_check_takes_an_endpoint_out_and_brings_it_back() {
    worker(async {
        let good = Rc::new(std::cell::Cell::new(false));
        let (sender, mut checks) = mpsc::unbounded_channel();
        let is_good = Rc::clone(&good);
        let backend = Backend::new(move |mut peer| {
            let (is_good, sender) = (Rc::clone(&is_good), sender.clone());
            async move {
                let head = peer.head().await;
                let status = if is_good.get() { "204 No Content" } else { "500 Internal Server Error" };
                peer.try_write(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
                peer.closed().await;
                let _ = sender.send(head);
            }
        })
        .await;
        let mut config = upstream(&[backend.address]);
        config.health_check = health_check(10);
        let worker = Worker::new(config);
        let checking = tokio::task::spawn_local(check_forever(worker.config.clone(), Arc::clone(&worker.health)));

        let head = checks.recv().await.unwrap();
        assert!(head.starts_with("GET /healthz?a HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {}\r\n", backend.address)), "{head}");
        while worker.healthy() != [false] {
            checks.recv().await.unwrap();
        }
        let status = worker.health.upstreams().next().unwrap().status().next().unwrap();
        assert_eq!(status.last_failure, Some(Failure::Check));
        good.set(true);
        while worker.healthy() != [true] {
            checks.recv().await.unwrap();
        }
        checking.abort();
    });
}

#[test]
fn a_name_is_looked_up_in_the_background() {
    worker(async {
        let backend = Backend::counting().await;
        let mut config = upstream(&[]);
        config.endpoints =
            vec![Endpoint { scheme: Scheme::Http, host: "localhost".into(), port: backend.address.port() }];
        let worker = Worker::new(config);
        let checking = tokio::task::spawn_local(check_forever(worker.config.clone(), Arc::clone(&worker.health)));
        assert_eq!(worker.get().await.unwrap(), "1");
        checking.abort();
    });
}

#[test]
fn a_name_that_nobody_looks_up_is_a_connect_error() {
    worker(async {
        let mut config = upstream(&[]);
        config.endpoints = vec![Endpoint { scheme: Scheme::Http, host: "backend.invalid".into(), port: 80 }];
        config.connect_timeout = Duration::from_millis(20);
        let error = Worker::new(config).get().await.unwrap_err();
        assert_eq!(error.kind(), crate::upstream::UpstreamErrorKind::Connect);
    });
}

#[test]
fn time_that_is_lost_on_one_endpoint_is_not_taken_from_the_next() {
    worker(async {
        let backend = Backend::counting().await;
        let mut config = upstream(&[backend.address]);
        config.endpoints.push(Endpoint { scheme: Scheme::Http, host: "backend.invalid".into(), port: 80 });
        (config.connect_timeout, config.timeout) = (Duration::from_secs(1), Duration::from_millis(500));
        let worker = Worker::new(config);
        for _ in 0..3 {
            assert_eq!(worker.get().await.unwrap(), "1", "on the connection that was there");
        }
    });
}

#[test]
fn connections_to_addresses_that_are_gone_are_not_used_again_and_dead_ones_are_passed_over() {
    worker(async {
        let (old, new) = (Backend::counting().await, Backend::counting().await);
        let mut config = upstream(&[]);
        config.endpoints = vec![Endpoint { scheme: Scheme::Http, host: "backend.internal".into(), port: 80 }];
        let worker = Worker::new(config);
        let endpoint = &worker.health.upstreams().next().unwrap().endpoints()[0];
        endpoint.set_addresses(vec![old.address]);
        worker.get().await.unwrap();
        let dead: SocketAddr = refusing().await;
        endpoint.set_addresses(vec![dead, new.address]);
        worker.get().await.unwrap();
        assert_eq!((old.connections(), new.connections()), (1, 1));
        assert_eq!(worker.healthy(), [true], "one address of a name is not the endpoint");
    });
}
