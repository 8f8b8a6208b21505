//! `limits` and `telemetry`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::Fields;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::yaml::Node;
use super::{Limits, Telemetry, keys, words};
use crate::telemetry::Format;
use crate::telemetry::access_log::Destination;

pub(super) const DURATION: &str = "a duration such as 250ms, 30s, 5m or 24h";
/// The same where it is whole seconds, or one at least.
pub(super) const SECONDS: &str = "a duration such as 30s, 5m or 24h";
pub(super) const SIZE: &str = "a size such as 512B, 16KiB, 10MiB or 1GiB";

const HEADER_BYTES_MIN: usize = 1 << 10;
const HEADER_BYTES_MAX: usize = 1 << 20;
const TOKEN_BYTES_DEFAULT: usize = 16 << 10;
const TOKEN_BYTES_MIN: usize = 256;
const CONNECTIONS_MAX: usize = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 << 10,
            connections: 16_384,
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            drain_delay: Duration::from_secs(5),
        }
    }
}

/// All of `limits`: what the connections are held to, and what decisions are.
pub(super) struct AllLimits {
    pub(super) connections: Limits,
    pub(super) token_bytes_max: usize,
    pub(super) body_bytes_max: Option<u64>,
}

pub(super) fn decode(file: &Fields<'_>, report: &mut Report<'_>) -> AllLimits {
    let limits = report.field(file, "limits", |report, node| {
        let fields = report.fields(node, &keys::LIMITS)?;
        Some(read(&fields, report))
    });
    limits.unwrap_or(AllLimits {
        connections: Limits::default(),
        token_bytes_max: TOKEN_BYTES_DEFAULT,
        body_bytes_max: None,
    })
}

fn read(fields: &Fields<'_>, report: &mut Report<'_>) -> AllLimits {
    let default = Limits::default();
    let header_bytes = report.field(fields, "header_bytes", |report, node| {
        let expected = format!("{SIZE}, from 1KiB to 1MiB");
        report.quantity(node, &expected, bounded(HEADER_BYTES_MIN, HEADER_BYTES_MAX))
    });
    let header_bytes = header_bytes.unwrap_or(default.header_bytes);
    let token_bytes = report.field(fields, "token_bytes", |report, node| {
        let expected = format!("{SIZE}, from 256B to {header_bytes}B, which is `header_bytes`");
        report.quantity(node, &expected, bounded(TOKEN_BYTES_MIN, header_bytes))
    });
    let body_bytes_max = report.field(fields, "body_bytes", |report, node| report.quantity(node, SIZE, scalar::size));
    let connections = report.field(fields, "connections", |report, node| report.number(node, 1..=CONNECTIONS_MAX));
    let request_head = report.field(fields, "request_head", positive_duration);
    let idle = report.field(fields, "idle", positive_duration);
    let drain = report.field(fields, "drain", duration);
    let drain_delay = report.field(fields, "drain_delay", duration);
    let connections = Limits {
        header_bytes,
        connections: connections.unwrap_or(default.connections),
        request_head: request_head.unwrap_or(default.request_head),
        idle: idle.unwrap_or(default.idle),
        drain: drain.unwrap_or(default.drain),
        drain_delay: drain_delay.unwrap_or(default.drain_delay),
    };
    AllLimits { connections, token_bytes_max: token_bytes.unwrap_or(TOKEN_BYTES_DEFAULT), body_bytes_max }
}

fn bounded(min: usize, max: usize) -> impl Fn(&str) -> Result<usize, Flaw> {
    move |text| match scalar::memory_size(text)? {
        bytes if bytes < min => Err(Flaw::new("the size is too small")),
        bytes if bytes > max => Err(Flaw::new("the size is too large")),
        bytes => Ok(bytes),
    }
}

/// A duration, as the value of a key.
pub(super) fn duration(report: &mut Report<'_>, node: &Node<'_>) -> Option<Duration> {
    report.quantity(node, DURATION, scalar::duration)
}

/// A duration that is not zero, as the value of a key.
pub(super) fn positive_duration(report: &mut Report<'_>, node: &Node<'_>) -> Option<Duration> {
    report.quantity(node, DURATION, scalar::positive_duration)
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { access_log: Destination::Stdout, log_format: Format::Json }
    }
}

/// `telemetry`.
pub(super) fn telemetry(file: &Fields<'_>, base: &Path, report: &mut Report<'_>) -> Telemetry {
    let telemetry = report.field(file, "telemetry", |report, node| {
        let fields = report.fields(node, &keys::TELEMETRY)?;
        let access_log = report.field(&fields, "access_log", |report, node| {
            report.parsed(node, "`none`, `stdout` or a path such as ./access.log", |text| access_log(text, base))
        });
        let formats = [("json", Format::Json), ("text", Format::Text)];
        let log_format = report.field(&fields, "log_format", |report, node| report.word(node, &formats));
        Some(Telemetry {
            access_log: access_log.unwrap_or(Destination::Stdout),
            log_format: log_format.unwrap_or_default(),
        })
    });
    telemetry.unwrap_or_default()
}

/// A path has a `/` in it, so that a misspelt word does not become the name of a file.
fn access_log(text: &str, base: &Path) -> Result<Destination, Flaw> {
    match text {
        "none" => Ok(Destination::None),
        "stdout" => Ok(Destination::Stdout),
        path if path.ends_with('/') => Err(Flaw::new("a directory cannot be a log")),
        path if path.contains('/') => Ok(Destination::File(base.join(PathBuf::from(path)))),
        word => {
            let hint = match words::nearest(word, ["none", "stdout"]) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("write `./{}` for a file", words::shown(word)),
            };
            Err(Flaw::new("neither a known word nor a path").hint(hint))
        }
    }
}
