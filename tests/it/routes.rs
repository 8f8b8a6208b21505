//! The route table against the plain model, over random tables and requests.

use std::ptr;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use sidegate::core::path::CanonicalPath;
use sidegate::core::route::{Match, Miss, RouteTable};
use sidegate::core::snapshot::{PathReading, Route};

use crate::support::model::{ALL_READINGS, Ignoring, Model, NOTHING};
use crate::support::routes::{route, upstreams};

#[derive(Debug, Clone)]
struct Spec {
    methods: Option<&'static str>,
    host: Option<&'static str>,
    pattern: String,
    paths: PathReading,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Route(usize),
    MethodNotAllowed,
    Ambiguous,
    Unknown,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_table_answers_as_the_model_does(
        specs in prop::collection::vec(spec(), 1..12),
        requests in prop::collection::vec((method(), host(), path()), 16),
    ) {
        let specs = without_conflicts(&specs);
        let table = RouteTable::build(compiled(&specs)).expect("no conflict is left");
        for (method, host, path) in requests {
            let found = find(&table, &method, host, &path);
            let expected = expected(&specs, &method, host, &path);
            prop_assert!(expected.contains(&found), "{method} {host}{path} among {specs:#?}: {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn conflicts_are_those_of_the_model(specs in prop::collection::vec(spec(), 1..12)) {
        let conflicts = RouteTable::build(compiled(&specs)).err().unwrap_or_default();
        let found: Vec<_> = conflicts.iter().map(|conflict| (conflict.first, conflict.second)).collect();
        for &(first, second) in &found {
            prop_assert!(first < second && conflict(&specs[first], &specs[second]), "{first} {second} {specs:#?}");
        }
        for second in 0..specs.len() {
            let has_one = (0..second).any(|first| conflict(&specs[first], &specs[second]));
            prop_assert_eq!(has_one, found.iter().any(|pair| pair.1 == second), "{} of {:#?}", second, specs);
        }
    }
}

/// Few words, so that tables and paths meet: in several spellings, and with what folds to ASCII from outside of it.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "A", "aB", "k", "a-name-longer-than-most-here", "{}", "{}"]);
    let tail = prop::sample::select(vec!["", "", "/", "/{*rest}"]);
    (prop::collection::vec(segment, 0..4), tail).prop_map(|(segments, tail)| {
        let segment = |(at, text): (usize, &&str)| format!("/{}", text.replace("{}", &format!("{{p{at}}}")));
        let pattern: String = segments.iter().enumerate().map(segment).chain([tail.to_owned()]).collect();
        if pattern.is_empty() { "/".to_owned() } else { pattern }
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let methods = prop::sample::select(vec![None, Some("GET"), Some("POST"), Some("HEAD"), Some("POST,GET")]);
    let host = prop::sample::select(vec![None, None, Some("h")]);
    let paths = prop::sample::select(vec![PathReading::Folding, PathReading::Folding, PathReading::Exact]);
    (methods, host, pattern(), paths).prop_map(|(methods, host, pattern, paths)| Spec { methods, host, pattern, paths })
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PATCH])
}

fn host() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["h", "other", ""])
}

fn path() -> impl Strategy<Value = String> {
    const LONG: [&str; 2] = ["a-name-longer-than-most-here", "A-name-longer-than-most-here"];
    let segment =
        prop::sample::select([&["a", "b", "A", "B", "ab", "AB", "aB", "K", "%E2%84%AA", "z"], &LONG[..]].concat());
    (prop::collection::vec(segment, 0..5), any::<bool>()).prop_map(|(segments, slash)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if slash || path.is_empty() { path + "/" } else { path }
    })
}

fn compiled(specs: &[Spec]) -> Vec<(Match, Route)> {
    let text = |spec: &Spec| spec.methods.map_or(spec.pattern.clone(), |methods| format!("{methods} {}", spec.pattern));
    let numbered = |(number, spec): (usize, &Spec)| {
        let (matcher, route) = route(&text(spec), spec.host, spec.paths);
        (matcher, Route { timeout: Some(timeout(number)), ..route })
    };
    specs.iter().enumerate().map(numbered).collect()
}

/// Of some routes the same.
fn timeout(route: usize) -> Duration {
    Duration::from_secs(route as u64 % 3)
}

fn find(table: &RouteTable, method: &Method, host: &str, path: &str) -> Answer {
    let path = CanonicalPath::parse(path).expect("a canonical path");
    match table.find(method, host, &path, &upstreams()) {
        Ok((id, route)) => {
            let number = id.0 as usize;
            assert!(route.timeout == Some(timeout(number)) && ptr::eq(route, table.get(id).expect("the route")));
            Answer::Route(number)
        }
        Err(Miss::MethodNotAllowed { .. }) => Answer::MethodNotAllowed,
        Err(Miss::Ambiguous | Miss::MethodAmbiguous) => Answer::Ambiguous,
        Err(Miss::Unknown) => Answer::Unknown,
    }
}

fn without_conflicts(specs: &[Spec]) -> Vec<Spec> {
    let mut kept: Vec<Spec> = Vec::new();
    for spec in specs {
        if !kept.iter().any(|other| conflict(other, spec)) {
            kept.push(spec.clone());
        }
    }
    kept
}

fn conflict(a: &Spec, b: &Spec) -> bool {
    let overlap = match (a.methods, b.methods) {
        (None, None) => true,
        (Some(a), Some(b)) => a.split(',').any(|method| b.split(',').any(|other| other == method)),
        _ => false,
    };
    overlap && a.model().same_shape(&b.model())
}

/// What the documentation says. More than one answer where it leaves the choice: nothing is let through by either.
fn expected(specs: &[Spec], method: &Method, host: &str, path: &str) -> Vec<Answer> {
    let path = &path.replace("%E2%84%AA", "\u{212a}");
    let matching = |ignoring: Ignoring| specs.iter().filter(move |spec| spec.model().matches(host, path, ignoring));
    let Some(best) = matching(NOTHING).map(Spec::model).min_by(Model::compare) else {
        return expected_miss(specs, host, path);
    };
    let route = by_method(specs, &best, method);
    let may_fold = specs.iter().enumerate().any(|(index, spec)| {
        spec.paths == PathReading::Folding && route.map_or(spec.model().same_shape(&best), |route| route == index)
    });
    let means_more = |ignoring| matching(ignoring).any(|spec| spec.model().compare(&best).is_lt());
    if may_fold && ALL_READINGS.into_iter().any(means_more) {
        return vec![Answer::Ambiguous];
    }
    vec![route.map_or(Answer::MethodNotAllowed, Answer::Route)]
}

/// A miss is ambiguous if a pattern is reached with the case folded or a slash of the path dropped, and none of those
/// reached has a backend that takes paths as they are; if one has, either will do. So it will if a pattern hides those
/// reached that would need a slash added.
fn expected_miss(specs: &[Spec], host: &str, path: &str) -> Vec<Answer> {
    let folded = |spec: &&Spec| spec.model().matches(host, path, Ignoring { case: true, slash: true });
    let is_reached = |spec: &&Spec| path.ends_with('/') || !spec.model().has_trailing_slash();
    let all: Vec<&Spec> = specs.iter().filter(folded).collect();
    let reached: Vec<&&Spec> = all.iter().filter(|spec| is_reached(spec)).collect();
    if reached.is_empty() {
        return vec![Answer::Unknown];
    }
    let is_hidden = all.len() > reached.len();
    if is_hidden || reached.iter().any(|spec| spec.paths == PathReading::Exact) {
        return vec![Answer::Unknown, Answer::Ambiguous];
    }
    vec![Answer::Ambiguous]
}

fn by_method(specs: &[Spec], best: &Model, method: &Method) -> Option<usize> {
    let with =
        |is_it: &dyn Fn(&Spec) -> bool| specs.iter().position(|spec| spec.model().same_shape(best) && is_it(spec));
    let naming =
        |name: &str| with(&|spec| spec.methods.is_some_and(|methods| methods.split(',').any(|own| own == name)));
    naming(method.as_str())
        .or_else(|| if method == Method::HEAD { naming("GET") } else { None })
        .or_else(|| with(&|spec| spec.methods.is_none()))
}

impl Spec {
    fn model(&self) -> Model {
        Model::parse(self.host, &self.pattern)
    }
}
