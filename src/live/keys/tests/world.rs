//! A gateway as far as keys are concerned, with an issuer that a test plays, in simulated time.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::config::{Config, from_text};
use crate::live::keys::keeper::{Shared, keep};
use crate::live::keys::source::Get;
use crate::live::keys::{KeyRefresh, Known};
use crate::live::reload::Request;
use crate::live::state::{Generation, Live};
use crate::net::fetch::{Document, FetchError};

pub(super) const JWKS: &str = include_str!("../../../../examples/keys/jwks.json");
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// What the issuer does when it is asked.
#[derive(Clone)]
pub(super) enum Answer {
    Body(String),
    Fresh(String, Duration),
    Slow(Duration, String),
    Status(u16),
    Hang,
}

pub(super) type Script = Box<dyn Fn(&str) -> Answer>;

/// An issuer.
pub(super) struct Issuer {
    script: RefCell<Script>,
    /// When it was asked, and for which path.
    asked: RefCell<Vec<(Instant, String)>>,
}

impl Get for Issuer {
    async fn get(&self, uri: &Uri) -> Result<Document, FetchError> {
        self.asked.borrow_mut().push((clock::timer(), uri.path().to_owned()));
        let answer = (self.script.borrow())(uri.path());
        let document = |body: String, max_age| Ok(Document { body: body.into(), max_age });
        match answer {
            Answer::Body(body) => document(body, None),
            Answer::Fresh(body, max_age) => document(body, Some(max_age)),
            Answer::Slow(time, body) => {
                sleep(time).await;
                document(body, None)
            }
            Answer::Status(status) => Err(FetchError::Status(StatusCode::from_u16(status).unwrap())),
            Answer::Hang => std::future::pending().await,
        }
    }
}

/// A gateway as far as keys are concerned.
pub(super) struct World {
    pub(super) issuer: Rc<Issuer>,
    pub(super) live: Arc<Live>,
    pub(super) refresh: KeyRefresh,
    pub(super) changed: watch::Sender<()>,
    pub(super) counted: Rc<RefCell<Vec<(String, &'static str)>>>,
}

impl World {
    /// With one issuer, `https://a.example`, whose `keys` are these.
    pub(super) fn new(keys: &str, script: impl Fn(&str) -> Answer + 'static) -> Self {
        Self::with(config(keys, None), script)
    }

    pub(super) fn with(config: Config, script: impl Fn(&str) -> Answer + 'static) -> Self {
        let live = Arc::new(Live::new(Generation::first(config)));
        let (writer, mut requests) = mpsc::channel(1);
        let (changed, change) = watch::channel(());
        let issuer = Rc::new(Issuer { script: RefCell::new(Box::new(script)), asked: RefCell::default() });
        let (refresh, counted) = (KeyRefresh::default(), Rc::<RefCell<Vec<_>>>::default());
        let count = Rc::clone(&counted);
        let shared = Shared {
            get: Rc::clone(&issuer),
            count: Rc::new(move |issuer: &str, result| count.borrow_mut().push((issuer.to_owned(), result))),
            live: Arc::clone(&live),
            writer,
            refresh: refresh.clone(),
        };
        tokio::task::spawn_local(keep(shared, change));
        let written = Arc::clone(&live);
        tokio::task::spawn_local(async move {
            while let Some(Request::Keys(new)) = requests.recv().await {
                written.put_in_force(new);
            }
        });
        Self { issuer, live, refresh, changed, counted }
    }

    pub(super) fn behave(&self, script: impl Fn(&str) -> Answer + 'static) {
        *self.issuer.script.borrow_mut() = Box::new(script);
    }

    /// The ids of the keys in force.
    pub(super) fn ids(&self) -> Vec<String> {
        let live = self.live.load();
        let issuer = live.snapshot.issuers.iter().next().unwrap();
        issuer.keys.iter().map(|key| key.id().unwrap().to_owned()).collect()
    }

    pub(super) fn number(&self) -> u64 {
        self.live.load().snapshot.number
    }

    pub(super) fn known(&self) -> Known {
        self.live.load().key_origins[0].state.known()
    }

    pub(super) async fn has(&self, ids: &[&str]) {
        let waited = tokio::time::timeout(2 * HOUR, self.live.wait_for(|_| self.ids() == ids)).await;
        assert!(waited.is_ok(), "{:?} instead of {ids:?}", self.ids());
    }

    pub(super) fn reload(&self, keys: &str) {
        let live = self.live.load();
        self.live.swap(live.next(live.prepare(config(keys, None))));
        self.changed.send_replace(());
    }

    pub(super) fn asked(&self) -> Vec<(Instant, String)> {
        self.issuer.asked.borrow().clone()
    }

    /// Forgets how often the issuer was asked.
    pub(super) fn forget(&self) {
        self.issuer.asked.borrow_mut().clear();
    }
}

/// A configuration with an issuer whose `keys` are these, in flow style.
pub(super) fn config(keys: &str, state_dir: Option<&Path>) -> Config {
    let state_dir = state_dir.map(|path| format!("state_dir: {}\n", path.display())).unwrap_or_default();
    let text = format!(
        "listeners: [{{address: 127.0.0.1:0}}]\n{state_dir}issuers:
  - {{name: a, issuer: https://a.example, audiences: [x], keys: {{{keys}}}}}
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: /, authenticated: true, upstream: echo}}]\n"
    );
    from_text("config.yaml", &text, Path::new("."), &|_| None)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

/// A key set with keys of these ids.
pub(super) fn jwks(ids: &[&str]) -> String {
    let key = serde_json::from_str::<Value>(JWKS).unwrap()["keys"][0].clone();
    let with_id = |id: &&str| {
        let mut key = key.clone();
        key["kid"] = json!(id);
        key
    };
    json!({ "keys": ids.iter().map(with_id).collect::<Vec<_>>() }).to_string()
}

pub(super) fn serving(ids: &'static [&'static str]) -> impl Fn(&str) -> Answer {
    let keys = jwks(ids);
    move |_| Answer::Body(keys.clone())
}

pub(super) const URI: &str = "jwks_uri: https://a.example/keys";

/// Runs a test in which time passes when nothing else happens.
pub(super) fn simulated(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}
