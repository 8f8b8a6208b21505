//! A source that comes and goes, in simulated time: what is in force meanwhile, and what operators are told.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::{Instant, sleep};

use super::super::{Batch, Changes, Follower, InForce, Mirror, RegistryStates};
use super::{FEED, config, seen};
use crate::core::registry::{Availability, Change, Registered};
use crate::core::snapshot::IssuerId;
use crate::core::time::UnixSeconds;
use crate::live::reload::Request;
use crate::live::state::{Generation, Live};

const MAX_STALE: Duration = Duration::from_secs(900);

type Told = Result<Batch, String>;

/// A source that says what a test says.
struct Script {
    told: Rc<Mutex<mpsc::Receiver<Told>>>,
    asked: Rc<RefCell<Vec<Option<u64>>>>,
}

impl Changes for Script {
    async fn next(&mut self, after: Option<u64>) -> Told {
        self.asked.borrow_mut().push(after);
        match self.told.lock().await.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

/// A gateway that follows a source for its second issuer.
struct World {
    live: Arc<Live>,
    states: RegistryStates,
    writer: mpsc::Sender<Request>,
    tell: mpsc::Sender<Told>,
    told: Rc<Mutex<mpsc::Receiver<Told>>>,
    asked: Rc<RefCell<Vec<Option<u64>>>>,
}

impl World {
    fn new() -> Self {
        let live = Arc::new(Live::new(Generation::first(config(FEED))));
        let (writer, mut requests) = mpsc::channel(1);
        let written = Arc::clone(&live);
        tokio::task::spawn_local(async move {
            while let Some(Request::Registry(new)) = requests.recv().await {
                written.put_registry_in_force(new);
            }
        });
        let (tell, told) = mpsc::channel(1);
        let told = Rc::new(Mutex::new(told));
        Self { live, states: RegistryStates::default(), writer, tell, told, asked: Rc::default() }
    }

    fn follow(&self) -> AbortHandle {
        let followed = self.live.load().mirrors[1].clone().unwrap();
        let follower = Follower {
            changes: Script { told: Rc::clone(&self.told), asked: Rc::clone(&self.asked) },
            source: followed.source,
            issuer: "other".into(),
            max_stale: MAX_STALE,
            in_force: InForce { mirror: followed.mirror, availability: followed.availability },
            writer: self.writer.clone(),
            states: self.states.clone(),
        };
        tokio::task::spawn_local(follower.run()).abort_handle()
    }

    /// The source says something, and whatever follows from it at once has happened.
    async fn told(&self, told: Told) {
        self.tell.send(told).await.unwrap();
        settle().await;
    }

    /// Whether the registry can be relied on, and its clients.
    fn seen(&self) -> (bool, usize) {
        seen(&self.live.load(), 1).unwrap()
    }

    fn error(&self) -> Option<String> {
        self.states.get("other").unwrap().error
    }

    fn asked(&self) -> Vec<Option<u64>> {
        self.asked.take()
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn batch(number: u64, items: &[(u64, &str)]) -> Told {
    let registered = |version| Registered {
        version,
        generation: version,
        is_revoked: false,
        expires: UnixSeconds(2_000_000_000),
        scopes: Box::default(),
        roles: Box::default(),
        tenants: Box::default(),
    };
    let change = |id: &str, number| Change::Client { id: id.into(), now: Arc::new(registered(number)) };
    Ok(Batch { number, items: items.iter().map(|(number, id)| (*number, change(id, *number))).collect() })
}

fn simulated(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn batch_after_batch_is_in_force_and_asked_for_once() {
    simulated(async {
        let world = World::new();
        world.follow();
        settle().await;
        assert_eq!((world.seen(), world.states.get("other").is_none()), ((false, 0), true));
        world.told(batch(3, &[(1, "a"), (3, "b")])).await;
        assert_eq!(world.seen(), (true, 2));
        let state = world.states.get("other").unwrap();
        assert_eq!((state.number, state.clients, state.error), (3, 2, None));
        world.told(batch(3, &[])).await;
        world.told(batch(4, &[(4, "c")])).await;
        world.told(batch(7, &[])).await;
        assert_eq!(world.seen(), (true, 3));
        assert_eq!(world.asked(), [None, Some(3), Some(3), Some(4), Some(7)]);
    });
}

#[test]
fn what_is_known_serves_for_as_long_as_it_may_and_until_the_source_is_back() {
    simulated(async {
        let world = World::new();
        world.follow();
        world.told(batch(1, &[(1, "a")])).await;
        world.told(Err("first".to_owned())).await;
        let lost = Instant::now();
        assert_eq!((world.seen(), world.error().as_deref()), ((true, 1), Some("first")));
        sleep(Duration::from_secs(10)).await;
        world.told(Err("second".to_owned())).await;
        assert_eq!(world.error().as_deref(), Some("second"));
        // Now the source hangs.
        world.live.wait_for(|generation| seen(generation, 1) == Some((false, 1))).await;
        assert_eq!(lost.elapsed(), MAX_STALE);
        assert_eq!(world.states.get("other").unwrap().age(Instant::now()), Some(MAX_STALE));
        world.told(Err("third".to_owned())).await;
        assert_eq!(world.seen(), (false, 1));
        sleep(Duration::from_secs(5)).await;
        world.told(batch(1, &[])).await;
        assert_eq!((world.seen(), world.error()), ((true, 1), None));
        assert!(world.asked().into_iter().skip(1).all(|after| after == Some(1)));

        world.told(Err("again".to_owned())).await;
        let lost = Instant::now();
        world.live.wait_for(|generation| seen(generation, 1) == Some((false, 1))).await;
        assert_eq!(lost.elapsed(), MAX_STALE, "it counts from the loss");
    });
}

#[test]
fn failures_are_not_asked_about_all_the_time() {
    simulated(async {
        let world = World::new();
        world.follow();
        let failing = async {
            loop {
                world.told(Err("no".to_owned())).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(100), failing).await;
        let asked = world.asked().len();
        assert!((50..60).contains(&asked), "{asked} times in 100 s");
        assert_eq!((world.seen(), world.error().as_deref()), ((false, 0), Some("no")));
    });
}

#[test]
fn numbers_that_go_back_are_a_new_beginning() {
    simulated(async {
        let world = World::new();
        world.follow();
        world.told(batch(5, &[(2, "a"), (5, "b")])).await;
        world.told(batch(3, &[])).await;
        assert_eq!(world.seen(), (true, 2), "until everything is known anew");
        world.told(batch(3, &[(2, "a")])).await;
        assert_eq!(world.seen(), (true, 1));
        assert_eq!(world.asked(), [None, Some(5), None, Some(3)]);

        // It cannot be read anew: that is no reason to rely for ever on what was known before.
        world.told(batch(1, &[])).await;
        world.told(Err("gone".to_owned())).await;
        let lost = Instant::now();
        world.live.wait_for(|generation| seen(generation, 1) == Some((false, 1))).await;
        assert_eq!(lost.elapsed(), MAX_STALE);
    });
}

#[test]
fn whoever_takes_over_goes_on_where_the_other_has_been() {
    simulated(async {
        let world = World::new();
        let first = world.follow();
        world.told(batch(2, &[(1, "a"), (2, "b")])).await;
        world.told(Err("gone".to_owned())).await;
        let lost = Instant::now();
        first.abort();
        sleep(Duration::from_secs(600)).await;
        let second = world.follow();
        settle().await;
        assert_eq!(world.asked().last(), Some(&Some(2)));
        world.live.wait_for(|generation| seen(generation, 1) == Some((false, 2))).await;
        assert_eq!(lost.elapsed(), MAX_STALE, "nor does it last longer for that");
        second.abort();

        world.follow();
        world.told(Err("still gone".to_owned())).await;
        assert_eq!(world.states.get("other").unwrap().age(Instant::now()), Some(MAX_STALE));
        sleep(Duration::from_secs(5)).await;
        world.told(batch(2, &[])).await;
        assert_eq!(world.seen(), (true, 2));
    });
}

#[test]
fn foreign_clients_stay_refused_when_the_source_is_lost() {
    simulated(async {
        let world = World::new();
        world.follow();
        let refused = Change::Foreign { iss: "https://plain.example".into(), id: "x".into(), is_refused: true };
        world.told(Ok(Batch { number: 1, items: vec![(1, refused)] })).await;
        world.told(Err("gone".to_owned())).await;
        sleep(MAX_STALE * 2).await;
        assert_eq!(world.seen(), (false, 0));
        let live = world.live.load();
        assert!(live.snapshot.issuers.clients_of(IssuerId(2)).unwrap().refused.contains("x"));
    });
}

#[test]
fn what_was_never_complete_is_relied_on_by_nobody() {
    let mirror = Arc::new(Mirror::default());
    assert_eq!(mirror.registry(Availability::Current).availability, Availability::Lost);
}
