//! `sidegate client`, `sidegate keys` and `sidegate token`: the built binary on a storage of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use sidegate::authority::store::Store;
use sidegate::config::authority::Storage;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::harness::PATIENCE;
use crate::harness::process::Process;

const CONFIG: &str = "\
listeners: [{ address: 127.0.0.1:0 }]
authority:
  issuer: http://127.0.0.1:8080
  audience: https://api.example.com
  client_id_prefix: acme-
  algorithm: ES256
  scopes:
    users:read: Read users
    users:write: Write users
issuers:
  - { name: partner, issuer: partner, audiences: [api], keys: { jwks_uri: 'https://partner.example/jwks' } }
roles: { editor: { scopes: ['users:write'] } }
upstreams: { echo: { builtin: echo } }
routes: [{ match: /, authenticated: true, upstream: echo }]
";

const PUBLIC_JWK: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A directory with a configuration; its storage comes with the first client.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.yaml"), CONFIG).unwrap();
        Self(directory)
    }

    /// One whose storage is there, and empty.
    fn with_storage() -> Self {
        let place = Self::new();
        let storage = Storage::Sqlite(place.path().join("sidegate.db"));
        Builder::new_current_thread().build().unwrap().block_on(Store::open(&storage)).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_clear().env("SIDEGATE_CONFIG", "config.yaml").env("USER", "ada");
        command.output().unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["--output", "json"]].concat())).unwrap()
    }

    /// What a command that fails says.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn create(&self, more: &[&str]) -> Value {
        self.json(&[&["client", "create", "--name", "Nightly import"], more].concat())
    }

    /// Rows of the audit log: who, what, and to what.
    fn audit(&self) -> Vec<(String, String, String)> {
        let database = rusqlite::Connection::open(self.path().join("sidegate.db")).unwrap();
        let mut rows = database.prepare("SELECT who, action, subject FROM sidegate_audit ORDER BY number").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }

    /// Everything that is stored, byte for byte.
    fn stored(&self) -> Vec<u8> {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("sidegate.db"));
        let bytes: Vec<u8> = files.flat_map(|path| fs::read(path).unwrap()).collect();
        assert!(!bytes.is_empty());
        bytes
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_client_lives_and_dies() {
    let place = Place::new();
    let created = place.create(&["--id", "import", "--scope", "users:read", "--role", "editor", "--tenant", "t1"]);
    assert_eq!(created["client_id"], "acme-import");
    assert_eq!((&created["scopes"], &created["roles"]), (&json!(["users:read"]), &json!(["editor"])));
    assert_eq!((&created["status"], &created["last_used_at"]), (&json!("active"), &Value::Null));
    let shown = place.json(&["client", "show", "acme-import"]);
    let mut without_secret = created.clone();
    let secret = without_secret.as_object_mut().unwrap().remove("client_secret").unwrap();
    assert_eq!(shown, without_secret);
    assert!(secret.as_str().unwrap().starts_with("sgs_"));
    assert_eq!(place.json(&["client", "list"]), json!([shown]));

    let edited =
        place.json(&["client", "edit", "acme-import", "--name", "Import", "--scope", "users:write", "--no-roles"]);
    assert_eq!(
        (&edited["name"], &edited["scopes"], &edited["roles"]),
        (&json!("Import"), &json!(["users:write"]), &json!([]))
    );
    assert_eq!((&edited["tenants"], &edited["expires_at"]), (&json!(["t1"]), &created["expires_at"]));
    let renewed = place.json(&["client", "renew", "acme-import", "--expires", "2099-12-31"]);
    assert_eq!(renewed["expires_at"], "2100-01-01T00:00:00Z");

    assert_eq!(place.json(&["client", "revoke", "acme-import"])["status"], "revoked");
    let again = place.run(&["client", "revoke", "acme-import"]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("nothing has changed"));
    assert_eq!(place.json(&["client", "restore", "acme-import"])["status"], "active");

    assert!(place.refused(&["client", "delete", "acme-import"]).contains("`--yes` deletes without asking"));
    let deleted = place.json(&["client", "delete", "acme-import", "--yes"]);
    assert_eq!(deleted, json!({ "client_id": "acme-import", "is_deleted": true }));
    assert_eq!(place.refused(&["client", "show", "acme-import"]), "error: there is no client `acme-import`\n");
    let actions = ["create", "edit", "renew", "revoke", "restore", "delete"];
    let row = |action: &str| ("cli:ada".to_owned(), action.to_owned(), "acme-import".to_owned());
    assert_eq!(place.audit(), actions.map(row));
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let place = Place::new();
    let created = place.create(&["--scope", "users:read"]);
    let id = created["client_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), "acme-".len() + 20);
    let rotated = place.json(&["client", "rotate-secret", &id]);
    let secrets = [&created, &rotated].map(|answer| answer["client_secret"].as_str().unwrap().to_owned());
    assert_ne!(secrets[0], secrets[1]);
    let text = place.good(&["client", "show", &id]);
    assert!(text.contains(" until ") && !text.contains("sgs_"), "{text}");
    assert!(place.refused(&["client", "rotate-secret", &id]).contains("two secrets are live already"));
    let printed = place.good(&["client", "rotate-secret", &id, "--keep-old", "0"]);
    assert!(printed.contains("(it is not shown again)"), "{printed}");
    assert!(!place.good(&["client", "show", &id]).contains(" until "));

    let last = printed.split_whitespace().find(|word| word.starts_with("sgs_")).unwrap();
    let list = place.good(&["client", "list"]) + &place.good(&["client", "list", "--output", "json"]);
    let stored = place.stored();
    for secret in secrets.iter().map(String::as_str).chain([last]) {
        assert!(!list.contains(secret) && !contains(&stored, secret) && !contains(&stored, &secret[4..]));
    }
}

#[test]
fn what_a_client_may_not_be_is_refused() {
    let place = Place::new();
    place.create(&["--id", "a", "--scope", "users:read"]);
    let create = |more: &[&str]| place.refused(&[&["client", "create", "--name", "x"], more].concat());
    for (args, expected) in [
        (&["--scope", "user:read"][..], "scopes: no scope is called `user:read`; did you mean `users:read`?"),
        (&["--role", "editr"], "roles: no role is called `editr`; did you mean `editor`?"),
        (&[], "scopes: a client has at least one scope or role"),
        (&["--scope", "users:read", "--id", "a"], "there is a client `acme-a` already"),
        (&["--scope", "users:read", "--id", "a/b"], "client_id: 1 to 128 characters"),
        (&["--scope", "users:read", "--expires", "2001-01-01"], "expires_at: it is over already"),
        (&["--scope", "users:read", "--expires", "soon"], "expires_at: neither a date"),
        (&["--scope", "users:read", "--expires", "9999-12-31"], "expires_at: too late: the last day is 9999-12-29"),
        (&["--scope", "users:read", "--tenant", " a"], "tenants: "),
        (&["--scope", "users:read", "--jwks-file", "none"], "cannot read none"),
    ] {
        let error = create(args);
        assert!(error.starts_with(&format!("error: {expected}")), "{args:?}: {error}");
    }
    assert!(
        place.refused(&["client", "create", "--name", "", "--scope", "users:read"]).contains("name: there is nothing")
    );
    assert!(place.refused(&["client", "edit", "acme-a", "--no-scopes"]).contains("at least one scope or role"));
    assert!(place.refused(&["client", "revoke", "acme-b"]).contains("there is no client `acme-b`"));
    assert_eq!(place.audit().len(), 1);
}

/// What a variable of the shell is that nobody has set must not lift a restriction.
#[test]
fn an_empty_name_is_a_mistake_and_none_at_all_is_said() {
    let place = Place::new();
    let usage = |args: &[&str]| {
        let output = place.run(args);
        assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for option in ["--id", "--scope", "--role", "--tenant"] {
        let error = usage(&["client", "create", "--name", "x", option, ""]);
        assert!(error.contains(option) && error.contains("it is empty"), "{error}");
    }
    place.create(&["--id", "a", "--scope", "users:read", "--role", "editor", "--tenant", "t1"]);
    for (option, none) in [("--scope", "--no-scopes"), ("--role", "--no-roles"), ("--tenant", "--no-tenants")] {
        assert!(usage(&["client", "edit", "acme-a", option, ""]).contains("it is empty"), "{option}");
        assert!(usage(&["client", "edit", "acme-a", option, "x", none]).contains("cannot be used with"), "{option}");
    }
    assert_eq!(place.json(&["client", "show", "acme-a"])["tenants"], json!(["t1"]));
    let edited = place.json(&["client", "edit", "acme-a", "--no-tenants", "--no-scopes"]);
    assert_eq!((&edited["tenants"], &edited["scopes"], &edited["roles"]), (&json!([]), &json!([]), &json!(["editor"])));
}

#[test]
fn keys_stand_in_for_a_secret() {
    let place = Place::new();
    fs::write(place.path().join("jwks.json"), PUBLIC_JWK).unwrap();
    let without = place.create(&["--all-scopes", "--jwks-file", "jwks.json"]);
    assert_eq!((&without["client_secret"], &without["scopes"]), (&Value::Null, &json!(["users:read", "users:write"])));
    let with = place.create(&["--all-scopes", "--jwks-file", "jwks.json", "--with-secret"]);
    assert!(with["client_secret"].is_string());
    let id = with["client_id"].as_str().unwrap();
    let credentials = || {
        let shown = place.good(&["client", "show", id]);
        shown.lines().find(|line| line.starts_with("credentials")).unwrap().to_owned()
    };
    assert!(credentials().contains("a secret of "));
    place.json(&["client", "edit", id, "--without-secret"]);
    assert_eq!(credentials(), "credentials  keys of its own");
    let secret = place.create(&["--all-scopes"]);
    let error = place.refused(&["client", "edit", secret["client_id"].as_str().unwrap(), "--without-secret"]);
    assert!(error.contains("a client without a secret needs keys"), "{error}");
    fs::write(place.path().join("jwks.json"), PUBLIC_JWK.replace("\"x\"", "\"d\":\"c2VjcmV0\",\"x\"")).unwrap();
    let error = place.refused(&["client", "create", "--name", "x", "--all-scopes", "--jwks-file", "jwks.json"]);
    assert!(error.contains("it holds a private key") && !error.contains("c2Vj"), "{error}");
}

#[test]
fn scopes_of_both_kinds_are_worth_a_warning() {
    let place = Place::new();
    let args = ["client", "create", "--name", "x", "--scope", "users:read", "--scope", "sidegate.clients:read"];
    let output = place.run(&args);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: the client has scopes of Sidegate itself"));
    assert!(place.run(&args[..6]).stderr.is_empty());
}

#[test]
fn a_client_of_another_issuer_is_refused_and_not_any_more() {
    let place = Place::with_storage();
    let standing = |command| place.good(&["client", command, "--issuer", "partner", "globex"]);
    assert!(standing("revoke").contains("is now refused"));
    assert!(standing("revoke").contains("is already refused"));
    assert!(standing("restore").contains("is now not refused"));
    let rows = place.audit();
    assert_eq!(rows.iter().map(|(_, action, _)| action.as_str()).collect::<Vec<_>>(), ["revoke", "restore"]);
    let as_json = |command| place.json(&["client", command, "--issuer", "partner", "globex"]);
    let told = |is_revoked: bool, is_changed: bool| json!({ "issuer": "partner", "client_id": "globex", "is_revoked": is_revoked, "is_changed": is_changed });
    assert_eq!(as_json("revoke"), told(true, true));
    assert_eq!(as_json("revoke"), told(true, false));
    assert_eq!(as_json("restore"), told(false, true));
    assert!(place.refused(&["client", "revoke", "--issuer", "partnr", "x"]).contains("no issuer `partnr`"));
    assert!(place.refused(&["client", "revoke", "--issuer", "authority", "x"]).contains("leave `--issuer` out"));
}

#[test]
fn keys_are_listed_and_rotated() {
    let place = Place::new();
    let kids = |text: &str, phase: &str| -> Vec<String> {
        let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[2] == phase).map(|row| row[0].to_owned()).collect()
    };
    assert!(place.refused(&["keys", "rotate"]).contains("no gateway was started here"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["run", "-c", "config.yaml"]).current_dir(place.path()).env_clear();
    let mut gateway = Process::spawn(&mut command);
    // It is not ready before it has the partner's keys, which are nowhere.
    gateway.stderr.wait_for("the first start", |log| log.contains("\"client_id\":\"admin\"").then_some(()));
    let given_up = Instant::now() + PATIENCE;
    while place.good(&["keys", "list"]).lines().count() < 3 {
        assert!(Instant::now() < given_up, "no keys were made");
    }
    gateway.signal(Signal::KILL);
    gateway.wait();
    let first = place.good(&["keys", "list"]);
    let second = place.good(&["keys", "rotate"]);
    assert_eq!(kids(&second, "current"), kids(&first, "next"), "{first}{second}");
    assert_eq!(kids(&second, "retired"), kids(&first, "current"), "{first}{second}");
    assert!(place.audit().iter().any(|(who, action, _)| who == "cli:ada" && action == "rotate_keys"));
}

/// Answers one request; what was asked.
fn serve(status: &'static str, body: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
        while !contains(&asked, "grant_type=client_credentials") {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0);
            asked.extend_from_slice(&buffer[..count]);
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (url, server)
}

#[test]
fn a_token_is_asked_for_with_the_secret_in_its_header() {
    let place = Place::new();
    let secret = place.path().join("secret");
    fs::write(&secret, "sgs_a:b\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let args = |url| ["token", "--url", url, "--client-id", "a@b", "--client-secret-file", "secret", "--scope", "x:y"];

    let (url, server) = serve("200 OK", r#"{"access_token":"t","token_type":"Bearer"}"#);
    let printed: Value = serde_json::from_str(&place.good(&args(&url))).unwrap();
    assert_eq!(printed["access_token"], "t");
    let asked = server.join().unwrap();
    assert!(asked.starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{asked}");
    // a%40b:sgs_a%3Ab
    assert!(asked.contains("authorization: Basic YSU0MGI6c2dzX2ElM0Fi\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=x%3Ay"), "{asked}");

    let (url, server) = serve("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no"}"#);
    assert_eq!(place.refused(&args(&format!("{url}/connect/token"))), "error: no token: invalid_client: no\n");
    assert!(server.join().unwrap().starts_with("POST /connect/token "));
}

#[test]
fn only_a_new_client_makes_a_storage() {
    let place = Place::new();
    let storage = place.path().join("sidegate.db");
    for args in [
        &["client", "list"][..],
        &["client", "show", "a"],
        &["client", "edit", "a", "--name", "b"],
        &["client", "revoke", "a"],
        &["client", "revoke", "--issuer", "partner", "a"],
        &["client", "delete", "a", "--yes"],
        &["keys", "list"],
    ] {
        let error = place.refused(args);
        assert!(error.starts_with("error: there is no storage ") && error.contains("sidegate.db: "), "{error}");
        assert!(!storage.exists(), "{args:?}");
    }
    place.create(&["--scope", "users:read"]);
    assert!(storage.exists());
}

#[test]
fn without_an_authority_there_are_no_clients() {
    let place = Place::new();
    let (start, end) = (CONFIG.find("authority:").unwrap(), CONFIG.find("issuers:").unwrap());
    fs::write(place.path().join("config.yaml"), format!("{}{}", &CONFIG[..start], &CONFIG[end..])).unwrap();
    assert_eq!(place.refused(&["client", "list"]), "error: config.yaml has no section `authority`\n");
}
