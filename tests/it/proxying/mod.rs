//! What goes through the gateway: messages, bodies of any length, breaking connections, backends in trouble.

mod aborts;
mod bodies;
mod lifecycle;
mod messages;
mod real;
mod retries;
mod upstreams;

use std::net::SocketAddr;

use crate::harness::gateway::Gateway;

/// A gateway whose paths all lead to these backends, without a token. `upstream` and `more` go into the upstream and to the
/// top of the configuration.
struct Setup<'a> {
    upstream: &'a str,
    more: &'a str,
}

impl Setup<'_> {
    const PLAIN: Setup<'static> = Setup { upstream: "", more: "" };

    fn start(&self, backends: &[SocketAddr]) -> Gateway {
        let urls: Vec<String> = backends.iter().map(|address| format!("http://{address}")).collect();
        Gateway::start(&format!(
            "{}
workers: 1
upstreams: {{raw: {{urls: [{}]{}}}}}
routes:
  - {{match: '/{{*path}}', public: true, upstream: raw}}
  - {{match: '/', public: true, upstream: raw}}
",
            self.more,
            urls.join(", "),
            self.upstream,
        ))
    }
}

/// A request without a body.
fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}
