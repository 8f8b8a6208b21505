//! PostgreSQL: one database for a fleet.
//!
//! A thread of its own drives the connections, so that the storage can be used from any runtime. A few connections are kept;
//! they are made when they are needed, so that a database that was away is used again without anybody's doing. Every wait
//! has an end.

use std::cell::RefCell;
use std::error::Error as _;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::link::{Access, Ended, Job, Link};
use super::{StoreError, Waiter, missing, read, write};
use crate::config::authority::Postgres as Settings;
use crate::net::tls;

/// What leads from each version of the tables to the next one.
const MIGRATIONS: &[&str] = &[include_str!("tables/postgres_1.sql")];
/// The lock that migrations are made under: "SIDEGATE".
const MIGRATION_LOCK: i64 = 0x5349_4445_4741_5445;
/// How many transactions may be under way at a time.
const CONNECTIONS: usize = 4;
/// How long it may take to connect, or to begin a transaction on a connection that was made before.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a transaction may take in all, with the wait for a connection.
const ANSWER: Duration = Duration::from_secs(10);
/// How often changes are looked for though PostgreSQL tells of none.
const LOOK: Duration = Duration::from_secs(1);
/// What keeps the server from holding locks for a client that is lost.
const SETUP: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";

/// A database. Its thread ends with the last clone.
#[derive(Clone)]
pub(super) struct Postgres {
    jobs: UnboundedSender<(Access, Job)>,
    waiters: UnboundedSender<Waiter>,
}

/// Connections, and how to make them.
struct Pool {
    config: Config,
    tls: MakeRustlsConnect,
    idle: RefCell<Vec<Client>>,
    permits: Semaphore,
}

/// A connection that is told of changes.
struct Listener {
    client: Client,
    told: Rc<Notify>,
}

impl Postgres {
    /// Starts the thread. It connects at the first job.
    pub(super) fn start(settings: &Settings) -> Result<Self, StoreError> {
        let config = config(settings)?;
        let tls = MakeRustlsConnect::new(tls_config(&config)?);
        let pool = Pool { config, tls, idle: RefCell::default(), permits: Semaphore::new(CONNECTIONS) };
        let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("no thread for it: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
        let (jobs, new_jobs) = unbounded_channel();
        let (waiters, new_waiters) = unbounded_channel();
        let work = move || LocalSet::new().block_on(&runtime, serve(Rc::new(pool), new_jobs, new_waiters));
        thread::Builder::new().name("postgres".to_owned()).spawn(work).map_err(unavailable)?;
        Ok(Self { jobs, waiters })
    }

    /// Has something done in a transaction. A job that is not done is dropped, and with it the way to answer.
    pub(super) fn submit(&self, access: Access, job: Job) {
        drop(self.jobs.send((access, job)));
    }

    pub(super) fn wait(&self, waiter: Waiter) {
        drop(self.waiters.send(waiter));
    }
}

fn config(settings: &Settings) -> Result<Config, StoreError> {
    let Settings { url, password } = settings;
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        StoreError::Unusable(format!("{}; expected postgres://USER@HOST/DATABASE", with_cause(&error)))
    })?;
    if let Some(password) = password {
        config.password(password.0.as_str());
    }
    if config.get_application_name().is_none() {
        config.application_name("sidegate");
    }
    // Where the network drops what is sent, the connection ends and not only the wait for it.
    config.tcp_user_timeout(ANSWER).keepalives_idle(Duration::from_secs(30));
    Ok(config)
}

/// The server's certificate is verified whenever TLS is used, with `sslmode=prefer` too.
fn tls_config(config: &Config) -> Result<ClientConfig, StoreError> {
    let is_used = config.get_ssl_mode() != SslMode::Disable;
    let roots = if is_used { tls::system_roots() } else { RootCertStore::empty() };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| StoreError::Unusable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Brings the tables up to date.
pub(super) async fn migrate(link: Link<'_>) -> Result<Ended<()>, StoreError> {
    // One process after the other, if several open it at once.
    link.rows("SELECT pg_advisory_xact_lock($1)", &[MIGRATION_LOCK.into()]).await?;
    // `CREATE TABLE IF NOT EXISTS` would ask for the right to create it even where it is.
    let there = link.rows("SELECT to_regclass('sidegate_schema') IS NOT NULL", &[]).await?;
    if !there.first().map_or(Ok(false), |row| row.flag(0))? {
        link.execute("CREATE TABLE sidegate_schema (version BIGINT NOT NULL)").await?;
    }
    let versions = link.rows("SELECT version FROM sidegate_schema", &[]).await?;
    let version = versions.first().map_or(Ok(0), |row| row.int(0))?;
    let steps = missing(MIGRATIONS, version)?;
    if steps.is_empty() {
        return Ok(Ended::RollBack(()));
    }
    for step in steps {
        link.execute(step).await?;
    }
    link.execute("DELETE FROM sidegate_schema").await?;
    let version = u64::try_from(MIGRATIONS.len()).unwrap_or(u64::MAX);
    link.rows("INSERT INTO sidegate_schema (version) VALUES ($1)", &[version.into()]).await?;
    Ok(Ended::Commit(()))
}

async fn serve(pool: Rc<Pool>, mut jobs: UnboundedReceiver<(Access, Job)>, waiters: UnboundedReceiver<Waiter>) {
    spawn_local(watch(pool.clone(), waiters));
    while let Some((access, job)) = jobs.recv().await {
        let pool = pool.clone();
        // One that takes too long is dropped with its connection, and so is the way to answer.
        spawn_local(async move { timeout(ANSWER, run(&pool, access, job)).await });
    }
}

async fn run(pool: &Pool, access: Access, job: Job) {
    let Ok(_permit) = pool.permits.acquire().await else { return };
    match pool.begin(access).await {
        Ok(client) => {
            job(Ok(Link::Postgres(&client))).await;
            pool.idle.borrow_mut().push(client);
        }
        Err(error) => job(Err(error)).await,
    }
}

impl Pool {
    /// A connection with a transaction on it.
    async fn begin(&self, access: Access) -> Result<Client, StoreError> {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // What is read once the counter is locked is what the change before has left.
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        if let Some(client) = self.take() {
            if let Ok(Ok(())) = timeout(CONNECT, client.batch_execute(begin)).await {
                return Ok(client);
            }
            // The others are from before whatever happened to this one.
            self.idle.borrow_mut().clear();
        }
        let client = self.connect(Rc::default()).await?;
        client.batch_execute(begin).await.map_err(|error| failed(&error))?;
        Ok(client)
    }

    /// A connection that nobody uses.
    fn take(&self) -> Option<Client> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|client| !client.is_closed());
        idle.pop()
    }

    /// A new connection. `told` is notified of each change, and of the end of the connection.
    async fn connect(&self, told: Rc<Notify>) -> Result<Client, StoreError> {
        let connect = async {
            let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
            spawn_local(async move {
                while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                    if matches!(message, AsyncMessage::Notification(_)) {
                        told.notify_one();
                    }
                }
                drop(connection);
                told.notify_one();
            });
            client.batch_execute(SETUP).await?;
            Ok(client)
        };
        let late = || StoreError::Unavailable(format!("no connection within {} s", CONNECT.as_secs()));
        timeout(CONNECT, connect).await.map_err(|_| late())?.map_err(|error| failed(&error))
    }
}

/// Looks for changes while somebody waits for them: when PostgreSQL tells of one, and every now and then.
async fn watch(pool: Rc<Pool>, mut new: UnboundedReceiver<Waiter>) {
    let mut waiters = Vec::new();
    let mut listener = None;
    loop {
        if waiters.is_empty() {
            let Some(waiter) = new.recv().await else { return };
            waiters.push(waiter);
        }
        let number = look(&pool, &mut listener).await;
        Waiter::answer_all(&mut waiters, &number);
        let Some(Listener { told, .. }) = &listener else { continue };
        if waiters.is_empty() {
            continue;
        }
        tokio::select! {
            () = told.notified() => {}
            () = sleep(LOOK) => {}
            waiter = new.recv() => match waiter {
                Some(waiter) => waiters.push(waiter),
                None => return,
            },
        }
    }
}

/// The number of the last change. Listening comes first: what happens before it is told to nobody, and seen here.
async fn look(pool: &Pool, listener: &mut Option<Listener>) -> Result<u64, StoreError> {
    let current = match listener.take().filter(|listener| !listener.client.is_closed()) {
        Some(current) => current,
        None => {
            let told = Rc::new(Notify::new());
            let client = pool.connect(told.clone()).await?;
            Listener { client, told }
        }
    };
    let link = Link::Postgres(&current.client);
    let ask = async {
        link.execute(&format!("LISTEN {}", write::CHANNEL)).await?;
        read::number(link).await
    };
    let number = timeout(CONNECT, ask).await.map_err(|_| super::no_answer())??;
    *listener = Some(current);
    Ok(number)
}

/// What an error of PostgreSQL means. Its details may name values, and are left out.
pub(super) fn failed(error: &tokio_postgres::Error) -> StoreError {
    let Some(told) = error.as_db_error() else {
        return StoreError::Unavailable(with_cause(error));
    };
    let text = format!("{} (SQLSTATE {})", told.message(), told.code().code());
    if passes(told.code()) { StoreError::Unavailable(text) } else { StoreError::Unusable(text) }
}

fn with_cause(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Whether an error is of the kind that passes. The classes are those of PostgreSQL's appendix A: connection, transaction
/// rollback, resources, operator's intervention; beside them waits that took too long, and a server that is a standby now.
fn passes(code: &SqlState) -> bool {
    let classes = ["08", "40", "53", "57"];
    classes.iter().any(|class| code.code().starts_with(class))
        || [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT].contains(&code)
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}
