//! The tenant of a request.

use http::{HeaderMap, HeaderValue};

use super::claims::Principal;
use super::rejection::Rejection;
use super::snapshot::{Snapshot, TokenRequirement};

/// # Errors
/// tenant
pub fn settle(
    _snapshot: &Snapshot,
    _requirement: &TokenRequirement,
    _principal: &Principal,
    _headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Rejection> {
    todo!()
}
