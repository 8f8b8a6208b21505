//! Memories of tokens, for tests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use sidegate::core::Memo;
use sidegate::core::claims::Principal;
use sidegate::core::token_digest::{TokenDigest, TokenHasher};

/// A memo that forgets nothing.
#[derive(Default)]
pub(crate) struct Everything(RefCell<HashMap<TokenDigest, Arc<Principal>>>);

impl Memo for Everything {
    fn hasher(&self) -> &TokenHasher {
        &TokenHasher::PLAIN
    }
    fn recall(&self, token: &TokenDigest) -> Option<Arc<Principal>> {
        self.0.borrow().get(token).cloned()
    }
    fn remember(&self, principal: &Arc<Principal>) {
        self.0.borrow_mut().insert(*principal.token(), Arc::clone(principal));
    }
}

/// A memo that takes every token for the last one it was given.
#[derive(Default)]
pub(crate) struct Confused(RefCell<Option<Arc<Principal>>>);

impl Memo for Confused {
    fn hasher(&self) -> &TokenHasher {
        &TokenHasher::PLAIN
    }
    fn recall(&self, _: &TokenDigest) -> Option<Arc<Principal>> {
        self.0.borrow().clone()
    }
    fn remember(&self, principal: &Arc<Principal>) {
        *self.0.borrow_mut() = Some(Arc::clone(principal));
    }
}
