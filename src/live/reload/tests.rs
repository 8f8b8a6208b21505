//! A file that does not come to an end, and what goes on meanwhile.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::live::registry::tests::mirror;
use crate::live::state::Generation;

const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration with a registry that is followed, and keys that are fetched. Its secret lies in `directory`.
fn text(directory: &Path, path: &str) -> String {
    let secret = directory.join("secret").display().to_string();
    format!(
        "listeners: [{{address: 127.0.0.1:0}}]
issuers:
  - name: a
    issuer: https://a.example
    audiences: any
    keys: {{jwks_uri: https://a.example/k}}
    registry: {{url: https://feed.example, client_id: gateway, client_secret_file: {secret}}}
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: {path}, authenticated: true, upstream: echo}}]
"
    )
}

/// A writer whose configuration file is a pipe: a load has begun when the pipe can be written to, and ends with it.
struct World {
    directory: TempDir,
    live: Arc<Live>,
    ask: mpsc::Sender<Request>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        let text = text(directory.path(), "/first");
        let config = config::from_text("config.yaml", &text, directory.path(), &|_| None);
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let path = directory.path().join("config.yaml");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (touched, _) = mpsc::channel(1);
        let watcher = Watcher::start(Vec::new(), touched).unwrap();
        let fixed = Fixed::of(&config);
        let live = Arc::new(Live::new(Generation::first(config)));
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        let reloader = Reloader::new(path, fixed, Arc::clone(&live), watcher, |_| {});
        tokio::task::spawn_local(reloader.run(asked));
        Self { directory, live, ask }
    }

    async fn reload(&self) -> oneshot::Receiver<Result<Reloaded, String>> {
        let (reply, outcome) = oneshot::channel();
        self.ask.send(Request::Reload(Some(reply))).await.unwrap();
        outcome
    }

    /// Waits for a load to begin.
    async fn begun(&self) -> File {
        let path = self.path();
        let open = spawn_blocking(move || OpenOptions::new().write(true).open(path).unwrap());
        timeout(PATIENCE, open).await.unwrap().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    /// Lets a load read a configuration with this route.
    fn say(&self, mut file: File, path: &str) {
        file.write_all(text(self.directory.path(), path).as_bytes()).unwrap();
    }

    /// The registry says that there is a client now. Whatever was asked for before has been taken by the writer when this is over.
    async fn tell(&self) -> bool {
        let source = self.live.load().mirrors[0].as_ref().unwrap().source.clone();
        let (done, is_done) = oneshot::channel();
        let new = NewRegistry { source, mirror: mirror(&[]), availability: Availability::Current, done: Some(done) };
        self.ask.send(Request::Registry(new)).await.unwrap();
        timeout(PATIENCE, is_done).await.unwrap().unwrap()
    }

    async fn publish(&self, keys: &Arc<Keyset>) -> bool {
        let origin = Arc::clone(&self.live.load().key_origins[0].state);
        let (done, is_done) = oneshot::channel();
        self.ask.send(Request::Keys(NewKeys { origin, keys: Arc::clone(keys), done })).await.unwrap();
        timeout(PATIENCE, is_done).await.unwrap().unwrap()
    }

    /// The route, the keys and the clients that are in force.
    fn seen(&self) -> (String, usize, Vec<String>) {
        let snapshot = Arc::clone(&self.live.load().snapshot);
        let (_, matched, _) = snapshot.routes.iter().next().unwrap();
        let keys = snapshot.issuers.get(IssuerId(0)).unwrap().keys.iter().len();
        let registry = snapshot.issuers.clients_of(IssuerId(0)).unwrap().registry.as_ref().unwrap();
        let clients = registry.clients.keys().map(|id| id.to_string()).collect();
        (matched.label.to_string(), keys, clients)
    }
}

async fn outcome(of: oneshot::Receiver<Result<Reloaded, String>>) -> Reloaded {
    timeout(PATIENCE, of).await.unwrap().unwrap().unwrap()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_load_that_hangs_holds_up_neither_keys_nor_clients() {
    run(async {
        let world = World::new();
        let reloaded = world.reload().await;
        let file = world.begun().await;
        let keys = Keyset::parse(include_bytes!("../../../examples/keys/jwks.json")).unwrap();
        let keys = Arc::new(keys);
        assert!(world.tell().await && world.publish(&keys).await);
        let clients = || vec!["acme".to_owned()];
        assert_eq!(world.seen(), ("/first".to_owned(), keys.iter().len(), clients()));
        let before = world.live.load().snapshot.number;

        world.say(file, "/second");
        assert_eq!(outcome(reloaded).await.snapshot, before + 1);
        assert_eq!(world.seen(), ("/second".to_owned(), keys.iter().len(), clients()), "nothing of it is lost");
    });
}

#[test]
fn who_asks_is_told_of_a_load_that_began_later() {
    run(async {
        let world = World::new();
        let first = world.reload().await;
        let file = world.begun().await;
        let (second, third) = (world.reload().await, world.reload().await);
        assert!(world.tell().await);
        world.say(file, "/first");
        let first = outcome(first).await;
        assert_eq!(world.seen().0, "/first");

        let file = world.begun().await;
        world.say(file, "/second");
        let (second, third) = (outcome(second).await, outcome(third).await);
        assert_eq!((second.snapshot, third.snapshot), (first.snapshot + 1, first.snapshot + 1), "they share it");
        assert_ne!(second.config_hash, first.config_hash);
        assert_eq!(world.seen().0, "/second");
    });
}
