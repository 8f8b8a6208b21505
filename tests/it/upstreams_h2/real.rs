//! nginx as a backend with TLS, with and without HTTP/2.

use std::fs;

use tempfile::TempDir;

use super::{config, gateway, get};
use crate::harness::certificates::{Authority, Issued};
use crate::harness::nginx::Nginx;

/// Says what it speaks, on which connection, and whom it sees.
const ECHO: &str = "location / { return 200 \"$server_protocol $connection $ssl_client_s_dn\"; }";

/// nginx with a certificate of `authority`.
fn nginx(authority: &Authority, listen: &str, server: &str) -> Nginx {
    let directory = tempfile::tempdir().unwrap();
    put(&directory, "tls", &authority.issue("nginx"));
    fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let certificate = "ssl_certificate tls.crt; ssl_certificate_key tls.key;";
    let path = directory.path().display().to_string();
    let server = format!("{certificate} {server}").replace(" tls.", &format!(" {path}/tls."));
    Nginx::start_in(directory, listen, &server.replace(" ca.pem", &format!(" {path}/ca.pem")))
}

fn put(directory: &TempDir, name: &str, issued: &Issued) {
    fs::write(directory.path().join(format!("{name}.crt")), &issued.certificate).unwrap();
    fs::write(directory.path().join(format!("{name}.key")), &issued.key).unwrap();
}

#[test]
fn nginx_speaks_what_it_offers_and_keeps_its_connection() {
    for (listen, protocol) in [("ssl http2", "HTTP/2.0"), ("ssl", "HTTP/1.1")] {
        let authority = Authority::new("authority of the tests");
        let nginx = nginx(&authority, listen, ECHO);
        let url = format!("https://localhost:{}", nginx.address.port());
        let gateway = gateway(&url, ", tls: {ca_file: ./ca.pem}", |directory| {
            fs::write(directory.join("ca.pem"), &authority.pem).unwrap();
        });
        let answers: Vec<String> = (0..3).map(|_| gateway.ask(get("/a")).text()).collect();
        assert!(answers[0].starts_with(protocol), "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let (_, status) = gateway.admin_get("/status");
        assert!(status.contains(&url), "{status}");
    }
}

#[test]
fn nginx_sees_who_we_are() {
    let authority = Authority::new("authority of the tests");
    let nginx = nginx(&authority, "ssl http2", &format!("ssl_client_certificate ca.pem; ssl_verify_client on; {ECHO}"));
    let url = format!("https://{}", nginx.address);
    let tls = ", tls: {ca_file: ./ca.pem, certificate: ./me.crt, private_key: ./me.key}";
    let ours = authority.issue("sidegate");
    let gateway = gateway(&url, tls, |directory| {
        fs::write(directory.join("ca.pem"), &authority.pem).unwrap();
        fs::write(directory.join("me.crt"), &ours.certificate).unwrap();
        fs::write(directory.join("me.key"), &ours.key).unwrap();
    });
    let answer = gateway.ask(get("/a"));
    assert!(answer.status == 200 && answer.text().ends_with("CN=sidegate"), "{answer:?}");
}

#[test]
fn a_backend_that_nobody_vouches_for_is_a_bad_gateway_and_the_log_says_why() {
    let nginx = nginx(&Authority::new("stranger"), "ssl http2", ECHO);
    let ours = Authority::new("authority of the tests");
    let gateway = gateway(&format!("https://{}", nginx.address), ", tls: {ca_file: ./ca.pem}", |directory| {
        fs::write(directory.join("ca.pem"), &ours.pem).unwrap();
    });
    let answer = gateway.ask(get("/a"));
    assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"));
    assert!(!answer.text().contains("certificate"), "{answer:?}");
    let entry = gateway.access_log_entry(|entry| entry["reason"] == "upstream_connect");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("its certificate has an unknown issuer"), "{detail}");
}

#[test]
fn nginx_closes_connections_it_has_served_for_long_and_no_request_is_lost() {
    let authority = Authority::new("authority of the tests");
    let server = format!("keepalive_requests 10; {ECHO}");
    let nginx = nginx(&authority, "ssl http2", &server);
    let gateway = gateway(&format!("https://{}", nginx.address), ", tls: {ca_file: ./ca.pem}", |directory| {
        fs::write(directory.join("ca.pem"), &authority.pem).unwrap();
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                for turn in 0..100 {
                    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
                    assert_eq!(client.receive().status, 200, "turn {turn}");
                }
            });
        }
    });
}

#[test]
fn nginx_without_tls_speaks_http2_by_prior_knowledge() {
    let nginx = Nginx::start_in(tempfile::tempdir().unwrap(), "http2", ECHO);
    let gateway = gateway(&format!("h2c://{}", nginx.address), "", |_| {});
    assert!(gateway.ask(get("/a")).text().starts_with("HTTP/2.0 "));
}

#[test]
fn a_reload_keeps_the_connection_to_a_backend_that_is_still_the_same() {
    let authority = Authority::new("authority of the tests");
    let nginx = nginx(&authority, "ssl http2", ECHO);
    let (url, tls) = (format!("https://{}", nginx.address), ", tls: {ca_file: ./ca.pem}");
    let gateway = gateway(&url, tls, |directory| fs::write(directory.join("ca.pem"), &authority.pem).unwrap());
    let before = gateway.ask(get("/a")).text();
    gateway.configure(&format!("{}mode: enforce\n", config(&url, tls)));
    let host = format!("Host: {}\r\n", gateway.admin.unwrap());
    assert_eq!(gateway.reload(&host).status, 200);
    assert_eq!(gateway.ask(get("/a")).text(), before);
}
