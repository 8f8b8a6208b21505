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
            let address = report.quantity(node, "IP:PORT, such as 0.0.0.0:8080 or [::1]:8080", scalar::address)?;
            if let Some((_, first)) = self.0.iter().find(|(other, _)| overlap(*other, address)) {
                report.error(node.place, "the address is taken").related(*first, "by this one");
            }
            self.0.push((address, node.place));
            Some((address, node.place))
        })
    }
}

/// Whether two sockets would get the same connections. Port 0 is a new port each time.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && wide.is_ipv4() == narrow.is_ipv4();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
