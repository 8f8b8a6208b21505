//! How a client says who it is (RFC 6749 section 2.3, RFC 7523 section 2.2): in exactly one way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use super::error::{ErrorCode, OAuthError};
use super::form::{self, Form};

/// `client_assertion_type` of a signed JWT (RFC 7523 section 2.2).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Longest client id in bytes.
pub(super) const CLIENT_ID_BYTES_MAX: usize = 256;

/// What a client shows. Has no `Debug`.
pub enum ClientCredentials {
    /// `client_secret_basic` or `client_secret_post`.
    Secret {
        /// Who it says it is.
        id: Box<str>,
        /// What it says its secret is.
        secret: Zeroizing<String>,
    },
    /// `private_key_jwt`.
    Assertion {
        /// Who it says it is beside the assertion, if it does.
        id: Option<Box<str>>,
        /// The assertion.
        jwt: Zeroizing<String>,
    },
}

impl ClientCredentials {
    /// The credentials of a request.
    ///
    /// # Errors
    /// `invalid_request` for more than one way, or half of one; `invalid_client` for none, or one that is not ours.
    pub fn read(headers: &HeaderMap, form: &Form) -> Result<Self, OAuthError> {
        let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
        let field = only_field(headers)?;
        if usize::from(field.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some()) > 1 {
            return Err(OAuthError::request("the client authenticates in more than one way"));
        }
        let assertion_type = form.get("client_assertion_type");
        if assertion.is_some() != assertion_type.is_some() {
            return Err(OAuthError::request("client_assertion and client_assertion_type belong together"));
        }
        let id = form.get("client_id").map(client_id).transpose()?;
        match (field, secret, assertion) {
            (Some(field), _, _) => basic(field, id.as_deref()),
            (_, Some(secret), _) => {
                let id = id.ok_or_else(|| OAuthError::request("client_id is missing"))?;
                Ok(Self::Secret { id, secret: Zeroizing::new(secret.to_owned()) })
            }
            (_, _, Some(_)) if assertion_type != Some(JWT_BEARER) => {
                Err(OAuthError::new(ErrorCode::InvalidClient, "client_assertion_type is not one that is accepted"))
            }
            (_, _, Some(jwt)) => Ok(Self::Assertion { id, jwt: Zeroizing::new(jwt.to_owned()) }),
            (None, None, None) => {
                Err(OAuthError::new(ErrorCode::InvalidClient, "the request has no client authentication"))
            }
        }
    }
}

fn only_field(headers: &HeaderMap) -> Result<Option<&HeaderValue>, OAuthError> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (field, None) => Ok(field),
        (_, Some(_)) => Err(OAuthError::request("the request has two Authorization headers")),
    }
}

/// `VSCHAR` (RFC 6749 appendix A.1).
fn client_id(id: &str) -> Result<Box<str>, OAuthError> {
    match is_client_id(id) {
        true => Ok(id.into()),
        false => Err(OAuthError::request("client_id has characters that no client id has, or too many")),
    }
}

pub(super) fn is_client_id(id: &str) -> bool {
    (1..=CLIENT_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// `client_secret_basic`: id and secret are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(field: &HeaderValue, beside: Option<&str>) -> Result<ClientCredentials, OAuthError> {
    const MALFORMED: OAuthError = OAuthError::new(
        ErrorCode::InvalidClient,
        "the Authorization header is not Basic with a client id and a secret",
    );
    let (id, secret) = basic_pair(field).ok_or(MALFORMED)?;
    match beside {
        Some(other) if *other != *id => {
            Err(OAuthError::request("client_id is not the client of the Authorization header"))
        }
        _ => Ok(ClientCredentials::Secret { id, secret }),
    }
}

fn basic_pair(field: &HeaderValue) -> Option<(Box<str>, Zeroizing<String>)> {
    let (scheme, encoded) = field.as_bytes().split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let joined = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = joined.iter().position(|byte| *byte == b':')?;
    let (id, secret) = joined.split_at_checked(colon)?;
    let id = form::decode(id).filter(|id| is_client_id(id))?;
    Some((id.as_str().into(), form::decode(secret.strip_prefix(b":")?)?))
}
