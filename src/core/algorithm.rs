//! Signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1): those that we verify, and no others.

/// Declares [`Algorithm`] and its names in one place.
macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// A signature algorithm. There is no `none` and no HMAC here: a token that names one cannot be verified by any
        /// path through the code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Algorithm { $($(#[$doc])* $variant,)* }

        impl Algorithm {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The algorithm of this name in `alg`, compared exactly.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Its name in `alg`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

algorithms! {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256 "RS256";
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384 "RS384";
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512 "RS512";
    /// RSASSA-PSS with SHA-256.
    Ps256 "PS256";
    /// RSASSA-PSS with SHA-384.
    Ps384 "PS384";
    /// RSASSA-PSS with SHA-512.
    Ps512 "PS512";
    /// ECDSA on P-256 with SHA-256.
    Es256 "ES256";
    /// ECDSA on P-384 with SHA-384.
    Es384 "ES384";
    /// EdDSA on Ed25519.
    EdDsa "EdDSA";
}

/// A set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & Self::bit(algorithm) != 0
    }

    /// The algorithms of the set, in the order of [`Algorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.iter().copied().filter(move |algorithm| self.contains(*algorithm))
    }

    const fn bit(algorithm: Algorithm) -> u16 {
        1 << algorithm as u16
    }
}

/// All that we verify: what an issuer is trusted with if its configuration names none.
impl Default for AlgorithmSet {
    fn default() -> Self {
        Algorithm::ALL.iter().copied().collect()
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |bits, algorithm| bits | Self::bit(algorithm)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_algorithm_and_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(*algorithm));
        }
        for name in ["none", "HS256", "rs256", "RS256 ", "ES512", "ES256K", "RSA-OAEP", ""] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = AlgorithmSet::from_iter([Algorithm::EdDsa, Algorithm::Rs256]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Algorithm::Rs256, Algorithm::EdDsa]);
        assert_eq!(AlgorithmSet::default().iter().count(), 9);
    }
}
