//! The thread that writes, and the buffers it empties.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use prometheus::IntCounter;

/// Most bytes that wait in one worker's buffer, give or take one line.
const LANE_BYTES_MAX: usize = 256 * 1024;

/// The pause after a write. Lines gather meanwhile: a busy log costs few calls, and a line is never older than this
/// when it is written.
const GATHER: Duration = Duration::from_millis(20);

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Thread,
    /// Disconnects when the thread ends.
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Whether a lane has had lines since the thread last looked: only the first of them wakes it.
    woken: AtomicBool,
    closed: AtomicBool,
    dropped: IntCounter,
}

/// The lines of one worker on their way to the writer.
///
/// The lock is taken by one worker and the writer only, which holds it for as long as it takes to swap two pointers.
#[derive(Debug)]
pub(super) struct Lane {
    lines: Mutex<Lines>,
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Writer {
    pub(super) fn start(sink: Box<dyn Write + Send>, dropped: IntCounter) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            lanes: Mutex::default(),
            woken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            dropped,
        });
        let (end, ended) = mpsc::channel();
        let ours = Arc::clone(&shared);
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            write_until_closed(&ours, sink);
            drop(end);
        })?;
        Ok(Self { shared, thread: thread.thread().clone(), ended })
    }

    /// A new buffer, for one worker.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let lane =
            Arc::new(Lane { lines: Mutex::default(), shared: Arc::clone(&self.shared), thread: self.thread.clone() });
        lock(&self.shared.lanes).push(Arc::clone(&lane));
        lane
    }

    pub(super) fn close(self, wait: Duration) {
        self.shared.closed.store(true, Ordering::Release);
        self.thread.unpark();
        // Nothing is ever sent: this returns when the thread has ended, or when the time is over.
        _ = self.ended.recv_timeout(wait);
    }
}

impl Lane {
    /// Adds a line that `write` writes. Where there is no room, or the log is closed, the line is dropped.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = lock(&self.lines);
        if lines.bytes.len() >= LANE_BYTES_MAX || self.shared.closed.load(Ordering::Acquire) {
            drop(lines);
            self.shared.dropped.inc();
            return;
        }
        write(&mut lines.bytes);
        lines.count += 1;
        drop(lines);
        // The writer clears the flag before it empties a lane: one that is still set stands for an emptying to come.
        if !self.shared.woken.load(Ordering::SeqCst) && !self.shared.woken.swap(true, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

fn write_until_closed(shared: &Shared, mut sink: Box<dyn Write + Send>) {
    let mut batch = Lines::default();
    let mut failing = false;
    loop {
        // Read before the lanes are emptied: no line that was added before the end is left behind.
        let closed = shared.closed.load(Ordering::Acquire);
        shared.woken.store(false, Ordering::SeqCst);
        let lanes = lock(&shared.lanes).clone();
        let mut wrote = false;
        for lane in lanes {
            std::mem::swap(&mut *lock(&lane.lines), &mut batch);
            if batch.count > 0 {
                write_batch(&mut sink, &batch, &shared.dropped, &mut failing);
                wrote = true;
            }
            batch.bytes.clear();
            batch.count = 0;
        }
        match (closed, wrote) {
            (true, _) => return,
            (false, true) => thread::sleep(GATHER),
            (false, false) => thread::park(),
        }
    }
}

/// Writes a batch. One that fails is lost: keeping it would fill the memory for as long as the disk is full.
fn write_batch(sink: &mut dyn Write, batch: &Lines, dropped: &IntCounter, failing: &mut bool) {
    let written = sink.write_all(&batch.bytes).and_then(|()| sink.flush());
    if let Err(error) = &written {
        dropped.inc_by(batch.count);
        if !*failing {
            tracing::warn!(%error, "the access log cannot be written, lines are lost");
        }
    } else if *failing {
        tracing::info!("the access log can be written again");
    }
    *failing = written.is_err();
}

/// A thread that died while it held the lock has left at worst half a line.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
