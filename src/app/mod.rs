//! The wiring: the only part that knows everything.
//!
//! Order matters at both ends. At the start everything that can fail does so before the first request is accepted; at
//! the end the process is unready first, goes on accepting while load balancers learn of it, and only then drains.

mod authority;
mod descriptors;
mod signals;
mod sockets;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use self::authority::{AuthorityThread, OpenStore};
use self::signals::EndSignals;
use self::sockets::Sockets;
use crate::admin::listener::Admin;
use crate::admin::{AdminState, Loaded, Phase as ReadyPhase, Readiness, Surface};
use crate::authority::desk::{Desk, Handed};
use crate::clock;
use crate::config::{Config, Limits};
use crate::fronts::authority::ToAuthority;
use crate::fronts::authz::{Authz, Protocol};
use crate::fronts::proxy::Proxy;
use crate::fronts::worker::Worker;
use crate::live::keys::{self, Keeper, KeyRefresh};
use crate::live::registry::{self, RegistryStates};
use crate::live::reload::{self, Fixed, Reloaded, Reloader};
use crate::live::state::{Generation, Live};
use crate::live::watch::Watcher;
use crate::net::listen::Listener;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::upstream::check_forever;
use crate::worker::{self, ConnectionCount, Phase};

/// Memory for verified tokens, in bytes, over all workers.
const TOKEN_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// Connections to the admin and to the health listener.
const ADMIN_CONNECTIONS_MAX: usize = 256;
/// How long the keys of issuers are waited for before it is ready without them.
const KEYS_WAIT: Duration = Duration::from_secs(30);
/// How long the access log may take to write its last lines.
const LOG_CLOSE: Duration = Duration::from_secs(2);

/// Runs the gateway until it is told to end. `config` is what the file at `path` says.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn run(path: PathBuf, config: Config) -> anyhow::Result<ExitCode> {
    let workers = config.workers.unwrap_or_else(default_workers);
    descriptors::take_all();
    descriptors::check(config.limits.connections, config.authz.is_some());
    let sockets = Sockets::bind(&config, workers)?;
    let metrics = Metrics::new().context("cannot set up the metrics")?;
    let telemetry = &config.telemetry;
    let access_log = AccessLog::start(&telemetry.access_log, telemetry.log_format, metrics.access_log_dropped())?;
    let (fixed, hash, files) = (Fixed::of(&config), config.hash.clone(), reload::watched(&path, &config));
    let (desk, handed) = Desk::new();
    let gateway = Gateway {
        workers,
        desk,
        registries: RegistryStates::default(),
        store: OpenStore::default(),
        clients: Arc::new(ConnectionCount::new(config.limits.connections)),
        asking: Arc::new(ConnectionCount::new(config.limits.connections)),
        live: Arc::new(Live::new(Generation::first(config))),
        keys: KeyRefresh::default(),
        metrics,
        access_log,
    };
    let state = Arc::new(gateway.admin_state(hash, sockets.admin_address()));
    for (surface, address) in sockets.addresses() {
        tracing::info!(surface, address, "listening");
    }
    let (phase, _) = watch::channel(Phase::Serving);
    let mut workers_alive = gateway.start_workers(sockets.proxy, (sockets.authz, sockets.authz_protocols), &phase)?;

    let runtime = worker::runtime()?;
    let outcome = runtime.block_on(async {
        let mut end = EndSignals::new()?;
        let reload = gateway.start_reloading(path, fixed, files, &state)?;
        gateway.start_authority(handed, reload.clone())?;
        for (surface, listener) in [(Surface::Admin, sockets.admin), (Surface::Health, sockets.health)] {
            if let Some(listener) = listener {
                serve_admin(listener, Admin::new(Arc::clone(&state), surface, reload.clone()));
            }
        }
        gateway.metrics.config_loaded(true);
        state.readiness.advance(ReadyPhase::AwaitingKeys);
        tokio::select! {
            () = be_ready(&gateway, &state) => {}
            () = end.next() => {}
        }
        state.readiness.advance(ReadyPhase::Draining);
        tracing::info!("draining");
        let limits = Arc::clone(&gateway.live.load().limits);
        tokio::select! {
            () = drain(&phase, &limits, &mut workers_alive) => {}
            () = end.next() => tracing::warn!("told to end a second time: requests in flight are cut off"),
        }
        anyhow::Ok(())
    });
    // Not waited for: a look-up of a name or a write to a disk that hangs would keep the process from ending.
    runtime.shutdown_background();
    gateway.access_log.close(LOG_CLOSE);
    outcome?;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Waits for the issuers' keys, and is ready from then on.
async fn be_ready(gateway: &Gateway, state: &AdminState) {
    if !keys::await_all(&gateway.live, KEYS_WAIT).await {
        tracing::warn!("ready without the keys of some issuers: their tokens are refused");
    }
    state.readiness.advance(ReadyPhase::Ready);
    tracing::info!(workers = gateway.workers, "ready");
    std::future::pending().await
}

/// Goes on accepting for `drain_delay`, then finishes what is in flight. `alive` closes when the last worker has ended.
async fn drain(phase: &watch::Sender<Phase>, limits: &Limits, alive: &mut mpsc::Receiver<Infallible>) {
    tokio::time::sleep(limits.drain_delay).await;
    phase.send_replace(Phase::Draining(limits.drain));
    while alive.recv().await.is_some() {}
}

/// The CPUs this process may use, by affinity and cgroup quota.
fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Serves the admin or the health listener, to the very end: while the process drains is when people look.
fn serve_admin(listener: TcpListener, admin: Admin) {
    tokio::task::spawn_local(async move {
        let (_phase, never) = watch::channel(Phase::Serving);
        let count = Arc::new(ConnectionCount::new(ADMIN_CONNECTIONS_MAX));
        if let Err(error) = worker::serve(vec![listener], admin, count, never).await {
            tracing::error!(%error, "the admin listener failed");
        }
    });
}

/// What the parts of the process share.
struct Gateway {
    workers: NonZeroUsize,
    /// Connections of clients.
    clients: Arc<ConnectionCount>,
    /// Connections of proxies that ask. They have places of their own: however many clients there are, a proxy that asks for
    /// its own clients finds room, and the other way round.
    asking: Arc<ConnectionCount>,
    live: Arc<Live>,
    /// Where workers ask for keys.
    keys: KeyRefresh,
    /// Where workers hand over requests for the authority.
    desk: Desk,
    /// How it stands with the client registries.
    registries: RegistryStates,
    /// The authority's storage, once it is open.
    store: OpenStore,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
}

impl Gateway {
    fn admin_state(&self, config_hash: String, admin_address: Option<SocketAddr>) -> AdminState {
        AdminState {
            live: Arc::clone(&self.live),
            loaded: ArcSwap::from_pointee(loaded_now(config_hash)),
            last_reload_error: ArcSwapOption::empty(),
            readiness: Readiness::default(),
            registries: self.registries.clone(),
            store: Arc::clone(&self.store),
            metrics: Arc::clone(&self.metrics),
            workers: self.workers.get(),
            started: clock::monotonic(),
            admin_address,
        }
    }

    /// Starts a thread for each worker. What is returned closes when the last of them has ended.
    fn start_workers(
        &self,
        sockets: Vec<Vec<TcpListener>>,
        (authz, protocols): (Vec<Vec<Listener>>, Vec<Protocol>),
        phase: &watch::Sender<Phase>,
    ) -> anyhow::Result<mpsc::Receiver<Infallible>> {
        let (alive, ended) = mpsc::channel(1);
        let memo_bytes_max = TOKEN_MEMORY_BYTES / self.workers.get() as u64;
        for (number, (listeners, authz)) in sockets.into_iter().zip(authz).enumerate() {
            let (live, metrics, log) = (Arc::clone(&self.live), Arc::clone(&self.metrics), self.access_log.worker());
            let (clients, asking) = (Arc::clone(&self.clients), Arc::clone(&self.asking));
            let (phase, alive) = (phase.subscribe(), alive.clone());
            let (keys, protocols) = (self.keys.clone(), protocols.clone().into());
            let authority = self.to_authority(&phase);
            let work = move || {
                worker::runtime()?.block_on(async {
                    let worker = Rc::new(Worker::new(live, keys, authority, metrics, log, memo_bytes_max));
                    let authorizer = Authz::new(Rc::clone(&worker), protocols);
                    let authz = worker::serve(authz, authorizer, asking, phase.clone());
                    let proxy = worker::serve(listeners, Proxy::new(worker), clients, phase);
                    tokio::try_join!(proxy, authz).map(drop).context("cannot serve")
                })
            };
            let run = move || {
                let _alive = alive;
                if let Err(error) = work() {
                    // A gateway with a dead worker would leave the connections of its sockets unanswered.
                    tracing::error!("worker {number} failed: {error:#}");
                    std::process::exit(1);
                }
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            thread.spawn(run).context("cannot start a worker")?;
        }
        Ok(ended)
    }

    /// A worker's way to the authority.
    fn to_authority(&self, phase: &watch::Receiver<Phase>) -> ToAuthority {
        ToAuthority::new(self.desk.clone(), Arc::clone(&self.live), self.registries.clone(), phase.clone())
    }

    /// Starts the authority, if there is one.
    fn start_authority(
        &self,
        handed: mpsc::Receiver<Handed>,
        writer: mpsc::Sender<reload::Request>,
    ) -> anyhow::Result<()> {
        let live = Arc::clone(&self.live);
        let Some(settings) = live.load().authority.clone() else { return Ok(()) };
        let (states, store) = (self.registries.clone(), Arc::clone(&self.store));
        AuthorityThread { settings, live, writer, states, store, handed }.start()
    }

    /// Starts what reloads the configuration, and what follows a reload in the background. What is returned is where
    /// reloads are asked for.
    fn start_reloading(
        &self,
        path: PathBuf,
        fixed: Fixed,
        files: Vec<PathBuf>,
        state: &Arc<AdminState>,
    ) -> anyhow::Result<mpsc::Sender<reload::Request>> {
        let (ask, asked) = mpsc::channel(reload::WAITING_MAX);
        let (touched, touches) = mpsc::channel(1);
        let watcher = Watcher::start(files, touched)?;
        let (changed, change) = watch::channel(());
        let (state, counts) = (Arc::clone(state), [Arc::clone(&self.clients), Arc::clone(&self.asking)]);
        let has_authz = fixed.has_authz();
        let reloader = Reloader::new(path, fixed, Arc::clone(&self.live), watcher, move |outcome| {
            tell(&state, outcome);
            if outcome.is_ok() {
                let connections = state.live.load().limits.connections;
                descriptors::check(connections, has_authz);
                counts.iter().for_each(|count| count.set_max(connections));
                changed.send_replace(());
            }
        });
        let writing = tokio::task::spawn_local(reloader.run(asked));
        tokio::task::spawn_local(async move {
            if let Err(error) = writing.await {
                // Nothing would be put in force any more, no revocation either, and nobody would be told.
                tracing::error!(%error, "nothing can be put in force any more");
                std::process::exit(1);
            }
        });
        tokio::task::spawn_local(check_upstreams(Arc::clone(&self.live), change.clone()));
        let feeds = registry::Keeper::new(Arc::clone(&self.live), ask.clone(), self.registries.clone());
        tokio::task::spawn_local(feeds.run(change.clone()));
        let metrics = Arc::clone(&self.metrics);
        let count = move |issuer: &str, result| metrics.keys_refreshed(issuer, result);
        let keeper = Keeper::new(Arc::clone(&self.live), ask.clone(), self.keys.clone(), count);
        tokio::task::spawn_local(keeper.run(change));
        tokio::task::spawn_local(reload_when_told(signals::hangup()?, touches, ask.clone()));
        Ok(ask)
    }
}

/// Tells operators how a reload went, wherever they look.
fn tell(state: &AdminState, outcome: &Result<Reloaded, String>) {
    state.metrics.config_loaded(outcome.is_ok());
    match outcome {
        Ok(reloaded) => {
            state.loaded.store(Arc::new(loaded_now(reloaded.config_hash.clone())));
            state.last_reload_error.store(None);
            for warning in &reloaded.warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!(snapshot = reloaded.snapshot, hash = reloaded.config_hash, "reloaded");
        }
        Err(error) => {
            state.last_reload_error.store(Some(Arc::new(error.clone())));
            tracing::error!(%error, "reload failed");
        }
    }
}

fn loaded_now(config_hash: String) -> Loaded {
    Loaded { config_hash, at_ms: clock::now_ms() }
}

/// Checks and looks up the backends of the generation in force.
async fn check_upstreams(live: Arc<Live>, mut change: watch::Receiver<()>) {
    loop {
        let generation = Arc::clone(&live.load());
        let checks = check_forever(generation.upstreams.to_vec(), Arc::clone(&generation.health));
        tokio::select! {
            () = checks => {}
            changed = change.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Asks for a reload at each SIGHUP, and whenever a file has changed.
async fn reload_when_told(mut hangup: Signal, mut touches: mpsc::Receiver<()>, ask: mpsc::Sender<reload::Request>) {
    loop {
        tokio::select! {
            _ = hangup.recv() => tracing::info!("SIGHUP: reloading"),
            Some(()) = touches.recv() => tracing::info!("the configuration or a file that it names has changed: reloading"),
        }
        if ask.send(reload::Request::Reload(None)).await.is_err() {
            return;
        }
    }
}
