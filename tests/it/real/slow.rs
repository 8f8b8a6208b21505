//! slowhttptest: clients that hold on to connections and send next to nothing.

use std::process::Command;

use crate::harness::gateway::Gateway;
use crate::harness::process::Process;
use crate::harness::tokens::mint;

#[test]
fn slow_heads_are_cut_off_while_good_requests_are_answered() {
    let gateway = Gateway::start(
        "limits: {request_head: 1s}
upstreams: {echo: {builtin: echo}}
routes: [{match: '/v1/users/{id}', scopes: ['users:read'], upstream: echo}]
",
    );
    let token = mint(&["--scope", "users:read"]);
    let url = format!("http://{}/v1/users/7", gateway.address());
    let mut command = Command::new("slowhttptest");
    // 100 connections, a line of a head each second, for up to 8 seconds.
    command.args(["-H", "-c", "100", "-r", "200", "-i", "1", "-l", "8", "-p", "2", "-u", &url]);
    let mut attack = Process::spawn(&mut command);

    for _ in 0..100 {
        let request = format!("GET /v1/users/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        assert_eq!(gateway.ask(request).status, 200);
    }
    attack.wait();
    let report = attack.stdout.text();
    assert!(report.contains("No open connections left"), "{report}");
}
