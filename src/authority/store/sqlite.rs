//! SQLite: a file beside the gateway. One thread writes, one reads, so that looking up a client does not wait for a change
//! on its way to the disk; a third one looks for changes while somebody waits for them.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use super::link::{Access, Job, Link};
use super::{StoreError, Waiter, missing};

/// What leads from each version of the tables to the next one.
const MIGRATIONS: &[&str] = &[include_str!("tables/sqlite_1.sql")];
/// Marks a file as ours (`PRAGMA application_id`): "SGAT".
const APPLICATION_ID: i64 = 0x5347_4154;
/// How long a connection waits for other processes.
const BUSY: Duration = Duration::from_secs(5);
/// How often changes of other processes are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A file that is open. Its threads end with the last clone.
#[derive(Clone)]
pub(super) struct Sqlite {
    writer: Sender<Job>,
    reader: Sender<Job>,
    watcher: Sender<Watch>,
}

/// What the thread that looks for changes is told.
enum Watch {
    /// Somebody waits.
    Wait(Waiter),
    /// There may be something new.
    Look,
}

/// What serves one kind of jobs.
struct Server {
    connection: Connection,
    access: Access,
    written: Option<Sender<Watch>>,
}

impl Sqlite {
    /// Opens a file, which is made if it is not there.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let (reply, answer) = oneshot::channel();
        let path = path.to_owned();
        spawn("sqlite open", move || drop(reply.send(start(&path))))?;
        answer.await.unwrap_or_else(|_| Err(super::no_answer()))
    }

    /// Has something done in a transaction. A job that is not done is dropped, and with it the way to answer.
    pub(super) fn submit(&self, access: Access, job: Job) {
        let queue = if access == Access::Write { &self.writer } else { &self.reader };
        drop(queue.send(job));
    }

    pub(super) fn wait(&self, waiter: Waiter) {
        drop(self.watcher.send(Watch::Wait(waiter)));
    }
}

fn start(path: &Path) -> Result<Sqlite, StoreError> {
    create(path)?;
    let at = |error: StoreError| match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", path.display())),
        StoreError::Unusable(text) => StoreError::Unusable(format!("{}: {text}", path.display())),
    };
    let writing = connect(path).map_err(at)?;
    migrate(&writing).map_err(at)?;
    let (reading, watching) = (connect(path).map_err(at)?, connect(path).map_err(at)?);
    reading.pragma_update(None, "query_only", true).map_err(|error| at(failed(&error)))?;

    let (watcher, watches) = channel();
    let (writer, writes) = channel();
    let (reader, reads) = channel();
    let writing = Server { connection: writing, access: Access::Write, written: Some(watcher.clone()) };
    let reading = Server { connection: reading, access: Access::Read, written: None };
    spawn("sqlite write", move || writing.serve(&writes))?;
    spawn("sqlite read", move || reading.serve(&reads))?;
    spawn("sqlite watch", move || watch(&watching, &watches))?;
    Ok(Sqlite { writer, reader, watcher })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))
}

/// Makes the file, for nobody else's eyes. SQLite gives `-wal` and `-shm` the same permissions.
fn create(path: &Path) -> Result<(), StoreError> {
    let unusable = |text: String| Err(StoreError::Unusable(format!("{}: {text}", path.display())));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // The umask may have taken something away.
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)).or_else(|error| unusable(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(there) if there.is_file() => Ok(()),
            Ok(_) => unusable("is not a file; expected the path of a database file".to_owned()),
            Err(error) => unusable(error.to_string()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => unusable("its directory does not exist".to_owned()),
        Err(error) => unusable(format!("cannot be created: {error}")),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    // Without URI: a path with a `?` or a `%` in it is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    set_up(&connection).map_err(|error| failed(&error))?;
    // SQLite opens a file that may not be written all the same.
    if connection.is_readonly("main").map_err(|error| failed(&error))? {
        return Err(StoreError::Unusable("may not be written".to_owned()));
    }
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Where several processes do this at once, SQLite does not wait as it does elsewhere.
    let end = Instant::now() + BUSY;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())) {
            Err(error) if is_busy(&error) && Instant::now() < end => thread::sleep(Duration::from_millis(10)),
            done => break done?,
        }
    }
    // FULL: what was acknowledged survives a loss of power. On macOS that takes `fullfsync`.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;",
    )
}

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| failed(&error);
    // One process after the other, if several open it at once.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sql)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if application != APPLICATION_ID && (version, tables) != (0, 0) {
        return Err(StoreError::Unusable("is a database of another program".to_owned()));
    }
    for step in missing(MIGRATIONS, version)? {
        connection.execute_batch(step).map_err(sql)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    connection.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)).map_err(sql)?;
    connection.execute_batch("COMMIT").map_err(sql)
}

impl Server {
    fn serve(self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // A panic in a job is the end of that job and not of the storage.
            let _ = catch_unwind(AssertUnwindSafe(|| self.run(job)));
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            if let Some(watcher) = &self.written {
                let _ = watcher.send(Watch::Look);
            }
        }
    }

    fn run(&self, job: Job) {
        let begin = if self.access == Access::Write { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let begun = self.connection.execute_batch(begin).map_err(|error| failed(&error));
        let work = pin!(job(begun.map(|()| Link::Sqlite(&self.connection))));
        // A job waits for nothing but its database, and this one never makes it wait: one poll is all it takes.
        let _ = work.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Looks for changes while somebody waits for them: at once when told to, else for those of other processes. Those show in
/// `data_version`, which costs no look into the file.
fn watch(connection: &Connection, watches: &Receiver<Watch>) {
    let mut waiters = Vec::new();
    let mut seen = None;
    loop {
        let watch = if waiters.is_empty() {
            watches.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            watches.recv_timeout(LOOK)
        };
        match watch {
            Ok(Watch::Wait(waiter)) => {
                waiters.push(waiter);
                seen = None;
            }
            Ok(Watch::Look) if waiters.is_empty() => continue,
            Ok(Watch::Look) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let version = connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).ok();
        if version.is_none() || version != seen {
            Waiter::answer_all(&mut waiters, &number(connection).map_err(|error| failed(&error)));
        } else {
            waiters.retain(|waiter| !waiter.reply.is_closed());
        }
        seen = version;
    }
}

fn number(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT number FROM sidegate_state")?;
    let number: i64 = statement.query_row([], |row| row.get(0))?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

/// What an error of SQLite means. Its texts name tables and columns, and no values.
pub(super) fn failed(error: &rusqlite::Error) -> StoreError {
    if is_busy(error) {
        return StoreError::Unavailable(format!("another process has locked it for {} s", BUSY.as_secs()));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
            StoreError::Unavailable(error.to_string())
        }
        Some(ErrorCode::CannotOpen) => {
            StoreError::Unusable(format!("{error}; sidegate has to be allowed to write to it and to its directory"))
        }
        _ => StoreError::Unusable(error.to_string()),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
