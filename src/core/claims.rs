//! Claims: from a verified token to who is calling.

use http::{HeaderName, HeaderValue};

use super::rejection::Rejection;
use super::snapshot::{IssuerId, Snapshot, TokenRequirement};
use super::time::UnixSeconds;
use super::token::VerifiedToken;

/// Who is calling, as a verified token says: all that requests need of it, worked out once.
#[derive(Debug)]
pub struct Principal {
    /// Number of the snapshot under which it was worked out.
    pub snapshot: u64,
    /// Who signed the token.
    pub issuer: IssuerId,
    /// `kid` of the token.
    pub key_id: Option<Box<str>>,
    /// The client.
    pub client_id: Option<Box<str>>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// Scopes that count, without the issuer's prefix, those of roles included.
    pub scope_names: Box<[Box<str>]>,
    /// Roles, included ones too.
    pub role_names: Box<[Box<str>]>,
    /// The identity headers but the tenant's, ready to be set.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
}

impl Principal {
    /// # Errors
    /// malformed
    pub fn new(_snapshot: &Snapshot, _token: VerifiedToken) -> Result<Self, Rejection> {
        todo!()
    }
    /// # Errors
    /// step 6
    pub fn authenticate(
        &self,
        _snapshot: &Snapshot,
        _requirement: &TokenRequirement,
        _now: UnixSeconds,
    ) -> Result<(), Rejection> {
        todo!()
    }
    /// # Errors
    /// step 7
    pub fn authorize(&self, _snapshot: &Snapshot, _requirement: &TokenRequirement) -> Result<(), Rejection> {
        todo!()
    }
}
