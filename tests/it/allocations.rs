//! What a decision costs in memory: nothing, once the token is remembered.

use allocation_counter::measure;
use sidegate::core::decision::Outcome;
use sidegate::core::token::SignatureCheck;
use sidegate::live::memo::TokenMemo;

use crate::support::decisions::{decide, headers, snapshot, token};

#[test]
fn a_decision_on_a_remembered_token_allocates_nothing() {
    let snapshot = snapshot();
    let memo = TokenMemo::new(1024 * 1024);
    let headers = headers(&token("RS256", "rsa"));
    for target in ["/v1/users/7", "/v1/users/7/orders/8?page=2", "/v1/files/a/b/c.txt"] {
        let ask = || {
            let decision = decide(&snapshot, &memo, &headers, target);
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
