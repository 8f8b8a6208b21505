//! What the program sees of TLS, of upstreams' URLs and of where keys come from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sidegate::config::authority::{Endpoint, Storage};
use sidegate::config::{self, Config, KeyFetch, KeySource, RegistrySource, Scheme, UpstreamKind};
use sidegate::core::snapshot::{Audiences, TokenTypes};
use tempfile::TempDir;

use super::cases_with_certificates;

fn load(directory: &Path, case: &str) -> Config {
    config::load(&directory.join(format!("{case}.yaml")), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn replace(directory: &TempDir, name: &str, other: &str) {
    fs::copy(directory.path().join("tls").join(other), directory.path().join("tls").join(name)).unwrap();
}

#[test]
fn fetched_keys_come_from_where_it_is_said_and_as_often() {
    let directory = cases_with_certificates();
    let config = load(directory.path(), "keys-fetched");
    let fetch = |jwks_uri: Option<&str>, refresh, max_stale| {
        let jwks_uri = jwks_uri.map(|uri| uri.parse().unwrap());
        let (refresh, max_stale) = (Duration::from_secs(refresh), Duration::from_secs(max_stale));
        KeySource::Fetched(KeyFetch { jwks_uri, refresh, max_stale })
    };
    let expected = [
        fetch(None, 300, 86_400),
        fetch(None, 1, 60),
        fetch(Some("https://auth.example.com/jwks?api-key=secret"), 300, 86_400),
        fetch(Some("http://localhost:9000/jwks"), 300, 86_400),
        KeySource::File,
    ];
    assert_eq!(config.key_sources, expected);
    let fetched: Vec<bool> = config.snapshot.issuers.iter().map(|issuer| issuer.keys_are_fetched).collect();
    assert_eq!(fetched, [true, true, true, true, false]);
    assert_eq!(config.state_dir, Some(directory.path().join("./state")));
    assert!(!directory.path().join("state").exists(), "only a gateway makes the directory");
}

#[test]
fn an_upstream_has_tls_if_it_has_a_use_for_it() {
    let directory = cases_with_certificates();
    let config = load(directory.path(), "upstream-tls-good");
    let upstreams = config.upstreams.iter().map(|upstream| match &upstream.kind {
        UpstreamKind::Http(http) => http,
        UpstreamKind::Echo => panic!("{}", upstream.name),
    });
    let upstreams: Vec<_> = upstreams.collect();
    let has_tls: Vec<bool> = upstreams.iter().map(|upstream| upstream.tls.is_some()).collect();
    assert_eq!(has_tls, [true, true, true, false]);
    let endpoints: Vec<_> = upstreams[0].endpoints.iter().map(|it| (it.scheme, &*it.host, it.port)).collect();
    let expected = [
        (Scheme::Https, "users.internal", 443),
        (Scheme::Https, "::1", 8443),
        (Scheme::H2c, "127.0.0.1", 3001),
        (Scheme::Http, "127.0.0.1", 3000),
    ];
    assert_eq!(endpoints, expected);
}

#[test]
fn tls_is_the_same_as_long_as_its_files_hold_the_same() {
    let directory = cases_with_certificates();
    let first = load(directory.path(), "upstream-tls-good");
    assert_eq!(first.upstreams, load(directory.path(), "upstream-tls-good").upstreams);
    replace(&directory, "cas.pem", "ca.pem");
    assert_ne!(first.upstreams, load(directory.path(), "upstream-tls-good").upstreams);

    let first = load(directory.path(), "tls-good");
    assert_eq!(first.listeners, load(directory.path(), "tls-good").listeners);
    replace(&directory, "server.pem", "chain.pem");
    let second = load(directory.path(), "tls-good");
    let changed = first.listeners.iter().zip(&second.listeners).map(|(old, new)| old != new);
    assert_eq!(changed.collect::<Vec<_>>(), [true, false, false, false]);
}

/// What is not watched is not reloaded.
#[test]
fn every_file_of_tls_is_watched_even_if_it_is_not_there_yet() {
    let directory = cases_with_certificates();
    let mut expected: Vec<_> = ["server.pem", "server.key", "chain.pem", "sec1.key", "rsa.pem", "pkcs1.key", "cas.pem"]
        .iter()
        .chain(&["combined.key", "ca.pem"])
        .map(|name| directory.path().join("tls").join(name))
        .collect();
    let mut files = load(directory.path(), "tls-good").files;
    files.sort();
    expected.sort();
    assert_eq!(files, expected);

    let broken = directory.path().join("upstream-tls-files.yaml");
    let problems = config::load(&broken, &|_| None).unwrap_err();
    assert!(problems.files.contains(&directory.path().join("tls/nowhere.pem")), "{:?}", problems.files);
}

#[test]
fn nothing_of_a_key_is_in_the_debug_text_of_a_configuration() {
    let directory = cases_with_certificates();
    let text = format!("{:?}", load(directory.path(), "tls-good").listeners);
    assert!(text.contains("ServerTls") && text.len() < 1000, "{text}");
}

#[test]
fn the_authority_is_one_more_issuer() {
    let text = "listeners: [{ address: 127.0.0.1:0 }]\n\
                authority: { issuer: 'http://127.0.0.1', audience: api, scope_prefix: p/, scopes: { a: b } }\n\
                upstreams: { echo: { builtin: echo } }\n\
                routes: [{ match: /, scopes: [a], issuers: [authority], upstream: echo }]\n";
    let config = config::from_text("test.yaml", text, Path::new("/srv"), &|_| None).unwrap();
    let authority = config.authority.as_deref().unwrap();
    assert_eq!(authority.storage, Storage::Sqlite("/srv/./sidegate.db".into()));
    assert_eq!(authority.admin_secret_file.as_deref(), Some(Path::new("/srv/./admin-secret")));
    assert_eq!((authority.max_stale.as_secs(), authority.token_lifetime.as_secs()), (900, 3600));
    assert_eq!((authority.rotate_keys.as_secs(), &*authority.listeners), (2_592_000, &[true][..]));
    assert_eq!(
        authority.scopes.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["a", "sidegate.admin", "sidegate.clients:read", "sidegate.clients:write", "sidegate.registry:read"]
    );
    for (path, endpoint) in [
        ("/oauth2/token", Some(Endpoint::Token)),
        ("/connect/token", Some(Endpoint::Token)),
        ("/oauth2/introspect", Some(Endpoint::Introspect)),
        ("/.well-known/jwks.json", Some(Endpoint::Jwks)),
        ("/registry/v1/changes", Some(Endpoint::Changes)),
        ("/OAuth2/token", None),
        ("/oauth2/token/", None),
    ] {
        assert_eq!(authority.endpoint(path), endpoint, "{path}");
    }

    let snapshot = &config.snapshot;
    let id = snapshot.issuers.of_token(Some("http://127.0.0.1")).unwrap();
    let issuer = snapshot.issuers.get(id).unwrap();
    assert_eq!((&*issuer.name, &*issuer.scope_prefix, issuer.keys_are_fetched), ("authority", "p/", false));
    assert_eq!(issuer.token_types, TokenTypes::OneOf(["at+jwt".into()].into()));
    assert_eq!(issuer.audiences, Audiences::OneOf(["api".into()].into()));
    assert!(snapshot.scopes.id("sidegate.clients:write").is_some());
    assert_eq!(
        (&*config.key_sources, &*config.registries),
        (&[KeySource::Authority][..], &[RegistrySource::Authority][..])
    );
    assert_eq!(config.files, Vec::<PathBuf>::new());
}

#[test]
fn secrets_are_read_from_their_files_which_are_watched() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
    let load = || {
        let text = "listeners: [{ address: 127.0.0.1:0 }]\n\
                    authority:\n  issuer: https://a.example\n  audience: api\n  storage: postgres://u@db/sidegate\n  \
                    storage_password_file: password\n  key_encryption_file: kek\n\
                    upstreams: { echo: { builtin: echo } }\n\
                    routes: [{ match: /, authenticated: true, upstream: echo }]\n";
        config::from_text("test.yaml", text, directory.path(), &|_| None)
    };
    write("password", b"hunter2\r\n");
    let mut raw = *b"01234567890123456789012345678901";
    raw[31] = b'\n';
    for content in [&raw[..], &[&raw[..], b"\n"].concat(), b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MAo=\n"] {
        write("kek", content);
        let config = load().unwrap();
        let authority = config.authority.as_deref().unwrap();
        assert_eq!(*authority.key_encryption.as_ref().unwrap().0, raw);
        let Storage::Postgres(postgres) = &authority.storage else { panic!("{:?}", authority.storage) };
        assert_eq!((&*postgres.url, &**postgres.password.as_ref().unwrap().0), ("postgres://u@db/sidegate", "hunter2"));
        assert_eq!(config.files.len(), 2);
        let debug = format!("{config:?}");
        assert!(!debug.contains("hunter2") && !debug.contains("48, 49, 50"));
    }
    write("kek", b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5");
    assert!(!load().unwrap_err().to_string().contains("MDEy"));
}
