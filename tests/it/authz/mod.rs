//! Sidegate as the authorizer of other proxies: by what they ask over the wire, and behind real ones.

mod ext_authz;
mod failures;
mod forward_auth;
mod parity;
mod proxies;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::PATIENCE;

/// Routes of every kind. `BACKEND` is the address of the backend.
const CONFIG: &str = "
workers: 1
limits: {drain_delay: 1ms}
cors: {origins: [https://app.test]}
upstreams: {users: {urls: ['http://BACKEND']}}
identity:
  tenant: {header: X-Tenant-Id, required: true, select: true}
  headers: {X-Client-Id: client_id, X-Subject: sub, X-Scopes: scopes, X-Roles: roles}
routes:
  - {match: 'GET /v1/users/{id}', scopes: ['users:read'], upstream: users}
  - {match: 'POST /v1/users', scopes: ['users:write'], max_body: 10, upstream: users}
  - {match: /healthz, public: true, upstream: users}
  - {match: /v1/me, authenticated: true, tenant: optional, upstream: users}
  - {match: /v1/shadow, scopes: [nobody], mode: shadow, upstream: users}
";

const LISTENING: &str = "authz: {grpc: 127.0.0.1:0, http: 127.0.0.1:0}\n";

/// A gateway that nobody's requests go through: what it says of its backends does not matter.
fn config() -> String {
    format!("{LISTENING}{}", CONFIG.replace("BACKEND", "127.0.0.1:9"))
}

/// An answer, of whomever.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The one value of a header field, in whatever case its name came.
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        let value = values.next();
        assert!(values.next().is_none(), "more than one {name}: {}", self.head);
        value
    }
}

/// Sends a request line and header lines on a connection of its own, and reads to the end.
fn exchange(address: SocketAddr, line: &str, fields: &[(String, String)]) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let has = |name: &str| fields.iter().any(|(found, _)| found == name);
    let close = if has("Connection") { "" } else { "Connection: close\r\n" };
    let host = if has("Host") { "" } else { "Host: api.test\r\n" };
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    stream.write_all(format!("{line} HTTP/1.1\r\n{host}{fields}{close}\r\n").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{line}: {error}"));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: no answer but {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
