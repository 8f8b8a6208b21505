//! The sockets that are bound at the start. A reload never touches them.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use anyhow::Context;

use crate::config::{AuthzAddress, Config};
use crate::fronts::authz::Protocol;
use crate::net::listen::{self, Listener};

/// The bound sockets.
pub(super) struct Sockets {
    /// For each worker its sockets, one of each listener.
    pub(super) proxy: Vec<Vec<TcpListener>>,
    /// For each worker its sockets of `authz`.
    pub(super) authz: Vec<Vec<Listener>>,
    /// How each of these is asked, in their order.
    pub(super) authz_protocols: Vec<Protocol>,
    pub(super) admin: Option<TcpListener>,
    pub(super) health: Option<TcpListener>,
}

impl Sockets {
    pub(super) fn bind(config: &Config, workers: NonZeroUsize) -> anyhow::Result<Self> {
        let mut proxy: Vec<Vec<TcpListener>> = (0..workers.get()).map(|_| Vec::new()).collect();
        for listener in &config.listeners {
            let address = listener.address;
            let sockets = listen::bind(address, workers.get()).with_context(|| cannot_listen(address))?;
            proxy.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
        }
        let (authz, authz_protocols) = bind_authz(config, workers.get())?;
        let (admin, health) = (bind_one(config.admin)?, bind_one(config.health)?);
        Ok(Self { proxy, authz, authz_protocols, admin, health })
    }

    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, String)> {
        let proxy = self.proxy.first().into_iter().flatten().map(|socket| ("proxy", socket));
        let admin = self.admin.iter().map(|socket| ("admin", socket));
        let health = self.health.iter().map(|socket| ("health", socket));
        let all = proxy.chain(admin).chain(health);
        let all = all.filter_map(|(surface, socket)| Some((surface, socket.local_addr().ok()?.to_string())));
        let authz = self.authz_protocols.iter().zip(self.authz.first().into_iter().flatten());
        all.chain(authz.filter_map(|(protocol, socket)| Some((surface(*protocol), shown(socket)?))))
    }
}

fn bind_one(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let sockets = listen::bind(address, 1).with_context(|| cannot_listen(address))?;
    Ok(sockets.into_iter().next())
}

fn cannot_listen(address: impl std::fmt::Display) -> String {
    format!("cannot listen on {address}")
}

/// The sockets of `authz` for each worker, and how they are asked.
fn bind_authz(config: &Config, workers: usize) -> anyhow::Result<(Vec<Vec<Listener>>, Vec<Protocol>)> {
    let mut sockets: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut protocols = Vec::new();
    let Some(authz) = &config.authz else { return Ok((sockets, protocols)) };
    for (address, protocol) in [(&authz.grpc, Protocol::ExtAuthz), (&authz.http, Protocol::ForwardAuth)] {
        let Some(address) = address else { continue };
        let bound: Vec<Listener> = match address {
            AuthzAddress::Tcp(tcp) => {
                listen::bind(*tcp, workers).map(|all| all.into_iter().map(Listener::Tcp).collect())
            }
            AuthzAddress::Unix(path) => {
                listen::bind_unix(path, workers).map(|all| all.into_iter().map(Listener::Unix).collect())
            }
        }
        .with_context(|| cannot_listen(address))?;
        sockets.iter_mut().zip(bound).for_each(|(worker, socket)| worker.push(socket));
        protocols.push(protocol);
    }
    Ok((sockets, protocols))
}

fn surface(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::ExtAuthz => "authz.grpc",
        Protocol::ForwardAuth => "authz.http",
    }
}

fn shown(socket: &Listener) -> Option<String> {
    match socket {
        Listener::Tcp(tcp) => Some(tcp.local_addr().ok()?.to_string()),
        Listener::Unix(unix) => Some(format!("unix:{}", unix.local_addr().ok()?.as_pathname()?.display())),
    }
}
