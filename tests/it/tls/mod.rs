//! Listeners with TLS: who gets in, how connections end, and certificates that change while they are in use.

mod clients;
mod connections;
mod ends;
mod handshakes;
mod limits;
mod swaps;

use std::fs;
use std::path::Path;

use crate::harness::certificates::{Authority, Issued};
use crate::harness::gateway::{Gateway, complete};
use crate::harness::tls::Dialer;
use crate::harness::tokens;

/// A gateway with one listener, which speaks TLS, and whoever signed its certificate.
struct Site {
    authority: Authority,
    gateway: Gateway,
}

/// What its configuration has beside the usual.
#[derive(Default)]
struct Setup<'a> {
    /// Further keys of `listeners[0].tls`, each behind a comma.
    tls: &'a str,
    /// Further listeners, each behind a comma.
    listeners: &'a str,
    /// Lines of the top level.
    more: &'a str,
}

impl Setup<'_> {
    /// A gateway in front of the backend at `url`, with one public route. `prepare` may put files beside its
    /// configuration.
    fn start(&self, url: &str, prepare: impl FnOnce(&Path)) -> Site {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority of the tests"));
        put(directory.path(), "tls", &authority.issue("first"));
        prepare(directory.path());
        fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
        fs::write(directory.path().join("config.yaml"), complete(&self.config(url))).unwrap();
        Site { authority, gateway: Gateway::start_in(directory) }
    }

    fn config(&self, url: &str) -> String {
        let Self { tls, listeners, more } = self;
        format!(
            "listeners:
  - {{address: 127.0.0.1:0, tls: {{certificate: ./tls.crt, private_key: ./tls.key{tls}}}}}{listeners}
admin: {{address: 127.0.0.1:0}}
workers: 1
{more}
upstreams: {{raw: {{urls: [{url}]}}}}
routes:
  - {{match: '/{{*path}}', public: true, upstream: raw}}
"
        )
    }
}

impl Site {
    /// Somebody who trusts the authority and shows no certificate.
    fn dialer(&self) -> Dialer {
        Dialer::new(&self.authority, None)
    }

    /// How many handshakes ended so.
    fn handshakes(&self, result: &str) -> u64 {
        let (_, metrics) = self.gateway.admin_get("/metrics");
        let series = format!("sidegate_tls_handshakes_total{{result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("the series").parse().unwrap()
    }
}

/// Puts certificate and key into `directory` as NAME.crt and NAME.key, each in one step.
fn put(directory: &Path, name: &str, issued: &Issued) {
    for (suffix, content) in [("crt", &issued.certificate), ("key", &issued.key)] {
        let (path, new) = (directory.join(format!("{name}.{suffix}")), directory.join("new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, path).unwrap();
    }
}

/// A request without a body.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}
