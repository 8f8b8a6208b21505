//! Requests that HTTP/2 can carry and HTTP/1.1 cannot, or reads otherwise: the table `tests/cases/http2/requests.yaml`.
//!
//! Every row has a gateway of its own, which is ended before the backend's record is read: then the record holds every
//! byte that the row made the gateway send, and nothing of another row.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Deserialize;

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameClient, HEADERS, Outcome, block, frame};
use crate::framing::{Expected, bytes, config};
use crate::harness::backend::{OK, RawBackend, Seen, Then};
use crate::harness::gateway::Gateway;

const TABLE: &str = include_str!("../../cases/http2/requests.yaml");

/// What a request has unless a row says otherwise.
const PSEUDO: [&str; 4] = [":method: POST", ":scheme: http", ":authority: a", ":path: /open/a"];
/// A request that is beyond doubt: sent behind each row, to see that the row has left nothing behind.
const NEXT: &str = "GET /open/next HTTP/1.1\r\nHost: next\r\n\r\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    without: Vec<String>,
    data: Option<Vec<String>>,
    trailers: Option<Vec<String>>,
    #[serde(default = "Row::refused")]
    outcome: Vec<String>,
    #[serde(default)]
    backend: Vec<Expected>,
    #[serde(default)]
    aborted: bool,
}

impl Row {
    fn refused() -> Vec<String> {
        vec!["400".to_owned()]
    }

    /// The frames of the request.
    fn frames(&self) -> Vec<u8> {
        let (has_data, has_trailers) = (self.data.is_some(), self.trailers.is_some());
        let mut frames = head(flag(!has_data && !has_trailers), &block(&self.fields()));
        let data = self.data.as_deref().unwrap_or_default();
        for (place, piece) in data.iter().enumerate() {
            frames.extend(frame(DATA, flag(place + 1 == data.len() && !has_trailers), 1, &bytes(piece)));
        }
        if let Some(trailers) = &self.trailers {
            let trailers: Vec<_> = trailers.iter().map(|field| split(field)).collect();
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&trailers)));
        }
        frames
    }

    fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let named = |name: &[u8]| self.fields.iter().any(|field| split(field).0 == name);
        let left_out = |name: &[u8]| self.without.iter().any(|without| without.as_bytes() == name);
        let own = self.fields.iter().map(|field| split(field));
        PSEUDO.iter().map(|field| split(field)).filter(|(name, _)| !named(name) && !left_out(name)).chain(own).collect()
    }
}

/// HEADERS, and CONTINUATION for what does not fit in a frame.
fn head(flags: u8, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16 * 1024).enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((place, piece)) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let (kind, flags) = if place == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
        frames.extend(frame(kind, flags | end, 1, piece));
    }
    frames
}

fn flag(ends: bool) -> u8 {
    if ends { END_STREAM } else { 0 }
}

/// A field's name and value.
fn split(field: &str) -> (Vec<u8>, Vec<u8>) {
    let (name, value) = field.split_once(": ").expect("`name: value`");
    (bytes(name), bytes(value))
}

#[test]
fn requests_that_http1_would_read_otherwise() {
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
    let mut client = FrameClient::begin(gateway.address());
    client.send(row.frames()).unwrap();
    let outcome = client.outcome(1);
    let told = tell(&outcome);
    assert!(row.outcome.contains(&told), "{told}: {outcome:?}");
    assert_eq!(gateway.ask(NEXT).status, 200, "the gateway answers another client");
    drop(client);
    gateway.stop();
    check_record(row, backend.finish());
}

/// An outcome in the words of the table. A refusal has to be a proper one.
fn tell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answer(431, body) if body.is_empty() => "431 bare".to_owned(),
        Outcome::Answer(status, body) => {
            assert!(*status < 400 || body.contains("\"requestId\""), "{outcome:?}");
            status.to_string()
        }
        Outcome::Reset(code) => format!("reset {code}"),
        Outcome::GoAway(code) => format!("goaway {code}"),
        Outcome::Closed => "closed".to_owned(),
    }
}

fn check_record(row: &Row, seen: Vec<Seen>) {
    let (whole, broken): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(|seen| seen.complete);
    let whole: Vec<Seen> = whole.into_iter().filter(|seen| seen.request() != "GET /open/next").collect();
    assert!(broken.len() <= usize::from(row.aborted), "{broken:#?}");
    assert!(broken.iter().all(|broken| broken.request() == "POST /open/a"), "{broken:#?}");
    assert_eq!(whole.len(), row.backend.len(), "{whole:#?}");
    for (seen, expected) in whole.iter().zip(&row.backend) {
        expected.check(seen);
    }
}
