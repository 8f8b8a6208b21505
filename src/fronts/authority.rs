//! The authority's endpoints on the listeners: requests for them are handed over and not decided about.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use ipnet::IpNet;
use tokio::sync::watch;

use super::body::AnswerBody;
use super::feed::{Feed, Newest, Reader};
use super::record::Record;
use super::render;
use crate::authority::desk::Desk;
use crate::authority::error::Refused;
use crate::authority::{BODY_BYTES_MAX, Call};
use crate::clock;
use crate::config::Authority;
use crate::config::authority::{Endpoint, REGISTRY_READ};
use crate::core::fields::X_FORWARDED_FOR;
use crate::core::head::RequestHead;
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::{Snapshot, TokenRequirement, is_preflight};
use crate::core::{self, Facts, KeysAsked, NoMemo};
use crate::live::registry::RegistryStates;
use crate::live::state::Live;
use crate::net::head::Head;
use crate::net::service::RequestBody;
use crate::worker::Phase;

/// What `EventSource` asks with when it goes on (HTML Living Standard section 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A worker's way to the authority.
pub struct ToAuthority {
    desk: Desk,
    feed: Feed,
}

/// A request for the authority.
pub(super) struct Asked {
    settings: Arc<Authority>,
    endpoint: Endpoint,
    query: Option<Box<str>>,
}

/// Whether a request is for the authority: its path is one of the endpoints', to the letter, on a listener that serves them.
pub(super) fn asked(record: &Record, listener: usize, head: &Head) -> Option<Asked> {
    let serving = record.serving();
    let settings = serving.generation().authority.as_ref()?;
    let snapshot = serving.snapshot();
    if snapshot.cors.is_some() && is_preflight(&head.method, head.fields()) {
        return None;
    }
    let request = RequestHead { method: &head.method, target: head.target(), headers: head.fields() };
    let target = request.target().ok()?;
    let endpoint = settings.endpoint(target.raw_path).filter(|_| settings.listeners.get(listener) == Some(&true))?;
    let query = target.origin_form.split_once('?').map(|(_, query)| query.into());
    Some(Asked { settings: Arc::clone(settings), endpoint, query })
}

impl ToAuthority {
    /// By `desk`, or, for readers of the feed, by what is in force. Feeds end when `phase` says that the process does.
    #[must_use]
    pub fn new(desk: Desk, live: Arc<Live>, states: RegistryStates, phase: watch::Receiver<Phase>) -> Self {
        Self { desk, feed: Feed { live, states, phase, newest: Newest::default() } }
    }

    /// Answers it.
    pub(super) async fn answer(
        &self,
        asked: Asked,
        head: Head,
        body: RequestBody,
        record: &mut Record,
    ) -> Result<Response<Content>, Rejection> {
        record.decided = false;
        if asked.endpoint == Endpoint::Changes {
            return self.changes(&asked, &head, record).map(|response| response.map(Content::Feed));
        }
        let (method, headers) = (head.method.clone(), head.into_headers());
        let body = read(body).await?;
        let call = Call {
            settings: asked.settings,
            endpoint: asked.endpoint,
            method,
            query: asked.query,
            body,
            peer: client_address(record.peer(), &headers, &record.snapshot().trusted_proxies),
            headers,
            // Not when the head came: a body may take its time.
            now: clock::now(),
            roles: Arc::clone(&record.snapshot().roles),
        };
        let answer = self.desk.ask(call).await;
        let answer = answer.ok_or_else(|| Rejection::new(Reason::Overloaded, "the authority has too much to do"))?;
        Ok(answer.map(Content::Whole))
    }

    /// The feed, for those whose token says so.
    fn changes(&self, asked: &Asked, head: &Head, record: &mut Record) -> Result<Response<Pieces>, Rejection> {
        if head.method != Method::GET {
            record.trace.allow = Some("GET".into());
            return Err(Rejection::new(Reason::MethodNotAllowed, "the feed is read by GET"));
        }
        let reader = admit(&asked.settings, head, record)?;
        let after = after(asked.query.as_deref(), head.headers())?;
        let pieces = self.feed.read(reader, after).ok_or_else(|| {
            Rejection::new(Reason::RegistryUnavailable, "the authority does not know its clients itself right now")
        })?;
        let mut response = Response::new(pieces);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Lets a reader of the feed in whose token says so.
fn admit(settings: &Authority, head: &Head, record: &mut Record) -> Result<Reader, Rejection> {
    let serving = record.serving();
    let snapshot = control(serving.snapshot(), settings)
        .ok_or_else(|| Rejection::new(Reason::TokenIssuer, "the authority has no issuer"))?;
    let scope = snapshot.scopes.id(REGISTRY_READ);
    let scope = scope.ok_or_else(|| Rejection::new(Reason::ScopeMissing, "no token can have the scope of the feed"))?;
    let requirement =
        TokenRequirement { scopes: [scope].into(), tenant_required: Some(false), ..TokenRequirement::default() };
    let head = RequestHead { method: &head.method, target: head.target(), headers: head.fields() };
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::Already };
    let admitted = core::admit(&snapshot, &requirement, &head, &facts, record.arrived_at(), &mut record.trace);
    // Nothing was looked up in the memory of tokens.
    record.trace.signature = None;
    admitted.map_err(core::NotAdmitted::rejection)?;
    let principal = record.trace.principal.as_ref();
    if principal.is_none_or(|principal| principal.tenant_names().is_some()) {
        return Err(Rejection::new(Reason::TenantForbidden, "a client with tenants may not see those of others"));
    }
    let reader = principal.and_then(|principal| {
        Some(Reader { client_id: principal.client_id.clone()?, version: principal.registered_version()? })
    });
    reader.ok_or_else(|| Rejection::new(Reason::ClientUnknown, "the token is of no client that is registered"))
}

/// The snapshot under which the authority's own interfaces ask the core: only its own tokens count, and only those made for
/// it and not for the services behind the gateway.
#[must_use]
pub fn control(snapshot: &Snapshot, settings: &Authority) -> Option<Snapshot> {
    let issuer = snapshot.issuers.of_token(Some(&settings.issuer))?;
    Some(snapshot.for_audience(issuer, &settings.issuer))
}

/// Where a reader goes on: after what it was told last, which a browser's `EventSource` says in a field when a connection was
/// lost, and otherwise as the query says.
fn after(query: Option<&str>, headers: &HeaderMap) -> Result<u64, Rejection> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut in_query = pairs.filter(|(name, _)| name == "after").map(|(_, number)| number);
    let mut in_fields = headers.get_all(LAST_EVENT_ID).iter();
    let number = match (in_fields.next(), in_query.next()) {
        (Some(field), _) => number(field.as_bytes()),
        (None, Some(parameter)) => number(parameter.as_bytes()),
        (None, None) => Some(0),
    };
    let is_one = in_fields.next().is_none() && in_query.next().is_none();
    number
        .filter(|_| is_one)
        .ok_or_else(|| Rejection::new(Reason::RequestMalformed, "after, or Last-Event-ID, is not one change number"))
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Whose failures are counted: the peer's, or the one that proxies which are trusted name. Behind them all clients would be
/// one otherwise, and anybody could lock out all others.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let fields: Vec<&str> = headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok()).collect();
    let mut address = peer;
    for named in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        match named.trim().parse::<IpAddr>() {
            Ok(named) if is_trusted(&address) => address = named.to_canonical(),
            _ => break,
        }
    }
    address
}

/// A body, or as much of it as shows that it is too long: to say so is for whoever answers.
async fn read(mut body: RequestBody) -> Result<Bytes, Rejection> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Rejection::new(Reason::RequestMalformed, "the request body broke off"))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if bytes.len() > BODY_BYTES_MAX {
            bytes.truncate(BODY_BYTES_MAX + 1);
            break;
        }
    }
    Ok(bytes.freeze())
}

/// The body of an answer of the authority.
pub(super) enum Content {
    Whole(Bytes),
    Feed(Pieces),
}

pub(super) type Pieces = tokio::sync::mpsc::Receiver<Bytes>;

/// An answer of the authority as it goes out.
pub(super) fn finish(
    mut response: Response<Content>,
    shown: &HeaderMap,
    mut record: Box<Record>,
) -> Response<AnswerBody> {
    let request_id = record.request_id.as_str();
    let asked = render::Asked { method: record.method(), headers: shown, request_id };
    render::forwarded(record.snapshot(), &asked, response.headers_mut());
    record.status = response.status().as_u16();
    record.refused = response.extensions_mut().remove::<Refused>().map(Box::new);
    response.map(|content| match content {
        Content::Whole(bytes) => AnswerBody::own(bytes, record),
        Content::Feed(pieces) => AnswerBody::pieces(pieces, record),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_for_whom_a_trusted_proxy_names() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, fields: &[&'static str]| {
            let fields = fields.iter().map(|value| (X_FORWARDED_FOR.clone(), HeaderValue::from_static(value)));
            client_address(peer.parse().unwrap(), &fields.collect(), &trusted).to_string()
        };
        assert_eq!(of("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(of("10.0.0.1", &["198.51.100.1, 192.0.2.7", "10.0.0.2"]), "192.0.2.7", "what a client said itself");
        assert_eq!(of("192.0.2.9", &["192.0.2.7"]), "192.0.2.9", "nobody trusts it");
        assert_eq!(of("10.0.0.1", &["192.0.2.7, junk"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let after = |query, fields: &[&'static str]| {
            let fields = fields.iter().map(|value| (LAST_EVENT_ID, HeaderValue::from_static(value)));
            after(query, &fields.collect()).ok()
        };
        assert_eq!([after(None, &[]), after(Some(""), &[]), after(Some("before=3"), &[])], [Some(0); 3]);
        assert_eq!(after(Some("x=1&after=18446744073709551615"), &[]), Some(u64::MAX));
        assert_eq!(after(Some("after=7"), &["9"]), Some(9), "a browser asks for the same URL again");
        for odd in [
            "after=",
            "after=-1",
            "after=+1",
            "after=%2B1",
            "after=1.0",
            "after=18446744073709551616",
            "after=1&after=1",
        ] {
            assert_eq!(after(Some(odd), &[]), None, "{odd}");
        }
        assert_eq!([after(None, &["x"]), after(None, &[""]), after(None, &["1", "1"])], [None; 3]);
    }
}
