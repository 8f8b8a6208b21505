//! SQLite: a file beside the gateway. One thread writes, one reads, so that looking up a client does not wait for a change
//! on its way to the disk; a third one looks for changes while somebody waits for them.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// Without URI: a path with a `?` or a `%` in it is a path.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A file that is open. Its threads end with the last clone.
#[derive(Clone)]
pub(super) struct Sqlite {
    writer: Sender<Job>,
    reader: Sender<Job>,
    watcher: Sender<Watch>,
    /// How many files the reader has gone through.
    replaced: Arc<AtomicU64>,
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
    file: OpenFile,
    written: Option<Sender<Watch>>,
}

/// Which file it is: device and inode.
type FileId = (u64, u64);

/// A connection to the file that is at a path. Once the file is moved away or deleted, what is open is a database that nobody
/// else knows of: a client that is revoked in the one that took its place would go on getting tokens.
struct OpenFile {
    path: PathBuf,
    access: Access,
    id: FileId,
    connection: Connection,
    /// How often another file was there.
    replaced: Arc<AtomicU64>,
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

    /// How often reading has begun anew, with another file.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Acquire)
    }
}

fn start(path: &Path) -> Result<Sqlite, StoreError> {
    create(path)?;
    let writing = OpenFile::open(path, Access::Write)?;
    migrate(&writing.connection).map_err(|error| at(path, error))?;
    let (reading, watching) = (OpenFile::open(path, Access::Read)?, OpenFile::open(path, Access::Read)?);

    let (watcher, watches) = channel();
    let (writer, writes) = channel();
    let (reader, reads) = channel();
    let replaced = Arc::clone(&reading.replaced);
    let writing = Server { file: writing, written: Some(watcher.clone()) };
    let reading = Server { file: reading, written: None };
    spawn("sqlite write", move || writing.serve(&writes))?;
    spawn("sqlite read", move || reading.serve(&reads))?;
    spawn("sqlite watch", move || watch(watching, &watches))?;
    Ok(Sqlite { writer, reader, watcher, replaced })
}

/// The error of a file at this path.
fn at(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", path.display())),
        StoreError::Unusable(text) => StoreError::Unusable(format!("{}: {text}", path.display())),
    }
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

impl OpenFile {
    fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let opened = file_id(path).and_then(|id| Ok((id, connect(path, access)?)));
        let (id, connection) = opened.map_err(|error| at(path, error))?;
        Ok(Self { path: path.to_owned(), access, id, connection, replaced: Arc::default() })
    }

    /// Sees to it that what is open is the file at the path. Whether another one had to be opened; if there is none of ours,
    /// there may be later. It costs one `stat`, and a look-up that passes it asks the kernel more than once anyway.
    fn follow(&mut self) -> Result<bool, StoreError> {
        // Asked before the file is opened: one that is replaced in between is opened once too often, and none missed.
        let id = file_id(&self.path).map_err(|error| at(&self.path, error))?;
        if id == self.id {
            return Ok(false);
        }
        self.connection = reconnect(&self.path, self.access).map_err(|error| at(&self.path, error))?;
        self.id = id;
        self.replaced.fetch_add(1, Ordering::Release);
        Ok(true)
    }
}

fn file_id(path: &Path) -> Result<FileId, StoreError> {
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::Unavailable("the file was moved away or deleted".to_owned()))
        }
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

/// Connects to the file that has taken the place of another one: a storage of ours. What is not is left as it is, and an
/// empty file is not made one: whoever put it there may not be done.
fn reconnect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let sql = |error: rusqlite::Error| failed(&error);
    let connection = Connection::open_with_flags(path, FLAGS).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id").map_err(sql)? != APPLICATION_ID {
        return Err(StoreError::Unusable("another file has taken its place that is no storage of sidegate".to_owned()));
    }
    let version = number("user_version").map_err(sql)?;
    prepare(&connection)?;
    // A backup may be older than this program.
    if !missing(MIGRATIONS, version)?.is_empty() {
        migrate(&connection)?;
    }
    hold(&connection, access)?;
    Ok(connection)
}

fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, FLAGS).map_err(|error| failed(&error))?;
    prepare(&connection)?;
    hold(&connection, access)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    set_up(connection).map_err(|error| failed(&error))?;
    // SQLite opens a file that may not be written all the same.
    match connection.is_readonly("main").map_err(|error| failed(&error))? {
        true => Err(StoreError::Unusable("may not be written".to_owned())),
        false => Ok(()),
    }
}

/// Holds a connection to what it is for.
fn hold(connection: &Connection, access: Access) -> Result<(), StoreError> {
    connection.pragma_update(None, "query_only", access == Access::Read).map_err(|error| failed(&error))
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
    fn serve(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // A panic in a job is the end of that job and not of the storage.
            let _ = catch_unwind(AssertUnwindSafe(|| self.run(job)));
            let connection = &self.file.connection;
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            if let Some(watcher) = &self.written {
                let _ = watcher.send(Watch::Look);
            }
        }
    }

    fn run(&mut self, job: Job) {
        let begin = if self.file.access == Access::Write { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let followed = self.file.follow();
        let connection = &self.file.connection;
        let begun = followed.and_then(|_| connection.execute_batch(begin).map_err(|error| failed(&error)));
        let work = pin!(job(begun.map(|()| Link::Sqlite(connection))));
        // A job waits for nothing but its database, and this one never makes it wait: one poll is all it takes.
        let _ = work.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Looks for changes while somebody waits for them: at once when told to, else for those of other processes. Those show in
/// `data_version`, which costs no look into the file.
fn watch(mut file: OpenFile, watches: &Receiver<Watch>) {
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
        let lost = match file.follow() {
            Ok(false) => None,
            Ok(true) => Some(at(&file.path, StoreError::Unavailable("another file has taken its place".to_owned()))),
            Err(error) => Some(error),
        };
        if let Some(error) = lost {
            Waiter::answer_all(&mut waiters, &Err(error));
            seen = None;
            continue;
        }
        let connection = &file.connection;
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
