//! The explanation: a decision and how it came about, as values to print.

use std::collections::BTreeMap;

use serde::Serialize;

use super::steps::Stage;
use super::told::Told;
use crate::core::decision::{Decision, Outcome, OwnAnswer};
use crate::core::head::RequestHead;
use crate::core::rejection::Reason;
use crate::core::snapshot::Snapshot;

/// The explanation of one decision.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) decision: Verdict,
    /// Status of the refusal or of the gateway's own answer; 200 stands for whatever the backend answers.
    pub(super) status: u16,
    /// Why the request was refused, or would have been but for shadow mode.
    pub(super) reason: Option<&'static str>,
    /// Whether the request passes only because of shadow mode.
    pub(super) shadowed: bool,
    pub(super) route: Option<String>,
    pub(super) steps: Vec<Step>,
    /// The header fields that the backend sees; none where it is not asked.
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Allow,
    Deny,
}

#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) step: Stage,
    pub(super) result: StepResult,
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StepResult {
    Ok,
    Failed,
    /// Failed, and nothing came of it.
    Shadowed,
    /// Not reached, or nothing to do.
    Skipped,
}

impl Report {
    pub(super) fn new(snapshot: &Snapshot, head: &RequestHead<'_>, decision: Decision) -> Self {
        let Decision { outcome, trace } = decision;
        let rejection = match &outcome {
            Outcome::Reject(rejection) => Some(rejection),
            Outcome::Forward(_) | Outcome::Answer(_) => trace.shadowed.as_ref(),
        };
        let route = trace.route.and_then(|id| snapshot.routes.get(id));
        let told = Told { snapshot, head, outcome: &outcome, trace: &trace, rejection, route };
        Self {
            decision: if matches!(outcome, Outcome::Reject(_)) { Verdict::Deny } else { Verdict::Allow },
            status: status(&outcome),
            reason: rejection.map(|rejection| rejection.reason.label()),
            shadowed: trace.shadowed.is_some(),
            route: trace.route.and_then(|id| snapshot.routes.label(id)).map(|label| label.to_string()),
            steps: Stage::ALL.into_iter().map(|stage| told.step(stage)).collect(),
            headers: told.headers(),
        }
    }

    /// Whether the decision is what it is for want of keys or of a client registry.
    pub(super) fn is_about_what_is_not_there(&self) -> bool {
        let missing = [Reason::KeysUnavailable, Reason::RegistryUnavailable];
        missing.iter().any(|reason| self.reason == Some(reason.label()))
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.decision == Verdict::Allow
    }
}

fn status(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Forward(_) | Outcome::Answer(OwnAnswer::ResourceMetadata) => 200,
        Outcome::Answer(OwnAnswer::Preflight) => 204,
        Outcome::Reject(rejection) => rejection.reason.answer().status,
    }
}
