//! A gateway with an authority, and the command line beside it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::Client;
use crate::harness::gateway::{Gateway, complete};
use crate::harness::response::Response;
use crate::harness::{PATIENCE, tokens};

/// What the section `authority` has, unless a test says otherwise.
const SECTION: [(&str, &str); 5] = [
    ("issuer", "http://authority.test"),
    ("audience", "https://api.example.com"),
    ("algorithm", "ES256"),
    ("admin_secret_file", "./admin.secret"),
    ("scopes", "{'users:read': Read users, 'users:write': Write users}"),
];

/// The rest of the configuration, unless a test has its own upstreams and routes.
const ROUTES: &str = "upstreams: {echo: {builtin: echo}}
routes:
  - {match: 'GET /v1/users/{id}', scopes: ['users:read'], upstream: echo}
  - {match: 'POST /v1/users', scopes: ['users:write'], upstream: echo}
  - {match: /v1/me, authenticated: true, upstream: echo}
  - {match: /v1/edited, roles: [editor], upstream: echo}
";

/// A route of every configuration here that any token opens.
pub(super) const ME: &str = "GET /v1/me";
/// One that takes `users:read`.
pub(super) const READ: &str = "GET /v1/users/7";
/// One that takes `users:write`.
pub(super) const WRITE: &str = "POST /v1/users";

/// Between two requests of those who wait for an answer to change.
const BETWEEN: Duration = Duration::from_millis(2);

/// A gateway with an authority of its own.
pub(super) struct Authority {
    pub(super) gateway: Gateway,
}

/// A client of it.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) id: String,
    pub(super) secret: String,
}

/// The configuration. `section` holds lines of the section `authority`, `rest` those of the top level.
pub(super) fn config(section: &str, rest: &str) -> String {
    let has = |key: &str| section.lines().any(|line| line.trim_start().starts_with(&format!("{key}:")));
    let missing = SECTION.iter().filter(|(key, _)| !has(key)).map(|(key, value)| format!("  {key}: {value}\n"));
    let routes = if rest.contains("routes:") { "" } else { ROUTES };
    complete(&format!(
        "workers: 1
limits: {{drain_delay: 0s}}
roles: {{editor: {{scopes: ['users:write']}}}}
identity:
  tenant: {{header: X-Tenant-Id, required: false}}
  headers: {{X-Client-Id: client_id, X-Scopes: scopes}}
authority:
{}{section}{routes}{rest}",
        missing.collect::<String>()
    ))
}

/// Runs the binary on the configuration in a directory.
pub(super) fn sidegate(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.env_clear().env("SIDEGATE_CONFIG", "config.yaml").env("USER", "ada");
    command.output().unwrap()
}

/// Runs `sidegate client`, which has to succeed; the JSON that it prints.
pub(super) fn client(directory: &Path, arguments: &[&str]) -> Value {
    let output = sidegate(directory, &[&["client"], arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// A directory with this configuration, and the keys of the tests' other issuer.
pub(super) fn directory(config: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
    fs::write(directory.path().join("config.yaml"), config).unwrap();
    directory
}

impl Authority {
    /// As [`config`] says, ready to answer.
    pub(super) fn start(section: &str, rest: &str) -> Self {
        Self { gateway: Gateway::start_in(directory(&config(section, rest))) }
    }

    /// Runs `sidegate client` beside the gateway.
    pub(super) fn client(&self, arguments: &[&str]) -> Value {
        client(self.gateway.directory(), arguments)
    }

    /// Makes a client with what `more` says.
    pub(super) fn create(&self, id: &str, more: &[&str]) -> App {
        let created = self.client(&[&["create", "--id", id, "--name", id], more].concat());
        let text = |name: &str| created[name].as_str().unwrap_or_default().to_owned();
        App { id: text("client_id"), secret: text("client_secret") }
    }

    /// Posts a form to an endpoint. `fields` are header lines, each with its line end.
    pub(super) fn post(&self, path: &str, fields: &str, form: &str) -> Response {
        self.gateway.ask(form_request(path, fields, form))
    }

    /// Asks for a token, as `client_secret_post`, with further parameters.
    pub(super) fn ask_token(&self, app: &App, more: &str) -> Response {
        self.post("/oauth2/token", "", &format!("grant_type=client_credentials&{}{more}", app.form()))
    }

    /// A token with all that the client has. It can be used at once.
    pub(super) fn token(&self, app: &App) -> String {
        let answer = self.ask_token(app, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        json(&answer)["access_token"].as_str().unwrap().to_owned()
    }

    /// A request with a token on a connection of its own.
    pub(super) fn call(&self, request: &str, token: &str) -> Response {
        self.gateway.ask(bearer(request, token, ""))
    }

    /// Calls again and again until the answer has this status; that answer.
    pub(super) fn until(&self, status: u16, request: &str, token: &str) -> Response {
        until(&mut self.gateway.connect(), status, &bearer(request, token, ""))
    }

    /// What the access log gives as the reason of a refusal.
    pub(super) fn reason(&self, refusal: &Response) -> String {
        let id = refusal.fields.one("x-request-id").unwrap().to_owned();
        let entry = self.gateway.access_log_entry(|entry| entry["request_id"] == *id);
        entry["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts that a token is refused for this reason, now or as soon as what has happened is known here.
    pub(super) fn is_refused(&self, token: &str, reason: &str) {
        let refusal = self.until(401, ME, token);
        assert_eq!((refusal.code().as_str(), &*self.reason(&refusal)), ("UNAUTHORIZED", reason));
    }

    /// What introspection says of a token.
    pub(super) fn introspect(&self, app: &App, token: &str) -> Value {
        let answer = self.post("/oauth2/introspect", "", &format!("{}&token={token}", app.form()));
        assert_eq!(answer.status, 200, "{answer:?}");
        json(&answer)
    }
}

impl App {
    /// The parameters of `client_secret_post`.
    pub(super) fn form(&self) -> String {
        format!("client_id={}&client_secret={}", self.id, self.secret)
    }

    /// The header line of `client_secret_basic`.
    pub(super) fn basic(&self) -> String {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}

/// A request that posts a form.
pub(super) fn form_request(path: &str, fields: &str, form: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n{fields}\r\n{form}",
        form.len()
    )
}

/// A request, given as `METHOD target`, with a token and further header lines.
pub(super) fn bearer(request: &str, token: &str, fields: &str) -> String {
    let length = if request.starts_with("POST") { "Content-Length: 0\r\n" } else { "" };
    format!("{request} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{length}{fields}\r\n")
}

/// Sends a request again and again on one connection until the answer has this status.
pub(super) fn until(client: &mut Client, status: u16, request: &str) -> Response {
    let begun = Instant::now();
    loop {
        client.send(request);
        let answer = client.receive();
        if answer.status == status {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {status}: {answer:?}");
        // Nobody is told when a change has become known to a gateway, but whoever asks.
        thread::sleep(BETWEEN);
    }
}

pub(super) fn json(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}
