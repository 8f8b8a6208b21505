//! The authority as its endpoints see it: a parsed request in, an answer out. What listens, and what runs it, is elsewhere.
//!
//! Everything takes `&self`, is `Send` and holds no lock while it waits: calls may run beside each other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::watch;
use tokio::time::timeout;

use super::assertion::{self, Used};
use super::client::{Client, Status, StoredSecret};
use super::credentials::ClientCredentials;
use super::error::{ErrorCode, OAuthError};
use super::form::Request;
use super::guess::Guesses;
use super::keyring::Keyring;
use super::rotation::{self, RotationError, Rule, Turn};
use super::secret::SecretHash;
use super::signer::{KeyError, NewKey};
use super::store::{Actor, ChangeError, RevokedToken, Store, StoreError, StoredKey, TooManyRevoked};
use super::used::LastUsed;
use super::{answer, introspect, metadata, mint, revoke, token};
use crate::config::authority::{Authority, Endpoint, KeyEncryptionKey};
use crate::core::json::{Json, Object};
use crate::core::keyset::Keyset;
use crate::core::scope::Role;
use crate::core::signed::{Parts, UnverifiedClaims};
use crate::core::time::UnixSeconds;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How long an answer may wait until this gateway goes by what it says.
const KNOWN_HERE: Duration = Duration::from_millis(500);

/// Most tokens of a client that are revoked one by one and not expired: every gateway remembers them, and the audit log has a
/// row for each for ever.
const REVOKED_MAX: u64 = 1000;

/// Most secrets of a client; so many are always compared.
const SECRETS_MAX: usize = 2;

/// The authority, ready to answer.
pub struct Service {
    store: Store,
    keyring: Mutex<Arc<Keyring>>,
    guesses: Mutex<Guesses>,
    assertions: Mutex<Used>,
    last_used: Mutex<LastUsed>,
    in_force: watch::Sender<u64>,
    /// The next key of another algorithm that was told of last.
    told_foreign: Mutex<Option<Box<str>>>,
}

/// A request to one of its endpoints, and what it is answered under. Has no `Debug`: fields and body hold secrets.
pub struct Call {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Its method.
    pub method: Method,
    /// The query of its target, without the question mark.
    pub query: Option<Box<str>>,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body. One byte more than [`super::BODY_BYTES_MAX`] is enough to be too long.
    pub body: Bytes,
    /// Who sent it.
    pub peer: IpAddr,
    /// When.
    pub now: UnixSeconds,
    /// The roles of the configuration in force.
    pub roles: Arc<HashMap<Box<str>, Role>>,
    /// Its `authority` section.
    pub settings: Arc<Authority>,
}

/// Why the authority's keys could not be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing keys are not usable, or not to be changed.
    #[error(transparent)]
    Keys(#[from] RotationError),
}

/// What one of our own tokens says. Its signature is good; whether it is still worth anything is another question.
pub(super) struct OwnToken {
    pub(super) client_id: Box<str>,
    pub(super) jti: Box<str>,
    pub(super) audiences: Vec<Box<str>>,
    pub(super) scope: Box<str>,
    pub(super) tenants: Vec<Box<str>>,
    pub(super) issued: UnixSeconds,
    pub(super) expires: UnixSeconds,
    pub(super) generation: u64,
}

impl Service {
    /// Opens the signing keys, and makes them if there are none.
    ///
    /// # Errors
    /// The storage failed, or its keys cannot be used.
    pub async fn start(store: Store, settings: &Authority, now: UnixSeconds) -> Result<Self, StartError> {
        let keys = turn_keys(&store, &authority(), settings, Turn::ByAge, now).await?;
        let keyring = open(&keys, settings)?;
        Ok(Self {
            store,
            keyring: Mutex::new(Arc::new(keyring)),
            guesses: Mutex::default(),
            assertions: Mutex::default(),
            last_used: Mutex::default(),
            in_force: watch::Sender::new(u64::MAX),
            told_foreign: Mutex::default(),
        })
    }

    /// Does what is due to the signing keys by their age, and takes over what another process has done to them. Whether the
    /// published ones are others now.
    ///
    /// # Errors
    /// The storage failed, or its keys cannot be used: with the key of another `key_encryption_file`, no start would be able to.
    /// Those in use stay in use.
    pub async fn tick(&self, settings: &Authority, now: UnixSeconds) -> Result<bool, StartError> {
        let keys = turn_keys(&self.store, &authority(), settings, Turn::ByAge, now).await?;
        self.tell_of_foreign(&keys, settings);
        let before = self.keyring();
        if before.is_of(&keys, settings.key_encryption.as_ref()) {
            return Ok(false);
        }
        let after = Arc::new(open(&keys, settings)?);
        *lock(&self.keyring) = Arc::clone(&after);
        Ok(after.jwks != before.jwks)
    }

    /// Says, once for each key, that the next one is not what the configuration says: where gateways differ for longer than a
    /// change takes, it stays so.
    fn tell_of_foreign(&self, keys: &[StoredKey], settings: &Authority) {
        let Some(next) = rotation::foreign_next(keys, &Rule::of(settings)) else { return };
        if lock(&self.told_foreign).replace(next.key_id.clone()).is_some_and(|told| told == next.key_id) {
            return;
        }
        let (key_id, algorithm, configured) = (&next.key_id, next.algorithm.name(), settings.algorithm.name());
        tracing::warn!(
            key_id,
            algorithm,
            configured,
            "the next signing key is of another algorithm than `authority.algorithm`: it is replaced later, or other \
             gateways on this storage are configured otherwise"
        );
    }

    /// The published keys: a JWK set (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self) -> Vec<u8> {
        self.keyring().jwks.clone()
    }

    /// Where it is told up to which change this gateway goes by what is stored. Until then nothing waits for that.
    #[must_use]
    pub fn in_force(&self) -> watch::Sender<u64> {
        self.in_force.clone()
    }

    /// Writes down which clients have got tokens since the last time.
    ///
    /// # Errors
    /// The storage failed. They are written the next time.
    pub async fn flush_used(&self) -> Result<(), StoreError> {
        let used = lock(&self.last_used).take();
        if used.is_empty() {
            return Ok(());
        }
        let written = self.store.used(used.clone()).await;
        if written.is_err() {
            used.iter().for_each(|(id, at)| lock(&self.last_used).note(id, *at));
        }
        written
    }

    /// Answers a request. The feed ([`Endpoint::Changes`]) is answered elsewhere.
    pub async fn answer(&self, call: Call) -> Response<Bytes> {
        let answered = match call.endpoint {
            Endpoint::Token => token::answer(self, &call).await,
            Endpoint::Introspect => introspect::answer(self, &call).await,
            Endpoint::Revoke => revoke::answer(self, &call).await,
            Endpoint::OauthMetadata => document(&call, || metadata::oauth(&call.settings).to_string().into()),
            Endpoint::OpenidConfiguration => document(&call, || metadata::openid(&call.settings).to_string().into()),
            Endpoint::Jwks => document(&call, || self.jwks()),
            Endpoint::Changes => Err(OAuthError::unavailable()),
        };
        answered.unwrap_or_else(answer::error)
    }

    /// The client whose credentials these are. One that does not exist, one that is revoked or expired and one whose
    /// credentials are others take the same path and get the same answer.
    ///
    /// # Errors
    /// `invalid_client`, `rate_limited`, `temporarily_unavailable`.
    pub(super) async fn authenticate(&self, shown: &ClientCredentials, call: &Call) -> Result<Client, OAuthError> {
        match shown {
            ClientCredentials::Secret { id, secret } => {
                self.prove(id, call, |client| Ok(secret_is_right(client, secret, call.now))).await
            }
            ClientCredentials::Assertion { id, jwt } => {
                let parts = (jwt.len() <= assertion::BYTES_MAX).then(|| Parts::split(jwt).ok()).flatten();
                let parts = parts.ok_or_else(OAuthError::client)?;
                let assertion = UnverifiedClaims::parse(&parts).map_err(|_| OAuthError::client())?;
                let subject: Box<str> = assertion.subject().ok_or_else(OAuthError::client)?.into();
                if !super::credentials::is_client_id(&subject) || id.as_ref().is_some_and(|id| *id != subject) {
                    return Err(OAuthError::client());
                }
                let settings = &call.settings;
                let prove = |client: Option<&Client>| {
                    let Some(proof) = assertion::verify(assertion, &subject, client, settings, call.now) else {
                        return Ok(false);
                    };
                    lock(&self.assertions).once(&subject, &proof, call.now).map(|()| true)
                };
                self.prove(&subject, call, prove).await
            }
        }
    }

    async fn prove(
        &self,
        id: &str,
        call: &Call,
        prove: impl FnOnce(Option<&Client>) -> Result<bool, OAuthError>,
    ) -> Result<Client, OAuthError> {
        let may_try = lock(&self.guesses).check(id, call.peer, call.now);
        may_try.map_err(|retry_after_seconds| {
            OAuthError::new(ErrorCode::RateLimited { retry_after_seconds }, "too many failures to authenticate")
        })?;
        let client = self.client(id).await?;
        let is_proven = prove(client.as_ref())?;
        let fault = match client.as_ref().map(|client| client.status(call.now)) {
            None => "there is no such client",
            Some(_) if !is_proven => "the client has shown other credentials than its own",
            Some(Status::Revoked) => "the client is revoked",
            Some(Status::Expired) => "the client is expired",
            Some(Status::Active) => return client.ok_or_else(OAuthError::client),
        };
        lock(&self.guesses).failed(id, call.peer, call.now);
        Err(OAuthError::client().because(fault, client.map(|client| client.id)))
    }

    /// What a token says, if it is one of ours.
    pub(super) fn own_token(&self, token: &str, call: &Call) -> Option<OwnToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let parts = Parts::split(token).ok()?;
        let signed = UnverifiedClaims::parse(&parts).ok()?.verify(&self.keyring().public, &Keyset::default()).ok()?;
        let is_access_token = signed.token_type.as_deref() == Some(mint::TOKEN_TYPE);
        let is_ours = is_access_token && signed.claims.str("iss") == Some(&*call.settings.issuer);
        is_ours.then(|| OwnToken::read(&signed.claims)).flatten()
    }

    pub(super) async fn client(&self, id: &str) -> Result<Option<Client>, OAuthError> {
        self.store.client(id).await.map_err(unavailable)
    }

    pub(super) async fn is_token_revoked(&self, jti: &str) -> Result<bool, OAuthError> {
        self.store.is_token_revoked(jti).await.map_err(unavailable)
    }

    pub(super) async fn revoke_token(&self, token: &OwnToken, now: UnixSeconds) -> Result<(), OAuthError> {
        let OwnToken { client_id, jti, expires, .. } = token;
        let who = Actor(format!("client:{client_id}").into());
        let expires = expires.plus(rotation::LEEWAY_SECONDS);
        let revoked = RevokedToken { client_id: client_id.clone(), jti: jti.clone(), expires };
        self.store.revoke_token(&who, revoked, REVOKED_MAX, now).await.map_err(|error| match error {
            ChangeError::Denied(TooManyRevoked { until }) => too_many_revoked(until.0.saturating_sub(now.0)),
            ChangeError::Store(error) => unavailable(error),
        })?;
        let number = self.store.number().await.map_err(unavailable)?;
        self.known_here(number).await;
        Ok(())
    }

    pub(super) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&lock(&self.keyring))
    }

    /// Waits until this gateway goes by the change of this number: what was answered is so for the next request here.
    pub(super) async fn known_here(&self, number: u64) {
        let mut in_force = self.in_force.subscribe();
        // Where that takes long, something is wrong with the storage, and what was answered is right all the same.
        let _ = timeout(KNOWN_HERE, in_force.wait_for(|known| *known >= number)).await;
    }

    pub(super) fn note_used(&self, id: &str, now: UnixSeconds) {
        lock(&self.last_used).note(id, now);
    }
}

impl Call {
    pub(super) fn form_request(&self) -> Request<'_> {
        Request { method: &self.method, query: self.query.as_deref(), headers: &self.headers, body: &self.body }
    }
}

impl OwnToken {
    fn read(claims: &Object<'_>) -> Option<Self> {
        let seconds = |name| match claims.get(name) {
            Some(Json::Integer(seconds)) => Some(UnixSeconds(*seconds)),
            _ => None,
        };
        let Some(Json::Integer(generation)) = claims.get("gen") else { return None };
        Some(Self {
            client_id: claims.str("client_id")?.into(),
            jti: claims.str("jti")?.into(),
            audiences: strings(claims.get("aud")),
            scope: claims.str("scope").unwrap_or_default().into(),
            tenants: strings(claims.get("tenant_id")),
            issued: seconds("iat")?,
            expires: seconds("exp")?,
            generation: u64::try_from(*generation).ok()?,
        })
    }
}

/// Makes the next key the current one at once, for `keys rotate`. What there is then. Running processes notice it at their
/// next tick.
///
/// # Errors
/// The storage failed, or its keys cannot be used, or there are too many.
pub async fn rotate_now(
    store: &Store,
    who: &Actor,
    settings: &Authority,
    now: UnixSeconds,
) -> Result<Vec<StoredKey>, StartError> {
    turn_keys(store, who, settings, Turn::Now, now).await
}

/// Does what is due to the keys. Whether something is, is seen before; what it is, is decided within the transaction, since
/// another process may have done it meanwhile.
async fn turn_keys(
    store: &Store,
    who: &Actor,
    settings: &Authority,
    turn: Turn,
    now: UnixSeconds,
) -> Result<Vec<StoredKey>, StartError> {
    let rule = Rule::of(settings);
    let encryption: Option<KeyEncryptionKey> = settings.key_encryption.clone();
    let keys = store.keys().await?;
    let missing = rotation::plan(&keys, &rule, turn, now).map(|plan| plan.missing.len());
    let is_sealing = encryption.is_some() && keys.iter().any(|key| !key.is_sealed);
    if missing.is_none() && !is_sealing {
        return Ok(keys);
    }
    // Made here: an RSA key takes its time, and a transaction keeps others waiting.
    let spare: Result<Vec<NewKey>, KeyError> =
        (0..missing.unwrap_or(0)).map(|_| NewKey::generate(rule.algorithm)).collect();
    let spare = spare.map_err(RotationError::from)?;
    let change = move |keys: &[StoredKey]| rotation::next_keys(keys, (&rule, turn), encryption.as_ref(), spare, now);
    store.change_keys(who, now, change).await.map_err(|error| match error {
        ChangeError::Denied(why) => StartError::Keys(why),
        ChangeError::Store(error) => StartError::Store(error),
    })
}

fn open(keys: &[StoredKey], settings: &Authority) -> Result<Keyring, StartError> {
    Keyring::open(keys, settings.key_encryption.as_ref()).map_err(|error| StartError::Keys(error.into()))
}

/// Whether the secret is one of the client's that count now. As many hashes are compared for a client without secrets, and for
/// none at all.
fn secret_is_right(client: Option<&Client>, secret: &str, now: UnixSeconds) -> bool {
    const NONE: SecretHash = SecretHash([0; 32]);
    let shown = SecretHash::of(secret);
    let stored: &[StoredSecret] = client.map_or(&[], |client| &client.secrets);
    let is_live =
        |index: usize| stored.get(index).is_some_and(|secret| secret.expires_at.is_none_or(|expires| now < expires));
    let compare = |index: usize| {
        let hash = stored.get(index).map_or(&NONE, |secret| &secret.hash);
        hash.0.ct_eq(&shown.0) & Choice::from(u8::from(is_live(index)))
    };
    (0..SECRETS_MAX.max(stored.len())).fold(Choice::from(0), |is_right, index| is_right | compare(index)).into()
}

fn document(call: &Call, body: impl FnOnce() -> Vec<u8>) -> Result<Response<Bytes>, OAuthError> {
    match call.method {
        Method::GET | Method::HEAD => Ok(answer::document(body())),
        _ => Err(OAuthError::new(ErrorCode::MethodNotAllowed("GET, HEAD"), "the request has to be a GET")),
    }
}

fn strings(claim: Option<&Json<'_>>) -> Vec<Box<str>> {
    match claim {
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).map(Box::from).collect(),
        single => single.and_then(Json::as_str).map(Box::from).into_iter().collect(),
    }
}

fn unavailable(error: StoreError) -> OAuthError {
    tracing::error!(%error, "the authority cannot answer");
    OAuthError::unavailable()
}

fn too_many_revoked(seconds: i64) -> OAuthError {
    let retry_after_seconds = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
    let description = "the client has revoked too many tokens that are not expired yet";
    OAuthError::new(ErrorCode::RateLimited { retry_after_seconds }, description)
}

fn authority() -> Actor {
    Actor("authority".into())
}

/// What is behind a lock stays whole when something panics that holds it: it is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
