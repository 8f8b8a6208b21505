//! A child process: its output is collected while it runs, and it ends with the value that owns it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::sync::Watched;

/// A running child.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. The child has not been waited for, so its id still means it.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Stops the child, and waits until each of its threads has stopped: a signal is only on its way when it is sent.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let change = waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap();
        assert!(change.is_some_and(|(_, status)| status.stopped()), "{change:?}");
    }

    /// Waits for the child to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // A pipe ends with its last writer: the event that a process has ended, with a deadline that `wait` lacks.
        assert!(self.has_ended(), "the process does not end; its output:\n{}", self.stderr.text());
        self.child.wait().unwrap()
    }

    fn has_ended(&self) -> bool {
        self.stdout.wait_for_end() && self.stderr.wait_for_end()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        if thread::panicking() {
            eprintln!("--- stderr of the child ---\n{}", self.stderr.text());
        }
        // The second one says not to wait: the gateway takes connections for `limits.drain_delay` after the first. It is
        // another signal than the first, since two of one kind can arrive as one.
        self.signal(Signal::TERM);
        self.signal(Signal::INT);
        if thread::panicking() || !self.has_ended() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// What a child has written so far.
#[derive(Clone)]
pub(crate) struct Output(Arc<Watched<Collected>>);

#[derive(Default)]
struct Collected {
    text: String,
    ended: bool,
}

impl Output {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let output = Self(Arc::default());
        let writer = output.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                writer.0.change(|collected| collected.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writer.0.change(|collected| collected.ended = true);
        });
        output
    }

    pub(crate) fn text(&self) -> String {
        self.0.change(|collected| collected.text.clone())
    }

    /// The first `Some` that `find` makes of the complete lines so far. Panics when the output or the patience ends
    /// before; `what` says what was waited for.
    pub(crate) fn wait_for<R>(&self, what: &str, mut find: impl FnMut(&str) -> Option<R>) -> R {
        let found = self.0.wait_for(|collected| match find(&collected.text) {
            Some(found) => Some(Some(found)),
            None => collected.ended.then_some(None),
        });
        found.flatten().unwrap_or_else(|| panic!("waited in vain for {what}; the output:\n{}", self.text()))
    }

    fn wait_for_end(&self) -> bool {
        self.0.wait_for(|collected| collected.ended.then_some(())).is_some()
    }
}
