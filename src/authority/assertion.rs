//! `private_key_jwt`: a client signs a statement of who it is, with a key whose public half is stored (RFC 7523 section 3).

use std::collections::HashMap;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};

use super::client::Client;
use super::error::OAuthError;
use crate::config::authority::Authority;
use crate::core::json::{Json, Object};
use crate::core::keyset::Keyset;
use crate::core::signed::UnverifiedClaims;
use crate::core::time::UnixSeconds;

/// Longest assertion in bytes.
pub(super) const BYTES_MAX: usize = 16 * 1024;

/// How far ahead an assertion may expire: as long as that its `jti` is remembered.
const AHEAD_SECONDS_MAX: i64 = 60 * 60;

/// By how much the client's clock may be wrong.
const LEEWAY_SECONDS: i64 = 60;

const JTI_BYTES_MAX: usize = 256;

/// Most assertions that are remembered, and most of one client: nobody uses up what is there for all.
const REMEMBERED_MAX: usize = 65_536;
const REMEMBERED_OF_ONE_MAX: usize = 8_192;

/// Keys of nobody, one for each algorithm: tried where no key of a client is, so that it takes as long.
static DECOY: LazyLock<Keyset> = LazyLock::new(|| Keyset::parse(include_bytes!("decoy.jwks.json")).unwrap_or_default());

/// An assertion that is good, if it was not used before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    jti: [u8; 32],
    expires: UnixSeconds,
}

/// The assertions that were used and are not expired. It is the memory of one process: an assertion can be used once at each
/// process of a fleet, and again after a start.
#[derive(Default)]
pub(super) struct Used {
    clients: HashMap<Box<str>, HashMap<[u8; 32], UnixSeconds>>,
    count: usize,
}

/// Whether the assertion is one of this client.
pub(super) fn verify(
    assertion: UnverifiedClaims<'_>,
    id: &str,
    client: Option<&Client>,
    settings: &Authority,
    now: UnixSeconds,
) -> Option<Proof> {
    let stored = client.and_then(|client| client.jwks.as_deref());
    let keys = stored.and_then(|jwks| Keyset::parse(jwks.as_bytes()).ok()).unwrap_or_default();
    let signed = assertion.verify(&keys, &DECOY).ok()?;
    let claims = signed.claims;
    let is_about = ["iss", "sub"].into_iter().all(|name| claims.str(name) == Some(id));
    let expires = expiry(&claims, now)?;
    let jti = claims.str("jti").filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()))?;
    let is_good = is_about && is_for_us(claims.get("aud")?, settings) && is_from_now(&claims, now)?;
    is_good.then(|| Proof { jti: hash(jti), expires: expires.plus(LEEWAY_SECONDS) })
}

impl Used {
    /// Uses an assertion of this client.
    ///
    /// # Errors
    /// `invalid_client` if it was used before, `temporarily_unavailable` if no more can be remembered.
    pub(super) fn once(&mut self, id: &str, proof: &Proof, now: UnixSeconds) -> Result<(), OAuthError> {
        let of_one = self.clients.get(id);
        if of_one.is_some_and(|used| used.contains_key(&proof.jti)) {
            return Err(OAuthError::client());
        }
        if self.count >= REMEMBERED_MAX || of_one.is_some_and(|used| used.len() >= REMEMBERED_OF_ONE_MAX) {
            self.forget_expired(now);
        }
        let of_one = self.clients.get(id).map_or(0, HashMap::len);
        if self.count >= REMEMBERED_MAX || of_one >= REMEMBERED_OF_ONE_MAX {
            return Err(OAuthError::unavailable());
        }
        self.clients.entry(id.into()).or_default().insert(proof.jti, proof.expires);
        self.count += 1;
        Ok(())
    }

    fn forget_expired(&mut self, now: UnixSeconds) {
        self.clients.retain(|_, used| {
            used.retain(|_, expires| now < *expires);
            !used.is_empty()
        });
        self.count = self.clients.values().map(HashMap::len).sum();
    }
}

/// `exp`, which has to be there and not too far ahead.
fn expiry(claims: &Object<'_>, now: UnixSeconds) -> Option<UnixSeconds> {
    let expires = seconds(claims.get("exp")?)?;
    let is_valid = now < expires.plus(LEEWAY_SECONDS) && expires <= now.plus(AHEAD_SECONDS_MAX + LEEWAY_SECONDS);
    is_valid.then_some(expires)
}

/// Whether neither `iat` nor `nbf` is in the future. `None` if one of them is no date.
fn is_from_now(claims: &Object<'_>, now: UnixSeconds) -> Option<bool> {
    let is_past = |name| claims.get(name).map_or(Some(true), |date| Some(seconds(date)? <= now.plus(LEEWAY_SECONDS)));
    Some(is_past("iat")? && is_past("nbf")?)
}

/// Whether we are the audience: by our issuer, or by the URL of a token endpoint (RFC 7523 section 3).
fn is_for_us(audience: &Json<'_>, settings: &Authority) -> bool {
    let base = settings.issuer.trim_end_matches('/');
    let is_endpoint = |text: &str| {
        text.strip_prefix(base).is_some_and(|path| settings.token_paths.iter().any(|known| **known == *path))
    };
    let is_ours = |value: &Json<'_>| value.as_str().is_some_and(|text| *text == *settings.issuer || is_endpoint(text));
    match audience {
        Json::Array(several) => several.iter().any(is_ours),
        single => is_ours(single),
    }
}

/// A `NumericDate` (RFC 7519 section 2) in whole seconds.
fn seconds(date: &Json<'_>) -> Option<UnixSeconds> {
    match date {
        Json::Integer(seconds) => Some(UnixSeconds(*seconds)),
        #[expect(clippy::cast_possible_truncation, reason = "the parser has bounded floats to the range of an i64")]
        Json::Float(seconds) => Some(UnixSeconds(seconds.floor() as i64)),
        _ => None,
    }
}

fn hash(jti: &str) -> [u8; 32] {
    digest(&SHA256, jti.as_bytes()).as_ref().try_into().unwrap_or_default()
}
