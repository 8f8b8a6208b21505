//! The audit log: who has changed what, and when.

use super::model::{AuditEntry, AuditPage};
use super::problem::Problem;
use super::responses::Refused;
use super::{Answer, Request, Told, query};

/// Lists the audit log, oldest first. Only whoever is held to no tenants may read it.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "listAudit",
    params(
        ("limit" = Option<u16>, Query, description = "At most so many: 1 to 500, 50 if left out."),
        ("after" = Option<u64>, Query, description = "Only changes behind this number: `next` of the page before."),
    ),
    responses(
        (status = 200, description = "Some changes.", body = AuditPage),
        Refused,
    ),
    security(("token" = ["sidegate.clients:read"])),
)]
pub(super) async fn list(request: &Request<'_>) -> Answer {
    let part = query::part(request.query)?;
    let after = part.after.map(|after| after.parse()).transpose();
    let after = after.map_err(|_| Problem::malformed("not the number of a change").about("after"))?;
    let mut rows = request.manager.audit(request.caller, after.unwrap_or(0), part.limit + 1).await?;
    let has_more = rows.len() > part.limit;
    rows.truncate(part.limit);
    Told::ok(&AuditPage {
        next: rows.last().map(|row| row.number).filter(|_| has_more),
        entries: rows.into_iter().map(AuditEntry::new).collect(),
    })
}
