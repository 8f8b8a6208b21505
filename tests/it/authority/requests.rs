//! Token requests over HTTP: the table of malformed ones, credentials that are wrong, and guessing.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::fixture::{App, Authority, ME, form_request, json};
use crate::harness::client::Client;
use crate::harness::response::Response;
use crate::harness::{PATIENCE, free_address};
use crate::support::token_requests::Case;

const READS: [&str; 2] = ["--scope", "users:read"];

impl Case {
    fn request(&self) -> Vec<u8> {
        let body = self.body();
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let types = self.content_types();
        let types = types.iter().map(|value| format!("Content-Type: {value}\r\n"));
        let fields = types.chain(self.authorization.iter().map(|value| format!("Authorization: {value}\r\n")));
        let (method, length, fields) = (self.method(), body.len(), fields.collect::<String>());
        let head =
            format!("{method} /oauth2/token{query} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{fields}\r\n");
        [head.into_bytes(), body].concat()
    }

    /// Why the answer is not the one of the table.
    fn fault(&self, authority: &Authority) -> Option<String> {
        let mut client = authority.gateway.connect();
        client.send(self.request());
        let (status, error) = match self.method() {
            // There is nothing to read an error from.
            "HEAD" => (client.receive_head().status, self.error.clone()),
            _ => {
                let answer = client.receive();
                let error = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
                (answer.status, error["error"].as_str().unwrap_or_default().to_owned())
            }
        };
        let is_right = (status, &error) == (self.status, &self.error);
        (!is_right).then(|| format!("{}: {status} {error} and not {} {}", self.name, self.status, self.error))
    }
}

#[test]
fn malformed_requests_get_the_answers_of_the_specifications() {
    let cases = Case::all();
    let authority = Authority::start("", "");
    let wrong: Vec<String> = cases.iter().filter_map(|case| case.fault(&authority)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // None of them got as far as the clients: nobody has to wait now.
    let app = authority.create("acme", &READS);
    assert_eq!(authority.ask_token(&app, "").status, 200);
}

#[test]
fn who_does_not_exist_is_answered_like_who_is_wrong() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let nobody = App { id: "nobody".to_owned(), ..app.clone() };
    let wrong = App { secret: "sgs_wrong".to_owned(), ..app };
    let plain = |answer: Response| {
        let id = answer.fields.one("x-request-id").unwrap().to_owned();
        let fields = answer.fields.0.into_iter().filter(|(name, _)| !["x-request-id", "date"].contains(&&**name));
        let body = String::from_utf8(answer.body).unwrap();
        (answer.status, fields.collect::<Vec<_>>(), body.replace(&id, ""))
    };
    let form = |app: &App| plain(authority.ask_token(app, ""));
    let basic = |app: &App| plain(authority.post("/oauth2/token", &app.basic(), "grant_type=client_credentials"));
    assert_eq!(form(&nobody), form(&wrong));
    assert_eq!(basic(&nobody), basic(&wrong));
    assert_eq!((form(&nobody).0, form(&nobody).2.contains("nobody")), (401, false));
}

#[test]
fn the_access_log_says_what_the_client_is_not_told() {
    let authority = Authority::start("", "");
    let [app, revoked] = ["acme", "revoked"].map(|id| authority.create(id, &READS));
    authority.client(&["revoke", "revoked"]);
    let nobody = App { id: "nobody".to_owned(), ..app.clone() };
    let wrong = App { secret: revoked.secret.clone(), ..app.clone() };
    // Whoever mixes up the two fields has the secret in no log either.
    let mixed = App { id: app.secret.clone(), secret: app.id.clone() };
    let logged = |app: &App, more: &str| {
        let answer = authority.ask_token(app, more);
        let id = answer.fields.one("x-request-id").unwrap().to_owned();
        let entry = authority.gateway.access_log_entry(|entry| entry["request_id"] == *id);
        assert!(entry["reason"].is_null(), "that is for requests to backends");
        let told = ["detail", "client_id"].map(|name| entry[name].as_str().unwrap_or("-").to_owned());
        (answer.status, told.join(", "))
    };
    let refused = |told: &str| (401, format!("invalid_client: {told}"));
    assert_eq!(logged(&nobody, ""), refused("there is no such client, -"));
    assert_eq!(logged(&mixed, ""), refused("there is no such client, -"));
    assert_eq!(logged(&wrong, ""), refused("the client has shown other credentials than its own, acme"));
    assert_eq!(logged(&revoked, ""), refused("the client is revoked, revoked"));
    let scope = "invalid_scope: the client does not have a scope that it asks for, -";
    assert_eq!(logged(&app, "&scope=users:write"), (400, scope.to_owned()));
    assert_eq!(logged(&app, ""), (200, "-, -".to_owned()));
    let finished = authority.gateway.stop();
    for secret in [&app.secret, &revoked.secret] {
        assert!(!finished.stdout.contains(&**secret) && !finished.stderr.contains(&**secret));
    }
}

#[test]
fn who_guesses_waits_and_others_do_not() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let wrong = App { secret: "sgs_wrong".to_owned(), ..app.clone() };
    let refusals: Vec<u16> = (0..12).map(|_| authority.ask_token(&wrong, "").status).collect();
    assert_eq!(refusals, [[401; 10].as_slice(), &[429; 2]].concat());
    let answer = authority.ask_token(&app, "");
    let seconds: u64 = answer.fields.one("retry-after").unwrap().parse().unwrap();
    assert!(answer.status == 429 && (1..=60).contains(&seconds), "{answer:?}");
    assert_eq!(json(&answer)["error"], "rate_limited");

    let mut elsewhere = connect_from(Ipv4Addr::new(127, 0, 0, 2), authority.gateway.address());
    elsewhere.send(form_request("/oauth2/token", "", &format!("grant_type=client_credentials&{}", app.form())));
    let answer = elsewhere.receive();
    assert_eq!((answer.status, &json(&answer)["token_type"]), (200, &json!("Bearer")));
}

/// A connection from another address than the usual one.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let reader = stream.try_clone().unwrap();
    Client::over(stream, reader)
}

#[test]
fn endpoints_are_where_the_configuration_says() {
    let own = free_address();
    let rest = format!("listeners: [{{address: '127.0.0.2:0'}}, {{address: '{own}'}}]\n");
    let authority = Authority::start(&format!("  listeners: ['{own}']\n  token_paths: [/token]\n"), &rest);
    let app = authority.create("acme", &READS);
    let form = format!("grant_type=client_credentials&{}", app.form());
    let statuses = |path: &str| {
        [own, authority.gateway.address()].map(|address| {
            let mut client = Client::connect(address);
            client.send(form_request(path, "", &form));
            client.receive().status
        })
    };
    assert_eq!(statuses("/token"), [200, 404]);
    assert_eq!((statuses("/oauth2/token"), statuses("/token/")), ([404, 404], [404, 404]));
}

#[test]
fn tokens_are_for_the_gateway_or_for_what_is_behind_it() {
    let authority = Authority::start("", "");
    let admin = authority.create("admin-only", &["--scope", "sidegate.clients:read"]);
    authority.is_refused(&authority.token(&admin), "token_audience");
    let both = authority.create("both", &["--scope", "sidegate.registry:read", "--scope", "users:read"]);
    assert_eq!(authority.call(ME, &authority.token(&both)).status, 200);
    let one = json(&authority.ask_token(&both, "&scope=sidegate.registry:read"))["access_token"].clone();
    authority.is_refused(one.as_str().unwrap(), "token_audience");
}

#[test]
fn secrets_and_tokens_are_in_no_log() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let token = authority.token(&app);
    authority.introspect(&app, &token);
    authority.until(200, super::fixture::READ, &token);
    authority.post("/oauth2/token", "", &format!("grant_type=password&{}", app.form()));
    authority.post(&format!("/oauth2/token?client_secret={}", app.secret), "", &format!("grant_type=x&{}", app.form()));
    authority.post("/oauth2/revoke", &app.basic(), &format!("token={token}"));
    let (_, metrics) = authority.gateway.admin_get("/metrics");
    let finished = authority.gateway.stop();
    for text in [&finished.stdout, &finished.stderr, &metrics] {
        assert!(!text.contains(&app.secret) && !text.contains(&app.basic()[22..40]) && !text.contains(&token[..40]));
    }
    assert!(finished.stdout.contains("/oauth2/revoke"));
}
