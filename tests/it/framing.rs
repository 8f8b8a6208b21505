//! Framing attacks against a raw backend: the table `tests/cases/framing/attacks.yaml`.
//!
//! Every row has a gateway of its own, which is ended before the backend's record is read: then the record holds every
//! byte that the row made the gateway send, and nothing of another row.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Deserialize;

use crate::harness::backend::{OK, RawBackend, Seen, Then};
use crate::harness::client::{Client, Failure};
use crate::harness::gateway::Gateway;

const TABLE: &str = include_str!("../cases/framing/attacks.yaml");

/// A request that is beyond doubt: sent behind each row, to see that the row has left nothing behind.
const NEXT: &str = "GET /open/next HTTP/1.1\r\nHost: next\r\n\r\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    send: String,
    #[serde(default)]
    half_close: bool,
    #[serde(default = "Row::refused")]
    answers: Vec<OneOf>,
    #[serde(default)]
    connection: Connection,
    #[serde(default)]
    backend: Vec<Expected>,
    #[serde(default)]
    aborted: bool,
}

impl Row {
    fn refused() -> Vec<OneOf> {
        vec![OneOf::Status(400)]
    }
}

/// One status, or a choice of several; 0 is the end of the connection.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOf {
    Status(u16),
    Choice(Vec<u16>),
}

impl OneOf {
    fn allows(&self, status: u16) -> bool {
        match self {
            Self::Status(one) => *one == status,
            Self::Choice(several) => several.contains(&status),
        }
    }
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Connection {
    #[default]
    Closes,
    Stays,
    Any,
}

/// A request that the backend must have seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    request: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    trailers: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
}

#[test]
fn framing_attacks() {
    let rows: Vec<Row> = serde_yaml::from_str(TABLE).unwrap();
    let mut names = HashSet::new();
    assert!(rows.iter().all(|row| names.insert(&row.name)), "two rows have the same name");

    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let work = || {
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(AssertUnwindSafe(|| run(row))).is_err() {
                eprintln!("^^^ FAILED: {}", row.name);
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    assert_eq!(failed.into_inner(), 0, "rows failed, of {}", rows.len());
}

fn run(row: &Row) {
    let backend = RawBackend::start(|exchange| exchange.send(OK).map(|()| Then::KeepAlive));
    let gateway = Gateway::start(&config(backend.address));
    attack(row, gateway.address());
    assert_eq!(gateway.ask(NEXT).status, 200, "the gateway answers another client");
    gateway.stop();
    let seen = backend.finish();
    check_record(row, &seen);
}

/// Sends the row's bytes and reads what is answered.
fn attack(row: &Row, gateway: SocketAddr) {
    let mut client = Client::connect(gateway);
    // The gateway may refuse and close before all was sent.
    let sent = client.try_send(bytes(&row.send));
    if row.half_close {
        client.finish();
    }
    for expected in &row.answers {
        let status = match client.try_receive() {
            Ok(response) if response.status >= 400 => {
                assert_eq!(response.code(), code(response.status), "{response:?}");
                response.status
            }
            Ok(response) => response.status,
            Err(Failure::Closed) => 0,
            Err(other) => panic!("no answer: {other:?}; sending: {sent:?}"),
        };
        assert!(expected.allows(status), "status {status}; sending: {sent:?}");
    }
    match row.connection {
        Connection::Closes => client.expect_closed(),
        Connection::Any => {}
        Connection::Stays => {
            client.send(NEXT);
            assert_eq!(client.receive().status, 200, "the connection goes on");
        }
    }
}

fn check_record(row: &Row, seen: &[Seen]) {
    let (whole, broken): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.complete);
    let (next, whole): (Vec<&Seen>, Vec<&Seen>) =
        whole.into_iter().partition(|seen| seen.request() == "GET /open/next");
    let followed = 1 + usize::from(row.connection == Connection::Stays);
    assert_eq!(next.len(), followed, "{next:#?}");
    assert!(next.iter().all(|next| next.body.is_empty() && next.head.fields.one("host") == Some("next")), "{next:#?}");

    assert!(broken.len() <= usize::from(row.aborted), "{broken:#?}");
    for broken in broken {
        let sent = bytes(&row.send);
        assert!(broken.request() == "POST /open/a", "{broken:#?}");
        assert!(broken.body.is_empty() || find(&sent, &broken.body), "a body that was never sent: {broken:#?}");
    }
    assert_eq!(whole.len(), row.backend.len(), "{whole:#?}");
    for (seen, expected) in whole.iter().zip(&row.backend) {
        expected.check(seen);
    }
}

impl Expected {
    pub(crate) fn check(&self, seen: &Seen) {
        assert_eq!(seen.request(), self.request);
        assert_eq!(seen.body, bytes(&self.body), "{seen:#?}");
        let trailers = seen.trailers.0.iter().map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()));
        assert_eq!(trailers.collect::<Vec<_>>(), self.trailers, "{seen:#?}");
        for field in &self.fields {
            let (name, value) = field.split_once(": ").expect("`name: value`");
            assert_eq!(seen.head.fields.one(name).map(str::as_bytes), Some(&*bytes(value)), "{seen:#?}");
        }
        for name in &self.absent {
            assert_eq!(seen.head.fields.one(name), None, "{seen:#?}");
        }
    }
}

pub(crate) fn config(backend: SocketAddr) -> String {
    format!(
        "workers: 1
limits: {{header_bytes: 16KiB, drain_delay: 1ms}}
telemetry: {{access_log: none}}
identity: {{tenant: {{header: X-Tenant-Id}}}}
upstreams: {{raw: {{urls: [http://{backend}]}}}}
routes:
  - {{match: '/open/{{*path}}', public: true, upstream: raw}}
  - {{match: /closed, authenticated: true, upstream: raw}}
"
    )
}

/// The error code that goes with a status.
fn code(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHORIZED",
        404 => "NOT_FOUND",
        413 | 431 => "TOO_LARGE",
        _ => "BAD_REQUEST",
    }
}

/// A character is a byte, and `<<text*9>>` stands for text nine times.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let byte = |letter: char| u8::try_from(letter).expect("characters up to \\xff");
    let Some((before, rest)) = text.split_once("<<") else { return text.chars().map(byte).collect() };
    let (repeated, after) = rest.split_once(">>").expect("`<<` ends with `>>`");
    let (repeated, times) = repeated.rsplit_once('*').expect("`<<text*times>>`");
    [bytes(before), bytes(repeated).repeat(times.parse().unwrap()), bytes(after)].concat()
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
