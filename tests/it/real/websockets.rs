//! WebSockets by the library websockets, through the gateway.

use serde_json::{Value, json};

use super::peers::{Peer, outcome};
use super::{config, tls};
use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;

struct Setup {
    server: Peer,
    gateway: Gateway,
    token: String,
}

impl Setup {
    fn start() -> Self {
        let server = Peer::serve("ws_server.py", &[]);
        let gateway = Gateway::start(&config(&format!("http://{}", server.address), ""));
        Self { server, gateway, token: mint(&["--scope", "peers:call"]) }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}/ws{path}", self.gateway.address())
    }

    fn converse(&self, path: &str, more: &[&str]) -> Value {
        let url = self.url(path);
        outcome("ws_client.py", &[&[&url, "--token", &self.token], more].concat())
    }

    fn server_sees_close(&self, code: u16) {
        self.server.event("the end of the connection", |line| line["event"] == "closed" && line["code"] == code);
    }
}

#[test]
fn messages_come_back() {
    let setup = Setup::start();
    let end = setup.converse("/echo", &["--count", "100"]);
    assert_eq!((&end["echoes"], &end["code"]), (&json!(100), &json!(1000)));
    setup.server_sees_close(1000);
}

#[test]
fn a_message_of_sixteen_mebibytes_comes_back() {
    let end = Setup::start().converse("/echo", &["--bytes", "16777216"]);
    assert_eq!((&end["echoes"], &end["code"]), (&json!(1), &json!(1000)));
}

#[test]
fn close_codes_go_both_ways() {
    let setup = Setup::start();
    let end = setup.converse("/close/4001", &[]);
    assert_eq!((&end["code"], &end["reason"]), (&json!(4001), &json!("as asked")));
    setup.converse("/echo", &["--close", "4002"]);
    setup.server_sees_close(4002);
}

#[test]
fn the_backend_is_told_who_calls() {
    let end = Setup::start().converse("/who", &[]);
    let fields: Value = serde_json::from_str(end["text"].as_str().unwrap()).unwrap();
    assert_eq!(fields["x-tenant-id"], "t1", "{fields}");
}

#[test]
fn a_handshake_without_a_token_is_refused() {
    let setup = Setup::start();
    let answer = outcome("ws_client.py", &[&setup.url("/echo")]);
    assert_eq!((&answer["event"], &answer["status"]), (&json!("refused"), &json!(401)));
    let other = mint(&["--scope", "other"]);
    assert_eq!(outcome("ws_client.py", &[&setup.url("/echo"), "--token", &other])["status"], 403);
}

#[test]
fn both_sides_are_told_that_the_gateway_goes_away() {
    let setup = Setup::start();
    let client = Peer::start("ws_client.py", &[&setup.url("/echo"), "--token", &setup.token, "--hold"]);
    client.event("an open connection", |line| line["event"] == "open");
    setup.gateway.terminate();
    let end = client.outcome();
    assert_eq!((&end["event"], &end["code"]), (&json!("closed"), &json!(1001)));
    setup.server_sees_close(1001);
    setup.gateway.wait();
}

#[test]
fn over_tls() {
    let server = Peer::serve("ws_server.py", &[]);
    let gateway = tls::start(&config(&format!("http://{}", server.address), ""));
    let (url, token) = (format!("wss://{}/ws/echo", gateway.address()), mint(&["--scope", "peers:call"]));
    let roots = tls::file(gateway.directory(), "ca.crt");
    let end = outcome("ws_client.py", &[&url, "--ca", &roots, "--token", &token, "--bytes", "1000000", "--count", "3"]);
    assert_eq!((&end["echoes"], &end["code"]), (&json!(3), &json!(1000)));
}
