//! What is agreed on in the handshake, asked by OpenSSL and curl.

use std::fs;
use std::process::{Command, Stdio};

use super::{Setup, get};
use crate::harness::backend::{OK, RawBackend};
use crate::harness::curl::curl;

/// What `openssl s_client` says of a handshake with these options.
fn s_client(site: &super::Site, options: &[&str]) -> String {
    let authority = site.gateway.directory().join("authority.pem");
    fs::write(&authority, &site.authority.pem).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &site.gateway.address().to_string(), "-verify_return_error", "-CAfile"]);
    // At the end of its input it ends the connection.
    let output = command.arg(authority).args(options).stdin(Stdio::null()).output().expect("openssl is installed");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn openssl_agrees_on_versions_and_protocols() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    for (options, wanted) in [
        (&["-tls1_2"][..], &["TLSv1.2", "No ALPN negotiated", "Verify return code: 0"][..]),
        (&["-tls1_3"], &["TLSv1.3", "No ALPN negotiated", "Verify return code: 0"]),
        (&["-noservername"], &["TLSv1.3", "Verify return code: 0"]),
        (&["-servername", "elsewhere.example"], &["TLSv1.3", "Verify return code: 0"]),
        (&["-alpn", "http/1.1"], &["ALPN protocol: http/1.1"]),
        (&["-alpn", "spdy/3,http/1.1", "-tls1_2"], &["ALPN protocol: http/1.1"]),
        (&["-alpn", "http/1.1,h2"], &["ALPN protocol: h2"]),
        (&["-alpn", "spdy/3"], &["no application protocol"]),
        (&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], &["SSL alert number"]),
    ] {
        let said = s_client(&site, options);
        for wanted in wanted {
            assert!(said.contains(wanted), "{options:?}: no {wanted:?} in\n{said}");
        }
    }
    assert_eq!((site.handshakes("success"), site.handshakes("failure")), (7, 2));
}

#[test]
fn curl_is_answered_and_the_backend_is_told() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let authority = site.gateway.directory().join("authority.pem");
    fs::write(&authority, &site.authority.pem).unwrap();
    let url = format!("https://localhost:{}/a", site.gateway.address().port());
    for (version, protocol) in [("1.2", "--http1.1"), ("1.3", "--http1.1"), ("1.2", "--http2"), ("1.3", "--http2")] {
        let tls = format!("--tlsv{version}");
        let answer = curl(&[protocol, &tls, "--tls-max", version, "--cacert", authority.to_str().unwrap(), &url]);
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
        assert_eq!(backend.next().head.fields.one("x-forwarded-proto"), Some("https"));
    }
}

#[test]
fn http_without_tls_is_refused_in_words() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let response = site.gateway.ask(get("/a"));
    assert_eq!((response.status, response.code().as_str()), (400, "BAD_REQUEST"));
    assert!(response.closes());
    let entry = site.gateway.access_log_entry(|entry| entry["status"] == 400);
    assert_eq!(entry["detail"], "HTTP without TLS on a listener that speaks TLS");
    assert!(backend.so_far().is_empty());
}

#[test]
fn tls_is_refused_where_there_is_none() {
    let backend = RawBackend::fixed(OK);
    let listeners = "\n  - {address: 127.0.0.1:0}";
    let site = Setup { listeners, ..Setup::default() }.start(&backend.url(), |_| {});
    assert!(site.dialer().open(site.gateway.proxies[1]).is_err());
    // Each listener is what it is, in the order of the configuration.
    let mut plain = crate::harness::client::Client::connect(site.gateway.proxies[1]);
    plain.send(get("/a"));
    assert_eq!(plain.receive().status, 200);
    assert_eq!(backend.next().head.fields.one("x-forwarded-proto"), Some("http"));
}
