//! What a token is remembered by.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::sha256::sha256;

/// Says which token it was, and opens nothing. Digests of different hashers have nothing to do with each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; DIGEST_BYTES]);

/// As many as GMAC has. To let in a token in the place of another one, whoever makes it would have to find one with the digest
/// of that very token, and not just two with the same.
const DIGEST_BYTES: usize = 16;

/// Makes digests of tokens.
///
/// With a key it is GMAC with one nonce (McGrew and Viega 2004), which takes a quarter of the time that SHA-256 does. That is a
/// universal hash (Carter and Wegman 1979): whoever does not know the key cannot find two tokens with one digest. Two of them
/// have it by chance, which for a token of 1 MiB is less than 2^-111. It holds for as long as nobody sees a digest: they are compared
/// within the process, and go nowhere.
pub struct TokenHasher(Option<LessSafeKey>);

impl TokenHasher {
    /// SHA-256, of which the first half is enough.
    pub const PLAIN: Self = Self(None);

    /// With a key that is random and known to nobody.
    #[must_use]
    pub fn keyed(key: &[u8; 16]) -> Self {
        Self(UnboundKey::new(&AES_128_GCM, key).ok().map(LessSafeKey::new))
    }

    /// The digest of a token.
    pub(super) fn digest(&self, token: &[u8]) -> TokenDigest {
        // Nothing is encrypted, and no tag is shown: the nonce has nothing to keep apart.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let seal = |key: &LessSafeKey| key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []).ok();
        let mut digest = [0; DIGEST_BYTES];
        let mut fill = |from: &[u8]| digest.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        match self.0.as_ref().and_then(seal) {
            Some(tag) => fill(tag.as_ref()),
            None => fill(&sha256(token)),
        }
        TokenDigest(digest)
    }
}

#[cfg(test)]
impl TokenDigest {
    /// No token's.
    pub(super) const NONE: Self = Self([0; DIGEST_BYTES]);
}

/// Hides it: see [`TokenHasher`].
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_depend_on_every_byte_on_the_length_and_on_the_key() {
        for hasher in [TokenHasher::PLAIN, TokenHasher::keyed(&[1; 16]), TokenHasher::keyed(&[2; 16])] {
            let changed = (0..700).map(|at| {
                let mut token = vec![b'a'; 700];
                token[at] = b'b';
                token
            });
            let tokens: Vec<Vec<u8>> = (0..=700).map(|length| vec![b'a'; length]).chain(changed).collect();
            let digests: HashSet<_> = tokens.iter().map(|token| hasher.digest(token)).collect();
            assert_eq!(digests.len(), tokens.len());
        }
        let [one, other] = [1, 2].map(|key| TokenHasher::keyed(&[key; 16]).digest(b"abc"));
        assert_ne!(one, other);
    }

    #[test]
    fn debug_shows_no_digest() {
        let hasher = TokenHasher::keyed(&[7; 16]);
        assert_eq!(format!("{:?} {hasher:?}", hasher.digest(b"abc")), "TokenDigest(…) TokenHasher(…)");
    }

    proptest! {
        #[test]
        fn a_token_has_one_digest_and_no_other_has_it(one: Vec<u8>, other: Vec<u8>) {
            for hasher in [TokenHasher::PLAIN, TokenHasher::keyed(&[7; 16])] {
                prop_assert_eq!(hasher.digest(&one), hasher.digest(&one.clone()));
                prop_assert_eq!(hasher.digest(&one) == hasher.digest(&other), one == other);
            }
        }
    }
}
