//! Tokens, from header bytes to who is calling: the tables in `tests/cases/tokens/`, and properties.

use sidegate::core::NoMemo;
use sidegate::core::decision::Trace;
use sidegate::core::keyset::Algorithm;
use sidegate::core::scope::NameList;
use sidegate::core::snapshot::{IdentitySource, IssuerId, Kinds, Snapshot, TokenRequirement};

use crate::support::attacks;
use crate::support::mint::jwks;
use crate::support::policy::{self, admit, declare_role, issuer};
use crate::support::shapes::{self, Expected};

/// A moment long after the keys of this test were made and long before anything in it expires.
const NOW: i64 = 1_790_000_000;

/// The gateway that the attack table speaks of.
fn gateway() -> (Snapshot, Vec<(&'static str, TokenRequirement)>) {
    let main = issuer("issuer", "https://issuer.test", &jwks(&["rsa", "p256", "p384", "ed"]));
    let mut other = issuer("other", "https://other.test", &jwks(&["rsa-2", "p256-2"]));
    other.algorithms = [Algorithm::Rs256, Algorithm::Es256].into_iter().collect();
    other.clients = Some(["acme".into()].into());
    other.tenants = Some(["t1".into(), "t2".into()].into());
    let mut prefixed = issuer("prefixed", "https://prefixed.test", &jwks(&["rsa-2"]));
    prefixed.scope_prefix = "api/".into();

    let mut snapshot = policy::snapshot(vec![main, other, prefixed]);
    declare_role(&mut snapshot, "admin", &[], &["users:write"]);
    declare_role(&mut snapshot, "chief", &["admin"], &["users:write"]);
    let any = TokenRequirement::default;
    let routes = vec![
        ("read", policy::scopes(&mut snapshot, &["users:read"])),
        ("write", policy::scopes(&mut snapshot, &["users:write"])),
        ("admin", policy::roles(&mut snapshot, &["admin"])),
        ("any", any()),
        ("tenant", TokenRequirement { tenant_required: Some(true), ..any() }),
        ("both-kinds", TokenRequirement { token_kinds: Some(Kinds { client: true, user: true }), ..any() }),
        ("issuer-only", TokenRequirement { issuers: Some([IssuerId(0)].into()), ..any() }),
        ("acme-only", TokenRequirement { clients: Some(["acme".into()].into()), ..any() }),
    ];
    (snapshot, routes)
}

#[test]
fn every_attack_is_refused_for_its_reason() {
    let (snapshot, routes) = gateway();
    let rows = attacks::load(NOW);
    let mut wrong = Vec::new();
    for row in &rows {
        let (_, requirement) = routes.iter().find(|(name, _)| *name == row.route).expect("a route of the test");
        let headers: Vec<_> = row.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (outcome, _) = admit(&snapshot, requirement, &headers, &NoMemo, NOW);
        let found = outcome.err();
        if found.as_ref().map(|rejection| rejection.reason) != row.refused {
            wrong.push(format!("{}: expected {:?}, found {found:?}", row.name, row.refused));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(rows.iter().filter(|row| row.refused.is_some()).count() >= 120);
    assert!(rows.iter().all(|row| (row.status() == 200) == row.refused.is_none()));
}

#[test]
fn tokens_of_known_issuers_are_taken_for_what_they_are() {
    for shape in shapes::load() {
        assert!(shape.source.starts_with("https://"), "{}", shape.name);
        let mut snapshot = policy::snapshot(vec![shape.issuer()]);
        policy::tell(&mut snapshot, &[("x-subject", IdentitySource::Claim(policy::reference("sub")))]);
        let authorization = format!("Bearer {}", shape.token());
        let headers = [("authorization", &*authorization)];
        let (outcome, trace) = admit(&snapshot, &TokenRequirement::default(), &headers, &NoMemo, shape.now());
        let found = match outcome {
            Err(rejection) => Expected { refused: Some(rejection.reason.label().to_owned()), ..Expected::default() },
            Ok(()) => taken_for(&trace),
        };
        assert_eq!(found, shape.expect, "{}", shape.name);
    }
}

fn taken_for(trace: &Trace) -> Expected {
    let principal = trace.principal.as_deref().unwrap();
    let owned = |names: &NameList| names.iter().map(str::to_owned).collect();
    Expected {
        refused: None,
        kind: Some(principal.kind().name().to_owned()),
        client: principal.client_id.as_deref().map(str::to_owned),
        subject: policy::header(principal, "x-subject").map(str::to_owned),
        scopes: owned(&principal.scope_names),
        roles: owned(&principal.role_names),
        tenant: trace.tenant().map(|value| value.to_str().unwrap().to_owned()),
    }
}
