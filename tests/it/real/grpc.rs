//! gRPC by grpcio, through the gateway: metadata and trailers, streams of each kind, and refusals that its clients read.

use serde_json::{Value, json};

use super::peers::{Peer, outcome};
use super::{config, tls};
use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;

/// How much more memory streaming may take than standing still.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

struct Setup {
    server: Peer,
    gateway: Gateway,
    token: String,
}

impl Setup {
    fn start() -> Self {
        let server = Peer::serve("grpc_server.py", &[]);
        let gateway = Gateway::start(&config(&format!("h2c://{}", server.address), ""));
        Self { server, gateway, token: mint(&["--scope", "peers:call"]) }
    }

    /// Makes a call with a token that may.
    fn call(&self, method: &str, more: &[&str]) -> Value {
        let token: &[&str] = &["--token", &self.token];
        self.call_as_anybody(method, &[token, more].concat())
    }

    fn call_as_anybody(&self, method: &str, more: &[&str]) -> Value {
        let address = self.gateway.address().to_string();
        outcome("grpc_client.py", &[&[address.as_str(), method], more].concat())
    }

    fn server_sees_the_call_given_up(&self) {
        self.server.event("a call that was given up", |line| line["event"] == "given up");
    }
}

#[test]
fn metadata_and_trailers_go_both_ways() {
    let setup = Setup::start();
    let answer = setup.call("Unary", &[]);
    assert_eq!((&answer["code"], &answer["last"]), (&json!(0), &json!("hello")));
    assert_eq!(answer["initial"]["x-initial"], "from the server");
    assert_eq!(answer["trailing"]["x-trailing-bin"], "00ff");
    assert_eq!(answer["trailing"]["seen-x-from"], "the client");
    assert_eq!(answer["trailing"]["seen-x-tenant-id"], "t1", "{answer}");
}

#[test]
fn errors_of_the_server_arrive_whole() {
    let answer = Setup::start().call("Fail", &[]);
    assert_eq!((&answer["code"], &answer["details"]), (&json!(3), &json!("nein, das heißt: no")));
    assert_eq!(answer["trailing"]["x-why"], "because");
}

#[test]
fn streams_of_each_kind() {
    let setup = Setup::start();
    let server = setup.call("Server", &["--message", "2000"]);
    assert_eq!((&server["code"], &server["messages"], &server["last"]), (&json!(0), &json!(2000), &json!("1999")));
    let client = setup.call("Client", &["--count", "2000"]);
    assert_eq!((&client["code"], &client["last"]), (&json!(0), &json!("2000")));
}

#[test]
fn ten_thousand_messages_both_ways_in_flat_memory() {
    let setup = Setup::start();
    setup.call("Bidi", &["--count", "10"]);
    let before = setup.gateway.resident_bytes();
    let answer = setup.call("Bidi", &["--count", "10000"]);
    assert_eq!((&answer["code"], &answer["messages"]), (&json!(0), &json!(10_000)));
    let growth = setup.gateway.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
}

#[test]
fn messages_larger_than_every_window() {
    let answer = Setup::start().call("Unary", &["--message", "0123456789abcdef", "--repeat", "524288"]);
    assert_eq!((&answer["code"], &answer["last"]), (&json!(0), &json!("8388608 bytes")));
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let setup = Setup::start();
    assert_eq!(setup.call("Hang", &["--timeout", "2"])["code"], 4);
    setup.server_sees_the_call_given_up();
}

#[test]
fn a_call_given_up_by_the_client_is_given_up_at_the_backend() {
    let setup = Setup::start();
    let answer = setup.call("Hang", &["--cancel"]);
    assert_eq!((&answer["code"], &answer["last"]), (&json!(1), &json!("waiting")));
    setup.server_sees_the_call_given_up();
}

#[test]
fn refusals_are_statuses_of_grpc() {
    let setup = Setup::start();
    let without = setup.call_as_anybody("Unary", &[]);
    assert_eq!((&without["code"], &without["details"]), (&json!(16), &json!("Authentication required.")));
    let expired = mint(&["--scope", "peers:call", "--expires-in", "-3600"]);
    assert_eq!(setup.call_as_anybody("Server", &["--token", &expired])["code"], 16);
    let other = mint(&["--scope", "other"]);
    let forbidden = setup.call_as_anybody("Unary", &["--token", &other]);
    assert_eq!(forbidden["code"], 7);
    assert_eq!(forbidden["details"], "Insufficient OAuth scopes for this operation.");
    assert_eq!(setup.call_as_anybody("Bidi", &["--token", &other, "--count", "100"])["code"], 7, "while it sends");
}

#[test]
fn a_backend_that_is_gone_is_unavailable() {
    let setup = Setup::start();
    let Setup { server, gateway, token } = setup;
    drop(server);
    let address = gateway.address().to_string();
    assert_eq!(outcome("grpc_client.py", &[&address, "Unary", "--token", &token])["code"], 14);
}

#[test]
fn tls_on_both_sides() {
    let certificate = tls::certificate();
    let [roots, chain, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| tls::file(certificate.path(), name));
    let server = Peer::serve("grpc_server.py", &["--certificate", &chain, "--private-key", &key]);
    let gateway =
        tls::start(&config(&format!("https://{}", server.address), &format!(", tls: {{ca_file: '{roots}'}}")));
    let (address, token) = (gateway.address().to_string(), mint(&["--scope", "peers:call"]));
    let roots = tls::file(gateway.directory(), "ca.crt");
    for method in ["Unary", "Bidi", "Server"] {
        let call = [&address, method, "--ca", &roots, "--token", &token, "--count", "100", "--message", "100"];
        assert_eq!(outcome("grpc_client.py", &call)["code"], 0, "{method}");
    }
}
