//! Signing keys in a storage that several processes share.

use std::time::Duration;

use zeroize::Zeroizing;

use super::fixture::{Fixture, NOW};
use crate::authority::store::{Actor, KeyPhase};
use crate::authority::{Service, rotate_now};
use crate::config::authority::{Authority, Endpoint, KeyEncryptionKey};
use crate::core::algorithm::Algorithm;

#[tokio::test]
async fn processes_that_share_a_storage_have_the_same_keys() {
    let authority = Fixture::start().await;
    let other = Service::start(authority.store.clone(), &authority.settings, NOW).await.unwrap();
    assert_eq!(other.jwks(), authority.service.jwks());

    let secret = authority.client("acme", |_| {}).await;
    let before = authority.token("acme", &secret).await;
    let who = Actor("cli:test".into());
    let keys = rotate_now(&authority.store, &who, &authority.settings, NOW).await.unwrap();
    assert_eq!(keys.iter().filter(|key| key.phase == KeyPhase::Retired).count(), 1);
    for service in [&authority.service, &other] {
        assert!(service.tick(&authority.settings, NOW).await.unwrap());
        assert!(!service.tick(&authority.settings, NOW).await.unwrap());
    }
    assert_eq!(other.jwks(), authority.service.jwks());

    let after = authority.token("acme", &secret).await;
    assert_ne!(after.split('.').next(), before.split('.').next());
    for token in [before, after] {
        let body = format!("client_id=acme&client_secret={secret}&token={token}");
        assert_eq!(authority.post(Endpoint::Introspect, &body).await.1["active"], true);
    }
    let late = NOW.plus(3600 + 300);
    assert!(other.tick(&authority.settings, late).await.unwrap());
    assert_eq!(authority.store.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_is_published_as_long_as_the_longest_lifetime_that_it_signed_under() {
    let authority = Fixture::start().await;
    let with = |seconds| Authority { token_lifetime: Duration::from_secs(seconds), ..(*authority.settings).clone() };
    assert!(!authority.service.tick(&with(86_400), NOW).await.unwrap());
    rotate_now(&authority.store, &Actor("cli:test".into()), &with(60), NOW).await.unwrap();
    let published = async |seconds| {
        authority.service.tick(&with(60), NOW.plus(seconds)).await.unwrap();
        authority.store.keys().await.unwrap().len()
    };
    assert_eq!((published(86_400 + 299).await, published(86_400 + 300).await), (3, 2));
}

#[tokio::test]
async fn gateways_with_different_algorithms_leave_each_other_their_keys() {
    let authority = Fixture::start().await;
    let changed = Authority { algorithm: Algorithm::Es256, ..(*authority.settings).clone() };
    let other = Service::start(authority.store.clone(), &changed, NOW).await.unwrap();
    // Each looks whenever the keys have changed, and every 10 s: here for an hour.
    for seconds in (0..3600).step_by(10) {
        for _ in 0..2 {
            authority.service.tick(&authority.settings, NOW.plus(seconds)).await.unwrap();
            other.tick(&changed, NOW.plus(seconds)).await.unwrap();
        }
    }
    let rows = authority.store.audit(0, usize::MAX).await.unwrap();
    let rotations = rows.iter().filter(|row| String::from(row.action.clone()) == "rotate_keys").count();
    assert_eq!(rotations, 2, "those of the start, and the first of the new kind");
    let keys = authority.store.keys().await.unwrap();
    let next = keys.iter().find(|key| key.phase == KeyPhase::Next).unwrap();
    assert_eq!(next.algorithm, Algorithm::Es256);
}

#[tokio::test]
async fn stored_keys_are_sealed_at_the_next_start() {
    let authority = Fixture::start().await;
    let open = authority.store.keys().await.unwrap();
    let with = |byte: Option<u8>| Authority {
        key_encryption: byte.map(|byte| KeyEncryptionKey(Zeroizing::new([byte; 32]))),
        ..(*authority.settings).clone()
    };
    let start = async |byte| Service::start(authority.store.clone(), &with(byte), NOW).await;
    let service = start(Some(1)).await.unwrap();
    assert_eq!(service.jwks(), authority.service.jwks());
    let sealed = authority.store.keys().await.unwrap();
    assert!(sealed.iter().all(|key| key.is_sealed) && sealed.len() == 2);
    let file = std::fs::read(authority.directory.path().join("sidegate.db")).unwrap();
    let is_there = |bytes: &[u8]| file.windows(bytes.len()).any(|part| part == bytes);
    assert!(!open.iter().any(|key| is_there(&key.private)));

    let unaware = authority.service.tick(&with(None), NOW).await.unwrap_err().to_string();
    assert!(unaware.contains("authority.key_encryption_file is not configured"), "another has sealed them: {unaware}");

    start(Some(1)).await.unwrap();
    let wrong = start(Some(2)).await.err().unwrap().to_string();
    assert!(wrong.contains("cannot be decrypted: authority.key_encryption_file"), "{wrong}");
    for key in [Some(2), None] {
        let error = service.tick(&with(key), NOW).await.unwrap_err().to_string();
        assert!(
            error.contains("authority.key_encryption_file"),
            "who runs goes on, and says that no start will: {error}"
        );
    }
    assert!(!service.tick(&with(Some(1)), NOW).await.unwrap());
    assert!(!authority.service.tick(&with(Some(1)), NOW).await.unwrap(), "the published ones are the same");
    let none = start(None).await.err().unwrap().to_string();
    assert!(none.contains("authority.key_encryption_file is not configured"), "{none}");
}
