//! `listeners`, `admin` and `health`: where requests come in.

use std::net::{IpAddr, SocketAddr};

use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::scalar;
use super::source::Place;
use super::yaml::Node;
use super::{Listener, keys, tls};

/// All addresses to listen on.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) health: Option<SocketAddr>,
    /// The place of the admin address, if it is reachable from other machines.
    pub(super) exposed_admin: Option<Place>,
}

pub(super) fn decode(file: &Fields<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Addresses {
    let mut taken = Taken::default();
    let listeners = report.required(file, "listeners", |report, node| {
        let items = report.items(node, "a list of listeners")?;
        Some(items.iter().filter_map(|item| listener(item, &mut taken, files, report)).collect())
    });
    let admin = report.field(file, "admin", |report, node| {
        let fields = report.fields(node, &keys::ADMIN)?;
        taken.address(&fields, report)
    });
    let health = report.field(file, "health", |report, node| {
        let fields = report.fields(node, &keys::HEALTH)?;
        taken.address(&fields, report)
    });
    let exposed = |(address, place): (SocketAddr, Place)| (!address.ip().is_loopback()).then_some(place);
    let exposed_admin = admin.and_then(exposed);
    if let Some(place) = exposed_admin {
        report
            .warn(place, "the admin listener can be reached from other machines: every call but health needs a token");
    }
    if let Some(place) = health.and_then(exposed) {
        report.warn(place, "health and metrics can be read from other machines without a token");
    }
    let address = |(address, _)| address;
    Addresses {
        listeners: listeners.unwrap_or_default(),
        admin: admin.map(address),
        health: health.map(address),
        exposed_admin,
    }
}

fn listener(node: &Node<'_>, taken: &mut Taken, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Listener> {
    let fields = report.fields(node, &keys::LISTENER)?;
    let address = taken.address(&fields, report);
    let tls = report.field(&fields, "tls", |report, node| tls::server(node, files, report));
    Some(Listener { address: address?.0, tls })
}

/// Addresses seen so far.
#[derive(Default)]
struct Taken(Vec<(SocketAddr, Place)>);

impl Taken {
    fn address(&mut self, fields: &Fields<'_>, report: &mut Report<'_>) -> Option<(SocketAddr, Place)> {
        report.required(fields, "address", |report, node| {
            let address = report.quantity(node, "IP:PORT, such as 0.0.0.0:8080 or \"[::1]:8080\"", scalar::address)?;
            if let Some((other, first)) = self.0.iter().find(|(other, _)| overlap(*other, address)) {
                let finding = report.error(node.place, TAKEN).related(*first, "by this one");
                if let Some(why) = why_they_overlap(*other, address) {
                    finding.hint(why);
                }
            }
            self.0.push((address, node.place));
            Some((address, node.place))
        })
    }
}

/// What is said of an address that overlaps with another one.
pub(super) const TAKEN: &str = "the address is taken";

/// Whether two sockets would get the same connections. Port 0 is a new port each time. Sockets of IPv6 take IPv4 as well, be it
/// by `[::]` or by an IPv4 address that is written as one of IPv6 ([`crate::net::listen`]).
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    let [one, other] = [a, b].map(|address| address.ip().to_canonical());
    a.port() == b.port() && a.port() != 0 && (one == other || covers(one, other) || covers(other, one))
}

/// What is not plain to see about two addresses that overlap.
pub(super) fn why_they_overlap(a: SocketAddr, b: SocketAddr) -> Option<&'static str> {
    let [one, other] = [a, b].map(|address| address.ip().to_canonical());
    if one.is_ipv4() != other.is_ipv4() {
        return Some("`[::]` takes IPv4 as well");
    }
    (a.is_ipv4() != b.is_ipv4()).then_some("`[::ffff:…]` is an address of IPv4")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel sees it (Linux): all of these were tried with two sockets.
    #[test]
    fn sockets_of_ipv6_take_ipv4_as_well() {
        let mapped = Some("`[::ffff:…]` is an address of IPv4");
        let both = Some("`[::]` takes IPv4 as well");
        for (a, b, taken) in [
            ("0.0.0.0", "127.0.0.1", Some(None)),
            ("127.0.0.1", "127.0.0.1", Some(None)),
            ("[::]", "[::1]", Some(None)),
            ("[::]", "0.0.0.0", Some(both)),
            ("[::]", "127.0.0.1", Some(both)),
            ("[::ffff:127.0.0.1]", "127.0.0.1", Some(mapped)),
            ("[::ffff:127.0.0.1]", "0.0.0.0", Some(mapped)),
            ("[::ffff:127.0.0.1]", "[::]", Some(both)),
            ("[::ffff:0.0.0.0]", "127.0.0.1", Some(mapped)),
            ("[::ffff:0.0.0.0]", "[::ffff:127.0.0.1]", Some(None)),
            ("127.0.0.1", "127.0.0.2", None),
            ("[::1]", "0.0.0.0", None),
            ("[::1]", "127.0.0.1", None),
            ("[::1]", "[::ffff:0.0.0.0]", None),
            ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.2]", None),
        ] {
            let [one, other, elsewhere] =
                [(a, 80), (b, 80), (b, 81)].map(|(ip, port)| format!("{ip}:{port}").parse::<SocketAddr>().unwrap());
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(overlap(one, other).then(|| why_they_overlap(one, other)), taken, "{one} {other}");
            }
            assert!(!overlap(one, elsewhere));
        }
        let any = "[::]:0".parse().unwrap();
        assert!(!overlap(any, any));
    }
}
