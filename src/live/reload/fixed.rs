//! What a reload cannot change.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::config::authority::Storage;
use crate::config::{AuthzAddress, Config, Telemetry};

/// The part of a configuration that only a start can change: what sockets, threads and log files are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    health: Option<SocketAddr>,
    authz_grpc: Option<AuthzAddress>,
    authz_http: Option<AuthzAddress>,
    workers: Option<NonZeroUsize>,
    telemetry: Telemetry,
    authority: Option<FixedAuthority>,
}

/// The part of `authority` that only a start can change: what it keeps and where, and by which name others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FixedAuthority {
    /// Without a password: a new one is no other storage.
    storage: Storage,
    issuer: Box<str>,
    max_stale: Duration,
}

impl Fixed {
    /// That part of `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            listeners: config.listeners.iter().map(|listener| listener.address).collect(),
            admin: config.admin,
            health: config.health,
            authz_grpc: config.authz.as_ref().and_then(|authz| authz.grpc.clone()),
            authz_http: config.authz.as_ref().and_then(|authz| authz.http.clone()),
            workers: config.workers,
            telemetry: config.telemetry.clone(),
            authority: config.authority.as_deref().map(|authority| FixedAuthority {
                storage: authority.storage.without_password(),
                issuer: authority.issuer.clone(),
                max_stale: authority.max_stale,
            }),
        }
    }

    /// Whether other proxies may ask.
    #[must_use]
    pub fn has_authz(&self) -> bool {
        self.authz_grpc.is_some() || self.authz_http.is_some()
    }

    /// Puts the listeners of a configuration that has these addresses, in whichever order, in the order that the start found
    /// them in: what belongs to a socket is found by its number.
    pub(super) fn arrange(&self, config: &mut Config) {
        let mut left: Vec<usize> = (0..config.listeners.len()).collect();
        let take = |address: &SocketAddr| {
            let is_it = |number: &usize| config.listeners.get(*number).is_some_and(|it| it.address == *address);
            left.iter().position(is_it).map(|at| left.remove(at))
        };
        let order: Vec<usize> = self.listeners.iter().filter_map(take).collect();
        if order.is_sorted() {
            return;
        }
        config.listeners = arranged(&config.listeners, &order);
        if let Some(authority) = config.authority.as_mut().map(Arc::make_mut) {
            authority.listeners = arranged(&authority.listeners, &order).into();
        }
    }

    /// The sections in which `other` differs. The order of the listeners is none of it: see [`Self::arrange`].
    pub(super) fn changed(&self, other: &Self) -> Vec<String> {
        // Taken apart, so that a new field cannot be forgotten here.
        let Self { listeners, admin, health, authz_grpc, authz_http, workers, telemetry, authority } = self;
        let (is_other, storage, issuer, max_stale) = match (authority, &other.authority) {
            (Some(FixedAuthority { storage, issuer, max_stale }), Some(other)) => {
                (false, *storage != other.storage, *issuer != other.issuer, *max_stale != other.max_stale)
            }
            (one, other) => (one.is_some() != other.is_some(), false, false, false),
        };
        let moved = moved(listeners, &other.listeners);
        let sections = [
            ("authority", is_other),
            ("authority.storage", storage),
            ("authority.issuer", issuer),
            ("authority.max_stale", max_stale),
            ("listeners", !moved.is_empty()),
            ("admin.address", *admin != other.admin),
            ("health.address", *health != other.health),
            ("authz.grpc", *authz_grpc != other.authz_grpc),
            ("authz.http", *authz_http != other.authz_http),
            ("workers", *workers != other.workers),
            ("telemetry", *telemetry != other.telemetry),
        ];
        let named = |name: &str| if name == "listeners" { format!("{name} ({moved})") } else { name.to_owned() };
        sections.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| named(name)).collect()
    }
}

fn arranged<T: Clone>(items: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|number| items.get(*number)).cloned().collect()
}

/// Which addresses come and which go, for people; nothing if they are the same.
fn moved(before: &[SocketAddr], after: &[SocketAddr]) -> String {
    let coming = beyond(after, before).into_iter().map(|address| format!("{address} added"));
    let going = beyond(before, after).into_iter().map(|address| format!("{address} removed"));
    coming.chain(going).collect::<Vec<_>>().join(", ")
}

/// What there is more of in the one than in the other. An address with port 0 may be there several times.
fn beyond(one: &[SocketAddr], other: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut others = other.to_vec();
    let mut is_beyond = |address: &SocketAddr| {
        let same = others.iter().position(|other| other == address);
        same.map(|at| others.swap_remove(at)).is_none()
    };
    one.iter().copied().filter(|address| is_beyond(address)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    /// A configuration with listeners on these ports, of which those on some serve the authority.
    fn config(ports: &[u16], served_by: &[u16]) -> Config {
        let list = |ports: &[u16], item: &dyn Fn(&u16) -> String| ports.iter().map(item).collect::<Vec<_>>().join(", ");
        let text = format!(
            "listeners: [{}]
authority: {{issuer: 'https://a.example', audience: api, listeners: [{}]}}
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: /, authenticated: true, upstream: echo}}]
",
            list(ports, &|port| format!("{{address: '127.0.0.1:{port}'}}")),
            list(served_by, &|port| format!("'127.0.0.1:{port}'")),
        );
        config::from_text("config.yaml", &text, Path::new("/"), &|_| None)
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    #[test]
    fn addresses_that_come_and_go_are_named() {
        let changed = |before: &[u16], after: &[u16]| {
            let [before, after] = [before, after].map(|ports| Fixed::of(&config(ports, ports)));
            before.changed(&after).join("; ")
        };
        assert_eq!(changed(&[1, 2], &[1, 2]), "");
        assert_eq!(changed(&[1], &[1, 2]), "listeners (127.0.0.1:2 added)");
        assert_eq!(
            changed(&[1, 2, 3], &[3, 4, 5]),
            "listeners (127.0.0.1:4 added, 127.0.0.1:5 added, 127.0.0.1:1 removed, 127.0.0.1:2 removed)"
        );
        assert_eq!(changed(&[0, 0], &[0]), "listeners (127.0.0.1:0 removed)");
    }

    #[test]
    fn listeners_in_another_order_stay_with_their_sockets() {
        let first = config(&[1, 0, 2, 0, 3], &[2, 3]);
        let fixed = Fixed::of(&first);
        let mut other = config(&[3, 2, 0, 1, 0], &[3, 2]);
        assert_eq!(fixed.changed(&Fixed::of(&other)), Vec::<String>::new());
        fixed.arrange(&mut other);
        assert_eq!(other.listeners, first.listeners);
        let serves = |config: &Config| config.authority.as_ref().unwrap().listeners.clone();
        assert_eq!((&*serves(&other), serves(&other)), (&[false, false, true, false, true][..], serves(&first)));

        let mut moved = config(&[2, 1, 0, 3, 0], &[1]);
        fixed.arrange(&mut moved);
        assert_eq!(*serves(&moved), [true, false, false, false, false]);
    }
}
