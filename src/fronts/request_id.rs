//! Request ids: the client's if it is a plain one, else a new one.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use http::{HeaderName, HeaderValue};

use crate::core::fields::{Fields, Occurs};

/// The header that carries it, in requests and in answers.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over, in characters.
const LENGTH_MAX: usize = 128;

/// Makes ids. They are unique, and tell nothing of how many there are; they are no secrets.
#[derive(Debug)]
pub struct RequestIds {
    high: Cell<u64>,
    low: Cell<u64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestIds {
    /// Ids that start at a random place. The randomness is that of the standard library's hash maps: waiting for a
    /// generator fit for keys would take as long as the rest of the start.
    #[must_use]
    pub fn new() -> Self {
        let random = || Cell::new(RandomState::new().hash_one(()));
        Self { high: random(), low: random() }
    }

    /// The id of a request with these fields.
    #[must_use]
    pub fn of<'a>(&self, fields: impl Into<Fields<'a>>) -> HeaderValue {
        match fields.into().occurs(&X_REQUEST_ID) {
            Occurs::Once(given) if is_plain(given) => HeaderValue::from_bytes(given).unwrap_or_else(|_| self.next()),
            Occurs::Once(_) | Occurs::Never | Occurs::Again => self.next(),
        }
    }

    /// A new id: 32 hexadecimal digits.
    #[must_use]
    pub fn next(&self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let number = u128::from(next(&self.high)) << 64 | u128::from(next(&self.low));
        let mut text = [0; 32];
        for (place, digit) in text.iter_mut().enumerate() {
            let nibble = (number >> (124 - 4 * place)) & 0xf;
            *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): each number occurs once before any occurs twice.
fn next(state: &Cell<u64>) -> u64 {
    state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut z = state.get();
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn is_plain(id: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn of(ids: &[&str]) -> HeaderValue {
        let headers = ids.iter().map(|id| (X_REQUEST_ID, id.parse().unwrap()));
        RequestIds::new().of(&headers.collect::<HeaderMap>())
    }

    #[test]
    fn a_plain_id_is_kept() {
        assert_eq!(of(&["a.B_c-9"]), "a.B_c-9");
        assert_eq!(of(&[&"x".repeat(128)]).len(), 128);
    }

    #[test]
    fn any_other_is_replaced() {
        for odd in ["", "a b", "a/b", "{}", "é", &"x".repeat(129)] {
            assert_eq!(of(&[odd]).len(), 32, "{odd}");
        }
    }

    #[test]
    fn new_ids_differ() {
        let ids = RequestIds::new();
        let many: std::collections::HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(many.len(), 1000);
    }
}
