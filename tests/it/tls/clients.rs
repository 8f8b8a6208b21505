//! Client certificates, asked for and demanded.

use std::fs;

use rustls::version::{TLS12, TLS13};

use super::{Setup, Site, get};
use crate::harness::backend::{OK, RawBackend};
use crate::harness::certificates::{Authority, Issued};
use crate::harness::tls::Dialer;

/// A site that asks its clients for certificates signed by `clients`.
fn start(backend: &RawBackend, clients: &Authority, mode: &str) -> Site {
    let tls = format!(", client_ca: ./clients.pem, client_certificate: {mode}");
    let setup = Setup { tls: &tls, ..Setup::default() };
    setup.start(&backend.url(), |directory| fs::write(directory.join("clients.pem"), &clients.pem).unwrap())
}

/// Whether a request by a client with this certificate is answered, in either version of TLS.
fn is_served(site: &Site, identity: Option<&Issued>) -> bool {
    let [old, new] = [&TLS12, &TLS13].map(|version| {
        let dialer = Dialer::with_versions(&site.authority, identity, &[version]);
        // In TLS 1.3 a client learns that it is refused when it reads.
        let served = dialer.try_connect(site.gateway.address()).is_ok_and(|mut client| {
            client.try_send(get("/a")).is_ok() && client.try_receive().is_ok_and(|answer| answer.status == 200)
        });
        (version.version, served)
    });
    assert_eq!(old.1, new.1, "{old:?} {new:?}");
    new.1
}

#[test]
fn optional_lets_in_who_has_none_and_nobody_with_a_bad_one() {
    let (backend, clients) = (RawBackend::fixed(OK), Authority::new("clients"));
    let site = start(&backend, &clients, "optional");
    assert!(is_served(&site, None));
    assert!(is_served(&site, Some(&clients.issue("somebody"))));
    assert!(!is_served(&site, Some(&clients.issue_expired("somebody"))));
    assert!(!is_served(&site, Some(&Authority::new("clients").issue("somebody"))));
    assert_eq!((site.handshakes("success"), site.handshakes("failure")), (4, 4));
    assert_eq!(backend.so_far().len(), 4);
}

#[test]
fn required_lets_in_nobody_without_a_good_one() {
    let (backend, clients) = (RawBackend::fixed(OK), Authority::new("clients"));
    let site = start(&backend, &clients, "required");
    assert!(is_served(&site, Some(&clients.issue("somebody"))));
    for refused in [
        None,
        Some(clients.issue_expired("somebody")),
        Some(Authority::new("clients").issue("somebody")),
        // The authority of the gateway's own certificate says nothing about clients.
        Some(site.authority.issue("somebody")),
    ] {
        assert!(!is_served(&site, refused.as_ref()));
    }
    assert_eq!(backend.so_far().len(), 2);
}

#[test]
fn a_session_outlives_no_change_of_who_may_come() {
    let (backend, clients) = (RawBackend::fixed(OK), Authority::new("clients"));
    let site = start(&backend, &clients, "required");
    let identity = clients.issue("somebody");
    let dialer = Dialer::new(&site.authority, Some(&identity));
    let address = site.gateway.address();
    let ask = || {
        let mut client = dialer.try_connect(address).ok()?;
        client.try_send(get("/a")).ok()?;
        client.try_receive().ok()
    };
    assert_eq!(ask().unwrap().status, 200);
    let new = site.gateway.directory().join("new.pem");
    fs::write(&new, Authority::new("other clients").pem).unwrap();
    fs::rename(new, site.gateway.directory().join("clients.pem")).unwrap();
    assert_eq!(site.gateway.reload("Host: 127.0.0.1\r\n").status, 200);
    assert!(ask().is_none(), "the session was made under the old authority");
}
