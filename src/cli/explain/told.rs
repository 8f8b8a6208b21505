//! What each step is told as.

use std::collections::BTreeMap;

use super::backend;
use super::report::{Step, StepResult};
use super::steps::Stage;
use super::token::Said;
use crate::core::claims::Principal;
use crate::core::decision::{Outcome, OwnAnswer, Trace};
use crate::core::head::RequestHead;
use crate::core::path::CanonicalPath;
use crate::core::rejection::Rejection;
use crate::core::scope::{NameId, Vocabulary};
use crate::core::snapshot::{Mode, Requirement, Route, Snapshot, TokenRequirement};
use crate::upstream::headers::Caller;

/// All that the steps are told from.
pub(super) struct Told<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) outcome: &'a Outcome,
    pub(super) trace: &'a Trace,
    /// Why the request was refused, or would have been.
    pub(super) rejection: Option<&'a Rejection>,
    pub(super) route: Option<&'a Route>,
}

impl Told<'_> {
    pub(super) fn step(&self, stage: Stage) -> Step {
        let (result, detail) = self.result(stage);
        Step { step: stage, result, detail }
    }

    fn result(&self, stage: Stage) -> (StepResult, String) {
        let failed = self.rejection.map(|rejection| (Stage::of(rejection, self.trace), rejection));
        match failed {
            Some((at, rejection)) if at == stage => {
                let shadowed = self.trace.shadowed.is_some();
                let result = if shadowed { StepResult::Shadowed } else { StepResult::Failed };
                (result, self.failure(stage, rejection))
            }
            // Nothing after a failure was looked at, but for where a shadowed request goes.
            Some((at, _)) if at < stage && !(stage == Stage::Forward && self.trace.shadowed.is_some()) => {
                (StepResult::Skipped, "not reached".to_owned())
            }
            _ => match self.detail(stage) {
                Some(detail) => (StepResult::Ok, detail),
                None => (StepResult::Skipped, self.why_skipped(stage)),
            },
        }
    }

    fn failure(&self, stage: Stage, rejection: &Rejection) -> String {
        let mut text = format!("{}: {}", rejection.reason, rejection.detail);
        let more = match stage {
            Stage::Route => self.trace.allow.as_ref().map(|allow| format!("it has {allow}")),
            Stage::Token => Said::read(self.snapshot, self.head).map(|said| said.header()),
            Stage::Claims => Said::read(self.snapshot, self.head).map(|said| said.claims()),
            Stage::Access => self.access(),
            _ => None,
        };
        if let Some(more) = more.filter(|more| !more.is_empty()) {
            text.push_str("; ");
            text.push_str(&more);
        }
        text
    }

    /// What a step that went well found; `None` if it had nothing to do.
    fn detail(&self, stage: Stage) -> Option<String> {
        match stage {
            Stage::Request => Some(self.request()),
            Stage::Path => {
                let target = self.head.target().ok()?;
                CanonicalPath::parse(target.raw_path).ok().map(|path| path.as_str().to_owned())
            }
            Stage::Route => self.route_text(),
            Stage::Headers => self.changed_headers(),
            Stage::Token => self.principal().map(|principal| self.signed(principal)),
            Stage::Claims => self.principal().map(|principal| self.valid(principal)),
            Stage::Access => self.access(),
            Stage::Tenant => {
                let tenant = self.trace.tenant()?;
                Some(String::from_utf8_lossy(tenant.as_bytes()).into_owned())
            }
            Stage::Forward => self.forward(),
        }
    }

    fn why_skipped(&self, stage: Stage) -> String {
        let text = match (self.outcome, stage) {
            (Outcome::Answer(OwnAnswer::Preflight), Stage::Route) => "a CORS preflight: the gateway answers it itself",
            (Outcome::Answer(OwnAnswer::ResourceMetadata), Stage::Route) => "the gateway serves this document itself",
            (Outcome::Answer(_), _) => "no backend is asked",
            (_, Stage::Headers) => "nothing to take out",
            (_, Stage::Tenant) if self.trace.authenticated => "no tenant",
            _ => "the route is public: no token is looked at",
        };
        text.to_owned()
    }

    fn request(&self) -> String {
        let host = self.head.target().map(|target| target.host.into_owned()).unwrap_or_default();
        let host = if host.is_empty() { "no host".to_owned() } else { format!("host {host}") };
        format!("{}, {host}", self.head.method)
    }

    fn route_text(&self) -> Option<String> {
        let matched = self.snapshot.routes.matcher(self.trace.route?)?;
        let mode = match self.snapshot.mode_of(self.route?) {
            Mode::Enforce => "enforced",
            Mode::Shadow => "in shadow mode",
        };
        Some(format!("{} (line {}), {mode}", matched.label, matched.line))
    }

    fn changed_headers(&self) -> Option<String> {
        self.route?;
        let target = self.head.target().ok()?;
        let changed = backend::changed(self.snapshot, self.head, &target);
        let names: Vec<&str> = changed.iter().map(AsRef::as_ref).collect();
        (!names.is_empty()).then(|| format!("taken out or replaced: {}", names.join(", ")))
    }

    fn principal(&self) -> Option<&Principal> {
        self.trace.principal.as_deref()
    }

    fn signed(&self, principal: &Principal) -> String {
        let issuer = self.snapshot.issuers.get(principal.issuer).map_or("", |issuer| &issuer.name);
        let header = Said::read(self.snapshot, self.head).map(|said| said.header()).unwrap_or_default();
        format!("signed by issuer {issuer}; {header}")
    }

    fn valid(&self, principal: &Principal) -> String {
        let client = principal.client_id.as_deref().map_or("no client".to_owned(), |id| format!("client {id:?}"));
        let claims = Said::read(self.snapshot, self.head).map(|said| said.claims()).unwrap_or_default();
        let registered = if principal.registered_version().is_some() { ", registered" } else { "" };
        format!("{client}{registered}, a {}'s token; {claims}", principal.kind().name())
    }

    /// What the route asks for beside what the token has.
    fn access(&self) -> Option<String> {
        let Requirement::Token(required) = &self.route?.requirement else { return None };
        let principal = self.principal()?;
        let mut parts = vec![needs(self.snapshot, required)];
        parts.push(format!("has scopes {}", list(principal.scope_names.iter())));
        if !principal.role_names.is_empty() || !required.roles.is_empty() {
            parts.push(format!("has roles {}", list(principal.role_names.iter())));
        }
        Some(parts.join("; "))
    }

    fn forward(&self) -> Option<String> {
        let Outcome::Forward(permit) = self.outcome else { return None };
        let upstream = self.snapshot.upstreams.get(usize::from(permit.upstream().0))?;
        Some(format!("to upstream {}", upstream.name))
    }

    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        let Outcome::Forward(permit) = self.outcome else { return BTreeMap::new() };
        let Ok(target) = self.head.target() else { return BTreeMap::new() };
        let headers = backend::headers(self.snapshot, self.head, &target, &Caller::from(permit));
        headers.map(|headers| backend::shown(&headers)).unwrap_or_default()
    }
}

fn needs(snapshot: &Snapshot, required: &TokenRequirement) -> String {
    let mut parts = Vec::new();
    let mut part = |what: &str, vocabulary: &Vocabulary, ids: &[NameId]| {
        if !ids.is_empty() {
            parts.push(format!("{what} {}", list(ids.iter().map(|id| vocabulary.name(*id)))));
        }
    };
    part("scopes", &snapshot.scopes, &required.scopes);
    part("one of the scopes", &snapshot.scopes, &required.any_scope);
    part("one of the roles", &snapshot.role_names, &required.roles);
    if parts.is_empty() { "any valid token will do".to_owned() } else { format!("needs {}", parts.join(" and ")) }
}

/// Names from the configuration and from the token, fit for a terminal.
fn list(names: impl Iterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<String> = names.map(|name| name.as_ref().escape_debug().to_string()).collect();
    if names.is_empty() { "(none)".to_owned() } else { names.join(" ") }
}
