//! The HTTP/2 connections to one endpoint, of one worker.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::sync::Notify;

use super::connection::{Place, Shared};

/// Most connections that an endpoint has on one worker. There is more than one only if all before it are full.
const CONNECTIONS_MAX: usize = 64;

/// The pool. The connections made first are filled first, so that those that are not needed become idle and close.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Pool {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Wakes one of those who wait for a place.
    pub(in crate::upstream) freed: Notify,
}

impl Pool {
    /// A place, if there is one. `is_current` says whether an address still is the endpoint's: connections to others
    /// get no further requests.
    pub(in crate::upstream) fn place(self: &Rc<Self>, is_current: impl Fn(&SocketAddr) -> bool) -> Option<Place> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.is_open() && is_current(connection.address()));
        connections.iter().find_map(|connection| connection.place(self))
    }

    /// Adds a connection.
    pub(in crate::upstream) fn add(&self, connection: Rc<Shared>) {
        self.connections.borrow_mut().push(connection);
    }

    /// Whether there may be another connection. One on which the backend allows no stream at all is no reason for it.
    pub(in crate::upstream) fn may_grow(&self) -> bool {
        let connections = self.connections.borrow();
        connections.len() < CONNECTIONS_MAX && !connections.iter().any(|connection| connection.is_idle())
    }
}
