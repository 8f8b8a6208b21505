//! Stand-in: an issuer's public keys (RFC 7517).

use std::fmt;

/// Signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The `alg` value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of an `alg` value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }
}

/// A set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }
    /// The algorithms of the set.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.iter().copied().filter(move |algorithm| self.contains(*algorithm))
    }
}

impl Default for AlgorithmSet {
    fn default() -> Self {
        Algorithm::ALL.iter().copied().collect()
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<T: IntoIterator<Item = Algorithm>>(iter: T) -> Self {
        Self(iter.into_iter().fold(0, |set, algorithm| set | 1 << algorithm as u16))
    }
}

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub struct Keyset {
    keys: Vec<Key>,
}

/// A key.
#[derive(Debug)]
pub struct Key(AlgorithmSet);

impl Key {
    /// What it can be used with.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        self.0
    }
}

/// Why a key set is of no use.
#[derive(Debug)]
pub struct KeysetError(String);

impl fmt::Display for KeysetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Keyset {
    /// The usable keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.keys.iter()
    }
    /// Which keys were left out, and why.
    pub fn ignored(&self) -> impl ExactSizeIterator<Item = &str> {
        std::iter::empty()
    }
    /// The usable keys of a key set.
    ///
    /// # Errors
    /// For what is no key set, and for one without a usable key.
    pub fn parse(json: &[u8]) -> Result<Self, KeysetError> {
        let value: serde_json::Value = serde_json::from_slice(json)
            .map_err(|error| KeysetError(format!("the key set is not valid JSON: {error}")))?;
        let keys = value.get("keys").and_then(|keys| keys.as_array());
        let keys = keys.ok_or_else(|| KeysetError("the key set is not an object with an array \"keys\"".into()))?;
        if keys.is_empty() {
            return Err(KeysetError("the key set is empty".into()));
        }
        let algorithms = |key: &serde_json::Value| match key.get("kty").and_then(|kty| kty.as_str()) {
            Some("EC") => [Algorithm::Es256].into_iter().collect(),
            _ => [Algorithm::Rs256].into_iter().collect(),
        };
        Ok(Self { keys: keys.iter().map(|key| Key(algorithms(key))).collect() })
    }
}
