//! Which step of a decision a rejection came from: the order in which a request meets them.

use crate::core::decision::Trace;
use crate::core::rejection::{Reason, Rejection};

/// A step, in the order of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Method, host and target are well formed.
    Request,
    /// The path has one meaning.
    Path,
    /// A route matches.
    Route,
    /// Which fields of the client do not reach the backend.
    Headers,
    /// There is a token, and a key of its issuer signed it.
    Token,
    /// The token is valid, here and now.
    Claims,
    /// It may do what the route guards.
    Access,
    /// On whose behalf.
    Tenant,
    /// Where it goes.
    Forward,
}

impl Stage {
    pub(super) const ALL: [Self; 9] = [
        Self::Request,
        Self::Path,
        Self::Route,
        Self::Headers,
        Self::Token,
        Self::Claims,
        Self::Access,
        Self::Tenant,
        Self::Forward,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Path => "path",
            Self::Route => "route",
            Self::Headers => "headers",
            Self::Token => "token",
            Self::Claims => "claims",
            Self::Access => "access",
            Self::Tenant => "tenant",
            Self::Forward => "forward",
        }
    }

    /// The step that a rejection came from.
    pub(super) fn of(rejection: &Rejection, trace: &Trace) -> Self {
        use Reason as R;
        match rejection.reason {
            // The only malformation that is seen after a token: two tenant headers.
            R::RequestMalformed if trace.authenticated => Self::Tenant,
            R::RequestMalformed | R::HeadTooLarge => Self::Request,
            R::PathAmbiguous => Self::Path,
            R::RouteUnknown | R::MethodNotAllowed => Self::Route,
            R::TokenMissing | R::TokenDuplicate | R::TokenSyntax | R::TokenTooLarge => Self::Token,
            R::TokenMalformed | R::TokenAlgorithm | R::TokenKeyUnknown | R::TokenSignature | R::KeysUnavailable => {
                Self::Token
            }
            // Of an unknown issuer nothing is verified; of one that the route does not take, everything was.
            R::TokenIssuer if trace.principal.is_none() => Self::Token,
            R::TokenIssuer | R::TokenType | R::TokenAudience | R::TokenExpired | R::TokenNotYetValid => Self::Claims,
            R::TokenTooOld | R::TokenKind | R::TokenBinding | R::TokenRevoked => Self::Claims,
            R::ClientUnknown | R::ClientRevoked | R::ClientExpired | R::RegistryUnavailable => Self::Claims,
            R::ScopeMissing | R::RoleMissing | R::ClientForbidden => Self::Access,
            R::TenantMissing | R::TenantForbidden => Self::Tenant,
            R::BodyTooLarge | R::UpstreamConnect | R::UpstreamProtocol | R::UpstreamTimeout | R::Overloaded => {
                Self::Forward
            }
        }
    }
}
