//! The built binary as a process, on free ports of the loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::curl::curl;
use super::process::Process;
use super::response::Response;
use super::tokens;

/// Where everything listens, unless a test's configuration has its own `listeners`.
const LISTENERS: &str = "listeners: [{address: 127.0.0.1:0}]\nadmin: {address: 127.0.0.1:0}\n";

/// The issuer of [`tokens::mint`], unless a test's configuration has its own `issuers`.
const ISSUERS: &str = "issuers:
  - name: demo
    issuer: https://issuer.example
    audiences: [https://api.example]
    keys: {jwks_file: ./jwks.json}
";

/// A running gateway.
pub(crate) struct Gateway {
    process: Process,
    directory: TempDir,
    /// The proxy listeners, in the order of the configuration.
    pub(crate) proxies: Vec<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) health: Option<SocketAddr>,
    /// Where other proxies ask, by gRPC and by forward-auth, if that is an address.
    pub(crate) authz_grpc: Option<SocketAddr>,
    pub(crate) authz_http: Option<SocketAddr>,
}

/// What a gateway has written until its end.
pub(crate) struct Finished {
    /// The access log.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Gateway {
    /// Starts a gateway with this configuration and waits until it is ready.
    pub(crate) fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
        fs::write(directory.path().join("config.yaml"), complete(config)).unwrap();
        Self::start_in(directory)
    }

    /// Starts a gateway with the `config.yaml` that is in this directory and waits until it is ready.
    pub(crate) fn start_in(directory: TempDir) -> Self {
        Self::spawn_in(directory, "the event \"ready\"", |event| event["message"] == "ready")
    }

    /// Starts a gateway with the `config.yaml` that is in this directory, which has an admin listener, and does not wait
    /// until it is ready.
    pub(crate) fn launch_in(directory: TempDir) -> Self {
        let is_bound = |event: &Value| event["message"] == "listening" && event["surface"] == "admin";
        Self::spawn_in(directory, "the admin listener", is_bound)
    }

    fn spawn_in(directory: TempDir, what: &str, awaited: impl Fn(&Value) -> bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(["run", "-c"]).arg(directory.path().join("config.yaml"));
        command.current_dir(directory.path()).env_clear();
        let process = Process::spawn(&mut command);
        let events = process.stderr.wait_for(what, |log| {
            let events: Vec<Value> = lines(log).collect();
            events.iter().any(&awaited).then_some(events)
        });
        let bound = |surface: &str| addresses(&events, surface);
        let (proxies, admin, health) = (bound("proxy"), bound("admin").pop(), bound("health").pop());
        let (authz_grpc, authz_http) = (bound("authz.grpc").pop(), bound("authz.http").pop());
        Self { process, directory, proxies, admin, health, authz_grpc, authz_http }
    }

    /// A new connection to the first proxy listener.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// The first proxy listener.
    pub(crate) fn address(&self) -> SocketAddr {
        *self.proxies.first().expect("a proxy listener")
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.receive()
    }

    /// GET of a path on the admin listener: status and body.
    pub(crate) fn admin_get(&self, path: &str) -> (u16, String) {
        get(self.admin.expect("an admin listener"), path)
    }

    /// GET of a path on the health listener: status and body.
    pub(crate) fn health_get(&self, path: &str) -> (u16, String) {
        get(self.health.expect("a health listener"), path)
    }

    /// Where the configuration lies.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Puts another configuration in the place of the one there is, in one step. Returns the text of the file.
    pub(crate) fn configure(&self, config: &str) -> String {
        let text = complete(config);
        let new = self.directory().join("config.yaml.new");
        fs::write(&new, &text).unwrap();
        fs::rename(&new, self.directory().join("config.yaml")).unwrap();
        text
    }

    /// `POST /reload` on a connection of its own, with these header lines, `Host` among them.
    pub(crate) fn reload(&self, fields: &str) -> Response {
        let mut client = Client::connect(self.admin.expect("an admin listener"));
        client.send(format!("POST /reload HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n"));
        client.receive()
    }

    /// Asks it to reload, without waiting.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for an event in the program's own log that `wanted` holds for.
    pub(crate) fn log_event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process.stderr.wait_for("an event in the log", |log| lines(log).find(|event| wanted(event)))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// Waits for an access log entry that `wanted` holds for.
    pub(crate) fn access_log_entry(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process.stdout.wait_for("an access log entry", |log| lines(log).find(|entry| wanted(entry)))
    }

    /// Stops it where it is, as a machine does that hangs: its connections stay, and nothing comes on them.
    pub(crate) fn pause(&self) {
        self.process.stop();
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Asks it to end, without waiting.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits until it has ended by itself, with exit code 0.
    pub(crate) fn wait(mut self) -> Finished {
        let exit = self.process.wait();
        let finished = Finished { stdout: self.process.stdout.text(), stderr: self.process.stderr.text() };
        assert!(exit.success(), "{exit}; stderr:\n{}", finished.stderr);
        finished
    }

    /// Ends it as a loss of power would; what it has left behind.
    pub(crate) fn kill(self) -> TempDir {
        let Self { mut process, directory, .. } = self;
        process.signal(Signal::KILL);
        process.wait();
        directory
    }

    /// Waits until it has ended, however.
    pub(crate) fn wait_for_any_end(mut self) {
        self.process.wait();
    }

    /// Ends it and returns what it wrote.
    pub(crate) fn stop(self) -> Finished {
        self.terminate();
        self.wait()
    }
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = curl(&[&format!("http://{address}{path}")]);
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// With what is needed in every configuration and does not matter in this one.
pub(crate) fn complete(config: &str) -> String {
    let has = |key: &str| config.lines().any(|line| line.starts_with(key));
    let listeners = if has("listeners:") { "" } else { LISTENERS };
    let issuers = if has("issuers:") { "" } else { ISSUERS };
    format!("{listeners}{issuers}{config}")
}

/// The JSON objects among the complete lines of a log.
fn lines(log: &str) -> impl Iterator<Item = Value> {
    let complete = log.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn addresses(events: &[Value], surface: &str) -> Vec<SocketAddr> {
    let bound = events.iter().filter(|event| event["message"] == "listening" && event["surface"] == surface);
    bound.filter_map(|event| event["address"].as_str().unwrap().parse().ok()).collect()
}
