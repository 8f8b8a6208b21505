//! A worker's memory of verified tokens. One a worker, so there is no lock; bounded in bytes, so that no number of tokens
//! makes it grow.

use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::core::Memo;
use crate::core::bearer::TokenDigest;
use crate::core::claims::Principal;

/// Remembers principals by the digest of their token: it holds no token, and nobody can make two tokens share a place.
pub struct TokenMemo(RefCell<Cache<TokenDigest, Arc<Principal>, ByMemory, BuildHasherDefault<FirstBytes>>>);

impl TokenMemo {
    /// A memory of at most `bytes_max` bytes, by estimate.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let principals = usize::try_from(bytes_max / 1024).unwrap_or(usize::MAX);
        let hasher = BuildHasherDefault::default();
        Self(RefCell::new(Cache::with(principals, bytes_max, ByMemory, hasher, Default::default())))
    }
}

impl Memo for TokenMemo {
    fn recall(&self, token: &TokenDigest) -> Option<Arc<Principal>> {
        self.0.borrow().get(token).cloned()
    }

    fn remember(&self, principal: &Arc<Principal>) {
        self.0.borrow_mut().insert(*principal.token(), Arc::clone(principal));
    }
}

#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<TokenDigest, Arc<Principal>> for ByMemory {
    fn weight(&self, token: &TokenDigest, principal: &Arc<Principal>) -> u64 {
        (size_of_val(token) + principal.memory_bytes()) as u64
    }
}

/// The first bytes of a digest are as good a hash as any.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}
