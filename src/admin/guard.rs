//! Who may ask the admin listener.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::Call;
use crate::clock;
use crate::core::decision::Trace;
use crate::core::head::RequestHead;
use crate::core::rejection::{Reason, Rejection};
use crate::core::scope::ADMIN_SCOPE;
use crate::core::snapshot::{Snapshot, TokenRequirement};
use crate::core::{self, Facts, KeysAsked, NoMemo};
use crate::fronts::render::{self, Refusal};
use crate::live::state::Generation;

/// Whether a `Host` can only have been meant for this listener. A page that a browser loaded from a name of its own, and
/// that had this name resolve to our address since, still sends its name (DNS rebinding). An address cannot be rebound,
/// nor can `localhost`; no `Host` at all is not a browser's.
pub(super) fn is_own_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.is_empty() || host == "localhost" || address.parse::<IpAddr>().is_ok()
}

/// Whether a page of another site may have sent this: browsers say where a request comes from (Fetch Metadata; RFC 6454
/// for older ones), other clients do not. Reading is left to the same-origin policy.
pub(super) fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &str, fine: &dyn Fn(&HeaderValue) -> bool| headers.get(name).is_none_or(fine);
    let own_origin = |origin: &HeaderValue| {
        let host = headers.get(HOST).map(HeaderValue::as_bytes);
        origin.as_bytes().strip_prefix(b"http://").is_some_and(|origin| Some(origin) == host)
    };
    if matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    !is("sec-fetch-site", &|site| site == "same-origin" || site == "none") || !is("origin", &own_origin)
}

/// Whether only this machine can reach the listener.
pub(super) fn is_loopback(address: Option<SocketAddr>) -> bool {
    address.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// The refusal of a call that has no valid token with [`ADMIN_SCOPE`]; `None` if it has.
pub(super) fn without_leave(live: &Generation, call: &Call<'_>) -> Option<Response<Bytes>> {
    let snapshot = &*for_admins(live);
    let head = RequestHead { method: call.method, target: call.target, headers: call.headers.into() };
    let requirement = TokenRequirement {
        scopes: snapshot.scopes.id(ADMIN_SCOPE).into_iter().collect(),
        tenant_required: Some(false),
        ..TokenRequirement::default()
    };
    let mut trace = Trace::default();
    // It does not wait: operators' calls are few and can be made again, and whoever can reach the admin listener cannot
    // make it fetch anything.
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::Already };
    let admitted = core::admit(snapshot, &requirement, &head, &facts, clock::now(), &mut trace);
    let rejection = match admitted {
        Ok(()) if !requirement.scopes.is_empty() => return None,
        Ok(()) => {
            Rejection::new(Reason::ScopeMissing, "no token can have the admin scope: the snapshot has no such name")
        }
        Err(not_admitted) => not_admitted.rejection(),
    };
    tracing::warn!(peer = %call.peer, reason = %rejection.reason, detail = %rejection.detail, "an admin request was refused");
    Some(render::rejection(
        snapshot,
        &Refusal { rejection: &rejection, trace: &trace, requirement: Some(&requirement) },
        &call.asked(),
    ))
}

/// The snapshot under which the admin listener asks the core: of the authority's tokens only those count that were made for
/// Sidegate itself. Routes take none of these, and what routes take opens nothing here.
fn for_admins(live: &Generation) -> Cow<'_, Snapshot> {
    let snapshot = &*live.snapshot;
    let issuer = live.authority.as_ref().map(|authority| &*authority.issuer);
    match issuer.and_then(|iss| Some((snapshot.issuers.of_token(Some(iss))?, iss))) {
        Some((issuer, audience)) => Cow::Owned(snapshot.with_audience(issuer, audience)),
        None => Cow::Borrowed(snapshot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_no_host_of_ours() {
        for own in ["localhost", "127.0.0.1", "10.1.2.3", "[::1]", "[2001:db8::1]", ""] {
            assert!(is_own_host(own), "{own}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "127.1", "0x7f000001", "[evil]"] {
            assert!(!is_own_host(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_another_site_sends_is_told_by_what_browsers_say() {
        let cross_site = |method: Method, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().chain(&[("host", "127.0.0.1:9901")]);
            let fields = fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            is_cross_site(&method, &fields.collect())
        };
        assert!(!cross_site(Method::POST, &[]));
        assert!(!cross_site(Method::POST, &[("origin", "http://127.0.0.1:9901"), ("sec-fetch-site", "same-origin")]));
        assert!(!cross_site(Method::GET, &[("sec-fetch-site", "cross-site")]));
        for foreign in ["https://evil.example", "null", "http://127.0.0.1:8080", "https://127.0.0.1:9901"] {
            assert!(cross_site(Method::POST, &[("origin", foreign)]), "{foreign}");
        }
        for foreign in ["cross-site", "same-site", ""] {
            assert!(cross_site(Method::POST, &[("sec-fetch-site", foreign)]), "{foreign}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for (address, expected) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(is_loopback(address.parse().ok()), expected, "{address}");
        }
        assert!(!is_loopback(None));
    }
}
