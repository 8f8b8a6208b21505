//! PostgreSQL: a server of its own for each test that wants one.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid};
use sidegate::config::authority::{Postgres, Secret};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::certificates::Issued;
use super::free_address;
use super::process::Process;

/// The password of the user `sidegate`, who may do everything.
pub(crate) const PASSWORD: &str = "the-password-of-the-test";

/// A server with one database. It ends with this value.
pub(crate) struct PostgresServer {
    process: Option<Process>,
    port: u16,
    directory: TempDir,
}

impl PostgresServer {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_address().port();
        let mut server = Self { process: None, port, directory };
        server.make_database();
        server.restart();
        server
    }

    /// How to reach it over TCP.
    pub(crate) fn settings(&self) -> Postgres {
        self.settings_at(&format!("127.0.0.1:{}", self.port), "disable")
    }

    /// How to reach it over its unix socket.
    pub(crate) fn socket_settings(&self) -> Postgres {
        let directory = self.directory.path().to_str().unwrap().replace('/', "%2F");
        self.settings_at(&format!("{directory}:{}", self.port), "prefer")
    }

    pub(crate) fn settings_at(&self, host: &str, sslmode: &str) -> Postgres {
        let url = format!("postgres://sidegate@{host}/postgres?sslmode={sslmode}").into();
        Postgres { url, password: Some(Secret(Zeroizing::new(PASSWORD.to_owned()))) }
    }

    /// Ends it as a loss of power would, but for what the operating system has not written to the disk.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("a running server");
        process.signal(Signal::KILL);
        // Its children hold the pipe until they have seen that it is gone.
        process.wait();
    }

    pub(crate) fn restart(&mut self) {
        let mut command = self.command("postgres");
        // It survives its own end here and not the machine's. With `fsync` a start after that takes seconds.
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "lc_messages=C"]);
        command.arg("-c").arg(format!("port={}", self.port));
        command.arg("-c").arg(format!("unix_socket_directories={}", self.directory.path().display()));
        if self.file("key.pem").exists() {
            command.args(["-c", "ssl=on", "-c", "ssl_cert_file=../certificate.pem", "-c", "ssl_key_file=../key.pem"]);
        }
        let process = Process::spawn(&mut command);
        process.stderr.wait_for("PostgreSQL to start", |log| log.contains("ready to accept connections").then_some(()));
        self.process = Some(process);
    }

    /// Serves TLS from the next start on.
    pub(crate) fn show(&self, issued: &Issued) {
        for (name, content) in [("certificate.pem", &issued.certificate), ("key.pem", &issued.key)] {
            fs::write(self.file(name), content).unwrap();
            fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = unprivileged() {
                chown(self.file(name), Some(user), Some(group)).unwrap();
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make_database(&self) {
        if let Some((user, group)) = unprivileged() {
            chown(self.directory.path(), Some(user), Some(group)).unwrap();
        }
        let password = self.file("password");
        fs::write(&password, PASSWORD).unwrap();
        let mut command = self.command("initdb");
        command.args(["-U", "sidegate", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        command.arg(format!("--pwfile={}", password.display()));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(binary(program));
        command.arg("-D").arg(self.file("data")).current_dir(self.directory.path());
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Who runs the server if we are root, as whom it does not run.
fn unprivileged() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |wanted| {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.find(|fields| fields[0] == wanted)?;
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("a user `postgres` or `nobody`"))
}

/// Where a program of the server is. Debian keeps them in a directory for each version, which is on nobody's PATH.
fn binary(name: &str) -> PathBuf {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    let debian = versions.iter().rev().map(|version| version.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = env::split_paths(&path).collect();
    let found = debian.chain(path).map(|directory: PathBuf| directory.join(name)).find(|file| Path::is_file(file));
    found.unwrap_or_else(|| panic!("no {name}: tests/install-tools installs it"))
}
