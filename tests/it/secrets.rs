//! What is secret stays secret: every token, part of a token and query that is sent here, in whatever place and however
//! wrong, is looked for in all that the gateway writes.

use std::collections::BTreeSet;

use crate::harness::backend::{OK, RawBackend};
use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;

/// What was sent and must be nowhere.
#[derive(Default)]
struct Sent {
    secrets: BTreeSet<String>,
    count: usize,
}

impl Sent {
    /// A secret of its own for each place it is put in.
    fn invent(&mut self) -> String {
        self.count += 1;
        let secret = format!("s3cret-{:04}-value", self.count);
        self.secrets.insert(secret.clone());
        secret
    }

    /// A token, of which neither the whole nor the signature may show up, nor the claims.
    fn token(&mut self, token: &str) -> String {
        self.secrets.insert(token.to_owned());
        self.secrets.extend(token.split('.').skip(1).filter(|part| part.len() >= 16).map(str::to_owned));
        token.to_owned()
    }

    fn check(&self, place: &str, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {place}:\n{text}");
        }
    }
}

fn config(backend: &RawBackend) -> String {
    format!(
        "workers: 1
health: {{address: 127.0.0.1:0}}
limits: {{drain_delay: 1ms, header_bytes: 64KiB}}
identity: {{tenant: {{header: X-Tenant-Id, required: true, select: true}}}}
upstreams:
  raw: {{urls: [{}]}}
  down: {{urls: [http://{}]}}
routes:
  - {{match: '/v1/users/{{id}}', scopes: ['users:read'], upstream: raw}}
  - {{match: '/v1/admin/{{id}}', scopes: [admin], upstream: raw}}
  - {{match: '/down/{{id}}', authenticated: true, upstream: down}}
  - {{match: '/public/{{id}}', public: true, upstream: raw}}
  - {{match: 'GET /v1/shadow/{{id}}', scopes: [admin], mode: shadow, upstream: raw}}
",
        backend.url(),
        RawBackend::nowhere()
    )
}

/// Values of `Authorization`, good and bad in every way there is.
fn credentials(sent: &mut Sent) -> Vec<String> {
    let good = mint(&[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let mut tokens = vec![
        good.clone(),
        mint(&["--scope", "other"]),
        mint(&["--tenant", ""]),
        mint(&["--expires-in", "-3600"]),
        format!("{signed}."),
        format!("{signed}.{}", signature.chars().rev().collect::<String>()),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("{header}.e30.{signature}"),
        format!("{header}.{signature}.{claims}"),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{good}{}", "A".repeat(20_000)),
    ];
    for token in &mut tokens {
        *token = sent.token(token);
    }
    let mut values: Vec<String> = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    values.push(format!("bearer  {good}"));
    values.push(format!("DPoP {good}"));
    values.push(format!("Bearer {good} {}", sent.invent()));
    values.push(format!("Bearer {good}, Bearer {}", sent.invent()));
    values.push(format!("Bearer \"{}\"", sent.invent()));
    for scheme in ["Bearer ", "Basic ", "Digest username=", "Negotiate ", "", "Bearer\t"] {
        values.push(format!("{scheme}{}", sent.invent()));
    }
    values
}

/// Requests with a secret in every place where one might be put by mistake.
fn requests(sent: &mut Sent) -> Vec<String> {
    let good = sent.token(&mint(&[]));
    let paths = ["/v1/users/7", "/v1/admin/7", "/down/7", "/public/7", "/v1/shadow/7", "/nowhere", "/v1/users/%2e%2e"];
    let mut requests = Vec::new();
    for value in credentials(sent) {
        for path in paths {
            let query = sent.invent();
            requests
                .push(format!("GET {path}?access_token={query} HTTP/1.1\r\nHost: a\r\nAuthorization: {value}\r\n\r\n"));
        }
        let second = sent.invent();
        requests.push(format!(
            "GET /v1/users/7 HTTP/1.1\r\nHost: a\r\nAuthorization: {value}\r\nAuthorization: Bearer {second}\r\n\r\n"
        ));
    }
    for header in
        ["Cookie", "X-Api-Key", "Proxy-Authorization", "DPoP", "X-Tenant-Id", "Referer", "X-Request-Id", "Origin"]
    {
        // A request id is repeated on purpose; what is no request id is not.
        let odd = format!("{} {}", sent.invent(), sent.invent());
        for path in paths {
            requests.push(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{header}: {odd}\r\n\r\n"));
            requests.push(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {good}\r\n{header}: {odd}\r\n\r\n"
            ));
        }
    }
    for malformed in [
        format!("GET /public/7?{} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", sent.invent()),
        format!("GET /public/7?{} HTTP/9.9\r\nHost: a\r\n\r\n", sent.invent()),
        format!("GET /public/7 HTTP/1.1\r\nHost: a\r\n{} : {}\r\n\r\n", sent.invent(), sent.invent()),
        format!("GET /public/7 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.invent()),
        format!("GET http://user:{}@a/public/7 HTTP/1.1\r\nHost: a\r\n\r\n", sent.invent()),
        format!("GET /public/7#{} HTTP/1.1\r\nHost: a\r\n\r\n", sent.invent()),
        format!("POST /public/7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n", sent.invent()),
        format!("POST /v1/users/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n{}", sent.invent()),
    ] {
        requests.push(malformed);
    }
    requests
}

#[test]
fn nothing_secret_is_ever_written() {
    let mut sent = Sent::default();
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend));
    for request in requests(&mut sent) {
        let response = gateway.ask(&request);
        let answer = format!("{response:?} {}", response.text());
        sent.check(&format!("the answer to {request:?}"), &answer);
    }
    for path in ["/metrics", "/status", "/healthz", "/readyz"] {
        let (status, text) = gateway.admin_get(path);
        assert_eq!(status, 200, "{path}");
        sent.check(path, &text);
    }
    let (status, text) = gateway.health_get("/metrics");
    assert_eq!(status, 200);
    sent.check("/metrics of the health listener", &text);
    let finished = gateway.stop();
    assert!(finished.stdout.contains("token_signature"), "the access log is there: {}", finished.stdout);
    sent.check("the access log", &finished.stdout);
    sent.check("the log", &finished.stderr);
}

#[test]
fn the_access_log_has_the_path_and_not_the_query() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend));
    let response = gateway.ask("GET /public/7?key=value HTTP/1.1\r\nHost: a\r\nX-Request-Id: log-1\r\n\r\n");
    assert_eq!(response.fields.one("x-request-id"), Some("log-1"));
    let entry = gateway.access_log_entry(|entry| entry.to_string().contains("log-1"));
    let entry = entry.to_string();
    assert!(entry.contains("/public/7") && !entry.contains("key=value"), "{entry}");
}
