//! The configuration: what the file says, checked, and compiled into what the program runs on.
//!
//! [`load`] is the one border between the text and the program: behind it there is no unchecked value.

mod answers;
mod claims;
mod decode;
mod env;
mod identity;
mod issue;
mod issuer;
mod issuers;
mod keyfile;
pub mod keys;
mod limits;
mod listeners;
mod load;
mod report;
mod requirement;
mod resource;
mod roles;
mod routes;
mod scalar;
mod source;
mod upstreams;
mod words;
mod yaml;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::core::snapshot::{PathReading, Snapshot};
use crate::telemetry::Format;
use crate::telemetry::access_log::Destination;

pub use env::Env;
pub use issue::{ConfigIssue, Diagnostics, Spot};
pub use load::{from_text, load};
pub use source::Position;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Where requests come in; at least one.
    pub listeners: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
    /// The listener for health and metrics only.
    pub health: Option<SocketAddr>,
    /// Number of workers; `None` is the CPUs the process may use.
    pub workers: Option<NonZeroUsize>,
    /// The backends, in the order of `Snapshot::upstreams`.
    pub upstreams: Vec<Upstream>,
    /// Bounds of everything a client can make grow.
    pub limits: Limits,
    /// Logs.
    pub telemetry: Telemetry,
    /// What decisions are made from.
    pub snapshot: Snapshot,
    /// Choices that open something, and other things worth a look.
    pub warnings: Vec<String>,
    /// SHA-256 of the file, in hex.
    pub hash: String,
    /// Every file that was read because the configuration names it.
    pub files: Vec<PathBuf>,
}

/// One entry of `upstreams`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: Box<str>,
    /// Where it is.
    pub kind: UpstreamKind,
    /// Whether it may ignore case or a trailing slash.
    pub paths: PathReading,
}

/// Where a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamKind {
    /// `builtin: echo`.
    Echo,
    /// `urls`.
    Http(HttpUpstream),
}

/// A backend that speaks HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUpstream {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time from the request's last byte to the response head.
    pub timeout: Duration,
    /// Which `Host` the backend sees.
    pub host: HostHeader,
    /// Active health check.
    pub health_check: Option<HealthCheck>,
}

/// One URL of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address, IPv6 without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
}

/// `upstreams.X.host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Preserve,
    /// The URL's.
    Upstream,
}

/// `upstreams.X.health_check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query asked for with GET; 2xx is healthy.
    pub path: Box<str>,
    /// Time between two checks.
    pub interval: Duration,
}

/// `limits`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest request head in bytes.
    pub header_bytes: usize,
    /// Most client connections at a time, over all workers.
    pub connections: usize,
    /// Longest time for a request head to arrive.
    pub request_head: Duration,
    /// Longest silence: between requests, and within a body in either direction.
    pub idle: Duration,
    /// Longest time to finish requests in flight at the end.
    pub drain: Duration,
    /// Time of accepting while already unready at the end.
    pub drain_delay: Duration,
}

/// `telemetry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// Where the access log goes.
    pub access_log: Destination,
    /// How logs look.
    pub log_format: Format,
}
