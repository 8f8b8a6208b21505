//! What `sidegate check` says, to the letter.
//!
//! Each `tests/cases/config/NAME.yaml` has beside it what `check` prints about it: `NAME.stderr` if it is to be refused,
//! `NAME.stdout` if it is good. To add a case, write the YAML file and run the tests with `SIDEGATE_BLESS=1`, which
//! writes what is printed now; then read what it wrote. Certificates and keys that cases name are in `tls/`, where
//! [`pem`] puts them for each run; other secrets are in `secrets/`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod pem;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sidegate::config;
use sidegate::core::snapshot::{Authorization, ClaimRef, Kinds, Requirement, TokenTypes};
use tempfile::TempDir;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config")
}

/// Names of the files with this extension, without it.
fn names(extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path());
    let of_kind = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    of_kind.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// A copy of the cases, with certificates and keys.
fn cases_with_certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let tls = directory.path().join("tls");
    fs::create_dir(&tls).unwrap();
    pem::write(&tls);
    write_secrets(&directory.path().join("secrets"));
    directory
}

fn write_secrets(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for (name, content) in [
        ("kek", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
        ("registry", "hunter2\n"),
        ("readable", "hunter2"),
        ("lines", "hunter2\nhunter2\n"),
        ("short", "hunter2"),
        ("empty", "\n"),
    ] {
        let path = directory.join(format!("{name}.secret"));
        fs::write(&path, content).unwrap();
        let mode = if name == "readable" { 0o644 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The lines of all private keys that there are.
fn secret_lines(directory: &Path) -> Vec<String> {
    let keys = fs::read_dir(directory.join("tls")).unwrap().map(|entry| entry.unwrap().path());
    let keys = keys.filter(|path| path.extension().is_some_and(|extension| extension == "key"));
    let text: String = keys.map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().filter(|line| line.len() > 16 && !line.starts_with('-')).map(str::to_owned).collect()
}

fn check(directory: &Path, file: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["check", "--config", file]).current_dir(directory).env_clear();
    command.envs([("CASE_PORT", "0"), ("CASE_WORKERS", "4"), ("CASE_SCOPE", "users:read"), ("CASE_SECRET", "hunter2")]);
    command.output().unwrap()
}

fn is_blessing() -> bool {
    std::env::var_os("SIDEGATE_BLESS").is_some()
}

#[test]
fn check_says_what_it_is_expected_to_say() {
    let mut wrong = Vec::new();
    let directory = cases_with_certificates();
    let secrets = secret_lines(directory.path());
    assert!(secrets.len() > 20);
    for name in names("yaml") {
        let output = check(directory.path(), &format!("{name}.yaml"));
        let (stream, printed, silent) = match output.status.code() {
            Some(0) => ("stdout", output.stdout, output.stderr),
            Some(1) => ("stderr", output.stderr, output.stdout),
            code => panic!("{name}: exit code {code:?}"),
        };
        assert!(silent.is_empty(), "{name}: printed to both streams");
        let printed = String::from_utf8(printed).unwrap();
        assert!(!printed.contains("hunter2"), "{name}: a value from the environment is shown");
        assert!(!secrets.iter().any(|line| printed.contains(line)), "{name}: a part of a private key is shown");
        let expectation = cases().join(format!("{name}.{stream}"));
        if is_blessing() {
            fs::write(&expectation, &printed).unwrap();
        }
        match fs::read_to_string(&expectation) {
            Ok(expected) if expected == printed => {}
            Ok(expected) => wrong.push(format!("## {name}: expected\n{expected}\n## but it printed\n{printed}")),
            Err(_) => wrong.push(format!("## {name}: no {stream} is expected, but it printed\n{printed}")),
        }
    }
    assert!(wrong.is_empty(), "{} cases differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_expectation_belongs_to_a_case() {
    let (refused, good) = (names("stderr"), names("stdout"));
    assert!(refused.len() >= 80, "only {} broken configurations", refused.len());
    assert_eq!(refused.intersection(&good).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(refused.union(&good).cloned().collect::<BTreeSet<_>>(), names("yaml"));
}

fn load_text(text: &str) -> Result<config::Config, config::Diagnostics> {
    config::from_text("test.yaml", text, &cases(), &|name| (name == "SET").then(|| "value".into()))
}

/// A configuration in which this key says something that no key can mean.
fn with_nonsense(path: &str) -> (String, String) {
    let mut text = String::new();
    let mut indent = 0;
    let steps: Vec<&str> = path.split('.').collect();
    for (depth, step) in steps.iter().enumerate() {
        let name = step.strip_suffix("[]").unwrap_or(step);
        text.push_str(&format!("{}{name}:", " ".repeat(indent)));
        indent += 2;
        if depth + 1 == steps.len() {
            text.push_str(" [[[]]]\n");
        } else if step.ends_with("[]") {
            text.push_str(&format!("\n{}- other: 1\n", " ".repeat(indent)));
            indent += 2;
        } else {
            text.push('\n');
        }
    }
    (text, path.replace("[]", "[0]"))
}

/// A key that is in the table of known keys and that nobody reads would be accepted and mean nothing.
#[test]
fn every_known_key_is_read() {
    for path in config::keys::ALL.iter().flat_map(|section| section.paths()) {
        let (text, path) = with_nonsense(&path);
        let issues = load_text(&text).unwrap_err().issues;
        let is_about_it = |issue: &config::ConfigIssue| issue.path.starts_with(&path) && issue.message != "unknown key";
        assert!(issues.iter().any(is_about_it), "{path} is not read:\n{text}");
    }
}

fn reference() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let known: BTreeSet<String> = config::keys::ALL.iter().flat_map(|section| section.paths()).collect();
    let text = reference();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<String> = rows.map(|(key, _)| key.to_owned()).collect();
    let unique: BTreeSet<String> = documented.iter().cloned().collect();
    assert_eq!(unique.len(), documented.len(), "a key is documented twice");
    assert_eq!(unique, known);
}

/// An example shows one section; the others that a file needs are put behind it.
#[test]
fn every_example_of_the_reference_is_a_good_configuration() {
    let directory = cases_with_certificates();
    fs::copy(cases().join("keys.jwks.json"), directory.path().join("jwks.json")).unwrap();
    let text = reference();
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 10);
    for example in examples {
        let mut whole = example.to_owned();
        for (section, line) in [
            ("listeners:", "listeners: [{ address: 127.0.0.1:0 }]\n"),
            ("upstreams:", "upstreams: { echo: { builtin: echo } }\n"),
            ("routes:", "routes: [{ match: /, public: true, upstream: echo }]\n"),
        ] {
            if !example.lines().any(|found| found.starts_with(section)) {
                whole.push_str(line);
            }
        }
        if let Err(diagnostics) = config::from_text("example", &whole, directory.path(), &|_| None) {
            panic!("{diagnostics}");
        }
    }
}

#[test]
fn files_are_found_from_where_the_configuration_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_sidegate"))
        .arg("check")
        .env("SIDEGATE_CONFIG", cases().join("full.yaml"))
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_command_line_has_its_exit_codes() {
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_sidegate")).args(args).env_remove("SIDEGATE_CONFIG").output().unwrap()
    };
    assert_eq!(run(&["check"]).status.code(), Some(2));
    assert_eq!(run(&["chekc"]).status.code(), Some(2));
    assert_eq!(run(&["health", "--url", "127.0.0.1:9902"]).status.code(), Some(2));
    assert_eq!(run(&["check", "--help"]).status.code(), Some(0));
    let missing = run(&["check", "-c", "/nonexistent/config.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot be read: No such file or directory"));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains("check"), "{shell}");
    }
}

#[test]
fn the_hash_is_that_of_the_file() {
    let text = fs::read_to_string(cases().join("minimal.yaml")).unwrap();
    let hash = load_text(&text).unwrap().hash;
    assert_eq!(hash.len(), 64);
    assert_ne!(hash, load_text(&(text + "\n")).unwrap().hash);
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = load_text(&fs::read_to_string(cases().join("admin-exposed.yaml")).unwrap()).unwrap();
    let limits = &config.limits;
    assert_eq!((limits.header_bytes, limits.connections), (32 << 10, 16_384));
    let seconds = [limits.request_head, limits.idle, limits.drain, limits.drain_delay].map(|limit| limit.as_secs());
    assert_eq!(seconds, [10, 60, 30, 5]);
    assert_eq!((config.health, config.workers), (None, None));
    assert_eq!(config.telemetry, config::Telemetry::default());

    let snapshot = &config.snapshot;
    assert_eq!((snapshot.token_bytes_max, snapshot.body_bytes_max), (16 << 10, None));
    assert!(snapshot.identity.tenant.is_none() && snapshot.identity.headers.is_empty());
    assert_eq!(snapshot.identity.authorization, Authorization::Forward);
    assert!(snapshot.resource.is_none() && snapshot.cors.is_none() && snapshot.trusted_proxies.is_empty());
    assert!(snapshot.scopes.id("sidegate.admin").is_some());

    let issuer = snapshot.issuers.iter().next().unwrap();
    assert_eq!(issuer.token_kinds, Kinds { client: true, user: false });
    assert_eq!((issuer.leeway_seconds, issuer.max_token_age_seconds, issuer.require_iss), (30, None, true));
    assert_eq!(issuer.token_types, TokenTypes::Default);
    assert_eq!(issuer.claims.tenant, ClaimRef::Name("tenant_id".into()));
}

#[test]
fn what_is_said_is_what_the_program_sees() {
    let config = load_text(&fs::read_to_string(cases().join("full.yaml")).unwrap()).unwrap();
    let snapshot = &config.snapshot;
    let change = &snapshot.roles["users.change"];
    assert_eq!(*change.includes, ["users.view".into()]);
    assert_eq!(*change.scopes, ["users:read".into(), "users:write".into()]);

    let partner = snapshot.issuers.of_token(Some("https://auth.example.com")).unwrap();
    let people = snapshot.issuers.of_token(None).unwrap();
    assert_eq!(&*snapshot.issuers.get(people).unwrap().name, "people");
    let partner = snapshot.issuers.get(partner).unwrap();
    assert_eq!(partner.token_types, TokenTypes::OneOf(["at+jwt".into(), "jwt".into()].into()));
    assert_eq!(*partner.claims.roles, [ClaimRef::Pointer(["realm_access".into(), "roles".into()].into())]);
    assert_eq!(partner.max_token_age_seconds, Some(86_400));

    let (_, matched, post) = snapshot.routes.iter().nth(2).unwrap();
    assert_eq!((&*matched.label, matched.line), ("POST /v1/users", 67));
    assert_eq!((post.timeout, post.body_bytes_max), (Some(Duration::from_secs(5)), Some(1 << 20)));
    let Requirement::Token(requirement) = &post.requirement else { panic!("not public") };
    let scopes: Vec<&str> = requirement.scopes.iter().map(|scope| snapshot.scopes.name(*scope)).collect();
    assert_eq!(scopes, ["users:write", "users:read"]);
    assert_eq!(requirement.tenant_required, Some(false));

    assert_eq!(config.files, [cases().join("keys.jwks.json")]);
    let resource = snapshot.resource.as_ref().unwrap();
    assert!(resource.document.contains("\"partner/users:write\""), "{}", resource.document);
}

/// `count` routes beside each other, in block style.
fn many_routes(count: usize) -> String {
    let mut text = fs::read_to_string(cases().join("minimal.yaml")).unwrap();
    text.truncate(text.find("routes:").unwrap());
    text.push_str(
        "issuers:\n  - { name: a, issuer: a, audiences: [a], keys: { jwks_file: keys.jwks.json } }\nroutes:\n",
    );
    for number in 0..count {
        text.push_str(&format!(
            "  - match: GET,PUT /v1/things-{number}/{{id}}\n    scopes: [things-{number}:read]\n    upstream: echo\n"
        ));
    }
    text
}

#[test]
fn ten_thousand_routes_load_at_once() {
    let text = many_routes(10_000);
    let start = Instant::now();
    let config = load_text(&text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let took = start.elapsed();
    assert_eq!(config.snapshot.routes.iter().count(), 10_000);
    // A release build takes a small part of this; what is guarded against is anything quadratic.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_flood_of_problems_is_counted_and_not_shown() {
    let text = many_routes(5_000).replace("upstream: echo", "upstream: ecko");
    let diagnostics = load_text(&text).unwrap_err();
    assert_eq!((diagnostics.issues.len(), diagnostics.more), (100, 4_900));
    assert!(diagnostics.to_string().ends_with("test.yaml: 5000 problems, the first 100 shown\n"));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let long = "#".repeat((16 << 20) + 1);
    assert_eq!(load_text(&long).unwrap_err().issues[0].message, "longer than 16 MiB");
    let values = format!("a: [{}]", "1,".repeat(2_000_001));
    assert!(load_text(&values).unwrap_err().issues[0].message.contains("more than"));
}

/// Lines that are often part of a configuration, in any order and at any depth.
fn yaml_like() -> impl Strategy<Value = String> {
    let words = config::keys::ALL.iter().flat_map(|section| section.keys).copied().collect::<Vec<_>>();
    let value = prop_oneof![
        Just(String::new()),
        "[ -~]{0,20}",
        "[\\[\\]{}&*!|>'\"%@`#,:$~<a-c0-9 -]{0,12}",
        Just("[a, b]".to_owned()),
        Just("${SET}".to_owned()),
        Just("{ a: b }".to_owned()),
        Just("true".to_owned()),
        Just("5s".to_owned()),
        "\\PC{0,8}",
    ];
    let line = (0..4usize, any::<bool>(), prop::sample::select(words), value).prop_map(|(depth, item, key, value)| {
        format!("{}{}{key}: {value}\n", "  ".repeat(depth), if item { "- " } else { "" })
    });
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_loader_panic(text in "(\\PC|[\n\t\r :,\\[\\]{}-]){0,200}") {
        if let Err(diagnostics) = load_text(&text) {
            prop_assert!(!diagnostics.issues.is_empty());
            prop_assert!(diagnostics.to_string().contains("test.yaml"));
        }
    }

    #[test]
    fn nothing_like_a_configuration_makes_the_loader_panic(text in yaml_like()) {
        if let Err(diagnostics) = load_text(&text) {
            prop_assert!(!diagnostics.issues.is_empty());
            prop_assert!(diagnostics.render(true).contains("test.yaml"));
        }
    }

    #[test]
    fn a_damaged_configuration_does_not_make_the_loader_panic(at in any::<prop::sample::Index>(), junk in "\\PC{0,3}") {
        let mut text = fs::read_to_string(cases().join("full.yaml")).unwrap();
        let at = at.index(text.len());
        let end = (at + 2).min(text.len());
        text.replace_range(at..end, &junk);
        if let Err(diagnostics) = load_text(&text) {
            prop_assert!(diagnostics.to_string().contains("test.yaml"));
        }
    }
}
