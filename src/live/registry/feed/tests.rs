//! A feed on real sockets, from an authority that a test plays.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::config::authority::Secret;

const ISS: &str = "https://authority.example";
const SECRET: &str = "sgs_do-not-tell";

/// What the authority does with one request.
enum Answer {
    /// Answers it and closes the connection.
    Whole(String),
    /// Answers it and keeps the connection.
    Open(String),
}

#[derive(Clone, Default)]
struct Authority {
    answers: Rc<RefCell<VecDeque<Answer>>>,
    asked: Rc<RefCell<Vec<String>>>,
    open: Rc<RefCell<Vec<TcpStream>>>,
}

impl Authority {
    async fn start(answers: Vec<Answer>) -> (Self, Feed) {
        let this = Self { answers: Rc::new(RefCell::new(answers.into())), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/below/", listener.local_addr().unwrap()).parse().unwrap();
        let server = this.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                server.clone().answer(stream).await;
            }
        });
        let registry =
            RegistryFeed { url, client_id: "follower".into(), client_secret: Secret(SECRET.to_owned().into()) };
        (this, Feed::new(Rc::default(), ISS.into(), registry))
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut asked = Vec::new();
        let is_whole = |asked: &[u8]| {
            let text = String::from_utf8_lossy(asked);
            text.contains("\r\n\r\n") && (text.starts_with("GET") || text.contains("grant_type="))
        };
        while !is_whole(&asked) {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        self.asked.borrow_mut().push(String::from_utf8(asked).unwrap());
        let answer = self.answers.borrow_mut().pop_front().expect("no more is asked for");
        match answer {
            Answer::Whole(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Answer::Open(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                self.open.borrow_mut().push(stream);
            }
        }
    }

    async fn say(&self, text: &str) {
        let mut stream = self.open.borrow_mut().pop().unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        self.open.borrow_mut().push(stream);
    }

    fn hang_up(&self) {
        self.open.borrow_mut().clear();
    }

    /// The request lines since this was last asked for.
    fn lines(&self) -> Vec<String> {
        self.asked.borrow_mut().drain(..).map(|asked| asked.lines().next().unwrap().to_owned()).collect()
    }
}

fn status(status: u16, body: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn metadata() -> Answer {
    status(
        200,
        r#"{"issuer":"https://authority.example","token_endpoint":"https://authority.example/oauth2/token",
            "scopes_supported":["acme/sidegate.registry:read"]}"#,
    )
}

fn token(name: &str, seconds: u32) -> Answer {
    status(200, &format!(r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":{seconds}}}"#))
}

fn feed(events: &str) -> Answer {
    Answer::Open(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n{events}"))
}

fn deleted(number: u64) -> String {
    format!("id: {number}\nevent: deleted\ndata: {{\"client_id\":\"c{number}\"}}\n\n")
}

fn current(number: u64) -> String {
    format!("id: {number}\nevent: current\ndata: {{}}\n\n")
}

const CHANGES: &str = "GET /below/registry/v1/changes?after=";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

async fn numbers(feed: &mut Feed, after: Option<u64>) -> (u64, Vec<u64>) {
    let batch = feed.next(after).await.unwrap();
    (batch.number, batch.items.iter().map(|(number, _)| *number).collect())
}

#[test]
fn batches_end_where_everything_is_told_and_go_on_behind_it() {
    run(async {
        let first = deleted(1) + &deleted(2) + &current(2) + &deleted(4);
        let answers = vec![metadata(), token("t1", 3600), feed(&first), feed(&current(4)), feed(&current(1))];
        let (authority, mut feed) = Authority::start(answers).await;
        assert_eq!(numbers(&mut feed, None).await, (2, vec![1, 2]));
        {
            let asked = authority.asked.borrow();
            assert!(asked[1].contains("\r\nauthorization: Basic Zm9sbG93ZXI6c2dzX2RvLW5vdC10ZWxs\r\n"), "{}", asked[1]);
            assert!(asked[1].ends_with("grant_type=client_credentials&scope=acme%2Fsidegate.registry%3Aread"));
            assert!(asked[2].contains("\r\nauthorization: Bearer t1\r\n"));
        }
        assert_eq!(
            authority.lines(),
            [
                "GET /below/.well-known/oauth-authorization-server HTTP/1.1".to_owned(),
                "POST /oauth2/token HTTP/1.1".to_owned(),
                format!("{CHANGES}0 HTTP/1.1"),
            ]
        );
        // Whoever stops waiting loses nothing.
        assert!(timeout(Duration::from_millis(20), feed.next(Some(2))).await.is_err());
        authority.say(&current(4)).await;
        assert_eq!(numbers(&mut feed, Some(2)).await, (4, vec![4]));
        authority.say(&current(4)).await;
        assert_eq!(numbers(&mut feed, Some(4)).await, (4, vec![]));
        assert_eq!(authority.lines(), [""; 0]);

        authority.hang_up();
        assert_eq!(feed.next(Some(4)).await.unwrap_err(), "the authority has ended the feed");
        assert_eq!(numbers(&mut feed, Some(4)).await, (4, vec![]));
        assert_eq!(authority.lines(), [format!("{CHANGES}4 HTTP/1.1")], "the token is still good");
        assert_eq!(numbers(&mut feed, None).await, (1, vec![]));
        assert_eq!(authority.lines(), [format!("{CHANGES}0 HTTP/1.1")]);
    });
}

#[test]
fn a_token_that_is_not_taken_any_more_is_renewed_and_a_new_one_is_not() {
    run(async {
        let answers = vec![
            metadata(),
            token("t1", 3600),
            feed(&current(1)),
            status(401, "secret"),
            status(401, "secret"),
            metadata(),
            token("t2", 20),
            feed(&current(2)),
            metadata(),
            token("t3", 3600),
            status(403, "secret"),
        ];
        let (authority, mut feed) = Authority::start(answers).await;
        assert_eq!(numbers(&mut feed, None).await, (1, vec![]));
        authority.hang_up();
        feed.next(Some(1)).await.unwrap_err();
        authority.lines();
        let error = feed.next(Some(1)).await.unwrap_err();
        assert!(error.starts_with("the feed does not take the token of the client `follower`"), "{error}");
        assert_eq!(authority.lines().len(), 1, "it has just been issued");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
        assert_eq!(numbers(&mut feed, Some(1)).await, (2, vec![]));
        assert_eq!(authority.lines().len(), 4);

        authority.hang_up();
        feed.next(Some(2)).await.unwrap_err();
        let error = feed.next(Some(2)).await.unwrap_err();
        assert!(error.starts_with("the client `follower` may not read the feed: it lacks the scope"), "{error}");
        assert!(error.ends_with("(status 403)") && !error.contains("secret"), "{error}");
        assert_eq!(authority.lines().len(), 3, "one that is about to expire is not used");
    });
}

#[test]
fn an_authority_that_has_refused_our_secret_is_left_alone_for_a_while() {
    run(async {
        let refused = status(401, r#"{"error":"invalid_client"}"#);
        let (authority, mut feed) = Authority::start(vec![metadata(), refused]).await;
        feed.next(None).await.unwrap_err();
        authority.lines();
        // It counts failures.
        assert!(timeout(Duration::from_millis(50), feed.next(None)).await.is_err());
        assert_eq!(authority.lines(), [""; 0]);
    });
}

#[test]
fn whatever_is_wrong_is_told_and_nothing_else_is() {
    let other = r#"{"issuer":"https://other.example","token_endpoint":"https://other.example/t"}"#;
    let redirect = "HTTP/1.1 302 X\r\nLocation: https://evil.example/?secret\r\nContent-Length: 0\r\n\r\n";
    let not_current = deleted(9) + &current(8);
    for (answers, expected) in [
        (vec![status(404, "secret")], "no metadata of the authority: the answer has status 404"),
        (vec![status(200, "secret")], "the metadata of the authority is no JSON object"),
        (vec![status(200, other)], "the authority at `registry.url` is another issuer than this one"),
        (
            vec![metadata(), status(401, r#"{"error":"invalid_client","error_description":"secret"}"#)],
            "no token for the feed: the authority does not know the client `follower` by this secret (status 401)",
        ),
        (
            vec![metadata(), status(400, r#"{"error":"invalid_scope"}"#)],
            "no token for the feed: the client `follower` does not have the scope `acme/sidegate.registry:read` (status 400)",
        ),
        (vec![metadata(), status(500, "secret")], "no token for the feed: the token endpoint refuses (status 500)"),
        (vec![metadata(), status(200, r#"{"access_token":"secret"}"#)], "no token for the feed: the answer of"),
        (
            vec![metadata(), Answer::Whole(redirect.into())],
            "no token for the feed: the answer is a redirect to evil.example",
        ),
        (vec![metadata(), token("secret", 9), Answer::Whole(redirect.into())], "no feed: the answer is a redirect"),
        (
            vec![metadata(), token("secret", 9), status(200, "<html>secret")],
            "no feed: the answer is no text/event-stream",
        ),
        (vec![metadata(), token("secret", 9), status(401, "secret")], "the feed does not take the token of the client"),
        (vec![metadata(), token("secret", 9), status(503, "secret")], "the authority does not know its clients itself"),
        (
            vec![metadata(), token("secret", 9), feed("id: 1\nevent: secret\ndata: {}\n\n")],
            "the feed has an event that cannot",
        ),
        (vec![metadata(), token("secret", 9), feed(&not_current)], "the feed has a change of a later number"),
    ] {
        run(async {
            let (_authority, mut feed) = Authority::start(answers).await;
            let error = feed.next(None).await.unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.replace("by this secret", "").contains("secret") && !error.contains(SECRET), "{error}");
        });
    }
}

#[test]
fn silence_is_an_end() {
    run(async {
        let (authority, mut feed) = Authority::start(vec![metadata(), token("t", 3600), feed(&current(1))]).await;
        assert_eq!(numbers(&mut feed, None).await, (1, vec![]));
        tokio::time::pause();
        let began = clock::timer();
        assert_eq!(feed.next(Some(1)).await.unwrap_err(), "the feed has been silent for 30 s");
        assert_eq!(began.elapsed().as_secs(), SILENCE.as_secs());
        drop(authority);
    });
}
