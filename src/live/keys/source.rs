//! Fetches one issuer's key set: from its `jwks_uri`, or from where its metadata says.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use thiserror::Error;
use tokio::time::timeout;

use super::discovery::{self, DiscoveryError};
use crate::core::keyset::{Keyset, KeysetError};
use crate::net::fetch::{Document, FetchError, Fetcher, TIMEOUT};

/// Fetches a document by GET. Tests play the issuer with it.
pub(super) trait Get: 'static {
    /// The document at `uri`.
    async fn get(&self, uri: &Uri) -> Result<Document, FetchError>;
}

impl Get for Fetcher {
    async fn get(&self, uri: &Uri) -> Result<Document, FetchError> {
        self.get(uri).await
    }
}

/// A key set with at least one usable key.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) keys: Keyset,
    /// The key set as it came.
    pub(super) jwks: Bytes,
    /// How long it is fresh, if the issuer said so.
    pub(super) max_age: Option<Duration>,
}

/// Why there are no keys. The text is for operators and holds nothing of a key set.
#[derive(Debug, Error)]
pub(super) enum KeyError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Keyset(#[from] KeysetError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("the metadata: {0}")]
    Metadata(FetchError),
    #[error("at /.well-known/openid-configuration: {openid}; at /.well-known/oauth-authorization-server: {oauth}")]
    NoMetadata { openid: Box<KeyError>, oauth: Box<KeyError> },
    #[error("the key set was not read")]
    Broken,
}

impl KeyError {
    /// What kind of failure it is: the label `result` of the metric.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Fetch(error) | Self::Metadata(error) => match error {
                FetchError::Url(_) | FetchError::Http(_) | FetchError::NotEvents | FetchError::TooLarge => "invalid",
                FetchError::Connect { .. } | FetchError::Tls { .. } => "connect",
                FetchError::Timeout => "timeout",
                FetchError::Redirect { .. } | FetchError::Status(_) => "status",
            },
            Self::Keyset(_) | Self::Discovery(_) | Self::Broken => "invalid",
            Self::NoMetadata { openid, .. } => openid.result(),
        }
    }

    /// Whether the host has answered at all, so that it is worth asking for another document.
    fn has_answered(&self) -> bool {
        !matches!(self.result(), "connect" | "timeout")
    }
}

/// Where one issuer's keys are, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// What discovery has found. Forgotten when the keys are not there any more.
    discovered: Option<Uri>,
}

impl Source {
    /// The issuer's keys as they are now. `configured` is its `jwks_uri`, if it has one.
    pub(super) async fn keys(
        &mut self,
        get: &impl Get,
        iss: &str,
        configured: Option<&Uri>,
    ) -> Result<Found, KeyError> {
        // A fetch with discovery takes up to three documents, and no longer than one.
        let keys = timeout(TIMEOUT, self.keys_in_any_time(get, iss, configured)).await;
        let keys = keys.unwrap_or(Err(FetchError::Timeout.into()));
        if keys.is_err() {
            self.discovered = None;
        }
        keys
    }

    async fn keys_in_any_time(
        &mut self,
        get: &impl Get,
        iss: &str,
        configured: Option<&Uri>,
    ) -> Result<Found, KeyError> {
        if let Some(uri) = configured {
            return key_set(get, uri).await;
        }
        if let Some(uri) = &self.discovered
            && let Ok(found) = key_set(get, uri).await
        {
            return Ok(found);
        }
        let uri = discover(get, iss).await?;
        let found = key_set(get, &uri).await?;
        self.discovered = Some(uri);
        Ok(found)
    }
}

async fn key_set(get: &impl Get, uri: &Uri) -> Result<Found, KeyError> {
    let Document { body, max_age } = get.get(uri).await?;
    let text = body.clone();
    // Making keys ready takes a while: not on the thread that answers health checks.
    let parsed = tokio::task::spawn_blocking(move || Keyset::parse(&text)).await;
    let keys = parsed.map_err(|_| KeyError::Broken)??;
    Ok(Found { keys, jwks: body, max_age })
}

/// Asks for the metadata of OpenID Connect, then for that of RFC 8414.
async fn discover(get: &impl Get, iss: &str) -> Result<Uri, KeyError> {
    let [openid, oauth] = discovery::documents(iss)?;
    let first = match metadata(get, &openid, iss).await {
        Ok(uri) => return Ok(uri),
        Err(error) if error.has_answered() => error,
        Err(error) => return Err(error),
    };
    let none = |second| KeyError::NoMetadata { openid: Box::new(first), oauth: Box::new(second) };
    metadata(get, &oauth, iss).await.map_err(none)
}

async fn metadata(get: &impl Get, uri: &Uri, iss: &str) -> Result<Uri, KeyError> {
    let document = get.get(uri).await.map_err(KeyError::Metadata)?;
    Ok(discovery::jwks_uri(&document.body, iss)?)
}
