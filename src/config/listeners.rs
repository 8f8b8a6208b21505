//! `listeners`, `admin` and `health`: where requests come in.

use std::net::{IpAddr, SocketAddr};

use super::decode::Fields;
use super::keys;
use super::report::Report;
use super::scalar;
use super::source::Place;
use super::yaml::Node;

/// All addresses to listen on.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) listeners: Vec<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) health: Option<SocketAddr>,
    /// The place of the admin address, if it is reachable from other machines.
    pub(super) exposed_admin: Option<Place>,
}

pub(super) fn decode(file: &Fields<'_>, report: &mut Report<'_>) -> Addresses {
    let mut taken = Taken::default();
    let listeners = report.required(file, "listeners", |report, node| {
        let items = report.items(node, "a list of listeners")?;
        Some(items.iter().filter_map(|item| taken.address(item, &keys::LISTENER, report)).collect::<Vec<_>>())
    });
    let admin = report.field(file, "admin", |report, node| taken.address(node, &keys::ADMIN, report));
    let health = report.field(file, "health", |report, node| taken.address(node, &keys::HEALTH, report));
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
        listeners: listeners.unwrap_or_default().into_iter().map(address).collect(),
        admin: admin.map(address),
        health: health.map(address),
        exposed_admin,
    }
}

/// Addresses seen so far.
#[derive(Default)]
struct Taken(Vec<(SocketAddr, Place)>);

impl Taken {
    fn address(
        &mut self,
        node: &Node<'_>,
        section: &'static keys::Section,
        report: &mut Report<'_>,
    ) -> Option<(SocketAddr, Place)> {
        let fields = report.fields(node, section)?;
        report.required(&fields, "address", |report, node| {
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
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && wide.is_ipv4() == narrow.is_ipv4();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
