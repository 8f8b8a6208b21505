//! The registry feed: gateways without the database that follow an authority over HTTP, and the feed as they read it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rusqlite::Connection;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::harness::gateway::{Gateway, complete};
use crate::harness::process::Process;
use crate::harness::response::Response;

const READ: &str = "sidegate.registry:read";
const AUDIENCE: &str = "https://api.example.com";
/// How soon a revocation has to be known everywhere. At once, but for a machine that is busy with other tests.
const PROMPTLY: Duration = Duration::from_secs(3);

/// An authority whose storage and address outlive its gateway.
struct Authority {
    place: TempDir,
    url: String,
    /// Bound and not listening: nobody else gets the port.
    _port: Socket,
    gateway: Option<Gateway>,
}

/// A client of it.
struct App {
    id: String,
    secret: String,
}

impl Authority {
    fn start() -> Self {
        let port = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        port.set_reuse_address(true).unwrap();
        port.set_reuse_port(true).unwrap();
        port.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let url = format!("http://{}", port.local_addr().unwrap().as_socket().unwrap());
        let mut this = Self { place: tempfile::tempdir().unwrap(), url, _port: port, gateway: None };
        fs::write(this.config_file(), this.config()).unwrap();
        this.start_again();
        this
    }

    fn config(&self) -> String {
        let (address, place) = (self.url.trim_start_matches("http://"), self.place.path().display());
        format!(
            "workers: 1
listeners: [{{address: {address}}}]
admin: {{address: 127.0.0.1:0}}
limits: {{drain_delay: 0s, connections: 4000}}
authority:
  issuer: {url}
  audience: {AUDIENCE}
  algorithm: ES256
  storage: sqlite:{place}/sidegate.db
  admin_secret_file: {place}/admin-secret
  scope_prefix: acme/
  scopes: {{'users:read': Read users, 'users:write': Write users}}
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: /, authenticated: true, upstream: echo}}]
",
            url = self.url,
        )
    }

    fn config_file(&self) -> PathBuf {
        self.place.path().join("config.yaml")
    }

    fn start_again(&mut self) {
        self.gateway = Some(Gateway::start(&self.config()));
    }

    fn stop(&mut self) {
        self.gateway.take().unwrap().stop();
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("the authority runs")
    }

    /// Runs `sidegate client`, which needs nobody but the storage.
    fn client(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.arg("client").args(arguments).args(["--output", "json"]).stdin(Stdio::null());
        command.env_clear().env("SIDEGATE_CONFIG", self.config_file()).env("USER", "ada");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn create(&self, id: &str, more: &[&str]) -> App {
        let created = self.client(&[&["create", "--id", id, "--name", id], more].concat());
        App { id: id.to_owned(), secret: created["client_secret"].as_str().unwrap().to_owned() }
    }

    fn delete(&self, id: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(["client", "delete", "--yes", id]).stdin(Stdio::null());
        command.env_clear().env("SIDEGATE_CONFIG", self.config_file()).env("USER", "ada");
        assert!(command.output().unwrap().status.success());
    }

    fn token(&self, app: &App) -> String {
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", app.id, app.secret);
        let answer = self.gateway().ask(format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ));
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token that opens the feed, by the time that the authority's own gateway knows its client.
    fn reader(&self, id: &str, more: &[&str]) -> String {
        self.token_known(&self.create(id, &[&["--scope", READ], more].concat()))
    }

    /// A token of a client that may be a new one. Until the gateway knows it the token is that of nobody.
    fn token_known(&self, app: &App) -> String {
        let token = self.token(app);
        await_that("the client is known", || self.feed("GET", "?after=0", &token, "").status != 401);
        token
    }

    /// What the feed answers, as far as the head if it goes on.
    fn feed(&self, method: &str, query: &str, token: &str, fields: &str) -> Response {
        let mut client = self.gateway().connect();
        client.send(format!(
            "{method} /registry/v1/changes{query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
        ));
        client.receive_head()
    }

    /// A gateway without the database that follows this authority as this client.
    fn follower_config(&self, app: &App, directory: &Path) -> String {
        let secret = directory.join("follower-secret");
        fs::write(&secret, &app.secret).unwrap();
        complete(&format!(
            "workers: 1
limits: {{drain_delay: 0s}}
issuers:
  - name: central
    issuer: {url}
    audiences: [{AUDIENCE}]
    scope_prefix: acme/
    registry: {{url: {url}, client_id: {id}, client_secret_file: {secret}}}
identity: {{tenant: {{header: X-Tenant-Id, required: false}}, headers: {{X-Client-Id: client_id, X-Scopes: scopes}}}}
upstreams: {{echo: {{builtin: echo}}}}
routes:
  - {{match: /, authenticated: true, upstream: echo}}
  - {{match: /users, scopes: ['users:read'], upstream: echo}}
",
            url = self.url,
            id = app.id,
            secret = secret.display()
        ))
    }

    fn follower_directory(&self, app: &App) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.yaml"), self.follower_config(app, directory.path())).unwrap();
        directory
    }

    fn follower(&self, app: &App) -> Gateway {
        self.token_known(app);
        Gateway::start_in(self.follower_directory(app))
    }
}

fn await_that(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::yield_now();
    }
    begun.elapsed()
}

fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).status
}

/// What `/status` says of the registry that is followed.
fn registry(gateway: &Gateway) -> Value {
    let (_, body) = gateway.admin_get("/status");
    let status: Value = serde_json::from_str(&body).unwrap();
    let issuers = status["issuers"].as_array().unwrap();
    issuers.iter().map(|issuer| issuer["registry"].clone()).find(|registry| !registry.is_null()).unwrap_or_default()
}

fn await_lost(gateway: &Gateway) -> String {
    let event = gateway.log_event(|event| event["message"] == "the client registry cannot be followed");
    event["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_revocation_is_known_where_there_is_no_database() {
    let authority = Authority::start();
    let follower = authority.follower(&authority.create("follower", &["--scope", READ]));
    let app = authority.create("app", &["--scope", "users:read", "--tenant", "t1"]);
    let token = authority.token(&app);
    await_that("the client is known", || status(&follower, "/users", &token) == 200);
    let forwarded = follower.ask(format!("GET /users HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
    let forwarded: Value = serde_json::from_slice(&forwarded.body).unwrap();
    for (name, value) in [("x-client-id", "app"), ("x-scopes", "users:read"), ("x-tenant-id", "t1")] {
        assert_eq!(forwarded["headers"][name], value, "{forwarded}");
    }

    authority.client(&["revoke", "app"]);
    let after = await_that("it is refused", || status(&follower, "/users", &token) == 401);
    assert!(after < PROMPTLY, "after {after:?}");
    let entry = follower.access_log_entry(|entry| entry["status"] == 401 && entry["reason"] == "client_revoked");
    assert_eq!(entry["client_id"], "app");

    authority.client(&["restore", "app"]);
    let new = authority.token(&app);
    await_that("the new token counts", || status(&follower, "/users", &new) == 200);
    assert_eq!(status(&follower, "/users", &token), 401, "the old one does not come back");
    authority.client(&["edit", "app", "--scope", "users:write"]);
    await_that("the scope is gone", || status(&follower, "/users", &new) == 403);
    authority.delete("app");
    await_that("it is refused", || status(&follower, "/", &new) == 401);
    let known = registry(&follower);
    assert_eq!((&known["error"], &known["age_seconds"]), (&Value::Null, &Value::from(0)), "{known}");
    assert_eq!(known["change"], registry(authority.gateway())["change"]);
}

#[test]
fn an_authority_that_was_away_is_followed_from_where_it_was() {
    let mut authority = Authority::start();
    let follower = authority.follower(&authority.create("follower", &["--scope", READ]));
    let apps = ["stays", "revoked", "deleted"].map(|id| authority.create(id, &["--scope", "users:read"]));
    let tokens = apps.each_ref().map(|app| authority.token(app));
    let statuses = || tokens.each_ref().map(|token| status(&follower, "/users", token));
    await_that("the clients are known", || statuses() == [200; 3]);

    authority.stop();
    let error = await_lost(&follower);
    assert!(error == "the authority has ended the feed" || error.starts_with("the feed broke off"), "{error}");
    assert_eq!(statuses(), [200; 3], "what is known serves for a while");
    authority.client(&["revoke", "revoked"]);
    authority.delete("deleted");
    let late = authority.create("late", &["--scope", "users:read"]);
    authority.start_again();
    await_that("nothing was missed", || statuses() == [200, 401, 401]);
    let late = authority.token(&late);
    await_that("and what is new is known", || status(&follower, "/users", &late) == 200);
    follower.log_event(|event| event["message"] == "the client registry is followed again");
    assert_eq!(registry(&follower)["error"], Value::Null);
}

#[test]
fn a_reload_goes_on_following_or_begins_or_ends() {
    let authority = Authority::start();
    let (one, other) = (authority.create("one", &["--scope", READ]), authority.create("other", &["--scope", READ]));
    let app = authority.create("app", &["--scope", "users:read"]);
    let token = authority.token(&app);
    let follower = authority.follower(&one);
    await_that("the client is known", || status(&follower, "/users", &token) == 200);

    // Another client of ours: nothing is forgotten meanwhile.
    follower.configure(&authority.follower_config(&other, follower.directory()));
    assert_eq!(follower.reload("Host: localhost\r\n").status, 200);
    assert_eq!(status(&follower, "/users", &token), 200);
    authority.client(&["revoke", "one"]);
    authority.client(&["revoke", "app"]);
    await_that("it is refused", || status(&follower, "/users", &token) == 401);

    let without = authority.follower_config(&other, follower.directory());
    let without: Vec<&str> = without.lines().filter(|line| !line.contains("registry:")).collect();
    follower.configure(&without.join("\n"));
    assert_eq!(follower.reload("Host: localhost\r\n").status, 200);
    assert_eq!(status(&follower, "/users", &token), 200, "nobody says otherwise any more");
    await_that("nothing is told of it", || registry(&follower).is_null());
}

#[test]
fn whatever_keeps_a_gateway_from_following_is_told_and_no_secret_is() {
    let authority = Authority::start();
    let wrong = App { secret: "sgs_nobody-has-this".to_owned(), ..authority.create("wrong", &["--scope", READ]) };
    let bound = authority.create("bound", &["--scope", READ, "--tenant", "t1"]);
    authority.token_known(&bound);
    let cases = [
        (wrong, "no token for the feed: the authority does not know the client `wrong` by this secret (status 401)"),
        (
            authority.create("lacking", &["--scope", "users:read"]),
            "no token for the feed: the client `lacking` does not have the scope `acme/sidegate.registry:read` (status 400)",
        ),
        (
            bound,
            "the client `bound` may not read the feed: it lacks the scope `sidegate.registry:read`, or has tenants (status 403)",
        ),
    ];
    let app = authority.token(&authority.create("app", &["--scope", "users:read"]));
    for (client, expected) in cases {
        let follower = Gateway::launch_in(authority.follower_directory(&client));
        assert_eq!(await_lost(&follower), expected);
        assert_eq!(registry(&follower)["error"], expected);
        await_that("nobody can be relied on", || status(&follower, "/users", &app) == 503);
        let entry = follower.access_log_entry(|entry| entry["status"] == 503 && entry["reason"] != "keys_unavailable");
        assert_eq!(entry["reason"], "registry_unavailable");
        let finished = follower.stop();
        assert!(!finished.stderr.contains(&client.secret) && !finished.stderr.contains("eyJ"), "{}", finished.stderr);
    }
    let finished = authority.gateway.unwrap().stop();
    assert!(!finished.stderr.contains("sgs_") && !finished.stdout.contains("sgs_"));
}

#[test]
fn the_feed_is_for_those_who_may_read_it() {
    let authority = Authority::start();
    let reader = authority.reader("reader", &[]);
    let refused =
        |method: &str, query: &str, token: &str, fields: &str| authority.feed(method, query, token, fields).status;
    let not_allowed = authority.feed("POST", "", &reader, "Content-Length: 0\r\n");
    assert_eq!((not_allowed.status, not_allowed.fields.one("allow")), (405, Some("GET")));
    for odd in ["?after=x", "?after=-1", "?after=", "?after=1&after=2"] {
        assert_eq!(refused("GET", odd, &reader, ""), 400, "{odd}");
    }
    assert_eq!(refused("GET", "", &reader, "Last-Event-ID: x\r\n"), 400);
    assert_eq!(refused("GET", "", "nonsense", ""), 401);
    let bound = authority.reader("bound", &["--tenant", "t1"]);
    assert_eq!(refused("GET", "", &bound, ""), 403);
    let lacking = authority.token(&authority.create("lacking", &["--scope", "sidegate.clients:read"]));
    await_that("the client is known", || refused("GET", "", &lacking, "") == 403);
    // A token for what is behind the gateway opens nothing of the gateway itself.
    let behind = authority.token(&authority.create("behind", &["--scope", "users:read"]));
    assert_eq!(refused("GET", "", &behind, ""), 401);

    let answer = authority.feed("GET", "", &reader, "");
    assert_eq!((answer.status, answer.fields.one("content-type")), (200, Some("text/event-stream")));
    assert_eq!(answer.fields.one("cache-control"), Some("no-store"));
}

/// A reader of the feed as it is on the wire.
struct Raw {
    stream: TcpStream,
    arrived: String,
}

impl Raw {
    fn open(authority: &Authority, token: &str, fields: &str) -> Self {
        let mut stream = TcpStream::connect(authority.gateway().address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let head = "GET /registry/v1/changes HTTP/1.1\r\nHost: a\r\n";
        write!(stream, "{head}Authorization: Bearer {token}\r\n{fields}\r\n").unwrap();
        Self { stream, arrived: String::new() }
    }

    /// Reads until this has arrived; what has arrived until then.
    fn until(&mut self, wanted: &str) -> String {
        let mut piece = [0; 4096];
        while !self.arrived.contains(wanted) {
            let length = self.stream.read(&mut piece).unwrap_or_else(|error| panic!("{error}: {}", self.arrived));
            assert!(length > 0, "the end instead of {wanted:?} behind {}", self.arrived);
            self.arrived.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        std::mem::take(&mut self.arrived)
    }
}

/// What ends a body whose end was meant, in HTTP/1.1.
const LAST_CHUNK: &str = "0\r\n\r\n";
const CURRENT: &str = "event: current\ndata: {}\n\n";

#[test]
fn a_reader_goes_on_where_it_was_and_ends_with_its_client() {
    let mut authority = Authority::start();
    let reader = authority.reader("reader", &[]);
    authority.create("app", &["--scope", "users:read"]);
    let mut first = Raw::open(&authority, &reader, "");
    let mut all = first.until(CURRENT);
    if !all.contains("\"client_id\":\"app\"") {
        all += &first.until(CURRENT);
    }
    assert!(all.contains("\"client_id\":\"admin\"") && all.contains("\"client_id\":\"reader\""), "{all}");
    assert!(!all.contains("sgs_") && !all.contains("secret"), "{all}");
    let number = all.rsplit("id: ").next().unwrap().split('\n').next().unwrap().to_owned();

    // Where nothing is new that is said at once, and not after a while.
    let begun = Instant::now();
    let mut second = Raw::open(&authority, &reader, &format!("Last-Event-ID: {number}\r\n"));
    let nothing = second.until(CURRENT);
    assert!(!nothing.contains("client_id") && nothing.contains(&format!("id: {number}\n")), "{nothing}");
    assert!(begun.elapsed() < PROMPTLY);
    authority.client(&["revoke", "app"]);
    for raw in [&mut first, &mut second] {
        assert!(raw.until(CURRENT).contains("\"status\":\"revoked\""));
    }
    // Whoever knows more than there is has followed what is no more: it is told how far things are, after a while.
    let mut ahead = Raw::open(&authority, &reader, "Last-Event-ID: 4000000\r\n");

    let address = authority.gateway().address();
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sS", "-N", "--noproxy", "*", "--http2-prior-knowledge", "--max-time", "60"]);
    curl.arg("-H").arg(format!("Authorization: Bearer {reader}")).arg(format!("http://{address}/registry/v1/changes"));
    let curl = Process::spawn(&mut curl);
    curl.stdout.wait_for("the feed over HTTP/2", |text| text.contains("event: current").then_some(()));

    let back = ahead.until(CURRENT);
    assert!(!back.contains("4000000") && !back.contains("client_id"), "{back}");

    // An edit of the reader's client is a reason to let it in again, and a revocation is one not to.
    authority.client(&["edit", "reader", "--description", "x"]);
    for raw in [&mut first, &mut second] {
        raw.until(LAST_CHUNK);
    }
    let mut again = Raw::open(&authority, &reader, "");
    again.until(CURRENT);
    authority.client(&["revoke", "reader"]);
    again.until(LAST_CHUNK);
    assert_eq!(authority.feed("GET", "", &reader, "").status, 401);

    let last = authority.reader("last", &[]);
    let mut last = Raw::open(&authority, &last, "");
    last.until(CURRENT);
    authority.gateway().terminate();
    last.until(LAST_CHUNK);
    authority.gateway.take().unwrap().wait();
}

#[test]
fn an_authority_that_has_lost_its_storage_has_nothing_to_tell() {
    let authority = Authority::start();
    let follower = authority.follower(&authority.create("follower", &["--scope", READ]));
    let reader = authority.reader("reader", &[]);
    let mut raw = Raw::open(&authority, &reader, "");
    raw.until(CURRENT);
    let storage = Connection::open(authority.place.path().join("sidegate.db")).unwrap();
    storage.execute_batch("ALTER TABLE sidegate_state RENAME TO lost").unwrap();
    raw.until(LAST_CHUNK);
    assert_eq!(authority.feed("GET", "", &reader, "").status, 503);
    await_lost(&follower);
    let is_told =
        || registry(&follower)["error"] == "the authority does not know its clients itself right now (status 503)";
    await_that("the follower knows why", is_told);

    storage.execute_batch("ALTER TABLE lost RENAME TO sidegate_state").unwrap();
    let token = authority.token(&authority.create("app", &["--scope", "users:read"]));
    await_that("all is well again", || status(&follower, "/users", &token) == 200);
}

#[test]
fn a_thousand_readers_learn_of_a_revocation() {
    const READERS: usize = 1000;
    /// What one reader may cost the authority.
    const BYTES_MAX: u64 = 48 * 1024;
    let authority = Authority::start();
    let reader = authority.reader("reader", &[]);
    authority.create("app", &["--scope", "users:read"]);
    let mut one = Raw::open(&authority, &reader, "");
    one.until(CURRENT);
    let before = authority.gateway().resident_bytes();
    let mut readers: Vec<Raw> = (0..READERS).map(|_| Raw::open(&authority, &reader, "")).collect();
    readers.iter_mut().for_each(|raw| drop(raw.until(CURRENT)));
    let each = authority.gateway().resident_bytes().saturating_sub(before) / READERS as u64;

    authority.client(&["revoke", "app"]);
    let begun = Instant::now();
    readers.iter_mut().for_each(|raw| drop(raw.until("\"status\":\"revoked\"")));
    let told = begun.elapsed();
    eprintln!("{each} bytes for each of {READERS} readers, who were all told within {told:?}");
    assert!(each < BYTES_MAX, "{each} bytes for each reader");
    assert!(told < PROMPTLY, "{told:?}");

    authority.client(&["revoke", "reader"]);
    readers.iter_mut().for_each(|raw| drop(raw.until(LAST_CHUNK)));
    let after = authority.gateway().resident_bytes().saturating_sub(before);
    eprintln!("{after} bytes are left of them");
}
