//! The sockets that are bound at the start. A reload never touches them.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use anyhow::Context;

use crate::config::Config;
use crate::net::listen;

/// The bound sockets.
pub(super) struct Sockets {
    /// For each worker its sockets, one of each listener.
    pub(super) proxy: Vec<Vec<TcpListener>>,
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
        Ok(Self { proxy, admin: bind_one(config.admin)?, health: bind_one(config.health)? })
    }

    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let proxy = self.proxy.first().into_iter().flatten().map(|socket| ("proxy", socket));
        let admin = self.admin.iter().map(|socket| ("admin", socket));
        let health = self.health.iter().map(|socket| ("health", socket));
        let all = proxy.chain(admin).chain(health);
        all.filter_map(|(surface, socket)| Some((surface, socket.local_addr().ok()?)))
    }
}

fn bind_one(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let sockets = listen::bind(address, 1).with_context(|| cannot_listen(address))?;
    Ok(sockets.into_iter().next())
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}")
}
