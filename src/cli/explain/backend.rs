//! What the backend would see of the header fields: worked out by the gateway's own policy, without a connection.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::core::fields::Fields;
use crate::core::head::{RequestHead, Target};
use crate::core::snapshot::Snapshot;
use crate::fronts::request_id;
use crate::upstream::headers::{Caller, ClientFacts, HeaderPolicy, Scheme};

/// Stand for what only a running gateway knows.
const CLIENT_ADDRESS: HeaderValue = HeaderValue::from_static("<client address>");
const NEW_REQUEST_ID: &str = "(a new one)";

/// The header fields of the request as they reach the backend, on behalf of `caller`. The client is taken to be no
/// trusted proxy. `None` for a request with more fields than can be.
pub(super) fn headers(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    target: &Target<'_>,
    caller: &Caller<'_>,
) -> Option<HeaderMap> {
    let client_address = CLIENT_ADDRESS;
    let client = ClientFacts {
        peer: &client_address,
        trusted: false,
        scheme: Scheme::Http,
        authority: target.authority,
        request_id: request_id::given(head.headers).unwrap_or(NEW_REQUEST_ID).as_bytes(),
    };
    HeaderPolicy::new(&snapshot.identity).map_to_upstream(head.headers, caller, &client).ok()
}

/// The names of the fields whose values do not reach the backend as the client sent them.
pub(super) fn changed(snapshot: &Snapshot, head: &RequestHead<'_>, target: &Target<'_>) -> Vec<HeaderName> {
    // Nobody's identity is set, so whatever is as it was is the client's.
    let left = headers(snapshot, head, target, &Caller::default()).unwrap_or_default();
    let is_changed = |name: &HeaderName| !head.headers.all(name).eq(Fields::from(&left).all(name));
    let mut names: Vec<HeaderName> = Vec::new();
    head.headers.for_each(|field| {
        if let Ok(name) = HeaderName::from_bytes(field.name)
            && !names.contains(&name)
            && is_changed(&name)
        {
            names.push(name);
        }
    });
    names
}

/// Header fields for people: by name, several values in one line, and no token.
pub(super) fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = if name == AUTHORIZATION { "<as sent>".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        let entry = shown.entry(name.to_string()).or_default();
        if !entry.is_empty() {
            entry.push_str(", ");
        }
        entry.push_str(&value);
    }
    shown
}
