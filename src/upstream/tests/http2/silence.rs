//! Backends that are gone without a word, and connections that nobody needs.

use std::time::Duration;

use h2::server::Builder;
use tokio::time::Instant;

use crate::upstream::UpstreamErrorKind;
use crate::upstream::tests::h2_backend::H2Backend;
use crate::upstream::tests::harness::*;

/// Stops the clock: it jumps to the next timer whenever there is nothing else to do.
fn with_a_clock_that_jumps(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(test);
}

#[test]
fn a_backend_that_does_not_say_that_it_is_there_loses_its_connection() {
    with_a_clock_that_jumps(async {
        let backend = H2Backend::new(Builder::new(), |mut peer| async move {
            let _exchange = peer.next().await;
            // From here on nobody reads the socket.
            std::future::pending::<()>().await;
        })
        .await;
        let mut config = backend.upstream();
        config.timeout = Duration::from_secs(3600);
        let started = Instant::now();
        let error = Worker::new(config).get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    });
}

#[test]
fn a_backend_that_thinks_for_long_keeps_its_connection() {
    with_a_clock_that_jumps(async {
        let backend = H2Backend::answering(Builder::new(), |mut exchange| async move {
            tokio::time::sleep(Duration::from_secs(1800)).await;
            exchange.answer_with_number();
        })
        .await;
        let mut config = backend.upstream();
        config.timeout = Duration::from_secs(3600);
        assert_eq!(Worker::new(config).get().await.unwrap(), "1");
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    with_a_clock_that_jumps(async {
        let (sender, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let backend = H2Backend::new(Builder::new(), move |mut peer| {
            let sender = sender.clone();
            async move {
                peer.next().await.unwrap().answer_with_number();
                peer.ended().await;
                sender.send(()).unwrap();
            }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        worker.get().await.unwrap();
        let started = Instant::now();
        closed.recv().await.unwrap();
        let idle = started.elapsed();
        assert!(idle > Duration::from_secs(54) && idle < Duration::from_secs(70), "{idle:?}");
        assert_eq!(worker.get().await.unwrap(), "2");
    });
}
