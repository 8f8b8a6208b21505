//! Paths as attackers write them.

use std::collections::HashSet;
use std::ptr;

use http::{HeaderMap, HeaderValue, Method, header};
use proptest::prelude::*;
use sidegate::core::decision::Outcome;
use sidegate::core::head::RequestHead;
use sidegate::core::path::CanonicalPath;
use sidegate::core::route::{Match, RouteTable};
use sidegate::core::snapshot::{PathReading, Route, Snapshot};
use sidegate::core::time::UnixSeconds;
use sidegate::core::{Facts, KeysAsked, NoMemo, decide};

use crate::support::model::{ALL_READINGS, Model, NOTHING};
use crate::support::path_attacks::{self, Case, Expect, Paths, RouteRow};
use crate::support::readings::{READINGS, read};
use crate::support::routes::{route, snapshot, upstreams};

#[test]
fn no_attack_gets_through() {
    let attacks = path_attacks::load();
    let snapshot = snapshot(attacks.routes.iter().map(compiled).collect());
    let wrong: Vec<String> = attacks
        .cases
        .iter()
        .filter_map(|case| {
            let answer = answer(case, &snapshot);
            let Case { path, expect, why, .. } = case;
            (answer != *expect).then(|| format!("{path:?} ({why}): {answer:?}, not {expect:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attacks.cases.len(), wrong.join("\n"));
    let refused = attacks.cases.iter().filter(|case| matches!(case.expect, Expect::Status(_))).count();
    println!("{} rows, {refused} of them refused", attacks.cases.len());
}

#[test]
fn no_row_is_there_twice() {
    let attacks = path_attacks::load();
    let mut seen = HashSet::new();
    for case in &attacks.cases {
        assert!(seen.insert((&case.path, case.method(), case.host())), "{}", case.path);
    }
}

fn compiled(row: &RouteRow) -> (Match, Route) {
    let paths = match row.paths {
        Paths::Folding => PathReading::Folding,
        Paths::Exact => PathReading::Exact,
    };
    route(&row.matcher, row.host.as_deref(), paths)
}

fn answer(case: &Case, snapshot: &Snapshot) -> Expect {
    let host = HeaderValue::from_str(case.host()).expect("a host");
    let headers = HeaderMap::from_iter([(header::HOST, host)]);
    let method: Method = case.method().parse().expect("a method");
    let head = RequestHead { method: &method, target: &case.path, headers: (&headers).into() };
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::NotYet };
    let decision = decide(snapshot, &head, &facts, UnixSeconds(0)).unwrap();
    match decision.outcome {
        Outcome::Forward(permit) => Expect::Route(snapshot.routes.label(permit.route()).expect("a route").to_string()),
        Outcome::Reject(rejection) => Expect::Status(rejection.reason.answer().status),
        Outcome::Answer(answer) => panic!("{answer:?}"),
    }
}

/// Patterns of every kind that paths could be led astray between.
const PATTERNS: [&str; 14] = [
    "/",
    "/{page}",
    "/{a}/{b}",
    "/v1/{*rest}",
    "/v1/admin",
    "/v1/admin/{*path}",
    "/v1/users/{id}",
    "/v1/users/{id}/keys",
    "/v1/users/me",
    "/v1/Reports",
    "/v1/reports/daily/",
    "/v1/docs/",
    "/v1/café/{*menu}",
    "/V1/keys",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    /// What is promised to who stands behind the gateway:
    ///
    /// 1. A path that was accepted is the same path after any of the known ways to read one again, in any combination.
    /// 2. Where the backend may fold, the path may be read with its case folded and a trailing slash dropped or added.
    ///    Whatever pattern it then matches is not more specific than the one that authorised the request. It can be that
    ///    pattern, one that differs from it in nothing but case or the slash and is declared beside it, or a wider one.
    #[test]
    fn what_is_accepted_stays_with_the_route_that_authorised_it(raw in raw_path(), patterns in patterns()) {
        let Ok(path) = CanonicalPath::parse(&raw) else { return Ok(()) };
        let path = path.as_str();
        for which in 0..1 << READINGS.len() {
            prop_assert_eq!(&read(path, which), path, "{} read by {:06b}", raw, which);
        }
        let models: Vec<Model> = patterns.iter().map(|(pattern, _)| Model::parse(None, pattern)).collect();
        let Some(authorised) = find(&patterns, &raw) else { return Ok(()) };
        let readings = match patterns[authorised].1 {
            PathReading::Folding => &ALL_READINGS[..],
            PathReading::Exact => &[NOTHING],
        };
        for reading in readings {
            for model in models.iter().filter(|model| model.matches("", path, *reading)) {
                let ordering = model.compare(&models[authorised]);
                prop_assert!(ordering.is_ge(), "{raw}: {:?}, but {reading:?} {model:?}", patterns[authorised]);
            }
        }
    }
}

/// The shortest way to many paths that mean something: pieces of attacks between pieces of patterns.
fn raw_path() -> impl Strategy<Value = String> {
    let names = vec!["v1", "V1", "admin", "Admin", "users", "keys", "reports", "REPORTS", "daily", "docs", "me", "x"];
    let escaped =
        vec!["%61dmin", "%41dmin", "caf%C3%A9", "caf%C3%89", "%E2%84%AAeys", "u%C5%BFers", "da%C4%B1ly", "%25", "9%25"];
    let hostile = vec![
        "..",
        ".",
        "%2e%2e",
        ".%2E",
        "",
        "%2f",
        "%5C",
        "\\",
        ";a",
        "%3b",
        "%00",
        "%2561",
        "%25%32%65",
        "%C0%AE",
        "%zz",
        "~",
    ];
    let name = prop::sample::select(names);
    let escaped = prop::sample::select(escaped);
    let hostile = prop::sample::select(hostile);
    let piece = prop_oneof![12 => name, 3 => escaped, 1 => hostile].prop_map(str::to_owned);
    let segment =
        prop_oneof![20 => piece.clone(), 1 => (piece.clone(), piece).prop_map(|(a, b)| a + &b), 1 => "[ -~]{0,4}"];
    (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(segments, slash)| {
        let path = segments.into_iter().map(|segment| "/".to_owned() + &segment).collect::<String>();
        if slash || path.is_empty() { path + "/" } else { path }
    })
}

fn patterns() -> impl Strategy<Value = Vec<(&'static str, PathReading)>> {
    let paths = prop::sample::select(vec![PathReading::Folding, PathReading::Folding, PathReading::Exact]);
    let all = prop::collection::vec((any::<bool>(), paths), PATTERNS.len());
    all.prop_map(|chosen| {
        PATTERNS
            .into_iter()
            .zip(chosen)
            .filter(|(_, (is_in, _))| *is_in)
            .map(|(pattern, (_, paths))| (pattern, paths))
            .collect()
    })
}

/// Which pattern a raw path is let through by.
fn find(patterns: &[(&str, PathReading)], raw: &str) -> Option<usize> {
    let routes = patterns.iter().map(|(pattern, paths)| route(pattern, None, *paths)).collect();
    let table = RouteTable::build(routes).expect("no conflict");
    let path = CanonicalPath::parse(raw).ok()?;
    let (id, route) = table.find(&Method::GET, "", &path, &upstreams()).ok()?;
    assert!(ptr::eq(route, table.get(id).expect("the route")), "{raw}");
    Some(id.0 as usize)
}
