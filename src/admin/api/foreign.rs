//! Clients of other issuers. They are registered elsewhere; what is kept here is that they are refused.

use super::model::{ForeignDocument, Nothing};
use super::problem::Problem;
use super::responses::Refused;
use super::{Answer, Request, Told, body};
use crate::config::words;

/// Refuses the tokens of a client of another issuer from now on. Only whoever is held to no tenants may do this.
#[utoipa::path(
    post,
    path = "/api/v1/issuers/{name}/clients/{id}/revoke",
    operation_id = "revokeForeignClient",
    params(
        ("name" = String, Path, description = "The issuer's name in the configuration."),
        ("id" = String, Path, description = "The client's id there, percent-encoded."),
    ),
    responses(
        (status = 200, description = "It is refused.", body = ForeignDocument),
        Refused,
    ),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn revoke(request: &Request<'_>, content: &[u8]) -> Answer {
    let Nothing {} = body::parse(content)?;
    refuse(request, true).await
}

/// Lets the tokens of a client of another issuer in again, those of before included.
#[utoipa::path(
    post,
    path = "/api/v1/issuers/{name}/clients/{id}/restore",
    operation_id = "restoreForeignClient",
    params(
        ("name" = String, Path, description = "The issuer's name in the configuration."),
        ("id" = String, Path, description = "The client's id there, percent-encoded."),
    ),
    responses(
        (status = 200, description = "It is refused no more.", body = ForeignDocument),
        Refused,
    ),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn restore(request: &Request<'_>, content: &[u8]) -> Answer {
    let Nothing {} = body::parse(content)?;
    refuse(request, false).await
}

async fn refuse(request: &Request<'_>, is_refused: bool) -> Answer {
    let (name, id) = (request.argument(0), request.argument(1));
    let issuers = &request.live.snapshot.issuers;
    let known = issuers.iter().find(|issuer| *issuer.name == *name).ok_or_else(|| {
        let shown = words::shown(name);
        Problem::unknown(format!("the configuration has no issuer `{shown}`")).about("name")
    })?;
    if known.iss == request.settings.issuer {
        let detail = "this is the authority itself, whose clients are at /api/v1/clients/{id}/revoke and …/restore";
        return Err(Problem::unknown(detail).about("name"));
    }
    let changed = request.manager.refuse_foreign(request.caller, &known.iss, id, is_refused, request.now).await?;
    Told::ok(&ForeignDocument { issuer: name, client_id: id, is_revoked: is_refused, is_changed: changed })
}
