//! Why a request was refused, and the one table that turns a reason into every answer that is made of it: HTTP status,
//! error code, RFC 6750 error, gRPC status and metric label.

use std::borrow::Cow;
use std::fmt;

/// A refused request, as a value.
///
/// It carries two texts: what the client may know is in the reason's [`Answer`], what the operator should know is in
/// `detail`, which goes to the log and to `explain` and never to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, of a closed list.
    pub reason: Reason,
    /// What exactly was wrong, for the operator. Never holds a token, a secret or a query string.
    pub detail: Cow<'static, str>,
}

impl Rejection {
    /// A rejection with a text for the operator.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Everything that is answered because of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The name in metrics, logs and `explain`.
    pub label: &'static str,
    /// HTTP status.
    pub status: u16,
    /// `error.code` of the envelope.
    pub code: &'static str,
    /// `error.message` of the envelope: all that a client is told in words.
    pub message: &'static str,
    /// `error_description` of RFC 6750 section 3 and RFC 6749 section 5.2: printable ASCII without `"` and `\`.
    pub description: &'static str,
    /// `error` of RFC 6750 section 3.1, where it has one.
    pub bearer_error: Option<&'static str>,
    /// gRPC status code.
    pub grpc: u8,
    /// Whether the answer carries a `WWW-Authenticate` challenge (RFC 6750 section 3).
    pub challenge: bool,
    /// `Retry-After`, in seconds, where trying again can help.
    pub retry_after_seconds: Option<u16>,
}

/// Declares [`Reason`] and its table in one place, so that neither can miss a row of the other.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $label:literal => $family:ident;)*) => {
        /// Every reason for which a request is refused. A closed list: metrics, logs and clients may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What is answered for this reason.
            #[must_use]
            pub const fn answer(self) -> Answer {
                match self { $(Self::$variant => Answer { label: $label, ..family::$family },)* }
            }
        }
    };
}

reasons! {
    /// No bearer token in the request.
    TokenMissing "token_missing" => TOKEN_MISSING;
    /// The bearer token is no valid JWT.
    TokenMalformed "token_malformed" => INVALID_TOKEN;
    /// The `typ` header is none of the accepted ones.
    TokenType "token_type" => INVALID_TOKEN;
    /// The algorithm is not one of the issuer's, or not the key's.
    TokenAlgorithm "token_algorithm" => INVALID_TOKEN;
    /// No key of the issuer answers to the token's `kid`.
    TokenKeyUnknown "token_key_unknown" => INVALID_TOKEN;
    /// The signature does not verify.
    TokenSignature "token_signature" => INVALID_TOKEN;
    /// The issuer is not trusted, or not on this route.
    TokenIssuer "token_issuer" => INVALID_TOKEN;
    /// None of the token's audiences is ours.
    TokenAudience "token_audience" => INVALID_TOKEN;
    /// `exp` has passed.
    TokenExpired "token_expired" => INVALID_TOKEN;
    /// `nbf` or `iat` lies in the future.
    TokenNotYetValid "token_not_yet_valid" => INVALID_TOKEN;
    /// Older than `max_token_age`.
    TokenTooOld "token_too_old" => INVALID_TOKEN;
    /// Not an access token, or one of a kind (client, user) that may not come here.
    TokenKind "token_kind" => INVALID_TOKEN;
    /// Bound to a key or a certificate that the request does not prove.
    TokenBinding "token_binding" => INVALID_TOKEN;
    /// The token was revoked.
    TokenRevoked "token_revoked" => INVALID_TOKEN;
    /// The client is not one for which this issuer may speak, or not registered.
    ClientUnknown "client_unknown" => INVALID_TOKEN;
    /// The client was revoked, or the token is older than its last revocation.
    ClientRevoked "client_revoked" => INVALID_TOKEN;
    /// The client's time is over.
    ClientExpired "client_expired" => INVALID_TOKEN;
    /// More than one `Authorization` header.
    TokenDuplicate "token_duplicate" => INVALID_REQUEST;
    /// `Authorization` has not the syntax of RFC 6750.
    TokenSyntax "token_syntax" => INVALID_REQUEST;
    /// A required scope is missing.
    ScopeMissing "scope_missing" => INSUFFICIENT_SCOPE;
    /// None of the required roles is there.
    RoleMissing "role_missing" => INSUFFICIENT_ROLE;
    /// The client is not one of the route's.
    ClientForbidden "client_forbidden" => CLIENT_FORBIDDEN;
    /// A tenant is required and the request has none.
    TenantMissing "tenant_missing" => TENANT_MISSING;
    /// The tenant is not one the token, or its issuer, may speak for.
    TenantForbidden "tenant_forbidden" => TENANT_FORBIDDEN;
    /// The path has more than one reading.
    PathAmbiguous "path_ambiguous" => BAD_REQUEST;
    /// The request is not well formed.
    RequestMalformed "request_malformed" => BAD_REQUEST;
    /// No route matches.
    RouteUnknown "route_unknown" => NOT_FOUND;
    /// The route does not have the method.
    MethodNotAllowed "method_not_allowed" => METHOD_NOT_ALLOWED;
    /// The body is longer than allowed.
    BodyTooLarge "too_large" => BODY_TOO_LARGE;
    /// The head is longer than allowed.
    HeadTooLarge "too_large" => HEAD_TOO_LARGE;
    /// The token is longer than allowed.
    TokenTooLarge "token_too_large" => TOKEN_TOO_LARGE;
    /// No connection to the upstream could be made.
    UpstreamConnect "upstream_connect" => BAD_GATEWAY;
    /// The upstream's answer is no HTTP, or ended too early.
    UpstreamProtocol "upstream_protocol" => BAD_ANSWER;
    /// The upstream took too long to answer.
    UpstreamTimeout "upstream_timeout" => GATEWAY_TIMEOUT;
    /// The issuer's keys are not there.
    KeysUnavailable "keys_unavailable" => UNAVAILABLE;
    /// Nobody can tell whether the client still exists.
    RegistryUnavailable "registry_unavailable" => UNAVAILABLE;
    /// More is asked than the gateway takes on.
    Overloaded "overloaded" => UNAVAILABLE;
}

impl Reason {
    /// The name in metrics, logs and `explain`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.answer().label
    }

    /// Whether `mode: shadow` lets a request through in spite of this reason: what a token may not do is let through
    /// and counted, and so is a token of which nobody can tell; what no backend should see (malformed requests, exceeded
    /// limits) is refused in every mode.
    #[must_use]
    pub const fn is_shadowable(self) -> bool {
        matches!(self.answer().status, 401 | 403) || matches!(self, Self::KeysUnavailable | Self::RegistryUnavailable)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Answers that several reasons share. The labels are filled in by the table above.
mod family {
    use super::Answer;

    const fn answer(status: u16, code: &'static str, message: &'static str, grpc: u8) -> Answer {
        Answer {
            label: "",
            status,
            code,
            message,
            description: message,
            bearer_error: None,
            grpc,
            challenge: false,
            retry_after_seconds: None,
        }
    }

    const fn bearer(answer: Answer, error: Option<&'static str>) -> Answer {
        Answer { bearer_error: error, challenge: true, ..answer }
    }

    const fn unauthorized(error: Option<&'static str>) -> Answer {
        bearer(answer(401, "UNAUTHORIZED", "Authentication required.", 16), error)
    }

    const fn insufficient(message: &'static str) -> Answer {
        bearer(answer(403, "INSUFFICIENT_SCOPE", message, 7), Some("insufficient_scope"))
    }

    const fn tenant(message: &'static str) -> Answer {
        bearer(answer(403, "TENANT_FORBIDDEN", message, 7), None)
    }

    pub(super) const TOKEN_MISSING: Answer = unauthorized(None);
    // One text for every way in which a token can be bad: which one it was is nobody's business but the operator's.
    pub(super) const INVALID_TOKEN: Answer =
        Answer { description: "The access token is not valid.", ..unauthorized(Some("invalid_token")) };
    pub(super) const INVALID_REQUEST: Answer =
        bearer(answer(400, "BAD_REQUEST", "The Authorization header is not well formed.", 3), Some("invalid_request"));
    pub(super) const INSUFFICIENT_SCOPE: Answer = insufficient("Insufficient OAuth scopes for this operation.");
    pub(super) const INSUFFICIENT_ROLE: Answer = insufficient("Insufficient roles for this operation.");
    pub(super) const CLIENT_FORBIDDEN: Answer = insufficient("This client may not call this operation.");
    pub(super) const TENANT_MISSING: Answer = tenant("This operation needs a tenant, and the request has none.");
    pub(super) const TENANT_FORBIDDEN: Answer = tenant("This token may not act for that tenant.");
    pub(super) const BAD_REQUEST: Answer = answer(400, "BAD_REQUEST", "The request is not well formed.", 3);
    pub(super) const NOT_FOUND: Answer = answer(404, "NOT_FOUND", "Nothing is here.", 5);
    pub(super) const METHOD_NOT_ALLOWED: Answer =
        answer(405, "METHOD_NOT_ALLOWED", "This resource does not have that method.", 12);
    pub(super) const BODY_TOO_LARGE: Answer = answer(413, "TOO_LARGE", "The request body is too large.", 8);
    pub(super) const HEAD_TOO_LARGE: Answer = answer(431, "TOO_LARGE", "The request head is too large.", 8);
    pub(super) const TOKEN_TOO_LARGE: Answer = answer(431, "TOO_LARGE", "The access token is too large.", 8);
    pub(super) const BAD_GATEWAY: Answer = answer(502, "BAD_GATEWAY", "The backend could not be reached.", 14);
    pub(super) const BAD_ANSWER: Answer = answer(502, "BAD_GATEWAY", "The backend gave no valid answer.", 14);
    pub(super) const GATEWAY_TIMEOUT: Answer =
        answer(504, "GATEWAY_TIMEOUT", "The backend took too long to answer.", 4);
    pub(super) const UNAVAILABLE: Answer = Answer {
        retry_after_seconds: Some(5),
        ..answer(503, "UNAVAILABLE", "The service is not available right now.", 14)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table in `docs/reasons.md`, without the two columns of prose.
    fn documented() -> Vec<[String; 5]> {
        let rows = include_str!("../../docs/reasons.md").lines().filter(|line| line.starts_with("| `"));
        let row = |line: &str| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 7, "{line}");
            assert!(cells[5].ends_with('.') && cells[6].ends_with('.'), "{line}");
            [cells[0].trim_matches('`'), cells[1], cells[2], cells[3], cells[4]].map(str::to_owned)
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_documentation_has_this_table() {
        let row = |reason: &Reason| {
            let Answer { label, status, code, bearer_error, grpc, .. } = reason.answer();
            let bearer_error = bearer_error.unwrap_or_default();
            [label.to_owned(), status.to_string(), code.to_owned(), bearer_error.to_owned(), grpc.to_string()]
        };
        assert_eq!(documented(), Reason::ALL.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn descriptions_fit_where_rfc_6750_puts_them() {
        for reason in Reason::ALL {
            let description = reason.answer().description;
            let fits = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            assert!(!description.is_empty() && description.bytes().all(fits), "{reason}");
        }
    }
}
