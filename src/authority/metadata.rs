//! What the authority says of itself (RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3).

use serde_json::{Value, json};

use super::mint;
use crate::config::authority::Authority;

/// Path of the JWK set, below the issuer.
const JWKS_PATH: &str = "/.well-known/jwks.json";
const INTROSPECT_PATH: &str = "/oauth2/introspect";
const REVOKE_PATH: &str = "/oauth2/revoke";

/// How clients authenticate, at every endpoint.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// What signs `client_assertion`.
const ASSERTION_ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The metadata of RFC 8414. There is no `authorization_endpoint`, since no grant type uses one, and
/// `response_types_supported` has to be there and is empty for the same reason.
pub(super) fn oauth(settings: &Authority) -> Value {
    let base = settings.issuer.trim_end_matches('/');
    let scopes: Vec<&str> = settings.scopes.keys().map(|scope| &**scope).collect();
    let scopes: Vec<String> = scopes.iter().map(|scope| mint::scope(&[scope], settings)).collect();
    let token_path = settings.token_paths.first().map_or("", |path| path);
    json!({
        "issuer": settings.issuer,
        "token_endpoint": format!("{base}{token_path}"),
        "jwks_uri": format!("{base}{JWKS_PATH}"),
        "introspection_endpoint": format!("{base}{INTROSPECT_PATH}"),
        "revocation_endpoint": format!("{base}{REVOKE_PATH}"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": scopes,
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
    })
}

/// The same for clients that know OpenID Connect discovery alone, with what it asks for besides. It asks for an
/// `authorization_endpoint` as well; to name one that is not there would be worse than to leave it out, and what reads this
/// document to verify tokens does not look for it. There are no ID tokens: the algorithms are those of access tokens, since
/// some verifiers take from here which ones to accept.
pub(super) fn openid(settings: &Authority) -> Value {
    let mut metadata = oauth(settings);
    for (name, values) in [
        ("subject_types_supported", &["public"][..]),
        ("id_token_signing_alg_values_supported", &["RS256", "ES256", "EdDSA"][..]),
    ] {
        metadata.as_object_mut().map(|members| members.insert(name.to_owned(), json!(values)));
    }
    metadata
}
