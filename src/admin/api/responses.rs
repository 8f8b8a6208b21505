//! What several operations answer, for the OpenAPI document. Their comments are the descriptions in it.

#![expect(dead_code, reason = "they describe answers, and are none")]

use utoipa::IntoResponses;

use super::model::ClientDocument;
use super::problem::ProblemDocument;

/// Why not.
#[derive(IntoResponses)]
#[response(status = "default", content_type = "application/problem+json")]
pub(super) struct Refused(ProblemDocument<'static>);

/// Why what has to have an `If-Match` is not done.
#[derive(IntoResponses)]
pub(super) enum OnlyIf {
    /// It has changed since.
    #[response(status = 412, content_type = "application/problem+json")]
    Changed(ProblemDocument<'static>),
    /// `If-Match` is missing.
    #[response(status = 428, content_type = "application/problem+json")]
    Unsaid(ProblemDocument<'static>),
}

/// The client as it is now.
#[derive(IntoResponses)]
#[response(status = 200, headers(("ETag" = String, description = "Its version.")))]
pub(super) struct Now(ClientDocument<'static>);
