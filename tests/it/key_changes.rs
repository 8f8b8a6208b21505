//! Keys that change: what a token costs when it has been seen before, and when a decision waits for a key.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use sidegate::core::decision::{Decision, Outcome, Trace};
use sidegate::core::head::RequestHead;
use sidegate::core::keyset::{Algorithm, Keyset};
use sidegate::core::snapshot::{IdentitySource, Issuer, IssuerId, Issuers, Kinds, Mode, Snapshot, TokenRequirement};
use sidegate::core::token::SignatureCheck::{self, Remembered, Revalidated, Verified};
use sidegate::core::{self, Facts, KeysAsked, Memo, Need, NoMemo, NotAdmitted};

use crate::support::decisions;
use crate::support::memo::{Confused, Everything};
use crate::support::mint::{jwks, jwks_as, key, mint};
use crate::support::policy::{self, admit_with, header, issuer};

const NOW: i64 = 1_790_000_000;
const ISSUER: IssuerId = IssuerId(0);
const NEED: Result<(), Answer> = Err(Answer::Waits);

fn of_issuer(keys: &str) -> Issuer {
    issuer("issuer", "https://issuer.test", keys)
}

fn fetched(keys: &str) -> Issuer {
    Issuer { keys_are_fetched: true, ..of_issuer(keys) }
}

fn numbered(number: u64, issuers: Vec<Issuer>) -> Snapshot {
    Snapshot { number, ..policy::snapshot(issuers) }
}

fn token_with(header: Value, changes: Value, signer: &str) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "https://api.test", "sub": "acme", "client_id": "acme",
        "exp": NOW + 300, "scope": "read",
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    mint(&header, &claims, key(signer))
}

fn token(signer: &str) -> String {
    token_with(json!({ "alg": key(signer).algorithm(), "kid": signer }), json!({}), signer)
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Refused(&'static str),
    Waits,
}

fn ask(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    token: &str,
    facts: &Facts<'_>,
) -> (Result<(), Answer>, Trace) {
    let authorization = format!("Bearer {token}");
    let (outcome, trace) = admit_with(snapshot, requirement, &[("authorization", &authorization)], facts, NOW);
    let answer = outcome.map_err(|why| match why {
        NotAdmitted::Rejected(rejection) => Answer::Refused(rejection.reason.label()),
        NotAdmitted::Undecided(Need::Keys(ISSUER)) => Answer::Waits,
        NotAdmitted::Undecided(other) => panic!("{other:?}"),
    });
    (answer, trace)
}

/// The reason for which a token is refused, or how its signature was found good.
fn seen(snapshot: &Snapshot, token: &str, memo: &dyn Memo) -> Result<SignatureCheck, &'static str> {
    let facts = Facts { memo, keys: KeysAsked::Already };
    let (answer, trace) = ask(snapshot, &TokenRequirement::default(), token, &facts);
    match answer {
        Ok(()) => Ok(trace.signature.unwrap()),
        Err(Answer::Refused(reason)) => Err(reason),
        Err(Answer::Waits) => panic!("waits"),
    }
}

#[test]
fn a_signature_is_verified_once_whatever_changes_around_its_key() {
    let (memo, token) = (Everything::default(), token("ed"));
    let many = jwks(&["p256", "ed", "rsa"]);
    let later = [
        (1, vec![of_issuer(&jwks(&["ed"]))], Verified),
        (1, vec![of_issuer(&jwks(&["ed"]))], Remembered),
        (2, vec![of_issuer(&jwks(&["ed"]))], Revalidated),
        (2, vec![of_issuer(&jwks(&["ed"]))], Remembered),
        (3, vec![of_issuer(&many)], Revalidated),
        // The issuer has another number and another name now.
        (
            4,
            vec![issuer("new", "https://new.test", &jwks(&["rsa"])), issuer("b", "https://issuer.test", &many)],
            Revalidated,
        ),
    ];
    for (number, issuers, expected) in later {
        assert_eq!(seen(&numbered(number, issuers), &token, &memo), Ok(expected), "snapshot {number}");
    }
}

#[test]
fn a_remembered_token_falls_with_what_vouched_for_it() {
    let usual = || of_issuer(&jwks(&["ed", "p256"]));
    let narrowed = Issuer { algorithms: [Algorithm::Es256].into_iter().collect(), ..usual() };
    let pinned =
        json!({ "keys": [{ "alg": "PS256", "kid": "rsa", "kty": "RSA", "n": key("rsa").jwk()["n"], "e": "AQAB" }] });
    let fenced = Issuer { clients: Some(["globex".into()].into()), ..usual() };
    let table = [
        ("its key removed", "ed", of_issuer(&jwks(&["p256"])), "token_key_unknown"),
        ("another key of the same name", "ed", of_issuer(&jwks_as(&[("stranger-ed", "ed")])), "token_signature"),
        ("its key under another name", "ed", of_issuer(&jwks_as(&[("ed", "ed-2")])), "token_key_unknown"),
        ("a key of another type under its name", "ed", of_issuer(&jwks_as(&[("p256", "ed")])), "token_algorithm"),
        ("its issuer gone", "ed", issuer("issuer", "https://other.test", &jwks(&["ed"])), "token_issuer"),
        ("its algorithm given up by the issuer", "ed", narrowed, "token_algorithm"),
        ("its algorithm given up by the key", "rsa", of_issuer(&pinned.to_string()), "token_algorithm"),
        ("no keys", "ed", Issuer { keys: Default::default(), ..usual() }, "keys_unavailable"),
        ("a fence around its client", "ed", fenced, "client_unknown"),
    ];
    for (what, signer, changed, reason) in table {
        let (memo, token) = (Everything::default(), token(signer));
        let before = numbered(1, vec![of_issuer(&jwks(&["ed", "p256", "rsa"]))]);
        assert_eq!(seen(&before, &token, &memo), Ok(Verified), "{what}");
        assert_eq!(seen(&numbered(2, vec![changed]), &token, &memo), Err(reason), "{what}");
        // Its key is back, and vouches for it as ever.
        assert!(
            matches!(seen(&numbered(3, vec![of_issuer(&jwks(&["ed", "rsa"]))]), &token, &memo), Ok(Revalidated)),
            "{what}"
        );
    }
}

#[test]
fn a_key_that_may_serve_other_algorithms_than_before_is_another_key() {
    let (memo, token) = (Everything::default(), token("rsa"));
    let mut pinned = key("rsa").jwk();
    pinned["alg"] = json!("RS256");
    let pinned = of_issuer(&json!({ "keys": [pinned] }).to_string());
    assert_eq!(seen(&numbered(1, vec![of_issuer(&jwks(&["rsa"]))]), &token, &memo), Ok(Verified));
    assert_eq!(seen(&numbered(2, vec![pinned]), &token, &memo), Ok(Verified));
}

#[test]
fn a_token_that_is_read_again_speaks_under_the_new_configuration() {
    let memo = Everything::default();
    let token =
        token_with(json!({ "alg": "EdDSA", "kid": "ed" }), json!({ "tenant_id": "t1", "scope": "p/read read" }), "ed");
    let mut before = numbered(1, vec![of_issuer(&jwks(&["ed"]))]);
    policy::tell(&mut before, &[("x-scopes", IdentitySource::Scopes)]);
    let mut after = numbered(
        2,
        vec![Issuer { scope_prefix: "p/".into(), fixed_tenant: Some("t9".into()), ..of_issuer(&jwks(&["ed"])) }],
    );
    policy::tell(
        &mut after,
        &[("x-subject", IdentitySource::Claim(policy::reference("sub"))), ("x-scopes", IdentitySource::Scopes)],
    );

    let facts = Facts { memo: &memo, keys: KeysAsked::NotYet };
    let told = |snapshot: &Snapshot| {
        let (answer, trace) = ask(snapshot, &TokenRequirement::default(), &token, &facts);
        assert_eq!(answer, Ok(()));
        let principal = trace.principal.as_ref().unwrap();
        let header = |name| header(principal, name).map(str::to_owned);
        (trace.signature, header("x-scopes"), header("x-subject"), trace.tenant().unwrap().to_str().unwrap().to_owned())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told(&before), (Some(Verified), text("p/read read"), None, "t1".into()));
    assert_eq!(told(&after), (Some(Revalidated), text("read"), text("acme"), "t9".into()));
}

#[test]
fn a_memo_that_answers_with_another_token_vouches_for_nothing() {
    let memo = Confused::default();
    let forged = token_with(json!({ "alg": "EdDSA", "kid": "ed" }), json!({ "scope": "admin" }), "stranger-ed");
    assert_eq!(seen(&numbered(1, vec![of_issuer(&jwks(&["ed"]))]), &token("ed"), &memo), Ok(Verified));
    for number in [1, 2] {
        assert_eq!(seen(&numbered(number, vec![of_issuer(&jwks(&["ed"]))]), &forged, &memo), Err("token_signature"));
    }
}

/// What a token meets whose issuer's keys are fetched, before they were asked for.
fn at_first(snapshot: &Snapshot, requirement: &TokenRequirement, token: &str) -> Result<(), Answer> {
    ask(snapshot, requirement, token, &Facts { memo: &NoMemo, keys: KeysAsked::NotYet }).0
}

#[test]
fn a_decision_waits_for_a_key_that_may_have_come_since() {
    let any = TokenRequirement::default();
    let (one, none) = (
        numbered(1, vec![fetched(&jwks(&["ed"]))]),
        numbered(1, vec![Issuer { keys: Default::default(), ..fetched(&jwks(&["ed"])) }]),
    );
    let from_file = numbered(1, vec![of_issuer(&jwks(&["ed"]))]);
    let without_kid = |signer: &str| token_with(json!({ "alg": key(signer).algorithm() }), json!({}), signer);

    assert_eq!(at_first(&one, &any, &token("ed")), Ok(()));
    assert_eq!(at_first(&one, &any, &token("p256")), NEED);
    assert_eq!(at_first(&one, &any, &without_kid("p256")), NEED);
    assert_eq!(at_first(&one, &any, &without_kid("ed")), Ok(()));
    assert_eq!(at_first(&none, &any, &token("ed")), NEED);
    // A 401 would be its due, and without keys nobody can tell.
    let expired = token_with(json!({ "alg": "EdDSA", "kid": "ed" }), json!({ "exp": NOW - 60 }), "ed");
    assert_eq!(at_first(&none, &any, &expired), NEED);
    assert_eq!(at_first(&from_file, &any, &token("p256")), Err(Answer::Refused("token_key_unknown")));
    // A key of that name is there: what it did not sign, and what it may not serve, is refused without asking.
    let renamed = |signer: &str| token_with(json!({ "alg": key(signer).algorithm(), "kid": "ed" }), json!({}), signer);
    assert_eq!(at_first(&one, &any, &renamed("stranger-ed")), Err(Answer::Refused("token_signature")));
    assert_eq!(at_first(&one, &any, &renamed("p256")), Err(Answer::Refused("token_algorithm")));
    assert_eq!(at_first(&one, &any, &without_kid("stranger-ed")), Err(Answer::Refused("token_signature")));
}

#[test]
fn a_decision_waits_once() {
    let requirement = TokenRequirement::default();
    let (one, none) = (
        numbered(1, vec![fetched(&jwks(&["ed"]))]),
        numbered(1, vec![Issuer { keys: Default::default(), ..fetched(&jwks(&["ed"])) }]),
    );
    let then = |snapshot: &Snapshot, keys| {
        let (answer, trace) = ask(snapshot, &requirement, &token("p256"), &Facts { memo: &NoMemo, keys });
        assert_eq!(trace.key_missing, Some(ISSUER));
        answer
    };
    assert_eq!(then(&one, KeysAsked::Already), Err(Answer::Refused("token_key_unknown")));
    assert_eq!(then(&none, KeysAsked::Already), Err(Answer::Refused("keys_unavailable")));
    assert_eq!(then(&one, KeysAsked::TooMany), Err(Answer::Refused("overloaded")));
    assert_eq!(then(&none, KeysAsked::TooMany), Err(Answer::Refused("overloaded")));
    let come = numbered(2, vec![fetched(&jwks(&["ed", "p256"]))]);
    for keys in [KeysAsked::NotYet, KeysAsked::Already, KeysAsked::TooMany] {
        let (answer, trace) = ask(&come, &requirement, &token("p256"), &Facts { memo: &NoMemo, keys });
        assert_eq!((answer, trace.key_missing), (Ok(()), None));
    }
}

#[test]
fn what_is_refused_anyway_waits_for_no_key() {
    let users =
        TokenRequirement { token_kinds: Some(Kinds { client: false, user: true }), ..TokenRequirement::default() };
    let others = TokenRequirement { issuers: Some([IssuerId(7)].into()), ..TokenRequirement::default() };
    let any = TokenRequirement::default;
    let fenced = Issuer {
        clients: Some(["acme".into()].into()),
        algorithms: [Algorithm::Es256].into_iter().collect(),
        ..fetched(&jwks(&["p256"]))
    };
    let snapshot = numbered(1, vec![fenced]);
    let unknown = json!({ "alg": "ES256", "kid": "unknown" });
    let saying = |changes: Value| token_with(unknown.clone(), changes, "p256-2");
    let headed = |header: Value| token_with(header, json!({}), "p256-2");
    let table = [
        (any(), saying(json!({ "exp": NOW - 60 })), "token_key_unknown"),
        (any(), saying(json!({ "nbf": NOW + 60 })), "token_key_unknown"),
        (any(), saying(json!({ "exp": "soon" })), "token_key_unknown"),
        (any(), saying(json!({ "exp": null })), "token_key_unknown"),
        (any(), saying(json!({ "aud": "https://elsewhere.test" })), "token_key_unknown"),
        (any(), saying(json!({ "sub": 1 })), "token_key_unknown"),
        (any(), saying(json!({ "sub": "alice" })), "token_key_unknown"),
        (any(), saying(json!({ "at_hash": "x" })), "token_key_unknown"),
        (any(), saying(json!({ "cnf": {} })), "token_key_unknown"),
        (any(), saying(json!({ "client_id": "globex", "sub": "globex" })), "token_key_unknown"),
        (users, saying(json!({})), "token_key_unknown"),
        (others, saying(json!({})), "token_key_unknown"),
        (any(), headed(json!({ "alg": "ES256", "kid": "unknown", "typ": "dpop+jwt" })), "token_key_unknown"),
        (any(), headed(json!({ "alg": "EdDSA", "kid": "unknown" })), "token_algorithm"),
        (any(), headed(json!({ "alg": "ES256", "kid": "k".repeat(257) })), "token_malformed"),
        (any(), headed(json!({ "alg": "ES256", "kid": 1 })), "token_malformed"),
        (any(), headed(json!({ "alg": "ES256", "kid": "unknown", "crit": [] })), "token_malformed"),
        (any(), saying(json!({ "iss": "https://elsewhere.test" })), "token_issuer"),
        (any(), saying(json!({ "iss": null })), "token_malformed"),
        (any(), format!("{}.{}", saying(json!({})), "x"), "token_malformed"),
        (any(), "x".repeat(17 * 1024), "token_too_large"),
        (any(), "opaque".to_owned(), "token_malformed"),
    ];
    for (requirement, token, reason) in table {
        assert_eq!(at_first(&snapshot, &requirement, &token), Err(Answer::Refused(reason)), "{token}");
    }
    assert_eq!(at_first(&snapshot, &any(), &saying(json!({}))), NEED);
    // What it may do is another answer than who it is.
    let mut snapshot = snapshot;
    let admin = policy::scopes(&mut snapshot, &["admin"]);
    assert_eq!(at_first(&snapshot, &admin, &saying(json!({}))), NEED);
}

#[test]
fn keys_can_change_without_the_rest() {
    let before = numbered(7, vec![fetched(&jwks(&["ed"])), issuer("other", "https://other.test", &jwks(&["rsa"]))]);
    let after = before.with_keys(ISSUER, Arc::new(Keyset::parse(jwks(&["p256"]).as_bytes()).unwrap()));
    let (memo, old, new) = (Everything::default(), token("ed"), token("p256"));
    assert_eq!((seen(&before, &old, &memo), seen(&after, &old, &memo)), (Ok(Verified), Err("token_key_unknown")));
    assert_eq!((seen(&after, &new, &memo), seen(&before, &new, &memo)), (Ok(Verified), Err("token_key_unknown")));
}

/// The status of whatever comes of asking: once the keys are known, or at once.
fn status(decided: Result<Decision, Need>) -> Option<u16> {
    decided.ok().map(|decision| match decision.outcome {
        Outcome::Forward(_) => 200,
        Outcome::Answer(answer) => panic!("{answer:?}"),
        Outcome::Reject(rejection) => rejection.reason.answer().status,
    })
}

/// A gateway with the keys of this issuer's that are named, in this mode of the issuer and of the file.
fn gateway(keys: &[&str], issuer_mode: Mode, mode: Mode) -> Snapshot {
    let of_file = decisions::snapshot();
    let issuers = of_file.issuers.iter().map(|issuer| Issuer {
        keys_are_fetched: true,
        keys: Arc::new(Keyset::parse(jwks(keys).as_bytes()).unwrap_or_default()),
        mode: issuer_mode,
        ..issuer.clone()
    });
    Snapshot { issuers: Issuers::new(issuers.collect()), mode, ..Snapshot::clone(&of_file) }
}

#[test]
fn a_gateway_that_asks_answers_like_one_that_has_the_keys() {
    let all = ["ed", "p256", "rsa"];
    let good = |signer: &str| decisions::token(key(signer).algorithm(), signer);
    let of = |header: Value, changes: Value, signer: &str| {
        let mut claims = json!({ "scope": "users:read", "tenant_id": ["t1", "t2"], "exp": decisions::NOW.0 + 60 });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        token_with(header, claims, signer)
    };
    let usual = || json!({ "alg": "ES256", "kid": "p256" });
    let tokens = [
        good("ed"),
        good("p256"),
        good("rsa"),
        of(usual(), json!({}), "p256"),
        of(usual(), json!({}), "p256-2"),
        of(json!({ "alg": "ES256", "kid": "unknown" }), json!({}), "p256"),
        of(json!({ "alg": "ES384", "kid": "unknown" }), json!({}), "p384"),
        of(json!({ "alg": "ES256" }), json!({}), "p256"),
        of(usual(), json!({ "exp": 0 }), "p256"),
        of(usual(), json!({ "exp": "soon" }), "p256"),
        of(usual(), json!({ "aud": "https://elsewhere.test" }), "p256"),
        of(usual(), json!({ "scope": "ping" }), "p256"),
        of(usual(), json!({ "tenant_id": "t9" }), "p256"),
        of(usual(), json!({ "sub": "alice" }), "p256"),
        of(usual(), json!({ "iss": "https://elsewhere.test" }), "p256"),
        "opaque".to_owned(),
    ];
    let modes = [(Mode::Enforce, Mode::Enforce), (Mode::Shadow, Mode::Enforce), (Mode::Enforce, Mode::Shadow)];
    let (mut waited, mut asked) = (0, 0);
    for (issuer_mode, mode) in modes {
        let informed = gateway(&all, issuer_mode, mode);
        for there in
            (0..8).map(|bits| (0..3).filter(|key| bits >> key & 1 == 1).map(|key| all[key]).collect::<Vec<_>>())
        {
            let before = gateway(&there, issuer_mode, mode);
            for token in &tokens {
                let headers = decisions::headers(token);
                let decide = |snapshot: &Snapshot, keys| {
                    let head = RequestHead { method: &Method::GET, target: "/v1/users/7", headers: (&headers).into() };
                    status(core::decide(snapshot, &head, &Facts { memo: &NoMemo, keys }, decisions::NOW))
                };
                let first = decide(&before, KeysAsked::NotYet);
                let expected = decide(&informed, KeysAsked::Already);
                assert_eq!(
                    first.or_else(|| decide(&informed, KeysAsked::Already)),
                    expected,
                    "{mode:?} {there:?} {token}"
                );
                assert!(decide(&before, KeysAsked::Already).is_some() && decide(&before, KeysAsked::TooMany).is_some());
                assert!(mode == Mode::Enforce || first.is_some(), "shadow mode waits");
                (waited, asked) = (waited + usize::from(first.is_none()), asked + 1);
            }
        }
    }
    assert!(waited > 50 && asked - waited > 100, "{waited} of {asked}");
}
