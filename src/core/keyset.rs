//! An issuer's public keys (RFC 7517).

/// Signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /** RS256 */
    Rs256,
}

/// A set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmSet(u16);

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub struct Keyset {}
