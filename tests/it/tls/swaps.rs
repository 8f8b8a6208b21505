//! Certificates that change while the gateway runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::version::{TLS12, TLS13};

use super::{Setup, Site, get, put};
use crate::harness::backend::{OK, RawBackend};
use crate::harness::tls::Dialer;

const SWAPS: usize = 10;

fn reload(site: &Site) {
    let response = site.gateway.reload("Host: 127.0.0.1\r\n");
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn certificates_change_under_load_and_no_handshake_fails() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let (address, ended, asked) = (site.gateway.address(), AtomicBool::new(false), AtomicUsize::new(0));
    // Made here: rcgen's keys are not to be sent between threads.
    let dialers = [(); 2].map(|()| site.dialer());
    thread::scope(|scope| {
        for dialer in dialers {
            let (ended, asked) = (&ended, &asked);
            scope.spawn(move || {
                let mut old = dialer.connect(address);
                while !ended.load(Ordering::Relaxed) {
                    for client in [&mut old, &mut dialer.connect(address)] {
                        client.send(get("/a"));
                        assert_eq!(client.receive().status, 200);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for number in 0..SWAPS {
            let issued = site.authority.issue(&format!("number {number}"));
            put(site.gateway.directory(), "tls", &issued);
            reload(&site);
            let shown = site.dialer().open(address).unwrap().certificate();
            assert_eq!(shown, issued.pair().0[0], "the new certificate is in force once the reload is");
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(asked.into_inner() >= SWAPS);
    assert_eq!((site.handshakes("failure"), site.handshakes("timeout")), (0, 0));
}

#[test]
fn a_certificate_that_is_replaced_is_noticed() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let issued = site.authority.issue("second");
    put(site.gateway.directory(), "tls", &issued);
    site.gateway.log_event(|event| event["message"] == "reloaded");
    assert_eq!(site.dialer().open(site.gateway.address()).unwrap().certificate(), issued.pair().0[0]);
}

#[test]
fn a_key_that_is_not_the_certificates_changes_nothing() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let before = site.dialer().open(site.gateway.address()).unwrap().certificate();
    let mut mixed = site.authority.issue("second");
    mixed.key = site.authority.issue("third").key;
    put(site.gateway.directory(), "tls", &mixed);
    assert_eq!(site.gateway.reload("Host: 127.0.0.1\r\n").status, 422);
    assert_eq!(site.dialer().open(site.gateway.address()).unwrap().certificate(), before);
}

#[test]
fn sessions_are_resumed_and_survive_a_reload_that_is_not_about_them() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    for version in [&TLS12, &TLS13] {
        let dialer = Dialer::with_versions(&site.authority, None, &[version]);
        let ask = || {
            let stream = dialer.open(site.gateway.address()).unwrap();
            let mut client = crate::harness::client::Client::over(stream.clone(), stream.clone());
            // With TLS 1.3 the ticket comes behind the handshake, with the first that is read.
            client.send(get("/a"));
            assert_eq!(client.receive().status, 200);
            stream.is_resumed()
        };
        assert_eq!([ask(), ask()], [false, true], "{version:?}");
        let more = format!("limits: {{request_head: {}s}}", 20 + u16::from(version.version) % 10);
        site.gateway.configure(&Setup { more: &more, ..Setup::default() }.config(&backend.url()));
        reload(&site);
        assert!(ask(), "{version:?}: the reload changed nothing of TLS");
        put(site.gateway.directory(), "tls", &site.authority.issue("new"));
        reload(&site);
        assert_eq!([ask(), ask()], [false, true], "{version:?}: a new certificate is a new start");
    }
}
