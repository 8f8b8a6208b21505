//! Connections that become something else than HTTP: WebSockets, and whatever else a client and a backend agree on.

mod ends;
mod expiry;
mod http2;
mod passing;
mod refusals;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use crate::harness::PATIENCE;
use crate::harness::backend::{RawBackend, Then};
use crate::harness::gateway::Gateway;
use crate::harness::tunnel::{Tunnel, handshake_answer};

/// A client's wish to speak `foo`.
const FOO: &str = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
/// The backend's agreement to it.
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";

/// A gateway with a route for everybody, and one for holders of tokens. `limits` go before those that make it end soon.
fn gateway(backend: SocketAddr, limits: &str) -> Gateway {
    gateway_with("", backend, limits)
}

/// The same with more at the top of its configuration.
fn gateway_with(more: &str, backend: SocketAddr, limits: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}
workers: 1
limits: {{drain_delay: 1ms{limits}}}
upstreams: {{raw: {{urls: ['http://{backend}']}}}}
routes:
  - {{match: '/{{*path}}', public: true, upstream: raw}}
  - {{match: /closed, authenticated: true, upstream: raw}}
"
    ))
}

/// A backend that agrees to every upgrade, and its ends of the tunnels.
pub(crate) fn agreeing() -> (RawBackend, Ends) {
    let (sender, tunnels) = channel();
    let sender = Mutex::new(sender);
    let backend = RawBackend::start(move |exchange| {
        let websocket = exchange.seen.head.fields.one("upgrade") == Some("websocket");
        let answer = if websocket { handshake_answer(&exchange.seen.head.fields) } else { AGREED.to_owned() };
        exchange.send(answer)?;
        let (done, until_done) = channel();
        let _ = sender.lock().unwrap().send(End { tunnel: exchange.switched()?, _done: done });
        // The connection ends when this returns: that is when the test drops its end.
        let _ = until_done.recv();
        Ok(Then::Close)
    });
    (backend, Ends(tunnels))
}

/// The backend's ends of the tunnels that there were.
pub(crate) struct Ends(Receiver<End>);

impl Ends {
    pub(crate) fn next(&self) -> End {
        self.0.recv_timeout(PATIENCE).expect("the backend is asked to upgrade")
    }
}

/// The backend's end of a tunnel.
pub(crate) struct End {
    tunnel: Tunnel,
    _done: std::sync::mpsc::Sender<()>,
}

impl std::ops::Deref for End {
    type Target = Tunnel;
    fn deref(&self) -> &Tunnel {
        &self.tunnel
    }
}

impl std::ops::DerefMut for End {
    fn deref_mut(&mut self) -> &mut Tunnel {
        &mut self.tunnel
    }
}
