//! Ways in: each builds a request head, asks the core, and carries the answer out.

pub mod authority;
pub mod authz;
pub mod body;
mod exchanges;
mod ext_authz;
mod feed;
#[cfg(test)]
pub(crate) mod fixture;
mod forward_auth;
mod keys;
pub mod proxy;
mod record;
pub mod render;
pub mod request_id;
pub mod serving;
pub mod worker;

use crate::core::rejection::{Reason, Rejection};
use crate::net::head::HeadError;
use crate::net::service::Refusal;

/// Why there was no request to ask the core about.
pub(crate) fn unreadable(refusal: Refusal) -> Rejection {
    match refusal {
        Refusal::Head(HeadError::Malformed(detail)) => Rejection::new(Reason::RequestMalformed, detail),
        Refusal::Head(error @ HeadError::TooLarge) => Rejection::new(Reason::HeadTooLarge, error.to_string()),
        Refusal::TooManyConnections => Rejection::new(Reason::Overloaded, "there are too many connections already"),
    }
}
