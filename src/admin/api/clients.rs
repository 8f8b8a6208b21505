//! App Clients.

use http::StatusCode;
use serde_json::Value;

use super::model::{ClientDocument, ClientPage, ClientPatch, NewClient, Nothing, Renewal, Rotation};
use super::precondition::{self, Tags};
use super::problem::{Problem, ProblemDocument};
use super::responses::{Now, OnlyIf, Refused};
use super::{Answer, Request, Told, body, query};
use crate::authority::manage::{Draft, Edit, Outcome};
use crate::authority::rules;

/// For how long an old secret stays live unless it is said, in seconds.
const KEEP_OLD_SECONDS: u32 = 24 * 3600;

/// Lists App Clients, by id. Whoever is held to tenants sees those of no others.
#[utoipa::path(
    get,
    path = "/api/v1/clients",
    operation_id = "listClients",
    params(
        ("limit" = Option<u16>, Query, description = "At most so many: 1 to 500, 50 if left out."),
        ("after" = Option<String>, Query, description = "Only those behind this id: `next` of the page before."),
    ),
    responses(
        (status = 200, description = "Some clients.", body = ClientPage),
        Refused,
    ),
    security(("token" = ["sidegate.clients:read"])),
)]
pub(super) async fn list(request: &Request<'_>) -> Answer {
    let part = query::part(request.query)?;
    let after = part.after.map(Box::from);
    // One more than asked for tells whether there are more.
    let mut clients = request.manager.page(request.caller, after, part.limit + 1).await?;
    let has_more = clients.len() > part.limit;
    clients.truncate(part.limit);
    Told::ok(&ClientPage {
        next: clients.last().map(|client| &*client.id).filter(|_| has_more),
        clients: clients.iter().map(|client| ClientDocument::new(client, None, request.now)).collect(),
    })
}

/// Makes an App Client. The answer has its secret, which is never told again.
#[utoipa::path(
    post,
    path = "/api/v1/clients",
    operation_id = "createClient",
    request_body = NewClient,
    responses(
        (status = 201, description = "The client, at `Location`.", body = ClientDocument,
            headers(("ETag" = String, description = "Its version."), ("Location" = String, description = "Where it is."))),
        (status = 409, description = "There is a client with this id.", body = ProblemDocument, content_type = "application/problem+json"),
        Refused,
    ),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn create(request: &Request<'_>, content: &[u8]) -> Answer {
    let draft = draft(body::parse(content)?)?;
    let outcome = request.manager.create(request.caller, draft, request.now).await?;
    let told = Told::new(StatusCode::CREATED, &ClientDocument::after(&outcome, request.now))?;
    Ok(told.with_etag(outcome.client.version).at(&format!("/api/v1/clients/{}", outcome.client.id)))
}

/// Shows an App Client.
#[utoipa::path(
    get,
    path = "/api/v1/clients/{id}",
    operation_id = "showClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: only if it is another one now."),
    ),
    responses(
        (status = 200, description = "The client.", body = ClientDocument, headers(("ETag" = String, description = "Its version."))),
        (status = 304, description = "It has not changed."),
        Refused,
    ),
    security(("token" = ["sidegate.clients:read"])),
)]
pub(super) async fn show(request: &Request<'_>) -> Answer {
    query::none(request.query)?;
    let client = request.manager.find(request.caller, request.argument(0)).await?;
    let told = match precondition::is_known(request.call.headers, client.version)? {
        true => Told::without_body(StatusCode::NOT_MODIFIED),
        false => Told::ok(&ClientDocument::new(&client, None, request.now))?,
    };
    Ok(told.with_etag(client.version))
}

/// Changes an App Client. Its id and its expiry stay.
#[utoipa::path(
    patch,
    path = "/api/v1/clients/{id}",
    operation_id = "editClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = String, Header, description = "Its `ETag`, or `*` for whatever it is."),
    ),
    request_body(content(
        (ClientPatch = "application/merge-patch+json"),
        (ClientPatch = "application/json"),
    )),
    responses(Now, OnlyIf, Refused),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn edit(request: &Request<'_>, content: &[u8]) -> Answer {
    let tags = precondition::required(request.call.headers)?;
    let edit = merge(body::parse(content)?)?;
    let (id, version) = (request.argument(0), version(request, Some(tags)).await?);
    done(request, &request.manager.edit(request.caller, id, version, edit, request.now).await?)
}

/// Deletes an App Client: its tokens are refused from now on, for ever. A new one may have its id.
#[utoipa::path(
    delete,
    path = "/api/v1/clients/{id}",
    operation_id = "deleteClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = String, Header, description = "Its `ETag`, or `*` for whatever it is."),
    ),
    responses(
        (status = 204, description = "There is no such client any more."),
        OnlyIf,
        Refused,
    ),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn delete(request: &Request<'_>) -> Answer {
    let tags = precondition::required(request.call.headers)?;
    let (id, version) = (request.argument(0), version(request, Some(tags)).await?);
    request.manager.delete(request.caller, id, version, request.now).await?;
    Ok(Told::without_body(StatusCode::NO_CONTENT))
}

/// Gives an App Client a new expiry, be it expired already.
#[utoipa::path(
    post,
    path = "/api/v1/clients/{id}/renew",
    operation_id = "renewClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = Option<String>, Header, description = "Its `ETag`."),
    ),
    request_body = Renewal,
    responses(Now, Refused),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn renew(request: &Request<'_>, content: &[u8]) -> Answer {
    let Renewal { expires_at } = body::parse(content)?;
    let expires_at = expires_at.as_deref().map(rules::expiry).transpose()?;
    let (id, version) = (request.argument(0), version_if_said(request).await?);
    done(request, &request.manager.renew(request.caller, id, version, expires_at, request.now).await?)
}

/// Gives an App Client a new secret, which is in the answer and never told again.
#[utoipa::path(
    post,
    path = "/api/v1/clients/{id}/rotate-secret",
    operation_id = "rotateSecret",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = Option<String>, Header, description = "Its `ETag`."),
    ),
    request_body = Rotation,
    responses(
        (status = 200, description = "The client, with its new secret.", body = ClientDocument, headers(("ETag" = String, description = "Its version."))),
        (status = 409, description = "Two secrets are live already.", body = ProblemDocument, content_type = "application/problem+json"),
        Refused,
    ),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn rotate_secret(request: &Request<'_>, content: &[u8]) -> Answer {
    let Rotation { keep_old } = body::parse(content)?;
    let keep = keep_old.as_deref().map(rules::keep_old).transpose()?.unwrap_or(KEEP_OLD_SECONDS);
    let (id, version) = (request.argument(0), version_if_said(request).await?);
    done(request, &request.manager.rotate_secret(request.caller, id, version, keep, request.now).await?)
}

/// Revokes an App Client: its tokens are refused from now on, for ever.
#[utoipa::path(
    post,
    path = "/api/v1/clients/{id}/revoke",
    operation_id = "revokeClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = Option<String>, Header, description = "Its `ETag`."),
    ),
    responses(Now, Refused),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn revoke(request: &Request<'_>, content: &[u8]) -> Answer {
    let Nothing {} = body::parse(content)?;
    let (id, version) = (request.argument(0), version_if_said(request).await?);
    done(request, &request.manager.revoke(request.caller, id, version, request.now).await?)
}

/// Lets a revoked App Client get tokens again. Those that it had stay refused.
#[utoipa::path(
    post,
    path = "/api/v1/clients/{id}/restore",
    operation_id = "restoreClient",
    params(
        ("id" = String, Path, description = "The client's id."),
        ("If-Match" = Option<String>, Header, description = "Its `ETag`."),
    ),
    responses(Now, Refused),
    security(("token" = ["sidegate.clients:write"])),
)]
pub(super) async fn restore(request: &Request<'_>, content: &[u8]) -> Answer {
    let Nothing {} = body::parse(content)?;
    let (id, version) = (request.argument(0), version_if_said(request).await?);
    done(request, &request.manager.restore(request.caller, id, version, request.now).await?)
}

fn done(request: &Request<'_>, outcome: &Outcome) -> Answer {
    Ok(Told::ok(&ClientDocument::after(outcome, request.now))?.with_etag(outcome.client.version))
}

async fn version_if_said(request: &Request<'_>) -> Result<Option<u64>, Problem> {
    version(request, precondition::if_match(request.call.headers)?).await
}

/// The version that a change is for, which the change itself then holds the client to; `None` is any.
async fn version(request: &Request<'_>, tags: Option<Tags>) -> Result<Option<u64>, Problem> {
    let tags = match tags {
        None | Some(Tags::Any) => return Ok(None),
        Some(tags) => tags,
    };
    let version = request.manager.find(request.caller, request.argument(0)).await?.version;
    if tags.mean(version) { Ok(Some(version)) } else { Err(Problem::conflict(version)) }
}

fn draft(new: NewClient) -> Result<Draft, Problem> {
    let NewClient { client_id, name, description, notes, scopes, roles, tenants, expires_at, jwks, with_secret } = new;
    Ok(Draft {
        id: client_id.map(Into::into),
        name: name.into(),
        description: description.into(),
        notes: notes.into(),
        scopes: boxed(scopes),
        roles: boxed(roles),
        tenants: boxed(tenants),
        expires_at: expires_at.as_deref().map(rules::expiry).transpose()?,
        jwks: jwks.map(text),
        with_secret,
    })
}

/// A merge patch as an edit: what is null is taken away.
fn merge(patch: ClientPatch) -> Result<Edit, Problem> {
    let ClientPatch { name, description, notes, scopes, roles, tenants, jwks, secrets } = patch;
    if name == Some(None) {
        return Err(Problem::invalid("a client has a name").about("name"));
    }
    let text_or_none = |text: Option<Option<String>>| text.map(|text| text.unwrap_or_default().into());
    let list = |list: Option<Option<Vec<String>>>| list.map(|list| boxed(list.unwrap_or_default()));
    Ok(Edit {
        name: name.flatten().map(Into::into),
        description: text_or_none(description),
        notes: text_or_none(notes),
        scopes: list(scopes),
        roles: list(roles),
        tenants: list(tenants),
        jwks: jwks.map(|jwks| jwks.map(text)),
        without_secret: secrets.is_some(),
    })
}

fn boxed(names: Vec<String>) -> Vec<Box<str>> {
    names.into_iter().map(Into::into).collect()
}

fn text(jwks: Value) -> Box<str> {
    jwks.to_string().into()
}
