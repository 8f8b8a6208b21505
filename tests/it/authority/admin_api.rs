//! The admin REST API on a running gateway.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::response::Response;
use crate::harness::tokens;

const CONFIG: &str = "\
authority:
  issuer: http://127.0.0.1:8080
  audience: https://users.example
  algorithm: ES256
  scopes: { 'users:read': Read users, 'users:write': Write users }
roles:
  viewer: { scopes: ['users:read'] }
  keeper: { scopes: ['sidegate.clients:write'] }
  boss: { scopes: ['sidegate.admin'], includes: [keeper] }
identity: { tenant: { header: X-Tenant-Id, required: false } }
errors: { format: oauth, realm: here }
upstreams: { echo: { builtin: echo } }
routes:
  - { match: GET /v1/users, scopes: ['users:read'], upstream: echo }
  - { match: GET /v1/any, authenticated: true, upstream: echo }
";

const PUBLIC_JWK: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A gateway, and the token of its first admin.
struct Place {
    gateway: Gateway,
    admin: String,
}

/// A client's id and secret.
type Credentials = (String, String);

impl Place {
    fn start() -> Self {
        Self::start_with(CONFIG)
    }

    fn start_with(config: &str) -> Self {
        let gateway = Gateway::start(config);
        let secret = fs::read_to_string(gateway.directory().join("admin-secret")).unwrap();
        let mut place = Self { gateway, admin: String::new() };
        place.admin = place.token(&("admin".to_owned(), secret.trim().to_owned()), "");
        place
    }

    /// A token of this client, with these scopes or all that it has.
    fn token(&self, (id, secret): &Credentials, scope: &str) -> String {
        let scope = if scope.is_empty() { String::new() } else { format!("&scope={}", scope.replace(' ', "+")) };
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}{scope}");
        let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = send(self.gateway.address(), "POST", "/oauth2/token", fields, form.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        document(&answer)["access_token"].as_str().unwrap().to_owned()
    }

    /// The status of a route.
    fn call(&self, path: &str, token: &str) -> u16 {
        send(self.gateway.address(), "GET", path, &format!("Authorization: Bearer {token}\r\n"), b"").status
    }

    /// Asks the API as the bearer of this token. `more` are whole header lines.
    fn ask_with(&self, token: &str, method: &str, path: &str, more: &str, body: Option<&Value>) -> Response {
        let content_type = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let fields = format!("Authorization: Bearer {token}\r\n{content_type}{more}");
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &fields, body.as_bytes())
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        self.ask_with(token, method, path, "", body.as_ref())
    }

    /// As whoever the header lines say.
    fn send(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> Response {
        let answer = send(self.gateway.admin.unwrap(), method, path, fields, body);
        check(&answer);
        answer
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask(&self.admin, "GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        document(&answer)
    }

    fn create_as(&self, token: &str, client: Value) -> Response {
        self.ask(token, "POST", "/api/v1/clients", Some(client))
    }

    /// Makes a client with this id.
    fn create(&self, id: &str, more: Value) -> Credentials {
        let mut client = json!({ "client_id": id, "name": id });
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.create_as(&self.admin, client);
        assert_eq!(answer.status, 201, "{}", answer.text());
        (id.to_owned(), document(&answer)["client_secret"].as_str().unwrap().to_owned())
    }

    /// A token of a new client with these scopes and tenants.
    fn admin_with(&self, id: &str, scopes: &[&str], tenants: &[&str]) -> String {
        self.token(&self.create(id, json!({ "scopes": scopes, "tenants": tenants })), "")
    }
}

fn send(address: SocketAddr, method: &str, path: &str, fields: &str, body: &[u8]) -> Response {
    let mut client = Client::connect(address);
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    client.send([head.as_bytes(), body].concat());
    client.receive()
}

/// What holds for every answer of the API.
fn check(answer: &Response) {
    let field = |name| answer.fields.one(name);
    assert_eq!(field("cache-control"), Some("no-store"), "{answer:?}");
    if answer.status < 400 {
        return;
    }
    assert_eq!(field("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = document(answer);
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(answer.status)), "{problem}");
    assert_eq!(problem["requestId"], field("x-request-id").unwrap());
    for text in ["title", "detail", "code"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    // Whatever a token is refused for, it is told how it would do (RFC 6750 section 3).
    let is_of_token = !["HOST_FORBIDDEN", "CROSS_SITE"].map(Value::from).contains(&problem["code"]);
    let has_challenge = matches!(answer.status, 401 | 403) && is_of_token;
    assert_eq!(field("www-authenticate").is_some(), has_challenge, "{answer:?}");
}

fn document(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

fn etag(answer: &Response) -> String {
    answer.fields.one("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}")).to_owned()
}

fn if_match(answer: &Response) -> String {
    format!("If-Match: {}\r\n", etag(answer))
}

/// Status, and the member that a problem is about.
fn refusal(answer: &Response) -> (u16, Value) {
    (answer.status, document(answer)["field"].clone())
}

#[test]
fn a_client_lives_and_dies() {
    let place = Place::start();
    let admin = &*place.admin;
    let created = place.create_as(
        admin,
        json!({
            "client_id": "import", "name": "Import", "description": "Nightly", "scopes": ["users:read"],
            "roles": ["viewer"], "tenants": ["t1"], "expires_at": "2099-12-31",
        }),
    );
    assert_eq!((created.status, created.fields.one("location")), (201, Some("/api/v1/clients/import")));
    let mut client = document(&created);
    let secret = client.as_object_mut().unwrap().remove("client_secret").unwrap();
    let first = ("import".to_owned(), secret.as_str().unwrap().to_owned());
    assert_eq!((&client["expires_at"], &client["status"]), (&json!("2100-01-01T00:00:00Z"), &json!("active")));
    let version = client["version"].as_u64().unwrap();
    assert_eq!(etag(&created), format!("\"{version}\""));

    let path = "/api/v1/clients/import";
    let shown = place.ask(admin, "GET", path, None);
    assert_eq!((document(&shown), etag(&shown)), (client, etag(&created)));
    let again = format!("If-None-Match: W/\"1\", {}\r\n", etag(&shown));
    let same = place.ask_with(admin, "GET", path, &again, None);
    assert_eq!((same.status, etag(&same), same.body.len()), (304, etag(&shown), 0));

    let token = place.token(&first, "");
    assert_eq!(place.call("/v1/users", &token), 200);

    // Edited: what is null goes, what is not named stays.
    let patch = json!({ "name": "Imports", "description": null, "roles": [] });
    assert_eq!(place.ask(admin, "PATCH", path, Some(patch.clone())).status, 428);
    let stale = place.ask_with(admin, "PATCH", path, "If-Match: \"1\"\r\n", Some(&patch));
    assert_eq!((stale.status, &document(&stale)["version"]), (412, &json!(version)));
    let edited = place.ask_with(admin, "PATCH", path, &if_match(&shown), Some(&patch));
    let client = document(&edited);
    assert_eq!((&client["name"], &client["description"]), (&json!("Imports"), &json!("")));
    assert_eq!((&client["roles"], &client["scopes"]), (&json!([]), &json!(["users:read"])));
    assert!(client["version"].as_u64().unwrap() > version && etag(&edited) != etag(&shown));
    let unchanged = place.ask_with(admin, "PATCH", path, &if_match(&edited), Some(&json!({ "name": "Imports" })));
    assert_eq!((unchanged.status, etag(&unchanged)), (200, etag(&edited)));

    // Two secrets are live for a while.
    let rotate = |keep_old: &str| {
        place.ask(admin, "POST", &format!("{path}/rotate-secret"), Some(json!({ "keep_old": keep_old })))
    };
    let rotated = rotate("1h");
    let second = document(&rotated)["client_secret"].as_str().unwrap().to_owned();
    assert_eq!(document(&rotated)["secrets"].as_array().unwrap().len(), 2);
    place.token(&first, "");
    let second = ("import".to_owned(), second);
    place.token(&second, "users:read");
    assert_eq!(refusal(&rotate("1h")), (409, json!("keep_old")));
    assert_eq!(refusal(&rotate("soon")), (422, json!("keep_old")));

    let renewed =
        place.ask(admin, "POST", &format!("{path}/renew"), Some(json!({ "expires_at": "2098-01-01T00:00:00Z" })));
    assert_eq!(document(&renewed)["expires_at"], "2098-01-01T00:00:00Z");
    let over = place.ask(admin, "POST", &format!("{path}/renew"), Some(json!({ "expires_at": "2001-01-01" })));
    assert_eq!(refusal(&over), (422, json!("expires_at")));

    // Revoked is refused with the very next request, and for ever.
    let token = place.token(&second, "");
    assert_eq!(place.call("/v1/users", &token), 200);
    let stale = place.ask_with(admin, "POST", &format!("{path}/revoke"), &if_match(&shown), None);
    assert_eq!(stale.status, 412);
    let revoked = place.ask(admin, "POST", &format!("{path}/revoke"), None);
    assert_eq!((revoked.status, &document(&revoked)["status"]), (200, &json!("revoked")));
    assert_eq!(place.call("/v1/users", &token), 401);
    let restored = place.ask(admin, "POST", &format!("{path}/restore"), None);
    assert_eq!((restored.status, &document(&restored)["status"]), (200, &json!("active")));
    assert_eq!(place.call("/v1/users", &token), 401);
    let token = place.token(&second, "");
    assert_eq!(place.call("/v1/users", &token), 200);

    assert_eq!(place.ask(admin, "DELETE", path, None).status, 428);
    let deleted = place.ask_with(admin, "DELETE", path, &if_match(&restored), None);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(place.call("/v1/users", &token), 401);
    assert_eq!(place.ask(admin, "GET", path, None).status, 404);
    assert_eq!(place.ask_with(admin, "DELETE", path, "If-Match: *\r\n", None).status, 404);

    // The log of it, which holds no secret; nor does anything else.
    let audit = place.get("/api/v1/audit?limit=500");
    let entries: Vec<&Value> =
        audit["entries"].as_array().unwrap().iter().filter(|one| one["subject"] == "import").collect();
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["create", "edit", "rotate_secret", "renew", "revoke", "restore", "delete"]);
    assert!(entries.iter().all(|entry| entry["who"] == "client:admin"), "{audit}");
    assert_eq!((&entries[0]["before"], &entries[0]["after"]["name"]), (&Value::Null, &json!("Import")));
    let written = place.gateway.stop();
    for secret in [&first.1, &second.1, &token] {
        assert!(![&audit.to_string(), &written.stdout, &written.stderr].iter().any(|text| text.contains(&**secret)));
    }
}

#[test]
fn a_client_may_sign_its_requests() {
    let place = Place::start();
    let jwks: Value = serde_json::from_str(PUBLIC_JWK).unwrap();
    let created = place
        .create_as(&place.admin, json!({ "client_id": "signer", "name": "s", "scopes": ["users:read"], "jwks": jwks }));
    let client = document(&created);
    assert_eq!((&client["client_secret"], &client["jwks"], &client["secrets"]), (&Value::Null, &jwks, &json!([])));
    let patch = |answer: &Response, patch: Value| {
        place.ask_with(&place.admin, "PATCH", "/api/v1/clients/signer", &if_match(answer), Some(&patch))
    };
    assert_eq!(refusal(&patch(&created, json!({ "jwks": null }))), (422, json!("jwks")));
    assert_eq!(refusal(&patch(&created, json!({ "jwks": { "keys": [] } }))), (422, json!("jwks")));
    let rotated = place.ask(&place.admin, "POST", "/api/v1/clients/signer/rotate-secret", None);
    assert_eq!(refusal(&patch(&rotated, json!({ "secrets": [] }))).0, 422);
    let without_secret = patch(&rotated, json!({ "secrets": null }));
    assert_eq!((without_secret.status, &document(&without_secret)["secrets"]), (200, &json!([])));
    let rotated = place.ask(&place.admin, "POST", "/api/v1/clients/signer/rotate-secret", None);
    let without = patch(&rotated, json!({ "jwks": null }));
    assert_eq!((without.status, &document(&without)["jwks"]), (200, &Value::Null));
    assert_eq!(refusal(&patch(&without, json!({ "secrets": null }))), (422, json!("jwks")));
}

#[test]
fn of_two_admins_the_second_learns_of_the_first() {
    let place = Place::start();
    place.create("shared", json!({ "scopes": ["users:read"] }));
    let other = place.admin_with("other", &["sidegate.clients:write"], &[]);
    let path = "/api/v1/clients/shared";
    let [mine, theirs] = [&*place.admin, &*other].map(|token| place.ask(token, "GET", path, None));
    let edit = |token: &str, seen: &Response, name: &str| {
        place.ask_with(token, "PATCH", path, &if_match(seen), Some(&json!({ "name": name })))
    };
    let first = edit(&place.admin, &mine, "mine");
    assert_eq!(first.status, 200);
    let second = edit(&other, &theirs, "theirs");
    assert_eq!((second.status, &document(&second)["version"]), (412, &document(&first)["version"]));
    assert_eq!(place.ask_with(&other, "DELETE", path, &if_match(&theirs), None).status, 412);
    assert_eq!(place.get(path)["name"], "mine");
    let either = format!("If-Match: {}, {}\r\n", etag(&theirs), etag(&first));
    assert_eq!(place.ask_with(&other, "PATCH", path, &either, Some(&json!({ "name": "theirs" }))).status, 200);
    let weak = format!("If-Match: W/{}\r\n", etag(&place.ask(&other, "GET", path, None)));
    assert_eq!(place.ask_with(&other, "DELETE", path, &weak, None).status, 412);
    assert_eq!(place.ask_with(&other, "DELETE", path, "If-Match: 7\r\n", None).status, 400);
}

#[test]
fn an_admin_with_tenants_sees_and_changes_only_theirs() {
    let place = Place::start();
    for (id, tenants) in
        [("one", &["t1"][..]), ("two", &["t2"]), ("both", &["t1", "t2"]), ("wide", &["t1", "t3"]), ("none", &[])]
    {
        place.create(id, json!({ "scopes": ["users:read"], "tenants": tenants }));
    }
    let bound = place.admin_with("bound", &["sidegate.clients:write"], &["t1", "t2"]);
    let ids = |token: &str| -> Vec<String> {
        let list = document(&place.ask(token, "GET", "/api/v1/clients", None));
        list["clients"].as_array().unwrap().iter().map(|one| one["client_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&bound), ["both", "bound", "one", "two"]);
    assert_eq!(ids(&place.admin).len(), 7);

    for hidden in ["wide", "none", "admin", "nobody"] {
        let path = format!("/api/v1/clients/{hidden}");
        for (method, path, body) in [
            ("GET", path.clone(), None),
            ("PATCH", path.clone(), Some(json!({ "tenants": ["t1"] }))),
            ("DELETE", path.clone(), None),
            ("POST", format!("{path}/revoke"), None),
            ("POST", format!("{path}/restore"), None),
            ("POST", format!("{path}/renew"), None),
            ("POST", format!("{path}/rotate-secret"), None),
        ] {
            let answer = place.ask_with(&bound, method, &path, "If-Match: *\r\n", body.as_ref());
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }

    // Neither a new client nor an old one gets out of the tenants.
    let client = |tenants: &[&str]| json!({ "name": "x", "scopes": ["users:read"], "tenants": tenants });
    for tenants in [&[][..], &["t3"], &["t1", "t3"]] {
        assert_eq!(refusal(&place.create_as(&bound, client(tenants))), (422, json!("tenants")), "{tenants:?}");
        let patch = json!({ "tenants": tenants });
        let edited = place.ask_with(&bound, "PATCH", "/api/v1/clients/one", "If-Match: *\r\n", Some(&patch));
        assert_eq!(refusal(&edited), (422, json!("tenants")), "{tenants:?}");
        let itself = place.ask_with(&bound, "PATCH", "/api/v1/clients/bound", "If-Match: *\r\n", Some(&patch));
        assert_eq!(refusal(&itself), (422, json!("tenants")), "{tenants:?}");
    }
    let taken = json!({ "client_id": "none", "name": "x", "scopes": ["users:read"], "tenants": ["t1"] });
    assert_eq!(refusal(&place.create_as(&bound, taken)), (409, json!("client_id")));
    assert_eq!(place.create_as(&bound, client(&["t2"])).status, 201);
    assert_eq!(place.ask(&bound, "POST", "/api/v1/clients/both/revoke", None).status, 200);

    // What is of no tenant is not theirs.
    for (method, path) in [
        ("GET", "/api/v1/audit"),
        ("POST", "/api/v1/issuers/demo/clients/acme/revoke"),
        ("POST", "/api/v1/issuers/demo/clients/acme/restore"),
    ] {
        let answer = place.ask(&bound, method, path, None);
        assert_eq!((answer.status, &document(&answer)["code"]), (403, &json!("TENANT_FORBIDDEN")), "{path}");
    }

    // A token of before the client was held to tenants, or to others, has none of them left.
    let path = "/api/v1/clients/bound";
    assert_eq!(
        place.ask_with(&place.admin, "PATCH", path, "If-Match: *\r\n", Some(&json!({ "tenants": ["t3"] }))).status,
        200
    );
    assert_eq!(ids(&bound), Vec::<String>::new());
    let free = place.admin_with("free", &["sidegate.clients:write"], &[]);
    assert_eq!(ids(&free).len(), 9);
    let path = "/api/v1/clients/free";
    assert_eq!(
        place.ask_with(&place.admin, "PATCH", path, "If-Match: *\r\n", Some(&json!({ "tenants": ["t1"] }))).status,
        200
    );
    assert_eq!(ids(&free), Vec::<String>::new());
    assert_eq!(place.ask(&free, "GET", "/api/v1/audit", None).status, 403);
}

#[test]
fn nobody_hands_on_what_he_does_not_have() {
    let place = Place::start();
    let keeper = place.create("keeper", json!({ "scopes": ["sidegate.clients:write", "sidegate.registry:read"] }));
    let token = place.token(&keeper, "");
    let forbidden = |answer: &Response| {
        assert_eq!(
            (answer.status, &document(answer)["code"]),
            (403, &json!("INSUFFICIENT_SCOPE")),
            "{}",
            answer.text()
        );
        assert!(answer.fields.one("www-authenticate").unwrap().contains("scope=\"sidegate."), "{answer:?}");
    };

    // Neither to a new client nor to one that is there, itself among them; neither as a scope nor in a role.
    for grant in [json!({ "scopes": ["sidegate.admin"] }), json!({ "roles": ["boss"] })] {
        let mut client = json!({ "name": "x" });
        client.as_object_mut().unwrap().extend(grant.as_object().unwrap().clone());
        forbidden(&place.create_as(&token, client));
        forbidden(&place.ask_with(&token, "PATCH", "/api/v1/clients/keeper", "If-Match: *\r\n", Some(&grant)));
    }
    // Nor are the credentials of a client that has more a way to get it.
    let jwks: Value = serde_json::from_str(PUBLIC_JWK).unwrap();
    forbidden(&place.ask(&token, "POST", "/api/v1/clients/admin/rotate-secret", None));
    forbidden(&place.ask_with(
        &token,
        "PATCH",
        "/api/v1/clients/admin",
        "If-Match: *\r\n",
        Some(&json!({ "jwks": jwks })),
    ));
    forbidden(&place.ask(&token, "POST", "/api/v1/clients/admin/renew", None));
    // A token with less than its client has hands on less.
    let less = place.token(&keeper, "sidegate.clients:write");
    forbidden(&place.create_as(&less, json!({ "name": "x", "scopes": ["sidegate.registry:read"] })));
    // What it has it may hand on, and reading with writing.
    for scopes in
        [&["sidegate.clients:write"][..], &["sidegate.clients:read"], &["sidegate.registry:read", "users:write"]]
    {
        assert_eq!(place.create_as(&token, json!({ "name": "x", "scopes": scopes })).status, 201, "{scopes:?}");
    }
    assert_eq!(place.create_as(&token, json!({ "name": "x", "roles": ["keeper"] })).status, 201);
    // A client that was given more meanwhile does not have it by tokens of before, and one that has less has less at once.
    let reduced = json!({ "scopes": ["sidegate.clients:write"] });
    assert_eq!(
        place.ask_with(&place.admin, "PATCH", "/api/v1/clients/keeper", "If-Match: *\r\n", Some(&reduced)).status,
        200
    );
    forbidden(&place.create_as(&token, json!({ "name": "x", "scopes": ["sidegate.registry:read"] })));
    // To take something away needs nothing more: who finds an intruder need not wait for somebody greater.
    assert_eq!(place.ask(&token, "POST", "/api/v1/clients/admin/revoke", None).status, 200);
    assert_eq!(place.ask(&place.admin, "GET", "/api/v1/clients", None).status, 401);
    forbidden(&place.ask(&token, "POST", "/api/v1/clients/admin/restore", None));
}

#[test]
fn only_tokens_made_for_it_open_the_api() {
    let place = Place::start();
    let list = |fields: &str| place.send("GET", "/api/v1/clients", fields, b"");
    let challenge = |answer: &Response| answer.fields.one("www-authenticate").unwrap_or_default().to_owned();
    let without = list("");
    assert_eq!((without.status, challenge(&without)), (401, "Bearer realm=\"here\"".to_owned()));

    // One for the services behind the gateway, one of another issuer that names the scope, and none at all.
    let ordinary = place.admin_with("api", &["users:read"], &[]);
    let foreign = tokens::mint(&["--scope", "sidegate.clients:write sidegate.clients:read", "--tenant", ""]);
    assert_eq!((place.call("/v1/users", &ordinary), place.call("/v1/any", &foreign)), (200, 200));
    for token in [&*ordinary, &*foreign, "not.a.token"] {
        for (method, path) in [("GET", "/api/v1/clients"), ("POST", "/api/v1/clients"), ("GET", "/api/v1/nothing")] {
            let answer = place.ask(token, method, path, None);
            assert_eq!((answer.status, &document(&answer)["code"]), (401, &json!("UNAUTHORIZED")), "{method} {path}");
            assert!(challenge(&answer).contains("error=\"invalid_token\""), "{answer:?}");
        }
    }
    // And the other way round.
    assert_eq!((place.call("/v1/users", &place.admin), place.call("/v1/any", &place.admin)), (401, 401));

    // Whoever may read may not write, and sees which scope it takes.
    let reader = place.admin_with("reader", &["sidegate.clients:read", "users:read"], &[]);
    assert_eq!(place.ask(&reader, "GET", "/api/v1/clients/reader", None).status, 200);
    assert_eq!(place.ask(&reader, "GET", "/api/v1/audit", None).status, 200);
    for (method, path) in [
        ("POST", "/api/v1/clients"),
        ("PATCH", "/api/v1/clients/reader"),
        ("DELETE", "/api/v1/clients/reader"),
        ("POST", "/api/v1/clients/admin/revoke"),
        ("POST", "/api/v1/issuers/demo/clients/acme/revoke"),
    ] {
        let answer = place.ask(&reader, method, path, None);
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(challenge(&answer).contains("scope=\"sidegate.clients:write\""), "{answer:?}");
    }
    let writer = place.admin_with("writer", &["sidegate.clients:write"], &[]);
    assert_eq!(place.ask(&writer, "GET", "/api/v1/clients/reader", None).status, 200);
    let follower = place.admin_with("follower", &["sidegate.registry:read", "sidegate.admin"], &[]);
    let answer = place.ask(&follower, "GET", "/api/v1/clients", None);
    assert!(answer.status == 403 && challenge(&answer).contains("scope=\"sidegate.clients:read\""), "{answer:?}");

    // What it was revoked for ends here too.
    assert_eq!(place.ask(&place.admin, "POST", "/api/v1/clients/writer/revoke", None).status, 200);
    assert_eq!(place.ask(&writer, "GET", "/api/v1/clients", None).status, 401);
}

#[test]
fn clients_come_in_pages() {
    let place = Place::start();
    for number in 0..120 {
        place.create(&format!("c{number:03}"), json!({ "scopes": ["users:read"] }));
    }
    let (mut ids, mut sizes, mut next) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = place.get(&format!("/api/v1/clients{next}"));
        let clients = page["clients"].as_array().unwrap();
        sizes.push(clients.len());
        ids.extend(clients.iter().map(|client| client["client_id"].as_str().unwrap().to_owned()));
        assert!(clients.iter().all(|client| client.get("client_secret").is_none()));
        match page["next"].as_str() {
            Some(id) => next = format!("?after={id}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = (0..120).map(|number| format!("c{number:03}")).collect();
    expected.insert(0, "admin".to_owned());
    assert_eq!((ids, sizes), (expected, vec![50, 50, 21]));
    assert_eq!(place.get("/api/v1/clients?limit=500")["next"], Value::Null);
    assert_eq!(place.get("/api/v1/clients?limit=121")["next"], Value::Null);
    assert_eq!(place.get("/api/v1/clients?limit=1&after=admin")["next"], "c000");
    assert_eq!(place.get("/api/v1/clients?after=zzz"), json!({ "clients": [], "next": null }));
    for (query, field) in [("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("page=2", "page")] {
        let answer = place.ask(&place.admin, "GET", &format!("/api/v1/clients?{query}"), None);
        assert_eq!(refusal(&answer), (400, json!(field)), "{query}");
    }
    let first = place.get("/api/v1/audit?limit=2");
    let numbers: Vec<u64> =
        first["entries"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(first["next"].as_u64(), numbers.last().copied());
    let second = place.get(&format!("/api/v1/audit?limit=1&after={}", numbers[1]));
    assert!(second["entries"][0]["number"].as_u64().unwrap() > numbers[1]);
    assert_eq!(refusal(&place.ask(&place.admin, "GET", "/api/v1/audit?after=x", None)), (400, json!("after")));
}

#[test]
fn what_is_wrong_is_said() {
    let place = Place::start();
    place.create("there", json!({ "scopes": ["users:read"] }));
    let create = |body: Value| place.create_as(&place.admin, body);
    for (body, status, field, words) in [
        (
            json!({ "name": "x", "scope": ["users:read"] }),
            422,
            json!("scope"),
            "unknown field `scope`, expected one of",
        ),
        (json!({ "scopes": ["users:read"] }), 422, json!("name"), "missing field `name`"),
        (json!({ "name": "x" }), 422, json!("scopes"), "at least one scope or role"),
        (json!({ "name": "x", "scopes": ["user:read"] }), 422, json!("scopes"), "did you mean `users:read`?"),
        (json!({ "name": "x", "scopes": "users:read" }), 422, Value::Null, "expected a sequence"),
        (json!({ "name": "", "scopes": ["users:read"] }), 422, json!("name"), "nothing in it"),
        (json!({ "name": "x", "roles": ["viewr"] }), 422, json!("roles"), "did you mean `viewer`?"),
        (
            json!({ "name": "x", "scopes": ["users:read"], "client_id": "a/b" }),
            422,
            json!("client_id"),
            "letters and digits",
        ),
        (json!({ "name": "x", "scopes": ["users:read"], "client_id": "there" }), 409, json!("client_id"), "already"),
        (
            json!({ "name": "x", "scopes": ["users:read"], "expires_at": "soon" }),
            422,
            json!("expires_at"),
            "neither a date",
        ),
        (json!(["x"]), 422, Value::Null, "has to be a JSON object"),
    ] {
        let answer = create(body.clone());
        assert_eq!(refusal(&answer), (status, field), "{body}");
        assert!(document(&answer)["detail"].as_str().unwrap().contains(words), "{}", answer.text());
    }
    let patch = place.ask_with(
        &place.admin,
        "PATCH",
        "/api/v1/clients/there",
        "If-Match: *\r\n",
        Some(&json!({ "client_id": "x" })),
    );
    assert_eq!(refusal(&patch), (422, json!("client_id")));
    let nameless = place.ask_with(
        &place.admin,
        "PATCH",
        "/api/v1/clients/there",
        "If-Match: *\r\n",
        Some(&json!({ "name": null })),
    );
    assert_eq!(refusal(&nameless), (422, json!("name")));
    let odd = place.ask(&place.admin, "POST", "/api/v1/clients/there/revoke", Some(json!({ "reason": "x" })));
    assert_eq!(refusal(&odd), (422, json!("reason")));

    let raw = |method: &str, path: &str, more: &str, body: &[u8]| {
        place.send(method, path, &format!("Authorization: Bearer {}\r\n{more}", place.admin), body)
    };
    let good = br#"{"name":"x","scopes":["users:read"]}"#;
    assert_eq!(raw("POST", "/api/v1/clients", "", good).status, 415);
    assert_eq!(raw("POST", "/api/v1/clients", "Content-Type: text/plain\r\n", good).status, 415);
    assert_eq!(raw("POST", "/api/v1/clients", "Content-Type: application/merge-patch+json\r\n", good).status, 415);
    assert_eq!(raw("POST", "/api/v1/clients", "Content-Type: application/json\r\n", b"{\"name\"").status, 400);
    assert_eq!(raw("POST", "/api/v1/clients?force", "Content-Type: application/json\r\n", good).status, 400);
    let long = [&good[..], &vec![b' '; 64 * 1024]].concat();
    assert_eq!(raw("POST", "/api/v1/clients", "Content-Type: application/json\r\n", &long).status, 413);
    let merge = "Content-Type: application/merge-patch+json\r\nIf-Match: *\r\n";
    assert_eq!(raw("PATCH", "/api/v1/clients/there", merge, br#"{"notes":"n"}"#).status, 200);

    let put = place.ask(&place.admin, "PUT", "/api/v1/clients/there", None);
    assert_eq!((put.status, put.fields.one("allow")), (405, Some("GET, PATCH, DELETE, HEAD")));
    for path in ["/api/v1/client", "/api/v2/clients", "/api/v1/clients/there/", "/api/", "/api/v1/clients/there/delete"]
    {
        assert_eq!(place.ask(&place.admin, "GET", path, None).status, 404, "{path}");
    }
    let nobody = place.ask(&place.admin, "POST", "/api/v1/issuers/dmo/clients/x/revoke", None);
    assert_eq!(refusal(&nobody), (404, json!("name")));
    let ourselves = place.ask(&place.admin, "POST", "/api/v1/issuers/authority/clients/x/revoke", None);
    assert_eq!(refusal(&ourselves), (404, json!("name")));
    let odd = place.ask(&place.admin, "POST", "/api/v1/issuers/demo/clients/%00/revoke", None);
    assert_eq!(refusal(&odd), (422, json!("client_id")));
    for (method, path) in [("GET", "a%00"), ("DELETE", "a%00"), ("POST", "a%00/revoke"), ("POST", "a%00/rotate-secret")]
    {
        let path = format!("/api/v1/clients/{path}");
        assert_eq!(place.ask_with(&place.admin, method, &path, "If-Match: *\r\n", None).status, 404, "{method} {path}");
    }

    // Pages of other sites get in neither with the token of whoever looks at them nor by a name of their own.
    let cross =
        raw("POST", "/api/v1/clients", "Content-Type: application/json\r\nOrigin: https://evil.example\r\n", good);
    assert_eq!((cross.status, &document(&cross)["code"]), (403, &json!("CROSS_SITE")));
    let host = send_as("evil.example", place.gateway.admin.unwrap(), &place.admin);
    assert_eq!((host.status, &document(&host)["code"]), (403, &json!("HOST_FORBIDDEN")));
    assert_eq!(place.get("/api/v1/clients")["clients"].as_array().unwrap().len(), 2);
}

fn send_as(host: &str, address: SocketAddr, token: &str) -> Response {
    let mut client = Client::connect(address);
    client.send(format!("GET /api/v1/clients HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"));
    let answer = client.receive();
    check(&answer);
    answer
}

#[test]
fn a_client_of_another_issuer_is_refused_at_once() {
    let place = Place::start();
    let token = tokens::mint(&["--scope", "users:read", "--client", "acme/eu 1"]);
    assert_eq!(place.call("/v1/users", &token), 200);
    let set = |what: &str| {
        document(&place.ask(&place.admin, "POST", &format!("/api/v1/issuers/demo/clients/acme%2Feu%201/{what}"), None))
    };
    let expected = |is_revoked, is_changed| json!({ "issuer": "demo", "client_id": "acme/eu 1", "is_revoked": is_revoked, "is_changed": is_changed });
    assert_eq!(set("revoke"), expected(true, true));
    assert_eq!(place.call("/v1/users", &token), 401);
    assert_eq!(set("revoke"), expected(true, false));
    assert_eq!(set("restore"), expected(false, true));
    assert_eq!(place.call("/v1/users", &token), 200);
}

#[test]
fn a_storage_that_does_not_answer_is_said_so() {
    let place = Place::start();
    place.create("there", json!({ "scopes": ["users:read"] }));
    let other = rusqlite::Connection::open(place.gateway.directory().join("sidegate.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let revoked = place.ask(&place.admin, "POST", "/api/v1/clients/there/revoke", None);
    assert_eq!((revoked.status, revoked.fields.one("retry-after")), (503, Some("5")));
    assert_eq!(place.get("/api/v1/clients/there")["status"], "active");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place.ask(&place.admin, "POST", "/api/v1/clients/there/revoke", None).status, 200);
}

#[test]
fn the_api_describes_itself() {
    let place = Place::start();
    let answer = place.send("GET", "/api/openapi.json", "", b"");
    let described = document(&answer);
    assert_eq!((answer.status, &described["openapi"]), (200, &json!("3.1.0")));
    // Every operation of the document is there: none of them is a 404 or a 405 to whoever may ask.
    for (path, operations) in described["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "nobody").replace("{name}", "demo");
        for method in operations.as_object().unwrap().keys() {
            let answer = place.ask(&place.admin, &method.to_uppercase(), &path, None);
            let is_there = answer.status != 405
                && (answer.status != 404 || document(&answer)["detail"] == "there is no client `nobody`");
            assert!(is_there, "{method} {path}: {}", answer.text());
        }
    }
    let document = place.send("POST", "/api/openapi.json", "", b"");
    assert_eq!(document.status, 401);
}

#[test]
fn without_an_authority_there_is_no_api() {
    let gateway = Gateway::start(
        "upstreams: { echo: { builtin: echo } }\nroutes: [{ match: /, authenticated: true, upstream: echo }]\n",
    );
    for path in ["/api/v1/clients", "/api/openapi.json"] {
        let answer = send(gateway.admin.unwrap(), "GET", path, "", b"");
        check(&answer);
        assert!(answer.status == 404 && answer.text().contains("no section `authority`"), "{}", answer.text());
    }
}

#[test]
fn an_exposed_admin_listener_takes_tokens_of_the_authority() {
    let listeners = "listeners: [{address: 127.0.0.1:0}]\nadmin: {address: '0.0.0.0:0'}\n";
    let place = Place::start_with(&format!("{listeners}{CONFIG}"));
    let ask = |token: &str, method: &str, path: &str| {
        let fields = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        send(place.gateway.admin.unwrap(), method, path, &fields, b"").status
    };
    let keeper = place.admin_with("keeper", &["sidegate.clients:write"], &[]);
    let operator = place.admin_with("operator", &["sidegate.admin"], &[]);
    let ordinary = place.admin_with("ordinary", &["users:read"], &[]);
    let foreign = tokens::mint(&["--scope", "sidegate.admin"]);
    for (method, path) in [("GET", "/status"), ("GET", "/metrics"), ("POST", "/reload")] {
        let of = |token| ask(token, method, path);
        assert_eq!(
            [of(""), of(&ordinary), of(&keeper), of(&operator), of(&place.admin), of(&foreign)],
            [401, 401, 403, 200, 200, 200],
            "{path}"
        );
    }
    let of = |token| [ask(token, "GET", "/api/openapi.json"), ask(token, "GET", "/api/v1/clients")];
    assert_eq!([of(""), of(&foreign), of(&operator), of(&keeper)], [[401; 2], [401; 2], [403; 2], [200; 2]]);
    assert_eq!(ask("", "GET", "/healthz"), 200);
}
