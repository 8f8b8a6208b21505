//! Values of labels that come from a request: each is one of a closed list.

use http::Method;

use super::NONE;
use crate::core::rejection::Reason;

static KNOWN_METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];

/// The value of `method`: a client can invent methods, and must not invent series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MethodLabel(u8);

/// What became of a request. A request that was allowed and then failed at its upstream counts once, as denied for that
/// reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let through; `shadow` is the mode of the route.
    Allowed {
        /// Whether a denial would not have been carried out.
        shadow: bool,
    },
    /// Refused for this reason.
    Denied(Reason),
    /// Let through, though it would have been refused for this reason.
    Shadowed(Reason),
}

impl MethodLabel {
    pub(super) fn of(method: &Method) -> Self {
        let known = (0..).zip(&KNOWN_METHODS).find(|(_, known)| *known == method);
        Self(known.map_or(u8::MAX, |(number, _)| number))
    }

    pub(super) fn as_str(self) -> &'static str {
        KNOWN_METHODS.get(usize::from(self.0)).map_or("OTHER", Method::as_str)
    }
}

impl Verdict {
    /// The values of `decision`, `mode` and `reason`.
    pub(super) fn labels(self) -> [&'static str; 3] {
        match self {
            Self::Allowed { shadow: false } => ["allow", "enforce", NONE],
            Self::Allowed { shadow: true } => ["allow", "shadow", NONE],
            Self::Denied(reason) => ["deny", "enforce", reason.label()],
            Self::Shadowed(reason) => ["deny", "shadow", reason.label()],
        }
    }
}
