//! Tokens of clients that are registered: what becomes of them when their client changes.

use std::sync::Arc;

use allocation_counter::measure;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};
use sidegate::core::decision::Trace;
use sidegate::core::head::RequestHead;
use sidegate::core::registry::{Availability, Clients, NameSet, Registered, Registry};
use sidegate::core::route::RouteTable;
use sidegate::core::snapshot::{
    IdentitySource, Issuer, IssuerId, Mode, PathReading, Requirement, Route, Snapshot, TokenRequirement,
};
use sidegate::core::time::UnixSeconds;
use sidegate::core::token::SignatureCheck;
use sidegate::core::{self, Facts, KeysAsked, Memo, NoMemo};
use sidegate::live::memo::TokenMemo;

use crate::support::memo::{Confused, Everything};
use crate::support::mint::{jwks, key, mint};
use crate::support::policy::{self, declare_role, header, issuer};
use crate::support::registry::{client, names, registered, registry};
use crate::support::routes;

const NOW: i64 = 1_790_000_000;
const ISSUER: IssuerId = IssuerId(0);

fn main_issuer() -> Issuer {
    Issuer { scope_prefix: "p/".into(), ..issuer("issuer", "https://issuer.test", &jwks(&["ed"])) }
}

/// A token of the client `acme` at its generation 7, with these claims laid over it; `null` takes one away.
fn token(changes: Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "https://api.test", "sub": "acme", "client_id": "acme", "jti": "j1",
        "exp": NOW + 300, "iat": NOW, "scope": "p/read p/write", "gen": 7,
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    mint(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims, key("ed"))
}

fn acme() -> Registered {
    client(7, NOW + 1000, &["read", "write"])
}

fn acme_with(change: impl FnOnce(&mut Registered)) -> Registered {
    let mut client = acme();
    change(&mut client);
    client
}

/// A snapshot whose first issuer has these clients.
fn snapshot(clients: Arc<Clients>) -> Snapshot {
    policy::snapshot(vec![main_issuer()]).with_clients(ISSUER, clients)
}

fn with_client(client: Registered) -> Snapshot {
    snapshot(registered(registry(&[("acme", client)])))
}

fn ask(snapshot: &Snapshot, requirement: &TokenRequirement, token: &str, memo: &dyn Memo) -> (&'static str, Trace) {
    let authorization = format!("Bearer {token}");
    let (outcome, trace) = policy::admit(snapshot, requirement, &[("authorization", &authorization)], memo, NOW);
    (outcome.map_or_else(|rejection| rejection.reason.label(), |()| "ok"), trace)
}

/// `ok`, or why a token is refused.
fn label(snapshot: &Snapshot, token: &str) -> &'static str {
    ask(snapshot, &TokenRequirement::default(), token, &NoMemo).0
}

#[test]
fn of_the_tenants_that_a_token_claims_only_those_of_its_client_are_kept() {
    let claimed: Vec<String> = (0..200).map(|number| format!("{number:036}")).collect();
    let snapshot = with_client(acme_with(|client| client.tenants = names(&[&claimed[7]])));
    let token = token(json!({ "tenant_id": claimed }));
    let mut kept = None;
    let counted = measure(|| kept = ask(&snapshot, &TokenRequirement::default(), &token, &NoMemo).1.principal);
    let known = kept.unwrap().memory_bytes();
    assert!(counted.bytes_current < known as i64 + 1024, "{known} bytes, and in fact {counted:?}");
}

#[test]
fn a_token_falls_with_its_client() {
    let good = token(json!({}));
    let cases: [(&str, Registered); 7] = [
        ("ok", acme()),
        ("ok", acme_with(|client| client.version = 8)),
        ("client_revoked", acme_with(|client| client.is_revoked = true)),
        ("client_revoked", acme_with(|client| client.generation = 8)),
        ("client_expired", acme_with(|client| client.expires = UnixSeconds(NOW))),
        ("ok", acme_with(|client| client.expires = UnixSeconds(NOW + 1))),
        ("client_revoked", acme_with(|client| (client.is_revoked, client.expires) = (true, UnixSeconds(0)))),
    ];
    for (expected, client) in cases {
        assert_eq!(label(&with_client(client.clone()), &good), expected, "{client:?}");
    }
    assert_eq!(label(&snapshot(registered(registry(&[("other", acme())]))), &good), "client_unknown");
    assert_eq!(label(&snapshot(registered(Registry::default())), &good), "registry_unavailable");
    let lost = Registry { availability: Availability::Lost, ..registry(&[("acme", acme())]) };
    assert_eq!(label(&snapshot(registered(lost)), &good), "registry_unavailable");
    assert_eq!(label(&snapshot(Arc::default()), &good), "ok", "nobody registers the clients");
}

#[test]
fn a_token_without_the_clients_generation_is_one_from_before() {
    for generation in [json!(6), json!(8), json!("7"), json!(7.5), json!(-7), json!([7]), Value::Null] {
        assert_eq!(label(&with_client(acme()), &token(json!({ "gen": generation }))), "client_revoked", "{generation}");
    }
    let without_client = token(json!({ "client_id": null, "sub": null }));
    assert_eq!(label(&with_client(acme()), &without_client), "client_unknown");
}

#[test]
fn one_token_can_be_revoked() {
    let revoked = Registry { revoked_tokens: NameSet::unit("j1".into()), ..registry(&[("acme", acme())]) };
    let snapshot = snapshot(registered(revoked));
    assert_eq!(label(&snapshot, &token(json!({}))), "token_revoked");
    assert_eq!(label(&snapshot, &token(json!({ "jti": "j2" }))), "ok");
    assert_eq!(label(&snapshot, &token(json!({ "jti": null }))), "ok");
}

#[test]
fn a_client_that_is_refused_here_is_so_whoever_registers_it() {
    let refused = || NameSet::unit("acme".into());
    for registry in [None, Some(Registry::default()), Some(registry(&[("acme", acme())]))] {
        let snapshot = snapshot(Arc::new(Clients { registry, refused: refused(), ..Clients::default() }));
        assert_eq!(label(&snapshot, &token(json!({}))), "client_revoked");
    }
    let snapshot = snapshot(Arc::new(Clients { refused: refused(), ..Clients::default() }));
    assert_eq!(label(&snapshot, &token(json!({ "client_id": "globex", "sub": "globex" }))), "ok");
}

#[test]
fn the_registry_is_asked_last() {
    let unknown = snapshot(registered(registry(&[])));
    assert_eq!(label(&unknown, &token(json!({ "aud": "x" }))), "token_audience");
    assert_eq!(label(&unknown, &token(json!({ "exp": NOW - 300 }))), "token_expired");
    assert_eq!(label(&unknown, &token(json!({ "cnf": {} }))), "token_binding");
    let fenced = Issuer { clients: Some(["globex".into()].into()), ..main_issuer() };
    let revoked = acme_with(|client| client.is_revoked = true);
    let fenced = policy::snapshot(vec![fenced]).with_clients(ISSUER, registered(registry(&[("acme", revoked)])));
    assert_eq!(label(&fenced, &token(json!({}))), "client_unknown");
}

#[test]
fn a_token_may_do_what_it_says_and_its_client_still_has() {
    let acme = acme_with(|client| {
        client.scopes = names(&["read", "p/write", "extra"]);
        client.roles = names(&["clerk", "boss"]);
    });
    let mut snapshot = with_client(acme);
    declare_role(&mut snapshot, "clerk", &[], &["file"]);
    declare_role(&mut snapshot, "chief", &["clerk", "auditor"], &["file", "audit"]);
    declare_role(&mut snapshot, "boss", &["auditor"], &["audit", "fire"]);
    policy::tell(&mut snapshot, &[("x-scopes", IdentitySource::Scopes), ("x-roles", IdentitySource::Roles)]);
    let (outcome, trace) = ask(
        &snapshot,
        &TokenRequirement::default(),
        &token(json!({ "roles": ["chief"], "scope": "p/read p/write p/fire" })),
        &NoMemo,
    );
    assert_eq!(outcome, "ok");
    let principal = trace.principal.unwrap();
    // `write` is the client's only with the prefix, which is not there; `chief` is not the client's, what it includes is.
    assert_eq!(header(&principal, "x-scopes"), Some("read fire file audit"));
    assert_eq!(header(&principal, "x-roles"), Some("clerk auditor"));
    assert_eq!(principal.registered_version(), Some(7));
    for (scope, expected) in [("read", "ok"), ("write", "scope_missing"), ("extra", "scope_missing"), ("fire", "ok")] {
        let requirement = policy::scopes(&mut snapshot, &[scope]);
        let token = token(json!({ "roles": ["chief"], "scope": "p/read p/write p/fire" }));
        assert_eq!(ask(&snapshot, &requirement, &token, &NoMemo).0, expected, "{scope}");
    }
    let requirement = policy::roles(&mut snapshot, &["chief"]);
    assert_eq!(ask(&snapshot, &requirement, &token(json!({ "roles": ["chief"] })), &NoMemo).0, "role_missing");
}

#[test]
fn a_token_speaks_for_the_tenants_that_it_lists_and_its_client_still_has() {
    let cases = [
        // The token's, the client's, what becomes of a request, and what the bearer is held to.
        (json!(null), &[][..], "ok", None, None),
        (json!("t1"), &["t1", "t2"], "ok", Some("t1"), Some(vec!["t1"])),
        (json!(["t1", "t2"]), &["t2", "t3"], "ok", Some("t2"), Some(vec!["t2"])),
        (json!(["t1", "t2"]), &["t3"], "tenant_missing", None, Some(vec![])),
        (json!("t1"), &[], "tenant_missing", None, Some(vec![])),
        (json!(null), &["t1"], "tenant_missing", None, Some(vec![])),
        (json!(true), &["t1"], "tenant_missing", None, Some(vec![])),
        (json!(true), &[], "tenant_missing", None, Some(vec![])),
    ];
    for (claimed, had, expected, tenant, held_to) in cases {
        let snapshot = with_client(acme_with(|client| client.tenants = names(had)));
        let (outcome, trace) =
            ask(&snapshot, &TokenRequirement::default(), &token(json!({ "tenant_id": claimed })), &NoMemo);
        assert_eq!(outcome, expected, "{claimed} {had:?}");
        assert_eq!(trace.tenant().map(|tenant| tenant.to_str().unwrap()), tenant, "{claimed} {had:?}");
        assert_eq!(trace.principal.unwrap().tenant_names(), held_to, "{claimed} {had:?}");
    }
    let required = TokenRequirement { tenant_required: Some(true), ..TokenRequirement::default() };
    assert_eq!(ask(&with_client(acme()), &required, &token(json!({})), &NoMemo).0, "tenant_missing");
}

#[test]
fn a_tenant_that_the_configuration_fixes_is_nobodys_to_take() {
    let issuer = Issuer { fixed_tenant: Some("t9".into()), ..main_issuer() };
    let snapshot = policy::snapshot(vec![issuer]).with_clients(ISSUER, registered(registry(&[("acme", acme())])));
    let (outcome, trace) = ask(&snapshot, &TokenRequirement::default(), &token(json!({})), &NoMemo);
    assert_eq!((outcome, trace.tenant().unwrap().to_str().unwrap()), ("ok", "t9"));
    assert_eq!(trace.principal.unwrap().tenant_names(), Some(vec!["t9"]));
}

#[test]
fn only_a_client_that_has_changed_is_worked_out_again() {
    let (memo, token) = (TokenMemo::new(1 << 20), token(json!({})));
    let first = with_client(acme());
    let ask = |clients| {
        let (outcome, trace) = ask(&first.with_clients(ISSUER, clients), &TokenRequirement::default(), &token, &memo);
        (outcome, trace.signature.unwrap())
    };
    let clients = |acme: Registered| registered(registry(&[("acme", acme), ("other", client(9, NOW, &[]))]));
    use SignatureCheck::{Remembered, Revalidated, Verified};
    assert_eq!(ask(registered(registry(&[("acme", acme())]))), ("ok", Verified));
    assert_eq!(ask(clients(acme())), ("ok", Remembered), "another client came");
    assert_eq!(ask(clients(acme_with(|client| client.version = 10))), ("ok", Revalidated));
    assert_eq!(ask(clients(acme_with(|client| client.version = 10))), ("ok", Remembered));
    let lost =
        Registry { availability: Availability::Lost, ..registry(&[("acme", acme_with(|client| client.version = 10))]) };
    assert_eq!(ask(registered(lost)), ("registry_unavailable", Remembered));
    assert_eq!(ask(registered(registry(&[]))), ("client_unknown", Revalidated));
    assert_eq!(ask(registered(registry(&[]))), ("client_unknown", Remembered));
    assert_eq!(ask(Arc::default()), ("ok", Revalidated));
}

#[test]
fn a_snapshot_for_another_audience_takes_only_what_is_for_it() {
    let other = issuer("other", "https://other.test", &jwks(&["ed"]));
    let snapshot =
        policy::snapshot(vec![main_issuer(), other]).with_clients(ISSUER, registered(registry(&[("acme", acme())])));
    let control = snapshot.for_audience(ISSUER, "https://control.test");
    let memo = Everything::default();
    let label = |snapshot: &Snapshot, token: &str| ask(snapshot, &TokenRequirement::default(), token, &memo).0;
    let both = token(json!({ "aud": ["https://api.test", "https://control.test"] }));
    let cases = [
        (token(json!({})), "ok", "token_audience"),
        (token(json!({ "aud": "https://control.test" })), "token_audience", "ok"),
        (both, "ok", "ok"),
        (
            token(json!({ "iss": "https://other.test", "aud": ["https://api.test", "https://control.test"] })),
            "ok",
            "token_issuer",
        ),
    ];
    for (token, proxied, controlled) in cases {
        for _ in 0..2 {
            assert_eq!(label(&snapshot, &token), proxied);
            assert_eq!(label(&control, &token), controlled);
        }
    }
    let revoked = registered(registry(&[("acme", acme_with(|client| client.is_revoked = true))]));
    let control = snapshot.with_clients(ISSUER, revoked).for_audience(ISSUER, "https://control.test");
    assert_eq!(label(&control, &token(json!({ "aud": "https://control.test" }))), "client_revoked");
}

/// The trace of a request to a route of this mode that was let through.
fn let_through(snapshot: &mut Snapshot, mode: Mode, token: &str) -> Trace {
    let (matcher, route) = routes::route("/a", None, PathReading::Folding);
    let route = Route { mode, requirement: Requirement::Token(TokenRequirement::default()), ..route };
    snapshot.upstreams = routes::upstreams().into();
    snapshot.routes = RouteTable::build(vec![(matcher, route)]).unwrap().into();
    let mut headers = HeaderMap::new();
    headers.insert("host", "h".parse().unwrap());
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let head = RequestHead { method: &Method::GET, target: "/a", headers: (&headers).into() };
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::Already };
    core::decide(snapshot, &head, &facts, UnixSeconds(NOW)).unwrap().trace
}

#[test]
fn what_goes_on_stands_as_long_as_its_client() {
    let mut then = with_client(acme());
    let trace = let_through(&mut then, Mode::Enforce, &token(json!({})));
    assert!(trace.authenticated);
    // After a reload that has moved the issuer.
    let other = issuer("other", "https://other.test", &jwks(&["ed"]));
    let moved = Snapshot { number: 9, ..policy::snapshot(vec![other.clone(), main_issuer()]) };
    let stands = |clients: Arc<Clients>, now: i64| {
        let same =
            core::still_stands(&then, &then.with_clients(ISSUER, Arc::clone(&clients)), &trace, UnixSeconds(now))
                .is_ok();
        let moved =
            core::still_stands(&then, &moved.with_clients(IssuerId(1), clients), &trace, UnixSeconds(now)).is_ok();
        assert_eq!(same, moved);
        same
    };
    let kept = |acme: Registered| registered(registry(&[("acme", acme)]));
    let lost =
        |clients: &[(&str, Registered)]| registered(Registry { availability: Availability::Lost, ..registry(clients) });
    assert!(stands(kept(acme()), NOW + 999));
    assert!(!stands(kept(acme()), NOW + 1000), "the client is expired");
    assert!(stands(kept(acme_with(|client| (client.version, client.scopes) = (8, names(&[])))), NOW));
    assert!(!stands(kept(acme_with(|client| client.is_revoked = true)), NOW));
    assert!(!stands(kept(acme_with(|client| client.generation = 8)), NOW));
    assert!(!stands(registered(registry(&[])), NOW));
    let revoked = Registry { revoked_tokens: NameSet::unit("j1".into()), ..registry(&[("acme", acme())]) };
    assert!(!stands(registered(revoked), NOW));
    assert!(!stands(Arc::new(Clients { refused: NameSet::unit("acme".into()), ..Clients::default() }), NOW));
    assert!(stands(Arc::default(), NOW), "nobody registers clients any more");
    assert!(stands(lost(&[]), NOW) && stands(lost(&[("acme", acme())]), NOW));
    assert!(!stands(lost(&[("acme", acme_with(|client| client.is_revoked = true))]), NOW));

    let gone = Snapshot { number: 9, ..policy::snapshot(vec![other]) };
    assert!(
        core::still_stands(&then, &gone, &trace, UnixSeconds(NOW)).is_ok(),
        "the issuer is nobody's concern any more"
    );
    assert!(core::still_stands(&then, &then, &Trace::default(), UnixSeconds(NOW)).is_ok(), "no token mattered");
}

#[test]
fn shadow_mode_ends_nothing_and_lets_through_who_is_not_registered() {
    let revoked = || registered(registry(&[("acme", acme_with(|client| client.is_revoked = true))]));
    for (of_route, of_file, of_issuer) in [
        (Mode::Shadow, Mode::Enforce, Mode::Enforce),
        (Mode::Enforce, Mode::Shadow, Mode::Enforce),
        (Mode::Enforce, Mode::Enforce, Mode::Shadow),
    ] {
        let issuer = Issuer { mode: of_issuer, ..main_issuer() };
        let kept = registered(registry(&[("acme", acme())]));
        let mut then = Snapshot { mode: of_file, ..policy::snapshot(vec![issuer]) }.with_clients(ISSUER, kept);
        let trace = let_through(&mut then, of_route, &token(json!({})));
        assert!(trace.authenticated);
        assert!(core::still_stands(&then, &then.with_clients(ISSUER, revoked()), &trace, UnixSeconds(NOW)).is_ok());
        for (clients, reason) in
            [(revoked(), "client_revoked"), (registered(Registry::default()), "registry_unavailable")]
        {
            let mut later = then.with_clients(ISSUER, clients);
            let trace = let_through(&mut later, of_route, &token(json!({})));
            assert_eq!(trace.shadowed.unwrap().reason.label(), reason);
        }
    }
}

#[test]
fn a_tunnel_ends_when_its_client_does() {
    for (client_ends, ends) in [(NOW + 100, NOW + 100), (NOW + 1000, NOW + 330)] {
        let mut snapshot = with_client(acme_with(|client| client.expires = UnixSeconds(client_ends)));
        let trace = let_through(&mut snapshot, Mode::Enforce, &token(json!({})));
        assert_eq!(core::ends(&snapshot, &trace), Some(UnixSeconds(ends)));
    }
}

/// What happens to a client between two requests.
#[derive(Debug, Clone)]
enum Event {
    Create(usize),
    Edit {
        scopes: usize,
        roles: usize,
        tenants: usize,
    },
    Revoke,
    Restore,
    Delete,
    Expire(i64),
    Lose(bool),
    RevokeToken,
    Refuse(bool),
    /// A reload.
    Reload,
}

const SCOPES: [&[&str]; 3] = [&["read", "write"], &["read"], &[]];
const ROLES: [&[&str]; 3] = [&["clerk"], &["chief"], &[]];
const TENANTS: [&[&str]; 3] = [&["t1", "t2"], &["t1"], &[]];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..3_usize).prop_map(Event::Create),
        3 => (0..3_usize, 0..3_usize, 0..3_usize).prop_map(|(scopes, roles, tenants)| Event::Edit { scopes, roles, tenants }),
        2 => Just(Event::Revoke),
        2 => Just(Event::Restore),
        1 => Just(Event::Delete),
        1 => (-10..10_i64).prop_map(Event::Expire),
        1 => any::<bool>().prop_map(Event::Lose),
        1 => Just(Event::RevokeToken),
        1 => any::<bool>().prop_map(Event::Refuse),
        1 => Just(Event::Reload),
    ]
}

/// An issuer's clients while things happen to one of them.
struct World {
    number: u64,
    clients: Clients,
    snapshot: Snapshot,
}

impl World {
    fn new() -> Self {
        let mut snapshot = policy::snapshot(vec![main_issuer()]);
        declare_role(&mut snapshot, "clerk", &[], &["file"]);
        declare_role(&mut snapshot, "chief", &["clerk"], &["file", "audit"]);
        Self { number: 0, clients: Clients { registry: Some(registry(&[])), ..Clients::default() }, snapshot }
    }

    fn happen(&mut self, event: &Event) {
        self.number += 1;
        let number = self.number;
        let registry = self.clients.registry.as_mut().unwrap();
        let change = |registry: &mut Registry, change: &dyn Fn(&mut Registered)| {
            if let Some(client) = registry.clients.get_mut("acme") {
                let client = Arc::make_mut(client);
                client.version = number;
                change(client);
            }
        };
        match event {
            Event::Create(scopes) => {
                registry.clients.insert("acme".into(), Arc::new(client(number, NOW + 5, SCOPES[*scopes])));
            }
            Event::Edit { scopes, roles, tenants } => change(registry, &|client| {
                client.scopes = names(SCOPES[*scopes]);
                client.roles = names(ROLES[*roles]);
                client.tenants = names(TENANTS[*tenants]);
            }),
            Event::Revoke => change(registry, &|client| (client.is_revoked, client.generation) = (true, number)),
            Event::Restore => change(registry, &|client| client.is_revoked = false),
            Event::Delete => drop(registry.clients.remove("acme")),
            Event::Expire(after) => change(registry, &|client| client.expires = UnixSeconds(NOW + after)),
            Event::Lose(lost) => {
                registry.availability = if *lost { Availability::Lost } else { Availability::Current };
            }
            Event::RevokeToken => drop(registry.revoked_tokens.insert("j3".into())),
            Event::Refuse(true) => drop(self.clients.refused.insert("acme".into())),
            Event::Refuse(false) => drop(self.clients.refused.remove("acme")),
            Event::Reload => self.snapshot.number += 1,
        }
    }

    fn generation(&self) -> u64 {
        let clients = &self.clients.registry.as_ref().unwrap().clients;
        clients.get("acme").map_or(0, |client| client.generation)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_memo_changes_no_answer_whatever_happens_to_a_client(
        steps in prop::collection::vec((prop::collection::vec(event(), 0..3), any::<prop::sample::Index>(), 0..3_usize, any::<bool>()), 1..40),
    ) {
        let memos: [&dyn Memo; 3] = [&Everything::default(), &TokenMemo::new(1 << 20), &Confused::default()];
        let mut world = World::new();
        let requirements = [
            TokenRequirement::default(),
            policy::scopes(&mut world.snapshot, &["file"]),
            policy::roles(&mut world.snapshot, &["clerk"]),
        ];
        let mut tokens = vec![token(json!({ "gen": 1 }))];
        for (events, which, route, issue) in steps {
            events.iter().for_each(|event| world.happen(event));
            if issue {
                let tenants = json!(TENANTS[tokens.len() % 3]);
                tokens.push(token(json!({
                    "gen": world.generation(), "jti": format!("j{}", tokens.len()), "roles": ["chief"], "tenant_id": tenants,
                })));
            }
            let snapshot = world.snapshot.with_clients(ISSUER, Arc::new(world.clients.clone()));
            let token = which.get(&tokens);
            let authorization = format!("Bearer {token}");
            let answer = |memo: &dyn Memo| {
                let fields = [("authorization", &*authorization)];
                let (outcome, trace) = policy::admit(&snapshot, &requirements[route], &fields, memo, NOW);
                let tenant = trace.tenant().cloned();
                let principal = trace.principal.map(|principal| {
                    let names = (principal.scope_names.clone(), principal.role_names.clone());
                    let tenants = principal.tenant_names().map(|names| names.join(" "));
                    (names, tenants, principal.registered_version())
                });
                (outcome, principal, tenant, trace.authenticated)
            };
            let expected = answer(&NoMemo);
            for memo in memos {
                prop_assert_eq!(&answer(memo), &expected);
            }
        }
    }
}
