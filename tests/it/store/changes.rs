//! What a change does, and what it tells the audit log.

use sidegate::authority::client::Client;
use sidegate::authority::store::{
    Action, Actor, AuditRow, ChangeError, KeyPhase, RevokedToken, StoredKey, TooManyRevoked,
};
use sidegate::core::algorithm::Algorithm;
use sidegate::core::time::UnixSeconds;
use zeroize::Zeroizing;

use super::{NOW, Place, client, create, delete, edit, on_both, revoke, who};

on_both! {
    a_client_comes_back_as_it_was_stored;
    a_change_that_is_denied_changes_nothing;
    a_client_cannot_become_another_one;
    nothing_is_written_where_nothing_was_and_nothing_is_to_be;
    numbers_go_on_after_all_is_deleted;
    the_audit_log_tells_of_each_change_without_secrets;
    signing_keys_are_replaced_as_a_whole;
    a_token_is_revoked_once;
    a_client_revokes_only_so_many_tokens_at_a_time;
    a_refusal_is_written_once;
    when_a_client_was_used_is_no_change;
    texts_with_nul_are_refused_or_unknown;
}

async fn a_client_comes_back_as_it_was_stored(place: &Place) {
    let store = place.open().await;
    assert_eq!(create(&store, "a").await, 1);
    let expected = Client { version: 1, ..client("a", 1) };
    assert_eq!(store.client("a").await.unwrap(), Some(expected.clone()));
    assert_eq!(store.client("A").await.unwrap(), None);

    let poorest = Client { secrets: Vec::new(), jwks: None, roles: Box::default(), is_revoked: true, ..expected };
    let change = poorest.clone();
    store.change(who(), Action::Revoke, "a", NOW, |_, _| Ok::<_, String>((Some(change), ()))).await.unwrap();
    assert_eq!(place.open().await.client("a").await.unwrap(), Some(Client { version: 2, ..poorest }));
}

async fn a_change_that_is_denied_changes_nothing(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    let before = store.client("a").await.unwrap();
    let denied = store.change(who(), Action::Edit, "a", NOW, |found, number| {
        assert_eq!((found.is_some(), number), (true, 2));
        Err::<(Option<Client>, ()), _>("no")
    });
    assert!(matches!(denied.await, Err(ChangeError::Denied("no"))));
    assert_eq!((store.number().await.unwrap(), store.client("a").await.unwrap()), (1, before));
    assert_eq!(store.audit(0, 10).await.unwrap().len(), 1);
    let denied = store.change_keys(who(), NOW, |_| Err("no")).await;
    assert!(matches!(denied, Err(ChangeError::Denied("no"))));
    assert_eq!(create(&store, "b").await, 2);
}

async fn a_client_cannot_become_another_one(place: &Place) {
    let store = place.open().await;
    let made =
        store.change(who(), Action::Create, "a", NOW, |_, number| Ok::<_, String>((Some(client("b", number)), ())));
    let error = made.await.unwrap_err().to_string();
    assert_eq!(error, "the storage cannot be used: a change of client a cannot make it client b");
    assert_eq!((store.number().await.unwrap(), store.client("b").await.unwrap()), (0, None));
}

async fn nothing_is_written_where_nothing_was_and_nothing_is_to_be(place: &Place) {
    let store = place.open().await;
    assert_eq!(delete(&store, "a").await, 1);
    assert_eq!((store.number().await.unwrap(), store.audit(0, 10).await.unwrap()), (0, Vec::new()));
}

async fn numbers_go_on_after_all_is_deleted(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    assert_eq!(delete(&store, "a").await, 2);
    drop(store);
    let store = place.open().await;
    assert_eq!((store.number().await.unwrap(), create(&store, "a").await), (2, 3));
    assert_eq!(store.client("a").await.unwrap().unwrap().generation, 3);
}

async fn the_audit_log_tells_of_each_change_without_secrets(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    edit(&store, "a", "other notes").await;
    delete(&store, "a").await;
    store.refuse_foreign(who(), "https://idp", "b", true, NOW).await.unwrap();
    store.refuse_foreign(who(), "https://idp", "b", false, NOW).await.unwrap();
    revoke(&store, &Actor("client:a".into()), "jti-1", 60, NOW).await.unwrap();
    store.change_keys(who(), NOW, |_| Ok::<_, String>(Some(vec![key("k1", KeyPhase::Current)]))).await.unwrap();

    let rows = store.audit(0, 100).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.number, &*row.who.0, &*row.action, &*row.subject)).collect();
    let expected = [
        (1, "cli:tester", "create", "a"),
        (2, "cli:tester", "edit", "a"),
        (3, "cli:tester", "delete", "a"),
        (4, "cli:tester", "revoke", "https://idp b"),
        (5, "cli:tester", "restore", "https://idp b"),
        (6, "client:a", "revoke_token", "jti-1"),
        (7, "cli:tester", "rotate_keys", "k1"),
    ];
    assert_eq!(told, expected);
    assert!(rows.iter().all(|row| row.at == NOW));
    let states: Vec<_> = rows.iter().map(|row| (row.before.is_some(), row.after.is_some())).collect();
    let (made, changed, gone) = ((false, true), (true, true), (true, false));
    assert_eq!(states, [made, changed, gone, changed, changed, made, changed]);
    assert!(rows[1].after.as_ref().unwrap().contains("other notes"));
    tells_no_secret(&rows);

    assert_eq!(store.audit(5, 1).await.unwrap(), rows[5..6]);
}

fn tells_no_secret(rows: &[AuditRow]) {
    let text = format!("{rows:?}");
    assert!(text.contains("public") && text.contains("created_at"), "{text}");
    // The hash in hexadecimal digits and in base64, and the private parts of keys.
    for secret in ["private-part", "private key", "hash", "secret\"", "cHJpdmF0ZSBrZXk"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

fn key(id: &str, phase: KeyPhase) -> StoredKey {
    StoredKey {
        key_id: id.into(),
        algorithm: Algorithm::Es256,
        phase,
        created_at: NOW,
        phase_since: NOW.plus(1),
        token_seconds: 3600,
        private: Zeroizing::new(b"private key \0\xFF".to_vec()),
        is_sealed: true,
        public_jwk: r#"{"kty":"EC"}"#.into(),
    }
}

fn parts(key: &StoredKey) -> (&str, Algorithm, KeyPhase, UnixSeconds, UnixSeconds, i64, &[u8], bool, &str) {
    let StoredKey { key_id, algorithm, phase, created_at, phase_since, .. } = key;
    let StoredKey { token_seconds, private, is_sealed, public_jwk, .. } = key;
    (key_id, *algorithm, *phase, *created_at, *phase_since, *token_seconds, private, *is_sealed, public_jwk)
}

async fn signing_keys_are_replaced_as_a_whole(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    let first = [key("k1", KeyPhase::Current), key("k2", KeyPhase::Next)];
    let given = first.to_vec();
    let made = store.change_keys(who(), NOW, |keys| {
        assert!(keys.is_empty());
        Ok::<_, String>(Some(given))
    });
    assert_eq!(made.await.unwrap().len(), 2);
    let stored = store.keys().await.unwrap();
    assert!(stored.iter().map(parts).eq(first.iter().map(parts)));
    let changes = store.changes(0).await.unwrap();
    assert_eq!((changes.number, changes.keys_number, changes.items.len()), (2, 2, 1));

    let kept = store.change_keys(who(), NOW, |_| Ok::<_, String>(None)).await.unwrap();
    assert!(kept.iter().map(parts).eq(first.iter().map(parts)));
    assert_eq!(store.number().await.unwrap(), 2);

    let second = vec![key("k2", KeyPhase::Current), key("k3", KeyPhase::Retired)];
    store.change_keys(who(), NOW, |_| Ok::<_, String>(Some(second))).await.unwrap();
    let ids: Vec<_> = store.keys().await.unwrap().iter().map(|key| (key.key_id.clone(), key.phase)).collect();
    assert_eq!(ids, [("k2".into(), KeyPhase::Current), ("k3".into(), KeyPhase::Retired)]);
    assert_eq!(&*store.audit(2, 10).await.unwrap()[0].subject, "k1 k2 k3");
    create(&store, "b").await;
    let changes = store.changes(2).await.unwrap();
    assert_eq!((changes.number, changes.keys_number), (4, 3));
}

async fn a_token_is_revoked_once(place: &Place) {
    let store = place.open().await;
    for _ in 0..2 {
        revoke(&store, who(), "old", 10, NOW).await.unwrap();
    }
    assert_eq!((store.number().await.unwrap(), store.audit(0, 10).await.unwrap().len()), (1, 1));
    assert!(store.is_token_revoked("old").await.unwrap() && !store.is_token_revoked("other").await.unwrap());
    revoke(&store, who(), "new", 100, NOW.plus(9)).await.unwrap();
    assert!(store.is_token_revoked("old").await.unwrap());
    revoke(&store, who(), "newer", 100, NOW.plus(10)).await.unwrap();
    assert!(!store.is_token_revoked("old").await.unwrap());
    assert_eq!(store.changes(0).await.unwrap().items.len(), 2);
}

async fn a_client_revokes_only_so_many_tokens_at_a_time(place: &Place) {
    let store = place.open().await;
    let revoke = async |client_id: &str, jti: &str, expires: i64, now: i64| {
        let token = RevokedToken { client_id: client_id.into(), jti: jti.into(), expires: NOW.plus(expires) };
        match store.revoke_token(who(), token, 2, NOW.plus(now)).await {
            Ok(()) => None,
            Err(ChangeError::Denied(TooManyRevoked { until })) => Some(until.0 - NOW.0),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((revoke("a", "1", 20, 0).await, revoke("a", "2", 10, 0).await), (None, None));
    let is_full = (revoke("a", "3", 30, 9).await, revoke("a", "2", 10, 9).await, revoke("b", "4", 30, 9).await);
    assert_eq!(is_full, (Some(10), None, None), "it is revoked already, or another client's");
    assert!(!store.is_token_revoked("3").await.unwrap());
    assert_eq!((store.number().await.unwrap(), store.audit(0, 10).await.unwrap().len()), (3, 3));
    assert_eq!((revoke("a", "3", 30, 10).await, revoke("a", "5", 30, 10).await), (None, Some(20)));
}

async fn a_refusal_is_written_once(place: &Place) {
    let store = place.open().await;
    let mut done = Vec::new();
    for is_refused in [false, true, true, false, false, true] {
        done.push(store.refuse_foreign(who(), "https://idp", "b", is_refused, NOW).await.unwrap());
    }
    assert_eq!(done, [false, true, false, true, false, true]);
    store.refuse_foreign(who(), "https://idp", "a", true, NOW).await.unwrap();
    let (iss, refused) = (Box::<str>::from("https://idp"), store.refused_foreign().await.unwrap());
    assert_eq!(refused, [(iss.clone(), "a".into()), (iss, "b".into())]);
    assert_eq!(store.number().await.unwrap(), 4);
}

async fn when_a_client_was_used_is_no_change(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    create(&store, "b").await;
    let used = vec![("b".into(), NOW.plus(5)), ("nobody".into(), NOW), ("a".into(), NOW.plus(7)), ("a".into(), NOW)];
    store.used(used).await.unwrap();
    store.used(vec![("a".into(), NOW.plus(6))]).await.unwrap();
    let at = async |id| store.client(id).await.unwrap().unwrap().last_used_at;
    assert_eq!((at("a").await, at("b").await), (Some(NOW.plus(7)), Some(NOW.plus(5))));
    assert_eq!((store.number().await.unwrap(), store.audit(0, 10).await.unwrap().len()), (2, 2));

    let unused = store.change(who(), Action::Edit, "a", NOW, |found, _| {
        Ok::<_, String>((found.map(|found| Client { last_used_at: None, ..found }), ()))
    });
    unused.await.unwrap();
    assert_eq!(at("a").await, Some(NOW.plus(7)));
    delete(&store, "a").await;
    create(&store, "a").await;
    assert_eq!(at("a").await, None);
}

async fn texts_with_nul_are_refused_or_unknown(place: &Place) {
    let store = place.open().await;
    create(&store, "a").await;
    assert_eq!(store.client("a\0").await.unwrap(), None);
    assert!(!store.is_token_revoked("a\0").await.unwrap());
    for (field, changed) in [
        ("notes", Client { notes: "\0".into(), ..client("a", 1) }),
        ("tenants", Client { tenants: super::texts(&["\0"]), ..client("a", 1) }),
    ] {
        let change = store.change(who(), Action::Edit, "a", NOW, |_, _| Ok::<_, String>((Some(changed), ())));
        assert!(change.await.is_err(), "{field}");
    }
    let unknown = store.change(who(), Action::Edit, "a\0", NOW, |found, _| {
        assert_eq!(found, None);
        Err::<(Option<Client>, ()), _>("unknown")
    });
    assert!(matches!(unknown.await, Err(ChangeError::Denied("unknown"))));
    assert!(revoke(&store, who(), "\0", 1, NOW).await.is_err());
    assert_eq!(store.number().await.unwrap(), 1);
}
