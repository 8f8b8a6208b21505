//! The programs of `tests/peers`: servers that say where they listen, and clients that say how it went, as lines of JSON.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::process::Process;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
/// Where `tests/install-tools` leaves it, with the libraries that the peers are made of.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/venv/bin/python");

/// A server, or a client that stays.
pub(crate) struct Peer {
    /// Where it listens; the port is 0 for a client.
    pub(crate) address: SocketAddr,
    process: Process,
}

impl Peer {
    /// Starts a server and waits until it listens.
    pub(crate) fn serve(program: &str, arguments: &[&str]) -> Self {
        let mut peer = Self::start(program, arguments);
        let ready = peer.event("its port", |line| line["port"].is_u64());
        peer.address.set_port(u16::try_from(ready["port"].as_u64().unwrap()).unwrap());
        peer
    }

    /// Starts a program.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(if program.ends_with(".py") { PYTHON } else { "node" });
        if program.ends_with(".py") {
            // Leaves nothing behind among the sources.
            command.arg("-B");
        }
        command.arg(Path::new(DIRECTORY).join(program)).args(arguments.iter().map(OsStr::new));
        Self { address: ([127, 0, 0, 1], 0).into(), process: Process::spawn(&mut command) }
    }

    /// Waits for a line that `wanted` holds for; `what` says what is waited for.
    pub(crate) fn event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process.stdout.wait_for(what, |text| lines(text).find(|line| wanted(line)))
    }

    /// Waits until a client has ended well; its last line.
    pub(crate) fn outcome(mut self) -> Value {
        let exit = self.process.wait();
        assert!(exit.success(), "{exit}: {}", self.process.stderr.text());
        lines(&self.process.stdout.text()).last().expect("a line")
    }
}

/// Runs a client to its end; its last line.
pub(crate) fn outcome(program: &str, arguments: &[&str]) -> Value {
    Peer::start(program, arguments).outcome()
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}
