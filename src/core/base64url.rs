//! base64url without padding (RFC 7515 section 2), canonical only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that `text` stands for. Of all texts that some decoder would take for them, only the one that an encoder
/// writes is accepted: no padding, no whitespace, no bits set behind the last byte. Otherwise one token could be spelled
/// in several ways.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_accepted() {
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        for text in ["_-8=", "_-9", "_-8 ", " _-8", "_-\n8", "/+8", "a", "aaaaa", "_-8\0", "é"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
