//! An authority in a directory of its own, and requests to it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use serde_json::Value;

use crate::authority::client::{Client, StoredSecret};
use crate::authority::secret::ClientSecret;
use crate::authority::store::{Action, Actor, ChangeError, Store};
use crate::authority::{Call, Service};
use crate::config::authority::{Authority, Endpoint, Storage};
use crate::core::algorithm::Algorithm;
use crate::core::time::UnixSeconds;

pub(super) const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

pub(super) struct Fixture {
    pub(super) service: Service,
    pub(super) store: Store,
    pub(super) settings: Arc<Authority>,
    pub(super) directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory);
        let store = Store::open(&settings.storage).await.unwrap();
        let service = Service::start(store.clone(), &settings, NOW).await.unwrap();
        Self { service, store, settings: Arc::new(settings), directory }
    }

    /// Makes a client with scope `users:read` as `edit` wants it, and returns its secret.
    pub(super) async fn client(&self, id: &str, edit: impl FnOnce(&mut Client) + Send + 'static) -> String {
        let secret = ClientSecret::generate().unwrap();
        let hash = secret.hash();
        let name: Box<str> = id.into();
        self.change(id, move |_, number| {
            let stored = StoredSecret { hash, created_at: NOW, expires_at: None };
            let mut client = Client {
                id: name,
                name: "a client".into(),
                description: "".into(),
                notes: "".into(),
                scopes: ["users:read".into()].into(),
                roles: [].into(),
                tenants: [].into(),
                secrets: vec![stored],
                jwks: None,
                is_revoked: false,
                created_at: NOW,
                expires_at: NOW.plus(365 * 86_400),
                last_used_at: None,
                generation: number,
                version: number,
            };
            edit(&mut client);
            Some(client)
        })
        .await;
        secret.reveal().to_owned()
    }

    pub(super) async fn change(
        &self,
        id: &str,
        change: impl FnOnce(Option<Client>, u64) -> Option<Client> + Send + 'static,
    ) {
        let who = Actor("cli:test".into());
        let changed: Result<(), ChangeError<String>> = self
            .store
            .change(&who, Action::Edit, id, NOW, move |client, number| Ok((change(client, number), ())))
            .await;
        changed.unwrap();
    }

    pub(super) fn call(&self, endpoint: Endpoint, body: &str) -> Call {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        Call {
            endpoint,
            method: Method::POST,
            query: None,
            headers,
            body: Bytes::from(body.to_owned()),
            peer: IpAddr::from([127, 0, 0, 1]),
            now: NOW,
            roles: Arc::new(HashMap::new()),
            settings: Arc::clone(&self.settings),
        }
    }

    /// Posts a form, and returns status and body.
    pub(super) async fn post(&self, endpoint: Endpoint, body: &str) -> (u16, Value) {
        read(&self.service.answer(self.call(endpoint, body)).await)
    }

    /// A token of this client.
    pub(super) async fn token(&self, id: &str, secret: &str) -> String {
        let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let (status, body) = self.post(Endpoint::Token, &body).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }
}

pub(super) fn read(answer: &Response<Bytes>) -> (u16, Value) {
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
}

pub(super) fn settings(directory: &tempfile::TempDir) -> Authority {
    Authority {
        issuer: "https://authority.test".into(),
        storage: Storage::Sqlite(directory.path().join("sidegate.db")),
        max_stale: Duration::from_secs(900),
        key_encryption: None,
        audience: "https://api.test".into(),
        token_lifetime: Duration::from_secs(3600),
        algorithm: Algorithm::EdDsa,
        rotate_keys: Duration::from_secs(30 * 86_400),
        client_id_prefix: "".into(),
        listeners: [true].into(),
        token_paths: ["/oauth2/token".into(), "/connect/token".into()].into(),
        scope_prefix: "".into(),
        scopes: [("users:read".into(), "Read users".into())].into(),
        admin_secret_file: None,
    }
}
