//! A worker's memory of verified tokens. One a worker, so there is no lock; bounded in bytes, so that no number of tokens
//! makes it grow.

use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::core::Memo;
use crate::core::claims::Principal;
use crate::core::token_digest::{TokenDigest, TokenHasher};

/// Remembers principals by the digest of their token: it holds no token, and nobody can make two tokens share a place.
pub struct TokenMemo {
    hasher: TokenHasher,
    principals: RefCell<Cache<TokenDigest, Arc<Principal>, ByMemory, BuildHasherDefault<FirstBytes>>>,
}

impl TokenMemo {
    /// A memory of at most `bytes_max` bytes, by estimate.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let principals = usize::try_from(bytes_max / 1024).unwrap_or(usize::MAX);
        let hasher = BuildHasherDefault::default();
        let principals = Cache::with(principals, bytes_max, ByMemory, hasher, Default::default());
        Self { hasher: random_hasher(), principals: RefCell::new(principals) }
    }
}

/// A hasher with a key from the operating system. Without one it is slower and as good.
fn random_hasher() -> TokenHasher {
    let mut key = [0; 16];
    if fill(&mut key) {
        return TokenHasher::keyed(&key);
    }
    tracing::warn!("the operating system has no randomness to remember tokens by: each is hashed with SHA-256");
    TokenHasher::PLAIN
}

/// Straight from the operating system: a generator would take as long to begin as the rest of a start.
#[cfg(target_os = "linux")]
fn fill(key: &mut [u8; 16]) -> bool {
    use rustix::rand::{GetRandomFlags, getrandom};
    getrandom(&mut *key, GetRandomFlags::empty()).is_ok_and(|bytes| bytes == key.len())
}

#[cfg(not(target_os = "linux"))]
fn fill(key: &mut [u8; 16]) -> bool {
    aws_lc_rs::rand::fill(key).is_ok()
}

impl Memo for TokenMemo {
    fn hasher(&self) -> &TokenHasher {
        &self.hasher
    }

    fn recall(&self, token: &TokenDigest) -> Option<Arc<Principal>> {
        self.principals.borrow().get(token).cloned()
    }

    fn remember(&self, principal: &Arc<Principal>) {
        self.principals.borrow_mut().insert(*principal.token(), Arc::clone(principal));
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::core::bearer::credentials;

    #[test]
    fn no_two_memories_make_the_same_digest_of_a_token() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"))]);
        let digest = |memo: &TokenMemo| *credentials(&headers, 100, memo.hasher()).unwrap().digest();
        let [one, other] = [(); 2].map(|()| TokenMemo::new(1024));
        assert_eq!(digest(&one), digest(&one));
        assert_ne!(digest(&one), digest(&other));
    }
}
