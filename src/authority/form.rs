//! The parameters of a request to an endpoint (RFC 6749 section 3.2 and appendix B): a form in the body of a POST, each
//! parameter at most once, and nothing of it in the query.

use std::borrow::Cow;

use http::{HeaderMap, Method, header};
use zeroize::Zeroizing;

use super::error::{ErrorCode, OAuthError};

/// Longest body in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Most parameters in a request.
const PARAMETERS_MAX: usize = 64;

/// What goes into the body. In a query it would stand in logs, and be a request that says less than its sender thinks.
const BODY_ONLY: [&str; 9] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion_type",
    "client_assertion",
    "token",
    "token_type_hint",
];

/// What may come more than once (RFC 8707 section 2).
const REPEATABLE: &str = "resource";

/// A request to an endpoint that takes a form, as far as it is read.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The query of its target, without the question mark.
    pub query: Option<&'a str>,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body, at most one byte longer than [`BODY_BYTES_MAX`] if it is too long.
    pub body: &'a [u8],
}

/// The parameters of a request.
pub struct Form(Vec<Pair>);

/// Name and value.
type Pair = (Box<str>, Zeroizing<String>);

impl Form {
    /// Reads the parameters. Those without a value count as left out (RFC 6749 section 3.2).
    ///
    /// # Errors
    /// `invalid_request` for what is no form in the body of a POST, for a parameter twice, and for parameters in the query.
    pub fn read(request: &Request<'_>) -> Result<Self, OAuthError> {
        if *request.method != Method::POST {
            return Err(OAuthError::new(ErrorCode::MethodNotAllowed("POST"), "the request has to be a POST"));
        }
        if !is_form(request.headers) {
            return Err(OAuthError::request("the content type has to be application/x-www-form-urlencoded"));
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err(OAuthError::new(ErrorCode::TooLarge, "the body is too long"));
        }
        refuse_query(request.query.unwrap_or_default())?;
        let form = Self(pairs(request.body)?);
        form.refuse_duplicates()?;
        Ok(form)
    }

    /// The value of a parameter, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a parameter.
    pub fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.0
            .iter()
            .filter(move |(known, value)| **known == *name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn refuse_duplicates(&self) -> Result<(), OAuthError> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).filter(|name| *name != REPEATABLE).collect();
        names.sort_unstable();
        match names.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(OAuthError::request("a parameter is there more than once")),
            false => Ok(()),
        }
    }
}

/// Decodes one form-encoded text. `None` if a percent sign is followed by anything but two hex digits, or if the bytes are
/// not UTF-8.
#[must_use]
pub(super) fn decode(encoded: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(encoded.len()));
    let mut rest = encoded;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, left) = match first {
            b'%' => {
                let (digits, left) = behind.split_at_checked(2)?;
                let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| std::str::from_utf8(digits).ok())??;
                (u8::from_str_radix(digits, 16).ok()?, left)
            }
            b'+' => (b' ', behind),
            byte => (*byte, behind),
        };
        bytes.push(byte);
        rest = left;
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// Whether the content type is that of a form, whatever its parameters: a charset changes nothing about percent-encoded text.
fn is_form(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    let essence = field.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn refuse_query(query: &str) -> Result<(), OAuthError> {
    let is_ours = |name: Cow<'_, str>| BODY_ONLY.contains(&&*name);
    match form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_ours(name)) {
        true => Err(OAuthError::request("parameters belong into the body and not into the query")),
        false => Ok(()),
    }
}

/// The pairs of a body. Our own splitting: a library's puts replacement characters where there is no text, and a percent sign
/// that escapes nothing stands for itself.
fn pairs(body: &[u8]) -> Result<Vec<Pair>, OAuthError> {
    let parts = body.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    let mut pairs = Vec::new();
    for part in parts {
        if pairs.len() == PARAMETERS_MAX {
            return Err(OAuthError::request("there are too many parameters"));
        }
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let (name, value) = part.split_at_checked(end).unwrap_or_default();
        let value = value.strip_prefix(b"=").unwrap_or_default();
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return Err(OAuthError::request("the body is not a form in percent-encoded UTF-8"));
        };
        pairs.push((name.as_str().into(), value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_or_refused_as_a_whole() {
        let decoded = |text: &[u8]| decode(text).map(|text| text.to_string());
        assert_eq!(decoded(b"a+b%20c%2Bd%C3%a9"), Some("a b c+dé".into()));
        assert_eq!(decoded(b""), Some(String::new()));
        for wrong in [&b"%"[..], b"%4", b"%4g", b"%+1", b"a%", b"%C3", b"\xff", b"%zz"] {
            assert_eq!(decoded(wrong), None, "{wrong:?}");
        }
    }
}
