//! One request as a line.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use super::escape::{json_string, word};

/// Longest part of a path that is logged, in bytes.
const PATH_BYTES_MAX: usize = 2048;
/// Longest part of any other text that is logged, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// RFC 3339 with milliseconds.
const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// What is logged of a request. There is no place here for header fields, tokens or queries.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When the request's head had arrived, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    /// The request id.
    pub request_id: &'a str,
    /// Address of the peer.
    pub peer: IpAddr,
    /// The method.
    pub method: &'a str,
    /// The host that was asked for, without port; empty if there was none.
    pub host: &'a str,
    /// The path as it came: see [`loggable_path`].
    pub path: &'a str,
    /// Status of the answer.
    pub status: u16,
    /// The label of the reason for which the request was refused, or would have been.
    pub reason: Option<&'a str>,
    /// What exactly was wrong.
    pub detail: Option<&'a str>,
    /// Whether the request was let through in spite of `reason`.
    pub shadowed: bool,
    /// The route, if one was matched.
    pub route: Option<&'a str>,
    /// Name of the issuer whose key signed the token.
    pub issuer: Option<&'a str>,
    /// The client that the token names.
    pub client_id: Option<&'a str>,
    /// The tenant that the backend was told.
    pub tenant: Option<&'a [u8]>,
    /// From the end of the request head to the end of the answer.
    pub duration: Duration,
    /// The upstream that was asked.
    pub upstream: Option<Upstream<'a>>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// What is logged of an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    /// Its name.
    pub name: &'a str,
    /// The time to its response head, if it gave one.
    pub duration: Option<Duration>,
}

/// The part of a request target that may be logged: its path. What comes before it in an absolute-form target can hold
/// a password, what comes after it is the query.
#[must_use]
pub fn loggable_path(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let target = target.get(..end).unwrap_or_default();
    if target.starts_with('/') {
        return target;
    }
    let Some((_, rest)) = target.split_once("://") else { return "" };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

impl Entry<'_> {
    pub(super) fn write_json(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"time\":\"");
        push_time(line, self.time_ms);
        line.push(b'"');
        self.each_field(|name, value| {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
            match value {
                Value::Text(text, bytes_max) => json_string(line, text, bytes_max),
                Value::Number(number) => push_number(line, number),
                Value::Milliseconds(duration) => push_milliseconds(line, duration),
                Value::Address(address) => _ = write!(line, "\"{address}\""),
            }
        });
        line.extend_from_slice(b"}\n");
    }

    pub(super) fn write_text(&self, line: &mut Vec<u8>) {
        push_time(line, self.time_ms);
        self.each_field(|name, value| {
            line.push(b' ');
            line.extend_from_slice(name.as_bytes());
            line.push(b'=');
            match value {
                Value::Text(text, bytes_max) => word(line, text, bytes_max),
                Value::Number(number) => push_number(line, number),
                Value::Milliseconds(duration) => push_milliseconds(line, duration),
                Value::Address(address) => _ = write!(line, "{address}"),
            }
        });
        line.push(b'\n');
    }

    /// The fields but the time, in the order of the line; those that say nothing are left out.
    fn each_field(&self, mut field: impl FnMut(&'static str, Value<'_>)) {
        let mut some = |name, value: Option<Value<'_>>| value.into_iter().for_each(|value| field(name, value));

        some("request_id", Some(self.request_id.into()));
        some("method", Some(self.method.into()));
        some("host", Some(self.host.into()).filter(|_| !self.host.is_empty()));
        some("path", Some(Value::Text(self.path.as_bytes(), PATH_BYTES_MAX)));
        some("status", Some(Value::Number(self.status.into())));
        some("reason", self.reason.map(Value::from));
        some("detail", self.detail.map(Value::from));
        some("mode", self.shadowed.then_some("shadow".into()));
        some("route", self.route.map(Value::from));
        some("issuer", self.issuer.map(Value::from));
        some("client_id", self.client_id.map(Value::from));
        some("tenant", self.tenant.map(|tenant| Value::Text(tenant, TEXT_BYTES_MAX)));
        some("upstream", self.upstream.map(|upstream| upstream.name.into()));
        some("upstream_ms", self.upstream.and_then(|upstream| upstream.duration).map(Value::Milliseconds));
        some("duration_ms", Some(Value::Milliseconds(self.duration)));
        some("bytes_in", Some(Value::Number(self.bytes_in)));
        some("bytes_out", Some(Value::Number(self.bytes_out)));
        some("peer", Some(Value::Address(self.peer)));
    }
}

enum Value<'a> {
    /// Foreign text, and how much of it is logged.
    Text(&'a [u8], usize),
    Number(u64),
    Milliseconds(Duration),
    Address(IpAddr),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes(), TEXT_BYTES_MAX)
    }
}

fn push_time(line: &mut Vec<u8>, time_ms: u64) {
    let time = i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // Writing into memory cannot fail.
    _ = TIME.print_timestamp(&time.unwrap_or(Timestamp::MAX), line);
}

fn push_number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds with three decimals: `1.234`.
fn push_milliseconds(line: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    push_number(line, micros / 1000);
    line.push(b'.');
    let thousandths = micros % 1000;
    for unit in [100, 10, 1] {
        line.push(b'0' + (thousandths / unit % 10) as u8);
    }
}
