//! What a client's header fields become on their way to a backend: the table in `tests/cases/headers/attacks.yaml`, and
//! the rule behind it for any fields at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what they are given is the tests' own")]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde::Deserialize;
use sidegate::core::snapshot::{Authorization, Identity, IdentitySource, TenantHeader};
use sidegate::upstream::headers::{Caller, ClientFacts, HeaderPolicy, Scheme};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    request: Vec<String>,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    caller: Who,
    #[serde(default)]
    policy: Policy,
    target: Option<String>,
    #[serde(default)]
    backend: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
    trailers: Option<Vec<String>>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    #[default]
    Acme,
    Nobody,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    #[default]
    Forward,
    Remove,
}

/// Names that no client may get through, folded.
const PROTECTED: [&str; 13] = [
    "x-tenant-id",
    "x-client-id",
    "x-subject",
    "x-scopes",
    "x-request-id",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
];

/// Names that only a trusted proxy gets through, folded, beside the family of `x-forwarded-`.
const PROXY_ONLY: [&str; 4] = ["forwarded", "x-real-ip", "client-cert", "client-cert-chain"];

fn policy(policy: Policy) -> HeaderPolicy {
    let header = |name, source| (HeaderName::from_static(name), source);
    HeaderPolicy::new(&Identity {
        tenant: Some(TenantHeader { header: HeaderName::from_static("x-tenant-id"), required: true, select: false }),
        headers: Box::new([
            header("x-client-id", IdentitySource::ClientId),
            header("x-subject", IdentitySource::Roles),
            header("x-scopes", IdentitySource::Scopes),
        ]),
        authorization: match policy {
            Policy::Forward => Authorization::Forward,
            Policy::Remove => Authorization::Remove,
        },
    })
}

/// What the backend is told about the caller.
fn said(who: Who) -> Vec<(HeaderName, HeaderValue)> {
    let all = [("x-client-id", "acme"), ("x-subject", "s1"), ("x-tenant-id", "t1")];
    let all = all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    match who {
        Who::Acme => all.into(),
        Who::Nobody => Vec::new(),
    }
}

fn forward(policy: &HeaderPolicy, headers: &mut HeaderMap, who: Who, trusted: bool, authority: Option<&str>) {
    let said = said(who);
    let (headers_said, tenant) = said.split_at(said.len().min(2));
    let caller = Caller { headers: headers_said, tenant: tenant.first().map(|(_, value)| value) };
    let facts = ClientFacts {
        peer: &HeaderValue::from_static("192.0.2.7"),
        trusted,
        scheme: Scheme::Http,
        authority,
        request_id: b"r-1",
    };
    *headers = policy.map_to_upstream((&*headers).into(), &caller, &facts).unwrap();
}

fn parse(line: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(':').unwrap();
    (name.parse().unwrap(), HeaderValue::from_bytes(value.trim().as_bytes()).unwrap())
}

fn map(lines: &[String]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines.iter().map(|line| parse(line)) {
        map.append(name, value);
    }
    map
}

fn fold(name: &HeaderName) -> String {
    name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn is_guarded(name: &HeaderName) -> bool {
    let folded = fold(name);
    PROTECTED.contains(&&*folded) || PROXY_ONLY.contains(&&*folded) || folded.starts_with("x-forwarded-")
}

/// Of what is ours there is one line each, it is ours, and nothing else could be taken for it.
fn check_ours(headers: &HeaderMap, who: Who, trusted: bool) -> Result<(), String> {
    let ours = said(who);
    for (name, value) in headers {
        let folded = fold(name);
        let plain = folded == name.as_str();
        let one = headers.get_all(name).iter().count() == 1;
        let identity = ours.iter().find(|(ours, _)| *ours == *folded);
        let good = match (&*folded, identity) {
            ("x-request-id", _) => plain && one && value == "r-1",
            (_, Some((_, ours))) => plain && one && value == ours,
            ("x-forwarded-for", _) if trusted => plain && one && value.as_bytes().ends_with(b"192.0.2.7"),
            ("x-forwarded-for", _) => plain && one && value == "192.0.2.7",
            ("x-forwarded-proto", _) if !trusted => plain && one && value == "http",
            ("x-forwarded-host", _) if !trusted => plain && one && Some(value) == headers.get("host"),
            _ if trusted && is_guarded(name) && !PROTECTED[..10].contains(&&*folded) => plain,
            _ => !is_guarded(name),
        };
        if !good {
            return Err(format!("{name}: {value:?} came through"));
        }
    }
    let missing = ours.iter().map(|(name, _)| name.as_str()).chain(["x-request-id", "x-forwarded-for"]);
    missing.filter(|name| !headers.contains_key(*name)).try_for_each(|name| Err(format!("{name} is missing")))
}

fn run(case: &Case) -> Result<(), String> {
    let policy = policy(case.policy);
    let mut request = case.request.clone();
    if !request.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        request.insert(0, "Host: api.example.com".to_owned());
    }
    let authority = case.target.as_deref().and_then(|target| target.split('/').nth(2));
    let mut headers = map(&request);
    forward(&policy, &mut headers, case.caller, case.trusted, authority);
    check_ours(&headers, case.caller, case.trusted)?;
    let seen = match &case.trailers {
        None => headers,
        Some(lines) => {
            let mut trailers = map(lines);
            policy.clean_trailers(&mut trailers);
            trailers
        }
    };
    for (name, _) in case.backend.iter().map(|line| parse(line)) {
        let expected: Vec<_> =
            case.backend.iter().map(|line| parse(line)).filter(|(other, _)| *other == name).collect();
        let expected: Vec<_> = expected.iter().map(|(_, value)| value).collect();
        let found: Vec<_> = seen.get_all(&name).iter().collect();
        if found != expected {
            return Err(format!("{name} is {found:?} and not {expected:?}"));
        }
    }
    let present = case.absent.iter().find(|name| seen.contains_key(name.as_str()));
    present.map_or(Ok(()), |name| Err(format!("{name} came through")))
}

#[test]
fn no_attack_of_the_table_comes_through() {
    let text = include_str!("../cases/headers/attacks.yaml");
    let cases: Vec<Case> = serde_yaml::from_str(text).unwrap();
    assert!(cases.len() >= 80, "{}", cases.len());
    let failed: Vec<String> =
        cases.iter().filter_map(|case| run(case).err().map(|error| format!("{}: {error}", case.name))).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// A guarded name in any spelling, a hop-by-hop name, or any name at all.
fn any_name() -> impl Strategy<Value = String> {
    let guarded: Vec<&str> = PROTECTED.iter().chain(&PROXY_ONLY).copied().chain(["x-forwarded-port"]).collect();
    let spelled = (proptest::sample::select(guarded), any::<[u8; 40]>()).prop_map(|(name, dice)| {
        let spell = |(c, die): (char, u8)| match (c, die % 4) {
            ('-', 0) => '_',
            ('-', 1) => '.',
            ('-', 2) => '~',
            (c, 0) => c.to_ascii_uppercase(),
            (c, _) => c,
        };
        name.chars().zip(dice).map(spell).collect()
    });
    prop_oneof![
        4 => spelled,
        1 => proptest::sample::select(vec!["Connection", "TE", "Keep-Alive", "Upgrade", "Proxy"]).prop_map(str::to_owned),
        2 => "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,16}",
    ]
}

fn any_line() -> impl Strategy<Value = (String, String)> {
    let list = proptest::collection::vec(any_name(), 0..4).prop_map(|names| names.join(", "));
    (any_name(), prop_oneof![list, "[ -~]{0,20}".prop_map(|text| text.trim().to_owned())])
}

proptest! {
    #[test]
    fn nothing_that_is_ours_is_a_clients(
        lines in proptest::collection::vec(any_line(), 0..30),
        trusted: bool,
        known: bool,
    ) {
        let who = if known { Who::Acme } else { Who::Nobody };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("api.example.com"));
        for (name, value) in &lines {
            let name: HeaderName = name.parse().unwrap();
            if name != "host" {
                headers.append(name, value.parse().unwrap());
            }
        }
        let policy = policy(Policy::Forward);
        let mut trailers = headers.clone();
        forward(&policy, &mut headers, who, trusted, None);
        prop_assert_eq!(check_ours(&headers, who, trusted), Ok(()));

        policy.clean_trailers(&mut trailers);
        let left: Vec<_> = trailers.keys().filter(|name| is_guarded(name)).collect();
        prop_assert!(left.is_empty(), "{:?}", left);
    }
}
