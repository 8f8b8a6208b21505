//! The configuration: what the file says, checked, and compiled into what the program runs on.
//!
//! [`load`] is the one border between the text and the program: behind it there is no unchecked value.

mod answers;
pub mod authority;
mod authz;
mod certificate;
mod claims;
mod decode;
mod endpoint;
mod env;
mod files;
mod identity;
mod issue;
mod issuer;
mod issuers;
mod key_source;
pub mod keys;
mod limits;
mod listeners;
mod load;
mod pem;
mod registry;
mod report;
mod requirement;
mod resource;
mod roles;
mod routes;
pub(crate) mod scalar;
mod secret;
mod source;
mod tls;
mod unquoted;
mod upstreams;
mod url;
pub(crate) mod words;
mod yaml;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::snapshot::{PathReading, Snapshot};
use crate::net::tls::{ClientTls, ServerTls};
use crate::telemetry::Format;
use crate::telemetry::access_log::Destination;

pub use authority::{Authority, RegistryFeed};
pub use authz::{Authz, AuthzAddress, AuthzTrust};
pub use env::Env;
pub use issue::{ConfigIssue, Diagnostics, Spot};
pub use load::{from_text, load};
pub use source::Position;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
    /// The listener for health and metrics only.
    pub health: Option<SocketAddr>,
    /// Where other proxies ask for decisions.
    pub authz: Option<Authz>,
    /// Number of workers; `None` is the CPUs the process may use.
    pub workers: Option<NonZeroUsize>,
    /// The backends, in the order of `Snapshot::upstreams`.
    pub upstreams: Vec<Upstream>,
    /// Bounds of everything a client can make grow.
    pub limits: Limits,
    /// Logs.
    pub telemetry: Telemetry,
    /// What decisions are made from. Issuers whose keys are fetched have none in it as yet.
    pub snapshot: Snapshot,
    /// Where each issuer's keys come from, in the order of the snapshot's issuers.
    pub key_sources: Vec<KeySource>,
    /// The authority, if there is one. Its issuer is among the snapshot's.
    pub authority: Option<Arc<Authority>>,
    /// Whose client registry is followed for each issuer, in the same order.
    pub registries: Vec<RegistrySource>,
    /// Where the last good keys are kept for a start while an issuer is down.
    pub state_dir: Option<PathBuf>,
    /// Choices that open something, and other things worth a look.
    pub warnings: Vec<String>,
    /// SHA-256 of the file, in hex.
    pub hash: String,
    /// Every file that was read because the configuration names it.
    pub files: Vec<PathBuf>,
}

/// One entry of `listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens. Only a start can change it.
    pub address: SocketAddr,
    /// What it shows its clients. A reload can change it.
    pub tls: Option<ServerTls>,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `jwks_file`: they are in the snapshot.
    File,
    /// The network.
    Fetched(KeyFetch),
    /// Our own authority.
    Authority,
}

/// Who says which clients an issuer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrySource {
    /// Nobody: the issuer alone.
    None,
    /// Our own authority: the issuer is its.
    Authority,
    /// The feed of another one.
    Feed(RegistryFeed),
}

/// `issuers[].keys`, where they are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFetch {
    /// `jwks_uri`; `None` is discovery: the issuer's metadata says it (OpenID Connect Discovery 1.0, then RFC 8414).
    pub jwks_uri: Option<http::Uri>,
    /// Longest time between two fetches.
    pub refresh: Duration,
    /// How long the last good keys serve when fetching fails.
    pub max_stale: Duration,
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

/// A backend that speaks HTTP.
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
    /// What its endpoints are shown, if any of them is `https`.
    pub tls: Option<ClientTls>,
}

/// What is spoken with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3).
    H2c,
    /// HTTP/2 or HTTP/1.1 over TLS, as ALPN settles it.
    Https,
}

/// One URL of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What is spoken with it.
    pub scheme: Scheme,
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
