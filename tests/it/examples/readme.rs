//! The README of an example, followed to the letter: what it says to run is run, what it says to type is typed, and what it
//! shows has to come.
//!
//! A block of `sh` is a terminal of its own: what stays running. A block of `console` is typed: `$ ` begins a command, and
//! what stands below is what it prints, with `…` for anything. Commands that are typed share the variables of their shell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::harness::process::Process;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const ADDRESS: &str = "127.0.0.1:";

/// Where tests/install-tools puts what the `package.json` of `examples/NAME` asks for, in a directory `NAME`.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");

#[derive(Debug, PartialEq)]
enum Step {
    /// What stays running.
    Start(String),
    /// What is typed, and what is shown of its output.
    Type { command: String, shown: String },
}

/// Follows the README of `examples/NAME`, in a copy of it and on addresses of its own.
pub(super) fn follow(name: &str) {
    let place = Place::copy(name);
    let steps = steps(&fs::read_to_string(place.directory().join("README.md")).unwrap());
    let mut running = Vec::new();
    let mut compared = 0;
    for step in &steps {
        match step {
            Step::Start(command) => running.push(place.start(command)),
            Step::Type { command, shown } => {
                place.type_in(command, shown);
                compared += usize::from(!shown.is_empty());
            }
        }
    }
    assert!(!running.is_empty() && compared > 3, "the README shows what happens: {steps:?}");
}

fn steps(text: &str) -> Vec<Step> {
    // What is between two fences is a block: every second piece.
    let blocks = text.split("\n```").skip(1).step_by(2);
    let of = |block: &str| match block.split_once('\n').unwrap() {
        ("sh", lines) => vec![Step::Start(lines.to_owned())],
        ("console", lines) => dialog(lines),
        _ => Vec::new(),
    };
    blocks.flat_map(of).collect()
}

fn dialog(lines: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in format!("\n{lines}").split("\n$ ").skip(1) {
        let mut lines = part.lines();
        let mut command = lines.next().unwrap().to_owned();
        while command.ends_with('\\') {
            command = format!("{command}\n{}", lines.next().unwrap());
        }
        let shown = lines.collect::<Vec<_>>().join("\n");
        steps.push(Step::Type { command, shown });
    }
    steps
}

/// A copy of the examples.
struct Place {
    copy: TempDir,
    name: String,
}

impl Place {
    fn copy(name: &str) -> Self {
        let place = Self { copy: tempfile::tempdir().unwrap(), name: name.to_owned() };
        copy(Path::new(EXAMPLES), place.copy.path());
        let files: Vec<_> = files(&place.directory()).collect();
        let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let addresses = addresses(&texts);
        for (file, text) in files.iter().zip(texts) {
            let moved = addresses.iter().fold(text, |text, (old, new)| text.replace(old, new));
            fs::write(file, moved).unwrap();
        }
        fs::write(place.directory().join(".environment"), "").unwrap();
        if place.directory().join("package.json").exists() {
            let modules = Path::new(TOOLS).join(name).join("node_modules");
            assert!(modules.exists(), "{} is there (tests/install-tools)", modules.display());
            symlink(modules, place.directory().join("node_modules")).unwrap();
        }
        place
    }

    fn directory(&self) -> PathBuf {
        self.copy.path().join(&self.name)
    }

    fn shell(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_sidegate")).parent().unwrap().display();
        let path = format!("{binary}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.directory()).stdin(Stdio::null());
        // Nothing of whoever runs the tests: no proxy, and no configuration of curl.
        command.env_clear().env("PATH", path).env("HOME", self.directory()).env("USER", "ada");
        command
    }

    /// Starts what stays and waits until it says that it is ready.
    fn start(&self, command: &str) -> Process {
        let process = Process::spawn(&mut self.shell(&format!("exec {command}")));
        let is_ready = |line: &str| line.contains(r#""message":"ready""#) || line.starts_with("ready");
        process.stderr.wait_for("it to be ready", |log| log.lines().any(is_ready).then_some(()));
        process
    }

    /// Types a command. What the command line changes, a running gateway notices within a moment: a request is sent again
    /// until the answer is the one that is shown.
    fn type_in(&self, command: &str, shown: &str) {
        let begun = Instant::now();
        loop {
            let printed = self.run(command);
            if shown.is_empty() || is_shown(shown, &printed) {
                return;
            }
            let again = command.contains("curl ") && begun.elapsed() < PATIENCE;
            assert!(again, "$ {command}\n{printed}\n--- and README.md shows\n{shown}");
        }
    }

    fn run(&self, command: &str) -> String {
        let script = format!("set -a\n. ./.environment\n{command}\nstatus=$?\nexport -p >.environment\nexit $status");
        let output = self.shell(&script).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "$ {command}\n{printed}{complaint}");
        printed
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if is_left_behind(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if from.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Whether this is there because somebody has followed the README in its own place.
fn is_left_behind(name: &str) -> bool {
    name == "node_modules" || name.contains(".db") || name.ends_with("-secret")
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path())
}

/// For each address in these texts a free one. They have to be known before anything listens there, since issuers are
/// called by theirs: an address of loopback that no other process uses keeps ports free in between.
fn addresses(texts: &[String]) -> BTreeMap<String, String> {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 128 | high, middle, low);
    let named = |text: &str| -> Vec<String> {
        let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
        text.split(ADDRESS).skip(1).map(|rest| format!("{ADDRESS}{}", digits(rest))).collect()
    };
    let named: BTreeSet<String> = texts.iter().flat_map(|text| named(text)).collect();
    // All at a time, so that no two are the same.
    let free: Vec<_> = named.iter().map(|_| TcpListener::bind((own, 0)).unwrap()).collect();
    named.into_iter().zip(free).map(|(old, free)| (old, free.local_addr().unwrap().to_string())).collect()
}

/// Whether a text is what is shown, where `…` stands for anything, and spaces and line ends do not count.
fn is_shown(shown: &str, text: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let (shown, text) = (bare(shown), bare(text));
    let mut pieces = shown.split('…');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn a_readme_is_read_as_it_is_meant() {
    let text = "a\n```sh\nserve\n```\nb\n```console\n$ one \\\n  two\nx\n…\n$ three\n```\n```yaml\n$ no\n```\n";
    let typed = |command: &str, shown: &str| Step::Type { command: command.to_owned(), shown: shown.to_owned() };
    assert_eq!(steps(text), [Step::Start("serve".to_owned()), typed("one \\\n  two", "x\n…"), typed("three", "")]);
}

#[test]
fn what_is_shown_is_told_from_what_is_not() {
    let is = [("a b", "a\nb"), ("a…c", "abbc"), ("…", ""), ("…b…", "abc"), ("a…", "a"), ("…c", "c c")];
    let is_not = [("a", "ab"), ("a…b", "ba"), ("a…b", "abc"), ("a…b…b", "ab"), ("…a", "ab"), ("aa…aa", "aaa")];
    for (shown, text) in is {
        assert!(is_shown(shown, text), "{shown:?} {text:?}");
    }
    for (shown, text) in is_not {
        assert!(!is_shown(shown, text), "{shown:?} {text:?}");
    }
}
