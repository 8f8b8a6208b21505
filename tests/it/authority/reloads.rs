//! Reloads beside what the authority does.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::thread;

use super::fixture::{Authority, ME, client, config, directory};

/// A configuration file can be on a disk that hangs: here it is a pipe into which nobody writes.
#[test]
fn a_reload_that_hangs_holds_up_no_revocation() {
    let place = tempfile::tempdir().unwrap();
    let section = format!("  storage: sqlite:{}/sidegate.db\n", place.path().display());
    let authority = Authority::start(&section, "");
    let file = authority.gateway.directory().join("config.yaml");
    // The command line has a configuration of its own, and the same storage.
    let beside = directory(&config(&section, ""));
    let app = authority.create("acme", &["--scope", "users:read"]);
    let token = authority.token(&app);
    authority.until(200, ME, &token);

    let pipe = file.with_extension("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(&pipe, &file).unwrap();
    thread::scope(|scope| {
        let reloading = scope.spawn(|| authority.gateway.reload("Host: localhost\r\n"));
        // It can be opened once somebody reads it.
        let mut writer = OpenOptions::new().write(true).open(&file).unwrap();
        client(beside.path(), &["revoke", "acme"]);
        authority.is_refused(&token, "client_revoked");

        fs::copy(beside.path().join("config.yaml"), file.with_extension("new")).unwrap();
        fs::rename(file.with_extension("new"), &file).unwrap();
        writer.write_all(config(&section, "").as_bytes()).unwrap();
        drop(writer);
        assert_eq!(reloading.join().unwrap().status, 200);
    });
    authority.is_refused(&token, "client_revoked");
}
