//! The description of the API (OpenAPI 3.1), from the types that it is served with.

use utoipa::OpenApi;
use utoipa::openapi::security::{ClientCredentials, Flow, OAuth2, Scopes, SecurityScheme};

use super::responses::Refused;
use super::{Answer, Told};
use super::{audit, clients, foreign};
use crate::config::Authority;
use crate::config::authority::{CLIENTS_READ, CLIENTS_WRITE, CONTROL_SCOPES};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sidegate admin API",
        description = "App Clients of the authority. Every answer that is a no is a problem document (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        describe,
        clients::list,
        clients::create,
        clients::show,
        clients::edit,
        clients::delete,
        clients::renew,
        clients::rotate_secret,
        clients::revoke,
        clients::restore,
        foreign::revoke,
        foreign::restore,
        audit::list,
    )
)]
struct Document;

/// Shows this document. On loopback it needs no token.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "describe",
    responses(
        (status = 200, description = "This document.", content_type = "application/json"),
        Refused,
    ),
    security((), ("token" = ["sidegate.clients:read"])),
)]
pub(super) fn describe(settings: &Authority) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let base = settings.issuer.trim_end_matches('/');
    let path = settings.token_paths.first().map_or("", |path| path);
    let scope = |name: &str| format!("{}{name}", settings.scope_prefix);
    let scopes = CONTROL_SCOPES.iter().filter(|(name, _)| [CLIENTS_READ, CLIENTS_WRITE].contains(name));
    let scopes = Scopes::from_iter(scopes.map(|(name, text)| (scope(name), (*text).to_owned())));
    let flow = Flow::ClientCredentials(ClientCredentials::new(format!("{base}{path}"), scopes));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::OAuth2(OAuth2::new([flow])));
    document
}

pub(super) fn show(settings: &Authority) -> Answer {
    Told::ok(&describe(settings))
}
