//! The bearer token of a request (RFC 6750 section 2.1): exactly one, bounded, well formed.

use std::fmt;

use http::header;

use super::fields::{Fields, Occurs, is_tchar};
use super::rejection::{Reason, Rejection};
use super::token_digest::{TokenDigest, TokenHasher};

const SCHEME: &[u8] = b"bearer";

/// What follows the scheme `Bearer`: bounded, and not yet known to be a token.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    bytes: &'a [u8],
    digest: TokenDigest,
}

impl<'a> Credentials<'a> {
    /// What it would be remembered by. Only well-formed tokens are ever remembered, so that one which is needs no second look.
    #[must_use]
    pub fn digest(&self) -> &TokenDigest {
        &self.digest
    }

    /// The token that it is.
    ///
    /// # Errors
    /// `token_syntax` for what is not one `b64token`.
    pub fn token(&self) -> Result<BearerToken<'a>, Rejection> {
        match std::str::from_utf8(self.bytes) {
            Ok(text) if is_b64token(self.bytes) => Ok(BearerToken { text, digest: self.digest }),
            _ => Err(no_token()),
        }
    }
}

/// A token as it stands in the header: nothing is known of it but its alphabet and its length.
#[derive(Clone, Copy)]
pub struct BearerToken<'a> {
    text: &'a str,
    digest: TokenDigest,
}

impl<'a> BearerToken<'a> {
    /// The token. Whoever calls this sees to it that it goes nowhere but into a parser.
    #[must_use]
    pub fn reveal(&self) -> &'a str {
        self.text
    }

    /// What it is remembered by.
    #[must_use]
    pub fn digest(&self) -> &TokenDigest {
        &self.digest
    }
}

/// Hides the token.
impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// The bearer token of these header fields, at most `bytes_max` bytes long. A token in the query or in a form is never
/// looked at (RFC 9700 section 4.3.2).
///
/// # Errors
/// As those of [`credentials`], and `token_syntax` for what is not one `b64token`.
pub fn extract<'a>(headers: impl Into<Fields<'a>>, bytes_max: usize) -> Result<BearerToken<'a>, Rejection> {
    credentials(headers, bytes_max, &TokenHasher::PLAIN)?.token()
}

/// What these header fields have for a bearer token, at most `bytes_max` bytes long, and what it is remembered by.
///
/// # Errors
/// `token_missing` without `Authorization`, or with another scheme in it; `token_duplicate`; `token_too_large`; `token_syntax`
/// where no space follows the scheme `Bearer`.
pub fn credentials<'a>(
    headers: impl Into<Fields<'a>>,
    bytes_max: usize,
    hasher: &TokenHasher,
) -> Result<Credentials<'a>, Rejection> {
    let credentials = bearer_credentials(only_field(headers.into())?)?;
    let spaces = credentials.iter().take_while(|byte| **byte == b' ').count();
    let bytes = credentials.get(spaces..).unwrap_or_default();
    if bytes.len() > bytes_max {
        let detail = format!("the token has {} bytes and {bytes_max} are allowed", bytes.len());
        return Err(Rejection::new(Reason::TokenTooLarge, detail));
    }
    if spaces == 0 {
        return Err(no_token());
    }
    Ok(Credentials { bytes, digest: hasher.digest(bytes) })
}

fn no_token() -> Rejection {
    Rejection::new(Reason::TokenSyntax, "what follows the scheme Bearer is not one token of RFC 6750")
}

fn only_field(headers: Fields<'_>) -> Result<&[u8], Rejection> {
    match headers.occurs(&header::AUTHORIZATION) {
        Occurs::Never => Err(Rejection::new(Reason::TokenMissing, "the request has no Authorization header")),
        Occurs::Once(field) => Ok(field),
        Occurs::Again => Err(Rejection::new(Reason::TokenDuplicate, "the request has two Authorization headers")),
    }
}

/// What follows the scheme, which ends at the first byte that cannot be in one (RFC 9110 section 11.1).
fn bearer_credentials(bytes: &[u8]) -> Result<&[u8], Rejection> {
    // As nearly all write it.
    if bytes.starts_with(b"Bearer ") {
        return Ok(bytes.get(SCHEME.len()..).unwrap_or_default());
    }
    match bytes.split_at_checked(SCHEME.len()) {
        Some((scheme, credentials)) if scheme.eq_ignore_ascii_case(SCHEME) && !begins_with_tchar(credentials) => {
            Ok(credentials)
        }
        _ => Err(Rejection::new(Reason::TokenMissing, "the scheme of the Authorization header is not Bearer")),
    }
}

fn begins_with_tchar(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| is_tchar(*byte))
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 section 2.1).
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let Some(value) = token.get(..token.len() - padding) else { return false };
    // No early exit: this way the compiler looks at many bytes at a time, and nearly every token is well formed.
    let is_fine = |byte: u8| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'-'..=b'9' | b'_' | b'~' | b'+');
    !value.is_empty() && value.iter().fold(true, |fine, byte| fine & is_fine(*byte))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn outcome(fields: &[&[u8]]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        extract(&headers, 32).map(|token| token.reveal().to_owned()).map_err(|rejection| rejection.reason.label())
    }

    #[test]
    fn the_scheme_is_case_insensitive_and_one_or_more_spaces_follow() {
        for field in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR    abc"] {
            assert_eq!(outcome(&[field.as_bytes()]), Ok("abc".into()), "{field}");
        }
        assert_eq!(outcome(&[b"Bearer aZ09-._~+/=="]), Ok("aZ09-._~+/==".into()));
    }

    #[test]
    fn no_token_and_another_scheme_are_the_same() {
        assert_eq!(outcome(&[]), Err("token_missing"));
        for field in ["", "Basic abc", "DPoP abc", "Bearerx abc", "Bearer-abc", "Bear er abc", "abc", "=Bearer abc"] {
            assert_eq!(outcome(&[field.as_bytes()]), Err("token_missing"), "{field}");
        }
    }

    #[test]
    fn bearer_without_one_well_formed_token_is_a_syntax_error() {
        let fields: [&[u8]; 15] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer\tabc",
            b"Bearer/abc",
            b"Bearer \tabc",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer a, Bearer b",
            b"Bearer \"abc\"",
            b"Bearer: abc",
            b"Bearer,abc",
            b"Bearer =",
            b"Bearer a=b",
            b"Bearer a\xc3\xa9",
            b"Bearer a ",
        ];
        for field in fields {
            assert_eq!(outcome(&[field]), Err("token_syntax"), "{}", String::from_utf8_lossy(field));
        }
    }

    #[test]
    fn two_fields_are_refused_whatever_they_say() {
        assert_eq!(outcome(&[b"Bearer abc", b"Bearer abc"]), Err("token_duplicate"));
        assert_eq!(outcome(&[b"Bearer abc", b"Basic abc"]), Err("token_duplicate"));
        assert_eq!(outcome(&[b"Basic abc", b"Bearer abc"]), Err("token_duplicate"));
    }

    #[test]
    fn the_length_is_bounded() {
        assert!(outcome(&[&[b"Bearer ".as_slice(), &[b'a'; 32]].concat()]).is_ok());
        assert_eq!(outcome(&[&[b"Bearer ".as_slice(), &[b'a'; 33]].concat()]), Err("token_too_large"));
    }

    #[test]
    fn debug_hides_the_token() {
        assert!(!format!("{:?}", BearerToken { text: "hunter2", digest: TokenDigest::NONE }).contains("hunter2"));
    }
}
