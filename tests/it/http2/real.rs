//! curl and h2load, for what real clients do.

use std::process::Command;

use crate::harness::backend::{RawBackend, Then};
use crate::harness::curl::curl;
use crate::harness::gateway::Gateway;
use crate::harness::nginx::Nginx;

fn gateway(upstream: &str) -> Gateway {
    Gateway::start(&format!(
        "workers: 1
upstreams: {{it: {upstream}}}
routes:
  - {{match: '/open/{{*path}}', public: true, upstream: it}}
  - {{match: /closed, authenticated: true, upstream: it}}
"
    ))
}

/// Runs curl over HTTP/2 without TLS.
fn ask(gateway: &Gateway, arguments: &[&str], path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", gateway.address());
    let answer = curl(&[&["--http2-prior-knowledge", "--output", "-"], arguments, &[&*url]].concat());
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn curl_is_answered_as_over_http1() {
    let gateway = gateway("{builtin: echo}");
    let (status, echo) = ask(&gateway, &["--header", "X-Tenant-Id: forged", "--data", "hello"], "/open/a?b=c");
    assert_eq!(status, 200);
    assert!(echo.contains("\"method\": \"POST\"") && echo.contains("/open/a?b=c"), "{echo}");
    let host = format!("\"host\": \"{}\"", gateway.address());
    assert!(echo.contains(&host), "the authority is the Host: {echo}");
    let (status, refusal) = ask(&gateway, &["--include"], "/closed");
    assert_eq!(status, 401);
    assert!(refusal.starts_with("HTTP/2 401") && refusal.contains("www-authenticate: Bearer"), "{refusal}");
    assert!(refusal.contains("\"code\":\"UNAUTHORIZED\""), "{refusal}");
    let entry = gateway.access_log_entry(|entry| entry["path"] == "/closed");
    assert_eq!((&entry["status"], &entry["reason"]), (&401.into(), &"token_missing".into()));
}

#[test]
fn files_and_uploads_arrive_as_they_are() {
    let nginx = Nginx::start("location /open/up { client_body_in_file_only clean; proxy_pass http://127.0.0.1:1; }");
    std::fs::create_dir(nginx.root().join("open")).unwrap();
    let content: String = (0..700_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(nginx.root().join("open/file"), &content).unwrap();
    let gateway = gateway(&format!("{{urls: ['http://{}']}}", nginx.address));
    let (status, body) = ask(&gateway, &[], "/open/file");
    assert!(status == 200 && body == content, "{status}, {} bytes", body.len());
    let (status, _) = ask(&gateway, &["--head"], "/open/file");
    assert_eq!(status, 200);

    let backend = RawBackend::start(|exchange| {
        let length = exchange.seen.body.len();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{length:07}")).map(|()| Then::KeepAlive)
    });
    let gateway = self::gateway(&format!("{{urls: ['http://{}']}}", backend.address));
    let file = gateway.directory().join("upload");
    std::fs::write(&file, &content).unwrap();
    let data = format!("@{}", file.display());
    for framing in [&[][..], &["--header", "Content-Length:"]] {
        let told = ask(&gateway, &[&["--data-binary", &data], framing].concat(), "/open/up");
        assert_eq!(told, (200, format!("{:07}", content.len())));
        assert!(backend.next().body == content.as_bytes());
    }
}

#[test]
fn early_hints_pass() {
    let backend = RawBackend::start(|exchange| {
        exchange
            .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway(&format!("{{urls: ['http://{}']}}", backend.address));
    let (_, shown) = ask(&gateway, &["--include"], "/open/a");
    assert!(shown.starts_with("HTTP/2 103") && shown.contains("link: </a.css>"), "{shown}");
    assert!(shown.contains("\nHTTP/2 200"), "{shown}");
}

#[test]
fn an_answer_has_the_id_of_its_request_whatever_id_the_backend_gives_it() {
    let backend = RawBackend::fixed(
        "HTTP/1.1 200 OK\r\nX-Request-Id: one\r\nx-request-id: two\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok",
    );
    let gateway = gateway(&format!("{{urls: ['http://{}']}}", backend.address));
    let (_, shown) = ask(&gateway, &["--include"], "/open/a");
    let given: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(given, [backend.next().head.fields.one("x-request-id").unwrap()], "{shown}");
    assert!(shown.contains("x-a: 1"), "{shown}");
}

#[test]
fn no_request_fails_under_load() {
    let gateway = gateway("{builtin: echo}");
    let url = format!("http://{}/open/a", gateway.address());
    let load = ["--requests=20000", "--clients=8", "--max-concurrent-streams=100", "--threads=1", &url];
    let output = Command::new("h2load").args(load).output().expect("h2load is installed (tests/install-tools)");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("20000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("status codes: 20000 2xx"), "{report}");
}
