//! An issuer's public keys (RFC 7517).

/// Signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /** RS256 */
    Rs256,
}

/// A set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlgorithmSet(u16);

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub struct Keyset {}

/// One usable key.
#[derive(Debug)]
pub struct Key {}

impl Key {
    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        None
    }
}

impl Keyset {
    /// The usable keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Key> {
        [].iter()
    }
}
