//! An authority without storage: settings, a client, and keys that were just made.

use std::time::Duration;

use sidegate::authority::client::Client;
use sidegate::authority::keyring::Keyring;
use sidegate::authority::rotation::{self, Rule, Turn};
use sidegate::config::authority::{Authority, Storage};
use sidegate::core::algorithm::Algorithm;
use sidegate::core::time::UnixSeconds;

pub(crate) const ISSUER: &str = "https://authority.test";
pub(crate) const AUDIENCE: &str = "https://api.test";

/// The `authority` section with its defaults.
pub(crate) fn settings(algorithm: Algorithm) -> Authority {
    let catalogue = ["users:read", "users:write", "sidegate.clients:read", "sidegate.clients:write"];
    Authority {
        issuer: ISSUER.into(),
        storage: Storage::Sqlite("unused".into()),
        max_stale: Duration::from_secs(900),
        key_encryption: None,
        audience: AUDIENCE.into(),
        token_lifetime: Duration::from_secs(3600),
        algorithm,
        rotate_keys: Duration::from_secs(30 * 24 * 3600),
        client_id_prefix: "".into(),
        listeners: [true].into(),
        token_paths: ["/oauth2/token".into()].into(),
        scope_prefix: "".into(),
        scopes: catalogue.into_iter().map(|scope| (scope.into(), "".into())).collect(),
        admin_secret_file: None,
    }
}

/// A client with these scopes.
pub(crate) fn client(id: &str, scopes: &[&str]) -> Client {
    Client {
        id: id.into(),
        name: "a client".into(),
        description: "".into(),
        notes: "".into(),
        scopes: scopes.iter().map(|scope| Box::from(*scope)).collect(),
        roles: [].into(),
        tenants: [].into(),
        secrets: Vec::new(),
        jwks: None,
        is_revoked: false,
        created_at: UnixSeconds(0),
        expires_at: UnixSeconds(4_000_000_000),
        last_used_at: None,
        generation: 7,
        version: 9,
    }
}

/// The keys of a first start.
pub(crate) fn keyring(settings: &Authority, now: UnixSeconds) -> Keyring {
    let rule = Rule::of(settings);
    let keys = rotation::next_keys(&[], (&rule, Turn::ByAge), None, Vec::new(), now).unwrap().unwrap();
    Keyring::open(&keys, None).unwrap()
}
