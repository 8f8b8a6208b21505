//! The authority's thread: it answers what workers hand over, follows the storage, and sees to the signing keys. It is not
//! a worker's and not the main one: to sign takes long enough to be felt on either.

use std::convert::Infallible;
use std::future::pending;
use std::io::IsTerminal as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::authority::desk::Handed;
use crate::authority::error::OAuthError;
use crate::authority::follow::FollowedStore;
use crate::authority::secret::ClientSecret;
use crate::authority::store::Store;
use crate::authority::{Service, error_answer, first_start};
use crate::clock;
use crate::config::authority::ISSUER_NAME;
use crate::config::{Authority, KeySource};
use crate::core::keyset::Keyset;
use crate::live::registry::{Follower, InForce, RegistryStates, Source};
use crate::live::reload::{NewKeys, Request};
use crate::live::state::Live;
use crate::worker;

/// How long after a failure the storage is opened again.
const REOPEN: Duration = Duration::from_secs(1);
/// Requests that are answered at a time. The others wait at the desk, and when that is full they are refused.
const AT_A_TIME_MAX: usize = 256;
/// How often signing keys are looked at, and the last use of clients is written down.
const TICK: Duration = Duration::from_secs(10);

/// The storage, once it is open: shared with the admin API.
pub(super) type OpenStore = Arc<OnceLock<Store>>;

/// What the thread works with.
pub(super) struct AuthorityThread {
    pub(super) settings: Arc<Authority>,
    pub(super) live: Arc<Live>,
    pub(super) writer: mpsc::Sender<Request>,
    pub(super) states: RegistryStates,
    pub(super) store: OpenStore,
    pub(super) handed: mpsc::Receiver<Handed>,
}

impl AuthorityThread {
    /// Starts it.
    pub(super) fn start(self) -> anyhow::Result<()> {
        let run = move || {
            let ended =
                catch_unwind(AssertUnwindSafe(|| worker::runtime().map(|runtime| runtime.block_on(self.run()))));
            if !matches!(ended, Ok(Ok(()))) {
                // Without this thread nobody would learn any more who is revoked.
                tracing::error!("the authority's thread has failed");
                std::process::exit(1);
            }
        };
        std::thread::Builder::new().name("authority".to_owned()).spawn(run).context("cannot start the authority")?;
        Ok(())
    }

    async fn run(mut self) {
        let (service, store) = self.open().await;
        let service = Rc::new(service);
        let _ = self.store.set(store.clone());
        let (keys, mut keys_change) = watch::channel(0);
        let replaced = store.replaced();
        self.follow(FollowedStore { store, keys, in_force: service.in_force(), is_lost: false, replaced });
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (turned, mut published) = (Rc::new(Notify::new()), Vec::new());
        let places = Arc::new(Semaphore::new(AT_A_TIME_MAX));
        loop {
            let keys = service.jwks();
            if keys != published && self.publish(&keys).await {
                published = keys;
            }
            tokio::select! {
                handed = next(&places, &mut self.handed) => match handed {
                    Some((handed, place)) => answer(Rc::clone(&service), handed, place),
                    None => return,
                },
                () = turned.notified() => {}
                Ok(()) = keys_change.changed() => self.keep_house(&service, &turned),
                _ = tick.tick() => self.keep_house(&service, &turned),
            }
        }
    }

    /// Opens the storage, however long that takes. Until it is open nobody can be answered, and nobody waits for it.
    async fn open(&mut self) -> (Service, Store) {
        let (initial, live) = (Arc::clone(&self.settings), Arc::clone(&self.live));
        let opening = async {
            let mut last_error = String::new();
            loop {
                let error = match try_open(&settings_of(&live, &initial)).await {
                    Ok(opened) => return opened,
                    Err(error) => format!("{error:#}"),
                };
                if error != last_error {
                    tracing::error!(error, "the authority cannot start");
                    last_error = error;
                }
                sleep(REOPEN).await;
            }
        };
        tokio::select! {
            opened = opening => opened,
            never = refuse_all(&mut self.handed) => match never {},
        }
    }

    fn follow(&self, changes: FollowedStore) {
        let follower = Follower {
            changes,
            source: Source::Authority,
            issuer: ISSUER_NAME.into(),
            max_stale: self.settings.max_stale,
            in_force: InForce::default(),
            writer: self.writer.clone(),
            states: self.states.clone(),
        };
        let following = tokio::task::spawn_local(follower.run());
        tokio::task::spawn_local(async move {
            if let Err(error) = following.await {
                // A registry that nobody follows would go on as if nobody were revoked any more.
                tracing::error!(%error, "the client registry is not followed any more");
                std::process::exit(1);
            }
        });
    }

    /// Puts the public keys in force at this gateway. Whether they are.
    async fn publish(&self, jwks: &[u8]) -> bool {
        let keys = match Keyset::parse(jwks) {
            Ok(keys) => Arc::new(keys),
            Err(error) => {
                tracing::error!(%error, "the authority's own keys cannot be used");
                return false;
            }
        };
        let origin = {
            let live = self.live.load();
            let origin = live.key_origins.iter().find(|origin| origin.source == KeySource::Authority);
            origin.map(|origin| Arc::clone(&origin.state))
        };
        let Some(origin) = origin else { return false };
        origin.are_good(jwks, clock::timer());
        let (done, is_done) = oneshot::channel();
        let sent = self.writer.send(Request::Keys(NewKeys { origin, keys, done })).await;
        sent.is_ok() && is_done.await.unwrap_or(false)
    }

    /// Sees to the signing keys, and writes down which clients have got tokens.
    fn keep_house(&self, service: &Rc<Service>, turned: &Rc<Notify>) {
        let settings = settings_of(&self.live, &self.settings);
        let (service, turned) = (Rc::clone(service), Rc::clone(turned));
        tokio::task::spawn_local(async move {
            match service.tick(&settings, clock::now()).await {
                Ok(false) => {}
                Ok(true) => turned.notify_one(),
                Err(error) => tracing::warn!(%error, "the signing keys could not be looked at"),
            }
            if let Err(error) = service.flush_used().await {
                tracing::warn!(%error, "the last use of clients could not be written down");
            }
        });
    }
}

async fn try_open(settings: &Authority) -> anyhow::Result<(Service, Store)> {
    let now = clock::now();
    let store = Store::open(&settings.storage).await?;
    let show: Option<fn(&ClientSecret)> = if std::io::stderr().is_terminal() { Some(show) } else { None };
    first_start::make_admin(&store, settings, now, show).await?;
    let service = Service::start(store.clone(), settings, now).await?;
    Ok((service, store))
}

/// The section as it is in force, of which a reload may have changed whatever does not need a start.
fn settings_of(live: &Live, initial: &Arc<Authority>) -> Arc<Authority> {
    live.load().authority.clone().unwrap_or_else(|| Arc::clone(initial))
}

/// The next request, once there is a place for it among those that are being answered.
async fn next(places: &Arc<Semaphore>, handed: &mut mpsc::Receiver<Handed>) -> Option<(Handed, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    Some((handed.recv().await?, place))
}

/// Answers beside others.
fn answer(service: Rc<Service>, Handed { call, reply }: Handed, place: OwnedSemaphorePermit) {
    tokio::task::spawn_local(async move {
        let _ = reply.send(service.answer(call).await);
        drop(place);
    });
}

/// Shows the secret of the client `admin` to whoever has started the process. It goes into no log.
#[expect(clippy::print_stderr, reason = "it is for the terminal and for nothing else")]
fn show(secret: &ClientSecret) {
    eprintln!("The secret of the client \"{}\", shown only now:  {}", first_start::ADMIN, secret.reveal());
}

/// Tells all who ask that nobody can answer, until that is over.
async fn refuse_all(handed: &mut mpsc::Receiver<Handed>) -> Infallible {
    while let Some(Handed { reply, call: _ }) = handed.recv().await {
        let _ = reply.send(error_answer(OAuthError::unavailable()));
    }
    // Nobody is left to ask: the process ends.
    pending().await
}
