//! What a decision costs in memory: nothing, once the token is remembered.

use std::sync::Arc;

use allocation_counter::measure;
use sidegate::core::decision::Outcome;
use sidegate::core::registry::{Clients, NameSet, Registered};
use sidegate::core::snapshot::{IssuerId, Snapshot};
use sidegate::core::token::SignatureCheck;
use sidegate::live::memo::TokenMemo;

use crate::support::decisions::{NOW, decide, headers, snapshot, token};
use crate::support::registry::{client, names, registry};

#[test]
fn a_decision_on_a_remembered_token_allocates_nothing() {
    let snapshot = snapshot();
    assert_none(&snapshot);

    // Of ten thousand clients and some revoked tokens, with something to hold against each of them.
    let acme = Registered {
        scopes: names(&["users:read", "orders:read", "files:read"]),
        roles: names(&["clerk"]),
        tenants: names(&["t2", "t3"]),
        ..client(7, NOW.0 + 60, &[])
    };
    let others = (0..10_000).map(|number| (Box::from(format!("c{number}")), Arc::new(client(number, NOW.0, &[]))));
    let mut clients = registry(&[("acme", acme)]);
    clients.clients.extend(others);
    clients.revoked_tokens.insert("2".into());
    let refused = NameSet::unit("globex".into());
    assert_none(
        &snapshot
            .with_clients(IssuerId(0), Arc::new(Clients { registry: Some(clients), refused, ..Clients::default() })),
    );
}

fn assert_none(snapshot: &Snapshot) {
    let memo = TokenMemo::new(1024 * 1024);
    let headers = headers(&token("RS256", "rsa"));
    for target in ["/v1/users/7", "/v1/users/7/orders/8?page=2", "/v1/files/a/b/c.txt"] {
        let ask = || {
            let decision = decide(snapshot, &memo, &headers, target);
            assert!(matches!(decision.outcome, Outcome::Forward(_)), "{target}: {decision:?}");
            decision.trace.signature == Some(SignatureCheck::Remembered)
        };
        ask();
        let mut remembered = false;
        let counted = measure(|| remembered = ask());
        assert!(remembered);
        assert_eq!(counted.count_total, 0, "{target}");
    }
}
