//! The wiring: the only file that knows everything.
//!
//! Order matters at both ends. At the start everything that can fail does so before the first request is accepted; at
//! the end the process is unready first, goes on accepting while load balancers learn of it, and only then drains.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::admin::{AdminState, Loaded, Phase as ReadyPhase, Readiness, Surface};
use crate::clock;
use crate::config::Config;
use crate::core::snapshot::Snapshot;
use crate::fronts::admin::Admin;
use crate::fronts::proxy::{Proxy, Worker};
use crate::net::http1::Limits;
use crate::net::listen;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{EndpointStatus, Health, UpstreamHealth, Upstreams, check_forever};
use crate::worker::{self, ConnectionCount, Phase};

/// Memory for verified tokens, in bytes, over all workers.
const TOKEN_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// Connections to the admin and to the health listener.
const ADMIN_CONNECTIONS_MAX: usize = 256;
/// How long the access log may take to write its last lines.
const LOG_CLOSE: Duration = Duration::from_secs(2);

/// Runs the gateway until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let workers = config.workers.unwrap_or_else(default_workers);
    let sockets = Sockets::bind(&config, workers)?;
    let metrics = Metrics::new().context("cannot set up the metrics")?;
    let dropped = metrics.access_log_dropped();
    let telemetry = &config.telemetry;
    let access_log = AccessLog::start(&telemetry.access_log, telemetry.log_format, dropped)?;
    let health = Health::new(&config.upstreams);
    let gateway = Gateway {
        snapshot: Arc::new(config.snapshot),
        upstreams: config.upstreams,
        limits: Limits {
            header_bytes: config.limits.header_bytes,
            request_head: config.limits.request_head,
            idle: config.limits.idle,
        },
        workers,
        count: Arc::new(ConnectionCount::new(config.limits.connections)),
        health,
        metrics,
        access_log,
    };
    let (phase, _) = watch::channel(Phase::Serving);
    // The admin and the health listener answer to the end: that is when people look.
    let (admin_phase, _) = watch::channel(Phase::Serving);
    let state = Arc::new(gateway.admin_state(&config.hash, sockets.admin_address()));
    for (surface, address) in sockets.addresses() {
        tracing::info!(surface, %address, "listening");
    }
    let mut workers_alive = gateway.start_workers(sockets.proxy, &phase)?;

    worker::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        for (surface, listener) in [(Surface::Admin, sockets.admin), (Surface::Health, sockets.health)] {
            if let Some(listener) = listener {
                let admin = Admin::new(Arc::clone(&state), surface);
                let count = Arc::new(ConnectionCount::new(ADMIN_CONNECTIONS_MAX));
                let serving = worker::serve(vec![listener], admin, gateway.limits, count, admin_phase.subscribe());
                tokio::task::spawn_local(serving);
            }
        }
        tokio::task::spawn_local(check_forever(gateway.upstreams.clone(), Arc::clone(&gateway.health)));
        gateway.metrics.config_loaded(true);
        state.readiness.advance(ReadyPhase::Ready);
        tracing::info!(workers, "ready");

        signals.asked_to_end().await;
        state.readiness.advance(ReadyPhase::Draining);
        tracing::info!("draining");
        tokio::select! {
            () = drain(&phase, &config.limits, &mut workers_alive) => {}
            () = signals.asked_to_end() => tracing::warn!("told to end a second time: requests in flight are cut off"),
        }
        anyhow::Ok(())
    })?;
    gateway.access_log.close(LOG_CLOSE);
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Goes on accepting for `drain_delay`, then finishes what is in flight. `alive` closes when the last worker has ended.
async fn drain(phase: &watch::Sender<Phase>, limits: &crate::config::Limits, alive: &mut mpsc::Receiver<Infallible>) {
    tokio::time::sleep(limits.drain_delay).await;
    phase.send_replace(Phase::Draining(limits.drain));
    while alive.recv().await.is_some() {}
}

/// The CPUs this process may use, by affinity and cgroup quota.
fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The bound sockets.
struct Sockets {
    /// For each worker its sockets, one of each listener.
    proxy: Vec<Vec<TcpListener>>,
    admin: Option<TcpListener>,
    health: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config, workers: NonZeroUsize) -> anyhow::Result<Self> {
        let mut proxy: Vec<Vec<TcpListener>> = (0..workers.get()).map(|_| Vec::new()).collect();
        for address in &config.listeners {
            let sockets = listen::bind(*address, workers.get()).with_context(|| cannot_listen(*address))?;
            proxy.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
        }
        Ok(Self { proxy, admin: bind_one(config.admin)?, health: bind_one(config.health)? })
    }

    fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let proxy = self.proxy.first().into_iter().flatten().map(|socket| ("proxy", socket));
        let admin = self.admin.iter().map(|socket| ("admin", socket));
        let health = self.health.iter().map(|socket| ("health", socket));
        let all = proxy.chain(admin).chain(health);
        all.filter_map(|(surface, socket)| Some((surface, socket.local_addr().ok()?)))
    }
}

fn bind_one(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let sockets = listen::bind(address, 1).with_context(|| cannot_listen(address))?;
    Ok(sockets.into_iter().next())
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}")
}

/// What the parts of the process share.
struct Gateway {
    snapshot: Arc<Snapshot>,
    upstreams: Vec<crate::config::Upstream>,
    limits: Limits,
    workers: NonZeroUsize,
    count: Arc<ConnectionCount>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
}

impl Gateway {
    fn admin_state(&self, config_hash: &str, admin_address: Option<SocketAddr>) -> AdminState {
        let health = Arc::clone(&self.health);
        let loaded = Loaded { config_hash: config_hash.to_owned(), at_ms: clock::now_ms(), at: clock::monotonic() };
        AdminState {
            snapshot: Arc::new(ArcSwap::new(Arc::clone(&self.snapshot))),
            loaded: ArcSwap::from_pointee(loaded),
            last_reload_error: ArcSwapOption::empty(),
            readiness: Readiness::default(),
            metrics: Arc::clone(&self.metrics),
            upstream_health: Box::new(move || upstream_health(&health)),
            workers: self.workers.get(),
            started: clock::monotonic(),
            admin_address,
        }
    }

    /// Starts a thread for each worker. What is returned closes when the last of them has ended.
    fn start_workers(
        &self,
        sockets: Vec<Vec<TcpListener>>,
        phase: &watch::Sender<Phase>,
    ) -> anyhow::Result<mpsc::Receiver<Infallible>> {
        let (alive, ended) = mpsc::channel(1);
        let memo_bytes_max = TOKEN_MEMORY_BYTES / self.workers.get() as u64;
        let start = |(number, listeners): (usize, Vec<TcpListener>)| {
            let (snapshot, metrics) = (Arc::clone(&self.snapshot), Arc::clone(&self.metrics));
            let (config, health) = (self.upstreams.clone(), Arc::clone(&self.health));
            let (log, limits, count) = (self.access_log.worker(), self.limits, Arc::clone(&self.count));
            let (phase, alive) = (phase.subscribe(), alive.clone());
            let work = move || {
                worker::runtime()?.block_on(async {
                    let upstreams = Upstreams::new(&config, limits.idle, &health);
                    let worker = Worker::new(snapshot, upstreams, metrics, log, memo_bytes_max);
                    worker::serve(listeners, Proxy::new(worker), limits, count, phase).await.context("cannot serve")
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
            thread.spawn(run).map(drop).context("cannot start a worker")
        };
        sockets.into_iter().enumerate().try_for_each(start)?;
        Ok(ended)
    }
}

/// The health of the upstreams, as `/status` shows it.
fn upstream_health(health: &Health) -> Value {
    let endpoint = |endpoint: EndpointStatus| {
        json!({
            "url": format!("http://{}", endpoint.authority),
            "healthy": endpoint.healthy,
            "since_unix_ms": endpoint.since_unix_ms,
            "last_failure": endpoint.last_failure.map(|failure| failure.to_string()),
            "addresses": endpoint.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let upstream = |upstream: &UpstreamHealth| {
        let endpoints: Vec<_> = upstream.status().map(endpoint).collect();
        json!({ "name": upstream.name(), "endpoints": endpoints })
    };
    health.upstreams().map(upstream).collect()
}

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    async fn asked_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
