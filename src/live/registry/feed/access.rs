//! What opens a feed: a token of the authority's, for our client there.
//!
//! No error repeats anything that was sent or received but a status.

use std::rc::Rc;
use std::time::Duration;

use form_urlencoded::Serializer;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode, Uri};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::config::authority::{REGISTRY_READ, RegistryFeed};
use crate::core::json::{Json, Object};
use crate::net::fetch::{self, Events, FetchError, Fetcher};

/// How long the authority is left alone after it has refused our client: it counts failures, and ten within a minute are too
/// many.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// A feed that refuses a token which is younger than this would refuse another one as well, or knows too little as yet.
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// A token that is valid for no longer than this is not used any more.
const TOKEN_REST: Duration = Duration::from_secs(30);
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";
const CHANGES_PATH: &str = "/registry/v1/changes";

/// The way in.
pub(super) struct Access {
    fetcher: Rc<Fetcher>,
    iss: Box<str>,
    registry: RegistryFeed,
    token: Option<Token>,
    /// When our client may be tried again that was refused.
    refused_until: Option<Instant>,
}

struct Token {
    authorization: HeaderValue,
    issued: Instant,
    usable_until: Instant,
}

/// Where tokens are issued, and what to ask for there.
#[derive(Debug)]
struct Issuing {
    endpoint: Uri,
    scope: Box<str>,
}

impl Access {
    pub(super) fn new(fetcher: Rc<Fetcher>, iss: Box<str>, registry: RegistryFeed) -> Self {
        Self { fetcher, iss, registry, token: None, refused_until: None }
    }

    /// The feed behind the change of this number.
    ///
    /// # Errors
    /// Why it cannot be opened, for operators.
    pub(super) async fn open(&mut self, after: u64) -> Result<Events, String> {
        if let Some(until) = self.refused_until {
            sleep_until(until).await;
            self.refused_until = None;
        }
        let uri = below(&self.registry.url, &format!("{CHANGES_PATH}?after={after}"))?;
        if let Some(Token { authorization, issued, .. }) = self.token.as_ref().filter(|token| token.is_usable()) {
            match self.fetcher.events(&uri, authorization.clone()).await {
                // What it was made for may have changed since.
                Err(FetchError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
                    if issued.elapsed() >= RENEW_AFTER => {}
                opened => return opened.map_err(|error| self.refused(&error)),
            }
        }
        let authorization = self.renew().await?;
        let opened = self.fetcher.events(&uri, authorization).await;
        opened.map_err(|error| self.refused(&error))
    }

    /// A new token.
    async fn renew(&mut self) -> Result<HeaderValue, String> {
        let issuing = self.discover().await?;
        let authorization = fetch::basic(&self.registry.client_id, &self.registry.client_secret.0)
            .map_err(|_| "the client id or its secret is too long".to_owned())?;
        let form = form(&issuing.scope);
        let answer = self.fetcher.post_form(&issuing.endpoint, authorization, form).await;
        let (status, body) = answer.map_err(|error| format!("no token for the feed: {error}"))?;
        if status != StatusCode::OK {
            self.refused_until = status.is_client_error().then(|| clock::timer() + REFUSED_PAUSE);
            return Err(self.no_token(status, &body, &issuing.scope));
        }
        let token = token(&body).ok_or("no token for the feed: the answer of the token endpoint holds none")?;
        Ok(self.token.insert(token).authorization.clone())
    }

    async fn discover(&self) -> Result<Issuing, String> {
        let uri = below(&self.registry.url, METADATA_PATH)?;
        let document =
            self.fetcher.get(&uri).await.map_err(|error| format!("no metadata of the authority: {error}"))?;
        Issuing::read(&document.body, &self.iss, &self.registry.url)
    }

    fn no_token(&self, status: StatusCode, body: &[u8], scope: &str) -> String {
        let id = &self.registry.client_id;
        let what = match error_code(body) {
            Some("invalid_client") => format!("the authority does not know the client `{id}` by this secret"),
            Some("invalid_scope") => format!("the client `{id}` does not have the scope `{scope}`"),
            _ if status == StatusCode::TOO_MANY_REQUESTS => "too many attempts with a wrong secret".to_owned(),
            _ => "the token endpoint refuses".to_owned(),
        };
        format!("no token for the feed: {what} (status {})", status.as_u16())
    }

    fn refused(&self, error: &FetchError) -> String {
        let id = &self.registry.client_id;
        match error {
            FetchError::Status(StatusCode::UNAUTHORIZED) => {
                format!("the feed does not take the token of the client `{id}` (status 401)")
            }
            FetchError::Status(StatusCode::FORBIDDEN) => {
                format!(
                    "the client `{id}` may not read the feed: it lacks the scope `{REGISTRY_READ}`, or has tenants (status 403)"
                )
            }
            FetchError::Status(StatusCode::SERVICE_UNAVAILABLE) => {
                "the authority does not know its clients itself right now (status 503)".to_owned()
            }
            error => format!("no feed: {error}"),
        }
    }
}

impl Issuing {
    /// Reads the metadata (RFC 8414 section 2) of the authority of this `iss`, which is reached at `url`: what it calls its own
    /// URLs may lead elsewhere from here.
    fn read(document: &[u8], iss: &str, url: &Uri) -> Result<Self, String> {
        let metadata = Json::parse(document).ok().and_then(Json::into_object);
        let metadata = metadata.ok_or("the metadata of the authority is no JSON object")?;
        if metadata.str("issuer") != Some(iss) {
            return Err(
                "the authority at `registry.url` is another issuer than this one: its \"issuer\" differs".to_owned()
            );
        }
        let endpoint = metadata.str("token_endpoint").and_then(|endpoint| endpoint.parse::<Uri>().ok());
        let path = endpoint.as_ref().and_then(Uri::path_and_query).cloned();
        let path = path.ok_or("the metadata of the authority has no URL \"token_endpoint\"")?;
        Ok(Self { endpoint: with_path(url, path)?, scope: scope(&metadata).into() })
    }
}

/// The scope that opens the feed, with the authority's prefix if it has one.
fn scope<'a>(metadata: &'a Object<'_>) -> &'a str {
    let Some(Json::Array(scopes)) = metadata.get("scopes_supported") else { return REGISTRY_READ };
    scopes.iter().filter_map(Json::as_str).find(|scope| scope.ends_with(REGISTRY_READ)).unwrap_or(REGISTRY_READ)
}

/// RFC 6749 section 5.1.
fn token(body: &[u8]) -> Option<Token> {
    let body = Json::parse(body).ok()?.into_object()?;
    body.str("token_type").filter(|kind| kind.eq_ignore_ascii_case("bearer"))?;
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", body.str("access_token")?)).ok()?;
    authorization.set_sensitive(true);
    let lifetime = match body.get("expires_in") {
        Some(Json::Integer(seconds)) => Duration::from_secs(u64::try_from(*seconds).ok()?),
        // Used once.
        _ => Duration::ZERO,
    };
    let issued = clock::timer();
    let usable_until = issued.checked_add(lifetime.saturating_sub(TOKEN_REST))?;
    Some(Token { authorization, issued, usable_until })
}

impl Token {
    fn is_usable(&self) -> bool {
        clock::timer() < self.usable_until
    }
}

/// `error` (RFC 6749 section 5.2).
fn error_code(body: &[u8]) -> Option<&'static str> {
    let body = Json::parse(body).ok()?.into_object()?;
    let code = body.str("error")?;
    ["invalid_client", "invalid_scope"].into_iter().find(|known| *known == code)
}

fn form(scope: &str) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("scope", scope);
    form.finish()
}

/// A path below the URL that is configured.
fn below(url: &Uri, path: &str) -> Result<Uri, String> {
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    with_path(url, path.parse().map_err(|_| not_a_url())?)
}

fn with_path(url: &Uri, path: PathAndQuery) -> Result<Uri, String> {
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| not_a_url())
}

fn not_a_url() -> String {
    "`registry.url` cannot be completed to a URL".to_owned()
}
