//! What comes out of a decision: a permit to forward, an answer of our own, or a rejection; and the trace of how.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::claims::Principal;
use super::rejection::Rejection;
use super::route::RouteId;
use super::snapshot::{IssuerId, Mode, UpstreamId};
use super::tenant::TenantId;
use super::token::SignatureCheck;

/// The decision about one request.
#[derive(Debug)]
pub struct Decision {
    /// What is to be done.
    pub outcome: Outcome,
    /// How it came about.
    pub trace: Trace,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Outcome {
    /// Forward it, as the permit says.
    Forward(Permit),
    /// Answer it here: no backend is asked and no token is needed.
    Answer(OwnAnswer),
    /// Refuse it.
    Reject(Rejection),
}

/// Answers that are the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnAnswer {
    /// A CORS preflight.
    Preflight,
    /// The protected resource metadata document (RFC 9728).
    ResourceMetadata,
}

/// Leave to forward one request to one upstream. Only [`super::decide`] makes one, and the upstream client takes it by
/// value: nothing reaches a backend without a decision, and no decision is used twice.
#[derive(Debug)]
pub struct Permit {
    pub(super) route: RouteId,
    pub(super) upstream: UpstreamId,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) tenant: Option<TenantId>,
    pub(super) timeout: Option<Duration>,
    pub(super) body_bytes_max: Option<u64>,
}

impl Permit {
    /// A permit out of thin air, for the unit tests of what takes one.
    #[cfg(test)]
    pub(crate) fn for_tests(upstream: UpstreamId, timeout: Option<Duration>) -> Self {
        Self { route: RouteId(0), upstream, principal: None, tenant: None, timeout, body_bytes_max: None }
    }

    /// The route that was matched.
    #[must_use]
    pub fn route(&self) -> RouteId {
        self.route
    }

    /// Where the request goes.
    #[must_use]
    pub fn upstream(&self) -> UpstreamId {
        self.upstream
    }

    /// Who calls, if a valid token says so.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// The value of the tenant header, if the request has a tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&HeaderValue> {
        self.principal.as_deref()?.tenant(self.tenant?)
    }

    /// The route's own time limit, from the request's last byte to the response head.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Longest request body in bytes; `None` is no limit.
    #[must_use]
    pub fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }
}

/// How a decision came about, as far as it went. Feeds the access log, the metrics and `explain`.
#[derive(Debug, Default)]
pub struct Trace {
    /// The route, once one was matched.
    pub route: Option<RouteId>,
    /// The mode that is in force on it: set together with it, and to enforce where there is none.
    pub route_mode: Mode,
    /// The bearer, once the token's signature was found good.
    pub principal: Option<Arc<Principal>>,
    /// How it was found good.
    pub signature: Option<SignatureCheck>,
    /// The issuer that has no key for the token, where its keys are fetched and one that came since could change the answer.
    pub key_missing: Option<IssuerId>,
    /// Whether the token was found valid in all: what follows is only about what it may do.
    pub authenticated: bool,
    /// Which of the bearer's tenants, once it was settled: see [`Trace::tenant`].
    pub tenant: Option<TenantId>,
    /// What the request would have been refused for, had the route or the issuer not been in shadow mode.
    pub shadowed: Option<Rejection>,
    /// The value of `Allow`, where the method was refused.
    pub allow: Option<Box<str>>,
}

impl Trace {
    /// The tenant, once it was settled.
    #[must_use]
    pub fn tenant(&self) -> Option<&HeaderValue> {
        self.principal.as_deref()?.tenant(self.tenant?)
    }
}
