//! Who is calling and what they may do: rules that depend on how an issuer is configured.

use serde_json::{Value, json};
use sidegate::core::NoMemo;
use sidegate::core::claims::Principal;
use sidegate::core::rejection::Rejection;
use sidegate::core::snapshot::{
    Audiences, ClientWhen, IdentitySource, Issuer, Kinds, Snapshot, TokenRequirement, TokenTypes,
};
use sidegate::core::time::UnixSeconds;

use crate::support::mint::{jwks, key, mint};
use crate::support::policy::{self, admit, declare_role, header, issuer};

const NOW: i64 = 1_790_000_000;

fn main_issuer() -> Issuer {
    issuer("issuer", "https://issuer.test", &jwks(&["ed"]))
}

/// The claims of a good token with these laid over them; `null` takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "https://api.test", "sub": "acme", "client_id": "acme",
        "exp": NOW + 300, "iat": NOW, "scope": "read",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn token(changes: Value) -> String {
    mint(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims(changes), key("ed"))
}

struct Answer {
    outcome: Result<(), Rejection>,
    principal: Option<std::sync::Arc<Principal>>,
    tenant: Option<String>,
}

impl Answer {
    /// `ok`, or the reason.
    fn label(&self) -> &'static str {
        self.outcome.as_ref().map_or_else(|rejection| rejection.reason.label(), |()| "ok")
    }

    fn principal(&self) -> &Principal {
        self.principal.as_deref().expect("a principal")
    }
}

fn ask(snapshot: &Snapshot, requirement: &TokenRequirement, token: &str, tenants: &[&str]) -> Answer {
    let authorization = format!("Bearer {token}");
    let mut headers = vec![("authorization", &*authorization)];
    headers.extend(tenants.iter().map(|tenant| ("x-tenant-id", *tenant)));
    let (outcome, trace) = admit(snapshot, requirement, &headers, &NoMemo, NOW);
    let tenant = trace.tenant().map(|value| value.to_str().unwrap().to_owned());
    Answer { outcome, principal: trace.principal, tenant }
}

fn answer(snapshot: &Snapshot, changes: Value) -> Answer {
    ask(snapshot, &TokenRequirement::default(), &token(changes), &[])
}

#[test]
fn a_token_is_as_old_as_its_iat_says() {
    let snapshot = policy::snapshot(vec![Issuer { max_token_age_seconds: Some(3600), ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({})).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "iat": NOW - 3630 })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "iat": NOW - 3631 })).label(), "token_too_old");
    assert_eq!(answer(&snapshot, json!({ "iat": NOW as f64 - 3630.5 })).label(), "token_too_old");
    assert_eq!(answer(&snapshot, json!({ "iat": null })).label(), "token_too_old");
}

#[test]
fn times_with_fractions_are_compared_exactly() {
    let snapshot = policy::snapshot(vec![Issuer { leeway_seconds: 0, ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({ "exp": NOW as f64 + 0.5 })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "exp": NOW as f64 })).label(), "token_expired");
    assert_eq!(answer(&snapshot, json!({ "exp": NOW as f64 - 0.5 })).label(), "token_expired");
    assert_eq!(answer(&snapshot, json!({ "nbf": NOW as f64 + 0.5 })).label(), "token_not_yet_valid");
    assert_eq!(answer(&snapshot, json!({ "iat": NOW as f64 + 0.5 })).label(), "token_not_yet_valid");
    assert_eq!(answer(&snapshot, json!({ "nbf": NOW as f64 })).label(), "ok");
}

#[test]
fn audiences_any_takes_every_audience_but_no_wrong_type() {
    let snapshot = policy::snapshot(vec![Issuer { audiences: Audiences::Any, ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({ "aud": "x" })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "aud": null })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "aud": 1 })).label(), "token_malformed");
}

#[test]
fn listed_token_types_leave_no_room_for_none() {
    let only = |types: &[&str]| TokenTypes::OneOf(types.iter().map(|name| Box::from(*name)).collect());
    let snapshot = policy::snapshot(vec![Issuer { token_types: only(&["at+jwt"]), ..main_issuer() }]);
    let typed = |typ: Value| {
        let mut header = json!({ "alg": "EdDSA", "kid": "ed" });
        if !typ.is_null() {
            header["typ"] = typ;
        }
        let token = mint(&header, &claims(json!({})), key("ed"));
        ask(&snapshot, &TokenRequirement::default(), &token, &[]).label()
    };
    assert_eq!(typed(json!("AT+jwt")), "ok");
    assert_eq!(typed(json!("application/at+jwt")), "ok");
    assert_eq!(typed(json!("JWT")), "token_type");
    assert_eq!(typed(Value::Null), "token_type");
}

#[test]
fn a_token_without_iss_is_only_its_issuers() {
    let lax = Issuer { require_iss: false, ..issuer("lax", "https://lax.test", &jwks(&["ed"])) };
    let snapshot = policy::snapshot(vec![issuer("strict", "https://issuer.test", &jwks(&["p256"])), lax]);
    assert_eq!(answer(&snapshot, json!({ "iss": null })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "iss": "https://lax.test" })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "iss": "https://unknown.test" })).label(), "token_issuer");
    assert_eq!(answer(&snapshot, json!({ "iss": "https://issuer.test" })).label(), "token_key_unknown");
    let header = json!({ "alg": "ES256", "kid": "p256" });
    let strict = mint(&header, &claims(json!({ "iss": null })), key("p256"));
    assert_eq!(ask(&snapshot, &TokenRequirement::default(), &strict, &[]).label(), "token_key_unknown");
}

#[test]
fn a_token_without_kid_is_tried_with_four_keys() {
    let keys = |strangers: usize| {
        let mut keys = vec![key("p256-2").jwk(); strangers];
        keys.extend([key("ed").jwk(), key("p256").jwk()]);
        policy::snapshot(vec![issuer("issuer", "https://issuer.test", &json!({ "keys": keys }).to_string())])
    };
    let token = mint(&json!({ "alg": "ES256" }), &claims(json!({})), key("p256"));
    let label = |strangers| ask(&keys(strangers), &TokenRequirement::default(), &token, &[]).label();
    assert_eq!(label(3), "ok");
    assert_eq!(label(4), "token_signature");
    let rsa = mint(&json!({ "alg": "RS256" }), &claims(json!({})), key("rsa"));
    assert_eq!(ask(&keys(0), &TokenRequirement::default(), &rsa, &[]).label(), "token_key_unknown");
}

#[test]
fn two_keys_may_share_a_kid() {
    let mut twin = key("p256").jwk();
    twin["kid"] = json!("ed");
    let keys = json!({ "keys": [twin, key("ed").jwk()] }).to_string();
    let snapshot = policy::snapshot(vec![issuer("issuer", "https://issuer.test", &keys)]);
    assert_eq!(answer(&snapshot, json!({})).label(), "ok");
    let token = mint(&json!({ "alg": "ES256", "kid": "ed" }), &claims(json!({})), key("p256"));
    assert_eq!(ask(&snapshot, &TokenRequirement::default(), &token, &[]).label(), "ok");
}

#[test]
fn an_issuer_without_keys_is_not_the_tokens_fault() {
    let snapshot = policy::snapshot(vec![Issuer { keys: Default::default(), ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({})).label(), "keys_unavailable");
}

#[test]
fn the_route_narrows_and_widens_the_kinds() {
    let users = Kinds { client: false, user: true };
    let snapshot = policy::snapshot(vec![main_issuer()]);
    let only_users = TokenRequirement { token_kinds: Some(users), ..TokenRequirement::default() };
    let (client, user) = (token(json!({})), token(json!({ "sub": "alice" })));
    assert_eq!(ask(&snapshot, &only_users, &client, &[]).label(), "token_kind");
    assert_eq!(ask(&snapshot, &only_users, &user, &[]).label(), "ok");
    assert_eq!(ask(&snapshot, &TokenRequirement::default(), &user, &[]).label(), "token_kind");

    let machine = ClientWhen { claim: policy::reference("/app/kind"), equals: "machine".into() };
    let snapshot = policy::snapshot(vec![Issuer { client_when: Some(machine), ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({ "sub": "alice", "app": { "kind": "machine" } })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({})).label(), "token_kind");
    assert_eq!(answer(&snapshot, json!({ "app": { "kind": "machine" }, "at_hash": "x" })).label(), "token_kind");
}

#[test]
fn the_checks_come_in_a_fixed_order() {
    // Everything is wrong with this token. Each step mends what was found.
    let mut snapshot = policy::snapshot(vec![Issuer { clients: Some(["globex".into()].into()), ..main_issuer() }]);
    let requirement = policy::scopes(&mut snapshot, &["admin"]);
    let steps = [
        ("typ", Value::Null, "token_type"),
        ("aud", json!("https://api.test"), "token_audience"),
        ("exp", json!(NOW + 60), "token_expired"),
        ("nbf", Value::Null, "token_not_yet_valid"),
        ("at_hash", Value::Null, "token_kind"),
        ("sub", json!("acme"), "token_kind"),
        ("cnf", Value::Null, "token_binding"),
        ("client_id", json!("globex"), "client_unknown"),
    ];
    let mut wrong = json!({
        "aud": "x", "exp": NOW - 60, "nbf": NOW + 60, "at_hash": "x", "sub": "alice", "cnf": {}, "tenant_id": "t\n",
    });
    let mut header = json!({ "alg": "EdDSA", "kid": "ed", "typ": "dpop+jwt" });
    for (name, mended, reason) in steps {
        let token = mint(&header, &claims(wrong.clone()), key("ed"));
        assert_eq!(ask(&snapshot, &requirement, &token, &[]).label(), reason);
        match name {
            "typ" => header["typ"] = json!("JWT"),
            _ => wrong[name] = mended,
        }
    }
    wrong["sub"] = json!("globex");
    let last =
        |wrong: &Value| ask(&snapshot, &requirement, &mint(&header, &claims(wrong.clone()), key("ed")), &[]).label();
    assert_eq!(last(&wrong), "scope_missing");
    wrong["scope"] = json!("admin");
    assert_eq!(last(&wrong), "tenant_forbidden");
    wrong["tenant_id"] = json!("t1");
    assert_eq!(last(&wrong), "ok");
}

#[test]
fn what_was_worked_out_under_one_snapshot_says_nothing_under_another() {
    let mut snapshot = policy::snapshot(vec![main_issuer()]);
    let answer = answer(&snapshot, json!({}));
    let requirement = TokenRequirement::default();
    assert!(answer.principal().authenticate(&snapshot, &requirement, UnixSeconds(NOW)).is_ok());
    snapshot.number += 1;
    assert!(answer.principal().authenticate(&snapshot, &requirement, UnixSeconds(NOW)).is_err());
}

#[test]
fn roles_stand_for_roles_and_scopes() {
    let mut snapshot = policy::snapshot(vec![Issuer { scope_prefix: "p/".into(), ..main_issuer() }]);
    declare_role(&mut snapshot, "change", &["view"], &["write", "read"]);
    policy::tell(&mut snapshot, &[("x-scopes", IdentitySource::Scopes), ("x-roles", IdentitySource::Roles)]);
    let either =
        TokenRequirement { any_scope: policy::scopes(&mut snapshot, &["x", "write"]).scopes, ..Default::default() };

    let changes = json!({ "scope": "p/ping other p/ p/ping", "roles": ["change", "unheard-of", "a b"] });
    let answer = ask(&snapshot, &either, &token(changes), &[]);
    assert_eq!(answer.label(), "ok");
    assert_eq!(header(answer.principal(), "x-scopes"), Some("ping write read"));
    assert_eq!(header(answer.principal(), "x-roles"), Some("change view unheard-of"));
    assert_eq!(ask(&snapshot, &either, &token(json!({ "scope": "p/ping" })), &[]).label(), "scope_missing");
}

#[test]
fn a_backend_is_told_who_calls() {
    let mut snapshot = policy::snapshot(vec![main_issuer()]);
    let sources = [
        ("x-client-id", IdentitySource::ClientId),
        ("x-subject", IdentitySource::Claim(policy::reference("sub"))),
        ("x-department", IdentitySource::Claim(policy::reference("/org/department"))),
        ("x-evil", IdentitySource::Claim(policy::reference("evil"))),
    ];
    policy::tell(&mut snapshot, &sources);
    let answer = answer(&snapshot, json!({ "org": { "department": "Köln" }, "evil": "a\r\nx-admin: 1" }));
    let principal = answer.principal();
    assert_eq!(header(principal, "x-client-id"), Some("acme"));
    assert_eq!(header(principal, "x-subject"), Some("acme"));
    assert_eq!(header(principal, "x-department"), Some("Köln"));
    assert_eq!(header(principal, "x-evil"), None);
    let lines = "x-client-id: acme\r\nx-department: Köln\r\nx-subject: acme\r\n";
    let mut told: Vec<_> = str::from_utf8(principal.header_lines()).unwrap().split_inclusive("\r\n").collect();
    told.sort_unstable();
    assert_eq!(told.concat(), lines, "in HTTP/1.1");
}

#[test]
fn a_tenant_is_settled_by_token_route_and_request() {
    let tenants = |changes: Value, required: Option<bool>, select: bool, asked: &[&str]| {
        let mut snapshot = policy::snapshot(vec![main_issuer()]);
        snapshot.identity.tenant.as_mut().unwrap().select = select;
        let requirement = TokenRequirement { tenant_required: required, ..TokenRequirement::default() };
        let answer = ask(&snapshot, &requirement, &token(changes), asked);
        answer.tenant.clone().unwrap_or_else(|| answer.label().to_owned())
    };
    let (one, two, none) = (json!({ "tenant_id": "t1" }), json!({ "tenant_id": ["t1", 2, "t1"] }), json!({}));

    assert_eq!(tenants(one.clone(), None, true, &[]), "t1");
    assert_eq!(tenants(one.clone(), None, true, &["t1"]), "t1");
    assert_eq!(tenants(one.clone(), None, true, &[""]), "t1");
    assert_eq!(tenants(one.clone(), None, true, &["t2"]), "tenant_forbidden");
    assert_eq!(tenants(one.clone(), None, true, &["t1", "t1"]), "request_malformed");
    assert_eq!(tenants(one, None, false, &["t2", "t3"]), "t1", "without select a client's header is not looked at");

    assert_eq!(tenants(two.clone(), None, true, &["2"]), "2");
    assert_eq!(tenants(two.clone(), None, true, &["t3"]), "tenant_forbidden");
    assert_eq!(tenants(two.clone(), None, true, &[]), "ok", "forwarded without the header");
    assert_eq!(tenants(two.clone(), Some(true), true, &[]), "tenant_missing");
    assert_eq!(tenants(two.clone(), None, false, &["t1"]), "tenant_forbidden");
    assert_eq!(tenants(two, Some(false), false, &[]), "tenant_forbidden");

    assert_eq!(tenants(none.clone(), None, true, &[]), "ok");
    assert_eq!(tenants(none.clone(), Some(true), true, &[]), "tenant_missing");
    assert_eq!(tenants(none.clone(), Some(true), true, &["t1"]), "tenant_missing");
    assert_eq!(tenants(none, Some(false), true, &["t1"]), "tenant_forbidden");
    assert_eq!(tenants(json!({ "tenant_id": ["t1"] }), Some(true), false, &[]), "t1");
    assert_eq!(tenants(json!({ "tenant_id": -7 }), Some(true), false, &[]), "-7");
}

#[test]
fn a_fixed_tenant_takes_the_place_of_the_claim() {
    let snapshot = policy::snapshot(vec![Issuer { fixed_tenant: Some("t9".into()), ..main_issuer() }]);
    assert_eq!(answer(&snapshot, json!({ "tenant_id": "t1" })).tenant.as_deref(), Some("t9"));
    assert_eq!(answer(&snapshot, json!({})).tenant.as_deref(), Some("t9"));
}

#[test]
fn a_fence_of_tenants_stands_where_no_tenant_is_told() {
    let mut snapshot = policy::snapshot(vec![Issuer { tenants: Some(["t1".into()].into()), ..main_issuer() }]);
    snapshot.identity.tenant = None;
    assert_eq!(answer(&snapshot, json!({ "tenant_id": "t1" })).label(), "ok");
    assert_eq!(answer(&snapshot, json!({ "tenant_id": "t2" })).label(), "tenant_forbidden");
    assert_eq!(answer(&snapshot, json!({ "tenant_id": ["t1", "t2"] })).label(), "tenant_forbidden");
    assert_eq!(answer(&snapshot, json!({ "tenant_id": "t1\n" })).label(), "tenant_forbidden");
    assert_eq!(answer(&snapshot, json!({})).label(), "ok");
}

#[test]
fn no_detail_shows_a_token_or_a_line_end() {
    let snapshot = policy::snapshot(vec![main_issuer()]);
    for changes in [
        json!({ "iss": "https://evil\r\n.test" }),
        json!({ "iss": "x".repeat(5000) }),
        json!({ "aud": ["a\n".repeat(500), "b"] }),
        json!({ "exp": "x" }),
        json!({ "a\n": 1, "tenant_id": "\u{1b}[2J" }),
    ] {
        let token = token(changes);
        let rejection = ask(&snapshot, &TokenRequirement::default(), &token, &[]).outcome.unwrap_err();
        assert!(!rejection.detail.contains(char::is_control), "{rejection:?}");
        assert!(rejection.detail.len() < 1000, "{rejection:?}");
        assert!(token.split('.').all(|part| !rejection.detail.contains(part)));
    }
}
