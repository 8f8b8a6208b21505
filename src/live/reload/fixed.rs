//! What a reload cannot change.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::authority::Storage;
use crate::config::{AuthzAddress, Config, Telemetry};

/// The part of a configuration that only a start can change: what sockets, threads and log files are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    health: Option<SocketAddr>,
    authz_grpc: Option<AuthzAddress>,
    authz_http: Option<AuthzAddress>,
    workers: Option<NonZeroUsize>,
    telemetry: Telemetry,
    authority: Option<FixedAuthority>,
}

/// The part of `authority` that only a start can change: what it keeps and where, and by which name others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FixedAuthority {
    /// Without a password: a new one is no other storage.
    storage: Storage,
    issuer: Box<str>,
    max_stale: Duration,
}

impl Fixed {
    /// That part of `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            listeners: config.listeners.iter().map(|listener| listener.address).collect(),
            admin: config.admin,
            health: config.health,
            authz_grpc: config.authz.as_ref().and_then(|authz| authz.grpc.clone()),
            authz_http: config.authz.as_ref().and_then(|authz| authz.http.clone()),
            workers: config.workers,
            telemetry: config.telemetry.clone(),
            authority: config.authority.as_deref().map(|authority| FixedAuthority {
                storage: authority.storage.without_password(),
                issuer: authority.issuer.clone(),
                max_stale: authority.max_stale,
            }),
        }
    }

    /// Whether other proxies may ask.
    #[must_use]
    pub fn has_authz(&self) -> bool {
        self.authz_grpc.is_some() || self.authz_http.is_some()
    }

    /// The sections in which `other` differs.
    pub(super) fn changed(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart, so that a new field cannot be forgotten here.
        let Self { listeners, admin, health, authz_grpc, authz_http, workers, telemetry, authority } = self;
        let (is_other, storage, issuer, max_stale) = match (authority, &other.authority) {
            (Some(FixedAuthority { storage, issuer, max_stale }), Some(other)) => {
                (false, *storage != other.storage, *issuer != other.issuer, *max_stale != other.max_stale)
            }
            (one, other) => (one.is_some() != other.is_some(), false, false, false),
        };
        let sections = [
            ("authority", is_other),
            ("authority.storage", storage),
            ("authority.issuer", issuer),
            ("authority.max_stale", max_stale),
            ("listeners", *listeners != other.listeners),
            ("admin.address", *admin != other.admin),
            ("health.address", *health != other.health),
            ("authz.grpc", *authz_grpc != other.authz_grpc),
            ("authz.http", *authz_http != other.authz_http),
            ("workers", *workers != other.workers),
            ("telemetry", *telemetry != other.telemetry),
        ];
        sections.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}
