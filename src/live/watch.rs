//! Watching the files that a configuration is made of.
//!
//! The operating system says that something happened, and no more: an editor makes a dozen events of one change, `touch`
//! makes one of none, a network file system makes none of any. So an event is only a reason to look. What counts is what
//! the files hold: when they hold something else than what is known of them, and go on holding it for a while, they have
//! changed. Looking now and then without a reason finds what brought no event.

mod content;
mod places;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use self::content::Content;
use self::places::Places;

type Contents = BTreeMap<PathBuf, Content>;

/// Watches files and says when their content has changed: in a thread of its own, since reading files can take long.
///
/// A change is told once the files have been left alone for about half a second. One that is undone before is none. A
/// file that is gone has changed, if it stays gone. A file that never comes to rest is not told of.
pub struct Watcher {
    shared: Arc<Shared>,
}

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no thread to do it.
    #[error("cannot start the thread that watches files")]
    Thread(#[source] io::Error),
}

impl Watcher {
    /// Starts with these files, in which everything that happens after this call is a change. `changed` gets a message
    /// after a change; its capacity should be 1, since a second message that waits says nothing more.
    ///
    /// Where the operating system cannot watch (too many watches, say), the files are read every two seconds instead.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn start(files: Vec<PathBuf>, changed: Sender<()>) -> Result<Self, WatchError> {
        Self::spawn(files, changed, USUAL, |shared| notify::recommended_watcher(move |event| shared.note(&event)))
    }

    /// Watches these files from now on, and no others. A file that was watched before keeps the content it is known by, so
    /// that what happens to it while a reload is under way is not missed; of a new one, the content of now is known.
    pub fn watch(&self, files: Vec<PathBuf>) {
        let known = self.shared.lock().files.clone();
        let content = |path: &PathBuf| known.get(path).copied().unwrap_or_else(|| Content::read(path));
        let files = contents(files, content);
        let mut state = self.shared.lock();
        state.files = files;
        state.touched = true;
        self.shared.wake.notify_one();
    }

    /// Watches these files as well, as [`Watcher::watch`] does.
    pub fn watch_too(&self, mut files: Vec<PathBuf>) {
        files.extend(self.shared.paths());
        self.watch(files);
    }

    /// Takes the content of now as known. To be called before the files are read for another reason than a change that
    /// was told, which spares the message about what is read then; whatever happens afterwards is a change.
    pub fn about_to_read(&self) {
        let files = self.shared.read();
        let mut state = self.shared.lock();
        for (path, content) in files {
            state.files.entry(path).and_modify(|known| *known = content);
        }
    }

    fn spawn(
        files: Vec<PathBuf>,
        changed: Sender<()>,
        pace: Pace,
        os: impl FnOnce(Arc<Shared>) -> notify::Result<RecommendedWatcher> + Send + 'static,
    ) -> Result<Self, WatchError> {
        let state = State { files: contents(files, |path| Content::read(path)), ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let own = Arc::clone(&shared);
        let observe = move || {
            let os = os(Arc::clone(&own));
            Observer { shared: own, changed, pace, os, watched: BTreeSet::new(), blind: false }.run();
        };
        thread::Builder::new().name("watch".to_owned()).spawn(observe).map_err(WatchError::Thread)?;
        Ok(Self { shared })
    }
}

impl Drop for Watcher {
    /// Does not wait for the thread, which may be reading from a file system that does not answer.
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long nothing may happen before the files are read, and how long they must hold the same after that.
    settle: Duration,
    /// How often they are read though nothing happened: network file systems bring no events, and events get lost.
    poll: Duration,
    /// The same where the operating system cannot watch.
    poll_blind: Duration,
}

const USUAL: Pace =
    Pace { settle: Duration::from_millis(250), poll: Duration::from_secs(30), poll_blind: Duration::from_secs(2) };

/// What the three threads share: whose files they are, who looks at them, and who is told of events.
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// The files, with what is known of them.
    files: Contents,
    /// Where a change of them shows.
    places: Places,
    /// Whether something happened there, or other files are to be watched.
    touched: bool,
    ended: bool,
}

/// Why the observer woke up.
enum Woken {
    Touched,
    Waited,
    Ended,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic leaves it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to happen, so long at most.
    fn wait(&self, timeout: Duration) -> Woken {
        let idle = |state: &mut State| !state.touched && !state.ended;
        let waited = self.wake.wait_timeout_while(self.lock(), timeout, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match (state.ended, std::mem::take(&mut state.touched)) {
            (true, _) => Woken::Ended,
            (false, true) => Woken::Touched,
            (false, false) => Woken::Waited,
        }
    }

    /// What the files hold now. The lock is not held meanwhile.
    fn read(&self) -> Contents {
        contents(self.paths(), |path| Content::read(path))
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.lock().files.keys().cloned().collect()
    }

    /// Takes an event of the operating system.
    fn note(&self, event: &notify::Result<Event>) {
        let mut state = self.lock();
        // An error may stand for events that were lost.
        if event.as_ref().map_or(true, |event| state.places.concern(event)) {
            state.touched = true;
            self.wake.notify_one();
        }
    }
}

impl Places {
    /// Whether an event may be about one of these places.
    fn concern(&self, event: &Event) -> bool {
        let is_read = match event.kind {
            // Otherwise our own reading would wake us up again.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        };
        let is_here = |path: &PathBuf| self.entries.contains(path) || self.directories.contains(path);
        event.need_rescan() || !is_read && event.paths.iter().any(is_here)
    }
}

/// The thread that looks.
struct Observer {
    shared: Arc<Shared>,
    changed: Sender<()>,
    pace: Pace,
    os: notify::Result<RecommendedWatcher>,
    /// The directories that are watched. Never files: the watch of a file is lost when another is renamed over it.
    watched: BTreeSet<PathBuf>,
    /// Whether the last attempt to watch them failed.
    blind: bool,
}

/// What a look at the files has shown.
enum Look {
    /// They hold what is known.
    Same,
    /// They hold something else, which has yet to stay.
    Unsettled(Contents),
    /// They have held something else for a while. It is known now.
    Changed,
}

impl Observer {
    fn run(mut self) {
        // The first look is at once: something may have happened before the directories were watched.
        let (mut timeout, mut unsettled) = (Duration::ZERO, None);
        loop {
            match self.shared.wait(timeout) {
                Woken::Ended => return,
                Woken::Touched => {
                    (timeout, unsettled) = (self.pace.settle, None);
                    continue;
                }
                Woken::Waited => {}
            }
            self.follow();
            (timeout, unsettled) = match self.look(unsettled.as_ref()) {
                Look::Same => (self.pause(), None),
                Look::Unsettled(contents) => (self.pace.settle, Some(contents)),
                Look::Changed => match self.changed.try_send(()) {
                    Ok(()) | Err(TrySendError::Full(())) => (self.pause(), None),
                    Err(TrySendError::Closed(())) => return,
                },
            };
        }
    }

    fn pause(&self) -> Duration {
        if self.blind { self.pace.poll_blind } else { self.pace.poll }
    }

    /// Reads the files. `before` is what they held the last time, if that was not what is known.
    fn look(&self, before: Option<&Contents>) -> Look {
        let found = self.shared.read();
        let mut state = self.shared.lock();
        // Files that are watched only since a moment ago were not read; the next look is close.
        let differs = |(path, known): (&PathBuf, &Content)| found.get(path).is_some_and(|content| content != known);
        if !state.files.iter().any(differs) {
            Look::Same
        } else if before != Some(&found) {
            Look::Unsettled(found)
        } else {
            for (path, known) in &mut state.files {
                *known = found.get(path).copied().unwrap_or(*known);
            }
            Look::Changed
        }
    }

    /// Watches the directories that matter now: symbolic links may lead elsewhere, and directories come and go.
    fn follow(&mut self) {
        let places = Places::of(&self.shared.paths());
        let directories = places.directories.clone();
        // First this, so that no event comes too early to be recognised. The lock must not be held while the operating
        // system's watcher is called: it may be waiting for it in `note`.
        self.shared.lock().places = places;
        let failure = match &mut self.os {
            Ok(os) => watch_only(os, &self.watched, &directories).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.watched = directories;
        if let Some(error) = failure.as_ref().filter(|_| !self.blind) {
            let every = self.pace.poll_blind;
            tracing::warn!(error, ?every, "files cannot be watched and are read now and then instead");
        }
        self.blind = failure.is_some();
    }
}

fn contents(paths: Vec<PathBuf>, content: impl Fn(&PathBuf) -> Content) -> Contents {
    let with_content = |path: PathBuf| {
        let content = content(&path);
        (path, content)
    };
    paths.into_iter().map(with_content).collect()
}

/// Watches `wanted`. Those in `watched` as well: another directory may have come in the place of the one that was watched,
/// and to watch the same one again changes nothing.
fn watch_only(
    os: &mut RecommendedWatcher,
    watched: &BTreeSet<PathBuf>,
    wanted: &BTreeSet<PathBuf>,
) -> notify::Result<()> {
    for gone in watched.difference(wanted) {
        // It fails where the directory itself has gone, and its watch with it.
        let _ = os.unwatch(gone);
    }
    let watch = |directory: &PathBuf| os.watch(directory, RecursiveMode::NonRecursive);
    wanted.iter().map(watch).fold(Ok(()), notify::Result::and)
}
