//! The admin REST API: App Clients for programs. What the command line does on the storage itself, this does for whoever has
//! a token for it, by the same rules ([`crate::authority::manage`]).
//!
//! Every answer that is a no is a problem document (RFC 9457), whatever `errors.format` says: that is for the callers of
//! other people's APIs, and this one is our own.

mod audit;
mod body;
mod clients;
mod document;
mod foreign;
mod guard;
mod model;
mod precondition;
mod problem;
mod query;
mod responses;
mod route;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use self::problem::Problem;
use self::route::{Access, Match, Operation};
use super::{AdminState, Call};
use crate::authority::caller::Caller;
use crate::authority::manage::Manager;
use crate::authority::rules::Rules;
use crate::clock;
use crate::config::Authority;
use crate::core::fields::X_REQUEST_ID;
use crate::core::head::RequestHead;
use crate::core::time::UnixSeconds;
use crate::fronts::render;
use crate::live::state::Generation;
use crate::net::service::RequestBody;

/// How long an answer waits for its change to be in force at this gateway.
const IN_FORCE: Duration = Duration::from_secs(2);

/// What comes of a request: what is to be told, or why not.
type Answer = Result<Told, Problem>;

/// What is to be told.
struct Told {
    status: StatusCode,
    body: Bytes,
    etag: Option<HeaderValue>,
    location: Option<HeaderValue>,
}

/// Whether a path is the API's.
pub(super) fn is_asked(path: &str) -> bool {
    path.starts_with("/api/")
}

/// Answers a request for the API. Whether its `Host` is ours, and no other site has sent it, was looked at before.
pub(super) async fn answer(state: &AdminState, call: &Call<'_>, body: RequestBody) -> Response<Bytes> {
    let live = Arc::clone(&state.live.load());
    match told(state, &live, call, body).await {
        Ok(told) => told.response(call),
        Err(problem) => problem.response(call),
    }
}

/// Says that this request has no place here: another site has sent it, or it is for a foreign host.
pub(super) fn forbidden(call: &Call<'_>, code: &'static str, detail: &str) -> Response<Bytes> {
    Problem::new(StatusCode::FORBIDDEN, code, detail).response(call)
}

async fn told(state: &AdminState, live: &Arc<Generation>, call: &Call<'_>, body: RequestBody) -> Answer {
    let Some(settings) = &live.authority else {
        return Err(Problem::unknown("the configuration has no section `authority`, so that there are no App Clients"));
    };
    let head = RequestHead { method: call.method, target: call.target, headers: call.headers.into() };
    let target = head.target().map_err(|_| Problem::malformed("the request target is not well formed"))?;
    let found = route::find(call.method, target.raw_path);
    if let Ok(Match { operation: Operation::Document, .. }) = found
        && super::guard::is_loopback(state.admin_address)
    {
        return document::show(settings);
    }
    // Nobody learns which paths there are who may not ask for any.
    let access = found.as_ref().map_or(Access::Read, |found| found.access);
    let admitted = guard::admit(live, settings, call, access)?;
    let found = found?;
    if found.operation == Operation::Document {
        return document::show(settings);
    }
    let store = state.store.get().ok_or_else(|| Problem::unavailable("the authority's storage is not open yet"))?;
    let rules = Rules { authority: Arc::clone(settings), roles: Arc::clone(&live.snapshot.roles) };
    let query = target.origin_form.split_once('?').map_or("", |(_, query)| query);
    let request = Request {
        state,
        live,
        settings,
        call,
        manager: Manager { store: store.clone(), rules },
        caller: &admitted.caller,
        query,
        found: &found,
        now: clock::now(),
    };
    request.answer(body).await.map_err(|problem| problem.challenged(&admitted, call))
}

/// A request that is let in.
struct Request<'a> {
    state: &'a AdminState,
    live: &'a Generation,
    settings: &'a Authority,
    call: &'a Call<'a>,
    manager: Manager,
    caller: &'a Caller,
    /// Without the question mark.
    query: &'a str,
    found: &'a Match,
    now: UnixSeconds,
}

impl Request<'_> {
    async fn answer(&self, body: RequestBody) -> Answer {
        match self.found.operation {
            Operation::Document => document::show(self.settings),
            Operation::List => clients::list(self).await,
            Operation::Show => clients::show(self).await,
            Operation::Audit => audit::list(self).await,
            change => {
                let answer = self.change(change, body).await?;
                self.is_in_force().await;
                Ok(answer)
            }
        }
    }

    async fn change(&self, operation: Operation, body: RequestBody) -> Answer {
        // What is not asked for is refused and not passed by: whoever wrote it meant something.
        query::none(self.query)?;
        let content = body::collect(self.call.headers, body, operation).await?;
        match operation {
            Operation::Create => clients::create(self, &content).await,
            Operation::Edit => clients::edit(self, &content).await,
            Operation::Delete => clients::delete(self).await,
            Operation::Renew => clients::renew(self, &content).await,
            Operation::RotateSecret => clients::rotate_secret(self, &content).await,
            Operation::Revoke => clients::revoke(self, &content).await,
            Operation::Restore => clients::restore(self, &content).await,
            Operation::RevokeForeign => foreign::revoke(self, &content).await,
            Operation::RestoreForeign => foreign::restore(self, &content).await,
            Operation::Document | Operation::List | Operation::Show | Operation::Audit => {
                Err(Problem::internal("not a change"))
            }
        }
    }

    /// What the path names in this place, from 0.
    fn argument(&self, place: usize) -> &str {
        self.found.arguments.get(place).map_or("", |argument| argument)
    }

    /// Waits until this gateway itself goes by what has just been changed, so that whoever has revoked a client and been told
    /// so sees it refused. If that cannot be waited for, it comes all the same.
    async fn is_in_force(&self) {
        let Ok(number) = self.manager.store.number().await else { return };
        let knows = |live: &Generation| live.own_registry().is_none_or(|own| own.mirror.number() >= number);
        let _ = timeout(IN_FORCE, self.state.live.wait_for(knows)).await;
    }
}

impl Told {
    fn new(status: StatusCode, document: &impl Serialize) -> Answer {
        let mut body = serde_json::to_vec(document).map_err(|_| Problem::internal("the answer cannot be written"))?;
        body.push(b'\n');
        Ok(Self { status, body: body.into(), etag: None, location: None })
    }

    fn ok(document: &impl Serialize) -> Answer {
        Self::new(StatusCode::OK, document)
    }

    fn without_body(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), etag: None, location: None }
    }

    fn with_etag(self, version: u64) -> Self {
        Self { etag: Some(precondition::etag(version)), ..self }
    }

    fn at(self, path: &str) -> Self {
        Self { location: HeaderValue::from_str(path).ok(), ..self }
    }

    fn response(self, call: &Call<'_>) -> Response<Bytes> {
        let Self { status, body, etag, location } = self;
        let mut response = match body.is_empty() {
            true => Response::new(body),
            false => render::with_body(status, HeaderValue::from_static("application/json"), body, call.method),
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [(ETAG, etag), (LOCATION, location)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        render::insert_text(headers, X_REQUEST_ID.clone(), call.request_id);
        response
    }
}
