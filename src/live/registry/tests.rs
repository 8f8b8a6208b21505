//! What is in force while registries are told and the configuration is loaded again.

mod follower;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Mirror, Source};
use crate::config::authority::{RegistryFeed, Secret};
use crate::config::{self, Config, RegistrySource};
use crate::core::registry::{Availability, Change, Clients, Registered};
use crate::core::snapshot::IssuerId;
use crate::core::time::UnixSeconds;
use crate::live::reload::NewRegistry;
use crate::live::state::{Generation, Live};

const FEED: &str = "https://feed.example";

/// Three issuers: our authority's, one with a feed from there, and one that nobody registers clients for.
fn config(feed: &str) -> Config {
    let issuer = |name: &str| {
        format!(
            "  - {{name: {name}, issuer: https://{name}.example, audiences: any, keys: {{jwks_uri: https://{name}.example/k}}}}\n"
        )
    };
    let text = format!(
        "listeners: [{{address: 127.0.0.1:0}}]\nissuers:\n{}{}{}upstreams: {{echo: {{builtin: echo}}}}\nroutes:\n  - {{match: /a, authenticated: true, upstream: echo}}\n",
        issuer("own"),
        issuer("other"),
        issuer("plain")
    );
    let loaded = config::from_text("config.yaml", &text, std::path::Path::new("/"), &|_| None);
    let mut config = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let feed = RegistryFeed {
        url: feed.parse().unwrap(),
        client_id: "gateway".into(),
        client_secret: Secret(String::from("x").into()),
    };
    config.registries = vec![RegistrySource::Authority, RegistrySource::Feed(feed), RegistrySource::None];
    config
}

/// A registry with the client `acme`, which refuses these of another issuer.
pub(in crate::live) fn mirror(refused: &[&str]) -> Arc<Mirror> {
    let mut mirror = Mirror::default();
    let now = Registered {
        version: 1,
        generation: 1,
        is_revoked: false,
        expires: UnixSeconds(2_000_000_000),
        scopes: Box::default(),
        roles: Box::default(),
        tenants: Box::default(),
    };
    mirror.apply(1, Change::Client { id: "acme".into(), now: Arc::new(now) });
    for (number, id) in (2..).zip(refused) {
        let iss = "https://plain.example".into();
        mirror.apply(number, Change::Foreign { iss, id: (*id).into(), is_refused: true });
    }
    mirror.complete();
    Arc::new(mirror)
}

/// The generation after this one, of a reload that loads this.
fn reloaded(before: &Generation, config: Config) -> Generation {
    before.next(before.prepare(config))
}

/// Whose the registry is that is followed for an issuer.
fn source(generation: &Generation, issuer: usize) -> Source {
    generation.mirrors[issuer].as_ref().unwrap().source.clone()
}

fn clients(generation: &Generation, issuer: u16) -> &Clients {
    generation.snapshot.issuers.clients_of(IssuerId(issuer)).unwrap()
}

/// Whether there is a registry, whether it can be relied on, and how many clients it has.
fn seen(generation: &Generation, issuer: u16) -> Option<(bool, usize)> {
    let registry = clients(generation, issuer).registry.as_ref()?;
    Some((registry.availability == Availability::Current, registry.clients.len()))
}

#[test]
fn a_registry_is_its_own_issuers_and_refuses_everywhere() {
    let first = Generation::first(config(FEED));
    assert_eq!([0, 1, 2].map(|issuer| seen(&first, issuer)), [Some((false, 0)), Some((false, 0)), None]);
    let feed = source(&first, 1);
    let told = first.with_mirror(&Source::Authority, mirror(&["x"]), Availability::Current).unwrap();
    assert_eq!([0, 1, 2].map(|issuer| seen(&told, issuer)), [Some((true, 1)), Some((false, 0)), None]);
    assert_eq!(told.snapshot.number, first.snapshot.number, "nothing has to be worked out again");
    let awaits = |generation: &Generation| [0, 1, 2].map(|issuer| clients(generation, issuer).awaits_refused);
    assert_eq!([awaits(&first), awaits(&told)], [[true; 3]; 2], "the other registry may refuse anybody");
    let both = told.with_mirror(&feed, mirror(&["y"]), Availability::Current).unwrap();
    assert_eq!([0, 1, 2].map(|issuer| clients(&both, issuer).refused.len()), [0, 0, 2]);
    assert_eq!(awaits(&both), [false; 3]);
    let lost = both.with_mirror(&Source::Authority, mirror(&[]), Availability::Lost).unwrap();
    assert_eq!(seen(&lost, 0), Some((false, 1)));
    assert_eq!(clients(&lost, 2).refused.len(), 1);
}

#[test]
fn a_reload_forgets_only_what_comes_from_elsewhere_now() {
    let first = Generation::first(config(FEED));
    let told = first.with_mirror(&Source::Authority, mirror(&["x"]), Availability::Current).unwrap();
    let told = told.with_mirror(&source(&first, 1), mirror(&[]), Availability::Current).unwrap();
    let same = reloaded(&told, config(FEED));
    assert_eq!([0, 1, 2].map(|issuer| seen(&same, issuer)), [Some((true, 1)), Some((true, 1)), None]);
    assert_eq!(clients(&same, 2).refused.len(), 1);
    assert_eq!(same.snapshot.number, told.snapshot.number + 1);
    let moved = reloaded(&told, config("https://elsewhere.example"));
    assert_eq!([0, 1].map(|issuer| seen(&moved, issuer)), [Some((true, 1)), Some((false, 0))]);
    let none = reloaded(&told, Config { registries: vec![RegistrySource::None; 3], ..config(FEED) });
    assert_eq!([0, 1].map(|issuer| seen(&none, issuer)), [None, None]);
    assert!(clients(&none, 2).refused.is_empty());
    assert!(none.with_mirror(&Source::Authority, mirror(&[]), Availability::Current).is_none());
}

#[test]
fn what_one_source_has_told_is_not_in_force_as_anothers() {
    let first = Generation::first(config(FEED));
    let feed = source(&first, 1);
    let moved = reloaded(&first, config("https://elsewhere.example"));
    assert!(moved.with_mirror(&feed, mirror(&["x"]), Availability::Current).is_none());
    assert_eq!(seen(&moved, 1), Some((false, 0)));
    let back = reloaded(&moved, config(FEED));
    assert!(back.with_mirror(&feed, mirror(&["x"]), Availability::Current).is_some());
}

#[test]
fn whoever_tells_learns_whether_it_is_in_force() {
    let live = Live::new(Generation::first(config(FEED)));
    let unknown = Source::Feed { iss: "https://plain.example".into(), url: FEED.parse().unwrap() };
    for (source, expected) in [(Source::Authority, true), (unknown, false)] {
        let (done, mut is_done) = oneshot::channel();
        let (mirror, availability) = (mirror(&[]), Availability::Current);
        live.put_registry_in_force(NewRegistry { source, mirror, availability, done: Some(done) });
        assert_eq!(is_done.try_recv(), Ok(expected));
    }
    assert_eq!(seen(&live.load(), 0), Some((true, 1)));
}
