//! An issuer that misbehaves on command.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::harness::backend::{Exchange, RawBackend, Then};
use crate::harness::sync::Gate;
use crate::support::mint;

/// What an issuer answers.
#[derive(Clone)]
pub(crate) enum Manner {
    /// A document for each path; 404 for any other.
    Documents(Vec<(&'static str, String)>),
    /// These bytes, whatever was asked for.
    Raw(Vec<u8>),
    /// These bytes, and then nothing until whoever has asked goes.
    HangAfter(&'static str),
    /// A head, and then a space at a time for as long as they are taken.
    Drip,
    /// A good head and 100 MiB, as far as they are taken.
    Flood,
    /// The key set, when the gate opens.
    Held(Gate, String),
}

/// A running issuer.
pub(crate) struct Issuer {
    backend: RawBackend,
    manner: Arc<Mutex<Manner>>,
}

impl Issuer {
    pub(crate) fn start(manner: Manner) -> Self {
        let manner = Arc::new(Mutex::new(manner));
        let current = Arc::clone(&manner);
        let backend = RawBackend::start(move |exchange| {
            let manner = current.lock().unwrap().clone();
            let _ = manner.answer(exchange);
            Ok(Then::Close)
        });
        Self { backend, manner }
    }

    /// Serves a key set with these keys at `/keys`.
    pub(crate) fn serving(keys: &[&str]) -> Self {
        Self::start(Manner::keys(keys))
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Waits until it is asked; the path.
    pub(crate) fn next(&self) -> String {
        path(self.backend.next().request())
    }

    /// The paths that it was asked for and that were not looked at yet.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.backend.so_far().iter().map(|seen| path(seen.request())).collect()
    }

    pub(crate) fn url(&self) -> String {
        self.backend.url()
    }
}

fn path(request: &str) -> String {
    request.strip_prefix("GET ").expect("keys are fetched by GET").to_owned()
}

impl Manner {
    pub(crate) fn keys(keys: &[&str]) -> Self {
        Self::Documents(vec![("/keys", mint::jwks(keys))])
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Raw(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into())
    }

    pub(crate) fn body(body: &str) -> Self {
        Self::Raw(document(body))
    }

    fn answer(&self, exchange: &mut Exchange) -> io::Result<()> {
        match self {
            Self::Documents(documents) => {
                let asked = path(exchange.seen.request());
                match documents.iter().find(|(path, _)| *path == asked) {
                    Some((_, body)) => exchange.send(document(body)),
                    None => exchange.send("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"),
                }
            }
            Self::Raw(bytes) => exchange.send(bytes),
            Self::HangAfter(bytes) => {
                exchange.send(bytes)?;
                exchange.next_byte().map(drop)
            }
            Self::Drip => {
                exchange.send("HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    // Not a wait for anything: that is how slow it is.
                    thread::sleep(Duration::from_millis(20));
                    exchange.send(" ")?;
                }
            }
            Self::Flood => {
                exchange.send("HTTP/1.1 200 OK\r\n\r\n")?;
                (0..100).try_for_each(|_| exchange.send(vec![b' '; 1 << 20]))
            }
            Self::Held(gate, body) => {
                gate.pass();
                exchange.send(document(body))
            }
        }
    }
}

fn document(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

/// Metadata (OpenID Connect Discovery 1.0, RFC 8414).
pub(crate) fn metadata(issuer: &str, jwks_uri: &str) -> String {
    json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string()
}

/// The `iss` of tokens, unless a test has its own.
pub(crate) const ISS: &str = "https://issuer.example";

/// A token of [`ISS`] by the key of this name.
pub(crate) fn token(key: &str) -> String {
    token_of(ISS, key)
}

/// A token of this issuer by the key of this name, which is its `kid`.
pub(crate) fn token_of(iss: &str, key: &str) -> String {
    let key = mint::key(key);
    signed(iss, key.name, 3600, key)
}

/// A token of [`ISS`] by the key of this name, an hour after its end.
pub(crate) fn expired(key: &str) -> String {
    let key = mint::key(key);
    signed(ISS, key.name, -3600, key)
}

/// A token that names a key which nobody has.
pub(crate) fn unknown(kid: &str) -> String {
    signed(ISS, kid, 3600, mint::key("stranger-p256"))
}

fn signed(iss: &str, kid: &str, seconds_left: i64, key: &mint::TestKey) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires = i64::try_from(now).unwrap() + seconds_left;
    let header = json!({ "alg": key.algorithm(), "kid": kid, "typ": "at+jwt" });
    let claims = json!({
        "iss": iss, "aud": "https://api.example", "sub": "acme", "client_id": "acme", "iat": now, "exp": expires,
    });
    mint::mint(&header, &claims, key)
}
