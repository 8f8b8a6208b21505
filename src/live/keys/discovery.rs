//! Where an issuer says that its keys are: OpenID Connect Discovery 1.0 section 4, and RFC 8414 section 3. Pure: other
//! parts fetch the documents.

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

use crate::core::json::{Json, JsonError, Object};

/// Why the metadata of an issuer says nothing. The text holds no more of it than lengths and names.
#[derive(Debug, Error)]
pub(super) enum DiscoveryError {
    /// The issuer is no URL.
    #[error(
        "the issuer is no http:// or https:// URL without query, so that its metadata cannot be found: set `keys.jwks_uri`"
    )]
    NoUrl,
    /// The document is not JSON, or not such as we take.
    #[error("the metadata is {0}")]
    Json(#[from] JsonError),
    /// The document has no such member.
    #[error("the metadata has no string \"{0}\"")]
    Missing(&'static str),
    /// The document is another issuer's.
    #[error("the metadata is that of another issuer")]
    OtherIssuer,
    /// The document differs from the configuration in a slash.
    #[error("the metadata's \"issuer\" {0}: the configuration has to say exactly the same")]
    Slash(&'static str),
    /// Keys that come in the clear would make the issuer's TLS worthless.
    #[error("the metadata's \"jwks_uri\" is no https:// URL")]
    JwksUri,
}

/// Where the metadata of `issuer` may stand, in the order of asking.
///
/// # Errors
/// If the issuer is no URL with a host and without a query.
pub(super) fn documents(issuer: &str) -> Result<[Uri; 2], DiscoveryError> {
    let uri: Uri = issuer.parse().map_err(|_| DiscoveryError::NoUrl)?;
    let (Some(scheme), Some(authority), None) = (scheme(&uri), uri.authority(), uri.query()) else {
        return Err(DiscoveryError::NoUrl);
    };
    if issuer.contains('#') {
        return Err(DiscoveryError::NoUrl);
    }
    let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
    let parse = |text: String| text.parse().map_err(|_| DiscoveryError::NoUrl);
    Ok([
        parse(format!("{scheme}://{authority}{path}/.well-known/openid-configuration"))?,
        parse(format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"))?,
    ])
}

/// The `jwks_uri` of a metadata document, which has to be `issuer`'s own.
///
/// # Errors
/// If it is another issuer's, or says no URL that keys may come from.
pub(super) fn jwks_uri(document: &[u8], issuer: &str) -> Result<Uri, DiscoveryError> {
    let metadata = Json::parse(document)?.into_object().ok_or(DiscoveryError::Missing("issuer"))?;
    same_issuer(string(&metadata, "issuer")?, issuer)?;
    let uri: Uri = string(&metadata, "jwks_uri")?.parse().map_err(|_| DiscoveryError::JwksUri)?;
    let in_the_clear = issuer.parse().ok().as_ref().and_then(scheme) == Some(&Scheme::HTTP);
    match scheme(&uri) {
        Some(scheme) if *scheme == Scheme::HTTPS || in_the_clear => Ok(uri),
        _ => Err(DiscoveryError::JwksUri),
    }
}

/// Compared as strings, exactly (OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3).
fn same_issuer(found: &str, issuer: &str) -> Result<(), DiscoveryError> {
    if found == issuer {
        Ok(())
    } else if found.strip_suffix('/') == Some(issuer) {
        Err(DiscoveryError::Slash("ends with a slash, and the configured `issuer` does not"))
    } else if issuer.strip_suffix('/') == Some(found) {
        Err(DiscoveryError::Slash("has no slash at its end, and the configured `issuer` has one"))
    } else {
        Err(DiscoveryError::OtherIssuer)
    }
}

fn string<'a>(metadata: &'a Object<'_>, name: &'static str) -> Result<&'a str, DiscoveryError> {
    metadata.str(name).ok_or(DiscoveryError::Missing(name))
}

/// The scheme, if it is one of HTTP's.
fn scheme(uri: &Uri) -> Option<&Scheme> {
    uri.scheme().filter(|scheme| [&Scheme::HTTP, &Scheme::HTTPS].contains(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_goes_behind_or_before_the_issuers_own() {
        for (issuer, openid, oauth) in [
            (
                "https://a",
                "https://a/.well-known/openid-configuration",
                "https://a/.well-known/oauth-authorization-server",
            ),
            (
                "https://a/",
                "https://a/.well-known/openid-configuration",
                "https://a/.well-known/oauth-authorization-server",
            ),
            (
                "http://a:81/realms/x",
                "http://a:81/realms/x/.well-known/openid-configuration",
                "http://a:81/.well-known/oauth-authorization-server/realms/x",
            ),
            (
                "https://a/x/",
                "https://a/x/.well-known/openid-configuration",
                "https://a/.well-known/oauth-authorization-server/x",
            ),
        ] {
            let documents = documents(issuer).unwrap().map(|uri| uri.to_string());
            assert_eq!(documents, [openid, oauth], "{issuer}");
        }
        for issuer in ["partner", "urn:x", "https://a?b", "https://a/#b", "ftp://a", "/a", ""] {
            assert!(matches!(documents(issuer), Err(DiscoveryError::NoUrl)), "{issuer}");
        }
    }

    #[test]
    fn keys_come_from_where_the_issuer_itself_says() {
        let found = |issuer: &str, jwks_uri: &str, configured: &str| {
            let document = serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri, "more": [1.5, null]}).to_string();
            super::jwks_uri(document.as_bytes(), configured)
                .map(|uri| uri.to_string())
                .map_err(|error| error.to_string())
        };
        assert_eq!(found("https://a", "https://b/keys?x", "https://a").unwrap(), "https://b/keys?x");
        assert_eq!(found("http://a", "http://a/keys", "http://a").unwrap(), "http://a/keys");
        for (issuer, jwks_uri, configured, error) in [
            ("https://b", "https://b/keys", "https://a", "another issuer"),
            ("https://A", "https://b/keys", "https://a", "another issuer"),
            ("https://a/", "https://b/keys", "https://a", "ends with a slash"),
            ("https://a", "https://b/keys", "https://a/", "has no slash"),
            ("https://a", "http://a/keys", "https://a", "no https:// URL"),
            ("http://a", "file:///keys", "http://a", "no https:// URL"),
            ("https://a", "/keys", "https://a", "no https:// URL"),
            ("https://a", " ", "https://a", "no https:// URL"),
        ] {
            let found = found(issuer, jwks_uri, configured).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn what_is_no_metadata_says_why() {
        for (document, error) in [
            ("<html>", "not valid JSON"),
            ("[]", "no string \"issuer\""),
            (r#"{"issuer":1}"#, "no string \"issuer\""),
            (r#"{"issuer":"https://a"}"#, "no string \"jwks_uri\""),
            (r#"{"issuer":"https://a","issuer":"https://b"}"#, "is not JSON that every parser reads alike"),
        ] {
            let found = jwks_uri(document.as_bytes(), "https://a").unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
