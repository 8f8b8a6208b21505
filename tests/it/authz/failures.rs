//! What becomes of requests while nobody decides about them: Sidegate is down, or hangs, or has its hands full. None of them
//! reaches a backend.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::proxies::{self, Asking, Behind};
use super::{config, exchange, fields};
use crate::harness::backend::{OK, RawBackend};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::nginx::Nginx;
use crate::harness::tokens::mint;
use crate::real::peers::outcome;

/// Envoy, nginx, Caddy and Traefik, which ask one Sidegate and forward to one backend.
struct Asked {
    ways: [SocketAddr; 4],
    backend: RawBackend,
    token: String,
    _running: (Asking, Nginx, Asking, Asking),
}

impl Asked {
    fn start(gateway: &Gateway, seconds: u8) -> Self {
        let backend = RawBackend::fixed(OK);
        let behind = |sidegate: Option<SocketAddr>| Behind {
            sidegate: sidegate.expect("authz"),
            backend: backend.address,
            seconds,
        };
        let envoy = proxies::envoy(behind(gateway.authz_grpc));
        let (nginx, caddy) = (proxies::nginx(behind(gateway.authz_http)), proxies::caddy(behind(gateway.authz_http)));
        let traefik = proxies::traefik(behind(gateway.authz_http));
        let ways = [envoy.address, nginx.address, caddy.address, traefik.address];
        Self { ways, backend, token: format!("Bearer {}", mint(&[])), _running: (envoy, nginx, caddy, traefik) }
    }

    /// The status of this request by the first so many of them.
    fn statuses<const COUNT: usize>(&self, path: &str) -> [u16; COUNT] {
        let line = format!("GET {path}");
        let fields = fields(&[("Authorization", &self.token)]);
        std::array::from_fn(|at| exchange(self.ways[at], &line, &fields).status)
    }

    /// The paths that the backend was asked for, in order.
    fn forwarded(self) -> Vec<String> {
        drop(self._running);
        let seen = self.backend.finish().into_iter();
        seen.map(|seen| seen.head.start_line.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

#[test]
fn nothing_is_forwarded_while_sidegate_is_down() {
    let gateway = Gateway::start(&config());
    let asked = Asked::start(&gateway, 10);
    assert_eq!(asked.statuses("/v1/users/before"), [200; 4]);
    let (grpc, http) = (gateway.authz_grpc.unwrap(), gateway.authz_http.unwrap());
    let directory = gateway.kill();
    assert_eq!(asked.statuses("/v1/users/down"), [503, 503, 502, 500]);
    assert_eq!(asked.statuses("/healthz"), [503, 503, 502, 500], "public is what Sidegate says is public");

    let file = directory.path().join("config.yaml");
    let config = fs::read_to_string(&file).unwrap();
    let config = config.replace("grpc: 127.0.0.1:0", &format!("grpc: {grpc}"));
    fs::write(&file, config.replace("http: 127.0.0.1:0", &format!("http: {http}"))).unwrap();
    let gateway = Gateway::start_in(directory);
    assert_eq!(asked.statuses("/v1/users/after"), [200; 4], "at once when it is there again");
    assert_eq!(asked.forwarded(), [["/v1/users/before"; 4], ["/v1/users/after"; 4]].concat());
    drop(gateway);
}

#[test]
fn nothing_is_forwarded_while_sidegate_hangs() {
    let gateway = Gateway::start(&config());
    let asked = Asked::start(&gateway, 3);
    assert_eq!(asked.statuses("/v1/users/before"), [200; 4]);
    gateway.pause();
    // Traefik waits for 30 s, whatever it is told.
    assert_eq!(asked.statuses("/v1/users/meanwhile"), [503, 503, 504]);
    gateway.resume();
    assert_eq!(asked.statuses("/v1/users/after"), [200; 4]);
    // What was asked meanwhile is answered late, and to nobody.
    assert_eq!(asked.forwarded(), [["/v1/users/before"; 4], ["/v1/users/after"; 4]].concat());
}

/// Two connections at a time, each of which has been served.
fn crowded(address: SocketAddr, request: &str) -> [Client; 2] {
    [(); 2].map(|()| {
        let mut client = Client::connect(address);
        client.send(request);
        client.receive();
        client
    })
}

fn two_connections() -> Gateway {
    Gateway::start(&config().replace("limits: {", "limits: {connections: 2, "))
}

const REQUEST: &str = "GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n";
const QUESTION: &str =
    "GET / HTTP/1.1\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /v1/me\r\nX-Forwarded-Host: a\r\nHost: a\r\n\r\n";

#[test]
fn clients_take_no_room_from_proxies_that_ask() {
    let gateway = two_connections();
    let clients = crowded(gateway.address(), REQUEST);
    assert_eq!(gateway.ask(REQUEST).status, 503, "there is no room for a third client");
    let [_, mut proxy] = crowded(gateway.authz_http.unwrap(), QUESTION);
    proxy.send(QUESTION);
    assert_eq!(proxy.receive().status, 401);
    drop(clients);
}

#[test]
fn proxies_that_ask_take_no_room_from_clients() {
    let gateway = two_connections();
    let proxies = crowded(gateway.authz_http.unwrap(), QUESTION);
    let mut third = Client::connect(gateway.authz_http.unwrap());
    third.send(QUESTION);
    assert_eq!(third.receive().status, 503);
    assert_eq!(gateway.ask(REQUEST).status, 401);
    drop(proxies);
}

/// A connection of HTTP/2 has room for so many requests; the others wait their turn.
#[test]
fn more_checks_at_once_than_a_connection_has_room_for_are_all_answered() {
    let gateway = Gateway::start(&config());
    let target = gateway.authz_grpc.unwrap().to_string();
    let questions = json!([{ "at_once": 2000, "method": "GET", "path": "/healthz", "host": "a", "headers": [] }]);
    let outcome: Value = outcome("ext_authz_client.py", &[&target, &questions.to_string()]);
    assert_eq!(outcome["answers"][0], json!({ "allowed": 2000 }));
}
