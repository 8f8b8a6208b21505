//! Request ids: the client's if it is a plain one, else a new one.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use http::HeaderValue;

use crate::core::fields::{Fields, Occurs, X_REQUEST_ID};

/// Longest id that is taken over, in characters.
const LENGTH_MAX: usize = 128;

/// The id of a request. It is written as it is to two heads, so nobody but [`RequestIds`] can make one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// A new one, in hexadecimal digits. It stands in here, and needs no memory of its own.
    New([[u8; 16]; 2]),
    /// The client's: plain characters, and not many.
    Given(Box<str>),
}

impl RequestId {
    /// Its bytes: those of a field value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::New(digits) => digits.as_flattened(),
            Kind::Given(text) => text.as_bytes(),
        }
    }

    /// The same as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as the value of a field in a map.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

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
    pub fn of<'a>(&self, fields: impl Into<Fields<'a>>) -> RequestId {
        given(fields.into()).map_or_else(|| self.next(), |given| RequestId(Kind::Given(given.into())))
    }

    /// A new id: 32 hexadecimal digits.
    #[must_use]
    pub fn next(&self) -> RequestId {
        RequestId(Kind::New([next(&self.high), next(&self.low)].map(hexadecimal)))
    }
}

/// 16 digits, lower case. All at once rather than one after the other: every request has an id.
fn hexadecimal(number: u64) -> [u8; 16] {
    // Nibbles as bytes, the last one lowest.
    let mut spread = u128::from(number);
    for (shift, mask) in [
        (32, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (16, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f),
    ] {
        spread = (spread | (spread << shift)) & mask;
    }
    // From 10 on they are letters, which come 39 behind where digits would go on.
    let letters = ((spread + u128::from_ne_bytes([6; 16])) >> 4) & u128::from_ne_bytes([1; 16]);
    (spread + u128::from_ne_bytes([b'0'; 16]) + letters * 39).to_be_bytes()
}

/// SplitMix64 (Steele, Lea, Flood 2014): each number occurs once before any occurs twice.
fn next(state: &Cell<u64>) -> u64 {
    state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut z = state.get();
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The client's id, if it is taken over.
pub(crate) fn given(fields: Fields<'_>) -> Option<&str> {
    match fields.occurs(&X_REQUEST_ID) {
        Occurs::Once(given) => plain(given),
        Occurs::Never | Occurs::Again => None,
    }
}

/// An id that can be taken over.
fn plain(id: &[u8]) -> Option<&str> {
    let is_plain = (1..=LENGTH_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    str::from_utf8(id).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn of(ids: &[&str]) -> String {
        let headers = ids.iter().map(|id| (X_REQUEST_ID.clone(), id.parse().unwrap()));
        RequestIds::new().of(&headers.collect::<HeaderMap>()).as_str().to_owned()
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
    fn new_ids_are_hexadecimal_digits() {
        for number in [0, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x9a09_a90a_0a90_9a99] {
            assert_eq!(hexadecimal(number), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn new_ids_differ() {
        let ids = RequestIds::new();
        let many: std::collections::HashSet<_> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(many.len(), 1000);
    }
}
