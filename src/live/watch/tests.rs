//! With real files. What makes no message cannot be awaited: such a test gives the watcher time to be wrong, and then
//! shows by a real change that it was not asleep.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::{Pace, Watcher};

/// Quick enough for tests. Polling does not help out.
const QUICK: Pace =
    Pace { settle: Duration::from_millis(60), poll: Duration::from_secs(3600), poll_blind: Duration::from_secs(3600) };

/// For anything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory with a watcher of files in it.
struct Bench {
    directory: TempDir,
    watcher: Watcher,
    changed: Receiver<()>,
    runtime: Runtime,
}

impl Bench {
    /// `prepare` makes what is there before; `files` are watched.
    fn new(files: &[&str], prepare: impl FnOnce(&TempDir)) -> Self {
        Self::with_pace(QUICK, true, files, prepare)
    }

    fn with_pace(pace: Pace, os: bool, files: &[&str], prepare: impl FnOnce(&TempDir)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(&directory);
        let (sender, changed) = channel(1);
        let paths = files.iter().map(|name| directory.path().join(name)).collect();
        let watcher = Watcher::spawn(paths, sender, pace, move |shared| {
            let refuse = || Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
            if os { notify::recommended_watcher(move |event| shared.note(&event)) } else { refuse() }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { directory, watcher: watcher.unwrap(), changed, runtime }
    }

    /// A directory with a file `a`, which is watched.
    fn with_one_file() -> Self {
        Self::new(&["a"], |directory| fs::write(directory.path().join("a"), "old").unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn replace(&self, name: &str, content: &str) {
        fs::write(self.at("replacement"), content).unwrap();
        fs::rename(self.at("replacement"), self.at(name)).unwrap();
    }

    fn is_told_within(&mut self, patience: Duration) -> bool {
        self.runtime.block_on(async { timeout(patience, self.changed.recv()).await }) == Ok(Some(()))
    }

    fn expect_change(&mut self) {
        assert!(self.is_told_within(PATIENCE), "the change was not noticed");
    }

    fn expect_none(&mut self) {
        assert!(!self.is_told_within(QUICK.settle * 4), "what was no change was told");
    }
}

#[test]
fn a_file_renamed_over_it() {
    let mut bench = Bench::with_one_file();
    // More than once: the watch has to outlive the file.
    for content in ["first", "second", "third"] {
        bench.replace("a", content);
        bench.expect_change();
    }
    bench.expect_none();
}

#[test]
fn a_rewrite_in_several_writes_is_one_change_and_told_at_its_end() {
    let pace = Pace { settle: Duration::from_millis(400), ..QUICK };
    let mut bench = Bench::with_pace(pace, true, &["a"], |directory| {
        fs::write(directory.path().join("a"), "old").unwrap();
    });
    let mut file = File::create(bench.at("a")).unwrap();
    for _ in 0..6 {
        file.write_all(b"piece").unwrap();
        assert!(!bench.is_told_within(pace.settle / 4), "told of half a file");
    }
    drop(file);
    bench.expect_change();
    assert!(!bench.is_told_within(pace.settle * 3), "told twice");
}

#[test]
fn the_links_of_a_kubernetes_volume() {
    let mut bench = Bench::new(&["config.yaml"], |directory| {
        fs::create_dir(directory.path().join("..1")).unwrap();
        fs::write(directory.path().join("..1/config.yaml"), "1").unwrap();
        symlink("..1", directory.path().join("..data")).unwrap();
        symlink("..data/config.yaml", directory.path().join("config.yaml")).unwrap();
    });
    for (old, new) in [("..1", "..2"), ("..2", "..3"), ("..3", "..4")] {
        fs::create_dir(bench.at(new)).unwrap();
        fs::write(bench.at(new).join("config.yaml"), new).unwrap();
        symlink(new, bench.at("..data_tmp")).unwrap();
        fs::rename(bench.at("..data_tmp"), bench.at("..data")).unwrap();
        fs::remove_dir_all(bench.at(old)).unwrap();
        bench.expect_change();
    }
    bench.expect_none();
}

#[test]
fn the_file_that_a_link_elsewhere_leads_to() {
    let mut bench = Bench::new(&["here/a"], |directory| {
        fs::create_dir(directory.path().join("here")).unwrap();
        fs::create_dir(directory.path().join("there")).unwrap();
        fs::write(directory.path().join("there/b"), "old").unwrap();
        symlink("../there/b", directory.path().join("here/a")).unwrap();
    });
    bench.replace("there/b", "new");
    bench.expect_change();
    fs::write(bench.at("there/b"), "newer").unwrap();
    bench.expect_change();
}

#[test]
fn the_same_content_is_no_change() {
    let mut bench = Bench::with_one_file();
    let now = std::time::SystemTime::now();
    File::options().write(true).open(bench.at("a")).unwrap().set_modified(now).unwrap();
    bench.expect_none();
    fs::write(bench.at("a"), "old").unwrap();
    bench.expect_none();
    bench.replace("a", "old");
    bench.expect_none();
    fs::write(bench.at("other"), "new").unwrap();
    bench.expect_none();
    bench.replace("a", "new");
    bench.expect_change();
}

#[test]
fn a_file_that_is_gone_and_comes_back() {
    let mut bench = Bench::with_one_file();
    fs::remove_file(bench.at("a")).unwrap();
    fs::write(bench.at("a"), "old").unwrap();
    bench.expect_none();
    fs::remove_file(bench.at("a")).unwrap();
    bench.expect_change();
    fs::write(bench.at("a"), "old").unwrap();
    bench.expect_change();
}

#[test]
fn a_directory_that_is_gone_and_comes_back() {
    let mut bench = Bench::new(&["x/y/a"], |directory| {
        fs::create_dir_all(directory.path().join("x/y")).unwrap();
        fs::write(directory.path().join("x/y/a"), "old").unwrap();
    });
    fs::remove_dir_all(bench.at("x")).unwrap();
    bench.expect_change();
    for content in ["new", "newer"] {
        fs::create_dir_all(bench.at("x/y")).unwrap();
        fs::write(bench.at("x/y/a"), content).unwrap();
        bench.expect_change();
    }
}

#[test]
fn other_files() {
    let mut bench = Bench::new(&["a"], |directory| {
        fs::create_dir(directory.path().join("x")).unwrap();
        fs::write(directory.path().join("a"), "old").unwrap();
        fs::write(directory.path().join("x/b"), "old").unwrap();
    });
    bench.watcher.watch(vec![bench.at("x/b")]);
    bench.expect_none();
    fs::write(bench.at("a"), "new").unwrap();
    bench.expect_none();
    fs::write(bench.at("x/b"), "new").unwrap();
    bench.expect_change();
}

#[test]
fn one_more_file() {
    let mut bench = Bench::with_one_file();
    bench.watcher.watch_too(vec![bench.at("b")]);
    for name in ["b", "a"] {
        fs::write(bench.at(name), "new").unwrap();
        bench.expect_change();
    }
}

#[test]
fn what_happens_before_other_files_are_named_is_not_lost() {
    let mut bench = Bench::with_one_file();
    fs::write(bench.at("a"), "new").unwrap();
    bench.watcher.watch(vec![bench.at("a"), bench.at("b")]);
    bench.expect_change();
}

#[test]
fn what_was_about_to_be_read_is_not_told() {
    let mut bench = Bench::with_one_file();
    fs::write(bench.at("a"), "new").unwrap();
    bench.watcher.about_to_read();
    bench.expect_none();
    fs::write(bench.at("a"), "old").unwrap();
    bench.expect_change();
}

#[test]
fn files_are_polled_where_they_cannot_be_watched() {
    let pace = Pace { poll_blind: Duration::from_millis(20), ..QUICK };
    let mut bench = Bench::with_pace(pace, false, &["a"], |directory| {
        fs::write(directory.path().join("a"), "old").unwrap();
    });
    for content in ["new", "newer"] {
        fs::write(bench.at("a"), content).unwrap();
        bench.expect_change();
    }
}

#[test]
fn files_are_polled_for_what_brings_no_event() {
    let pace = Pace { poll: Duration::from_millis(20), ..QUICK };
    let mut bench = Bench::with_pace(pace, true, &["x/a"], |directory| {
        fs::create_dir(directory.path().join("x")).unwrap();
        fs::write(directory.path().join("x/a"), "old").unwrap();
        fs::create_dir(directory.path().join("y")).unwrap();
        fs::write(directory.path().join("y/a"), "new").unwrap();
    });
    // Nobody watches the directory above `x`.
    fs::rename(bench.at("x"), bench.at("z")).unwrap();
    fs::rename(bench.at("y"), bench.at("x")).unwrap();
    bench.expect_change();
    bench.replace("x/a", "newer");
    bench.expect_change();
}

#[test]
fn the_thread_ends_with_the_watcher() {
    let Bench { watcher, mut changed, runtime, .. } = Bench::with_one_file();
    drop(watcher);
    assert_eq!(runtime.block_on(async { timeout(PATIENCE, changed.recv()).await }), Ok(None));
}
