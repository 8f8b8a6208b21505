//! What a decision needs beside the request, and what it asks for when that is not enough.

use std::sync::Arc;

use super::claims::Principal;
use super::rejection::{Reason, Rejection};
use super::snapshot::IssuerId;
use super::token_digest::{TokenDigest, TokenHasher};

/// Remembers tokens whose signature was found good. It changes what a decision costs and never what it says: times,
/// audience, fences and scopes are checked on every request, and under another snapshot the vouching key as well.
pub trait Memo {
    /// What makes the digests that it remembers tokens by: always the same.
    fn hasher(&self) -> &TokenHasher;
    /// The principal of exactly this token, if it is remembered; of whatever snapshot.
    fn recall(&self, token: &TokenDigest) -> Option<Arc<Principal>>;
    /// Keeps a principal, in place of an older one of the same token ([`Principal::token`]).
    fn remember(&self, principal: &Arc<Principal>);
}

/// A memo that remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemo;

impl Memo for NoMemo {
    fn hasher(&self) -> &TokenHasher {
        &TokenHasher::PLAIN
    }
    fn recall(&self, _: &TokenDigest) -> Option<Arc<Principal>> {
        None
    }
    fn remember(&self, _: &Arc<Principal>) {}
}

/// What the front knows and the request does not say.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Tokens whose signature was verified before.
    pub memo: &'a dyn Memo,
    /// What was done about a key that is not there.
    pub keys: KeysAsked,
}

/// Whether an issuer's keys were asked for because of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysAsked {
    /// No. Where the decision depends on a key that may have come since, it is put off ([`Need::Keys`]).
    NotYet,
    /// Yes, or whoever asks does not wait: the keys that are there are all there are.
    Already,
    /// No, for too many requests wait for them. A request that depends on them cannot be answered.
    TooMany,
}

/// A fact without which no decision can be made: the front finds it out and asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The keys of this issuer, as they are now: the token may be signed by one that came since they were fetched.
    Keys(IssuerId),
}

/// Why a request is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It is refused.
    Rejected(Rejection),
    /// Nobody can tell as yet.
    Undecided(Need),
}

impl From<Rejection> for NotAdmitted {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl NotAdmitted {
    /// The refusal. What cannot be decided is a no.
    #[must_use]
    pub fn rejection(self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection,
            Self::Undecided(Need::Keys(_)) => Rejection::new(Reason::KeysUnavailable, "the keys were not asked for"),
        }
    }
}
