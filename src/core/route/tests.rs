//! What the table answers, in the words of the configuration: a route is `METHODS host/pattern`, a question is
//! `METHOD host/path`, methods and host can be left out. A route marked `!` goes to a backend with `paths: exact`.

use std::ptr;

use super::*;
use crate::core::snapshot::{Mode, Requirement, UpstreamId};

const FOLDING: UpstreamId = UpstreamId(0);
const EXACT: UpstreamId = UpstreamId(1);

struct Table {
    table: RouteTable,
    upstreams: [UpstreamPolicy; 2],
}

impl Table {
    fn new(routes: &[&str]) -> Self {
        Self::try_new(routes).expect("no conflict")
    }

    fn try_new(routes: &[&str]) -> Result<Self, Vec<Conflict>> {
        let table = RouteTable::build(routes.iter().map(|text| route(text)).collect())?;
        let upstream = |name: &str, paths| UpstreamPolicy { name: name.into(), paths };
        let upstreams = [upstream("folding", PathReading::Folding), upstream("exact", PathReading::Exact)];
        Ok(Self { table, upstreams })
    }

    /// The route as it was written, or the miss.
    fn ask(&self, question: &str) -> String {
        let (method, host, path) = split(question);
        let method = method.map_or(Method::GET, |method| method.parse().unwrap());
        let path = CanonicalPath::parse(path).expect("a canonical path");
        match self.table.find(&method, host.unwrap_or("other"), &path, &self.upstreams) {
            Ok((id, route)) => {
                assert!(ptr::eq(route, self.table.get(id).unwrap()), "{question}");
                self.table.label(id).unwrap().to_string()
            }
            Err(Miss::Unknown) => "unknown".to_owned(),
            Err(Miss::Ambiguous) => "ambiguous".to_owned(),
            Err(Miss::MethodAmbiguous) => "ambiguous method".to_owned(),
            Err(Miss::MethodNotAllowed { allow }) => format!("allow {allow}"),
        }
    }
}

fn route(text: &str) -> (Match, Route) {
    let (methods, host, pattern) = split(text.trim_end_matches('!'));
    let matcher = Match {
        label: text.into(),
        line: 0,
        methods: methods.map_or(Methods::all(), |methods| Methods::parse(methods).unwrap()),
        host: host.map(|host| HostName::parse(host).unwrap()),
        pattern: Pattern::parse(pattern).unwrap(),
    };
    let route = Route {
        requirement: Requirement::Public,
        upstream: if text.ends_with('!') { EXACT } else { FOLDING },
        timeout: None,
        body_bytes_max: None,
        mode: Mode::Enforce,
    };
    (matcher, route)
}

fn split(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let (method, rest) = text.split_once(' ').map_or((None, text), |(method, rest)| (Some(method), rest));
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    (method, Some(host).filter(|host| !host.is_empty()), path)
}

#[track_caller]
fn check(routes: &[&str], answers: &[(&str, &str)]) {
    let table = Table::new(routes);
    for (question, answer) in answers {
        assert_eq!(table.ask(question), *answer, "{question} among {routes:?}");
    }
}

#[test]
fn an_empty_table_knows_nothing() {
    check(&[], &[("/", "unknown"), ("/X/", "unknown")]);
    assert_eq!(RouteTable::default().iter().count(), 0);
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    let mut routes = ["/a/{*rest}", "/a/{x}", "/a/b", "/{x}/b", "/{*all}", "/a/{x}/c"];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        check(
            &routes,
            &[
                ("/a/b", "/a/b"),
                ("/a/z", "/a/{x}"),
                ("/z/b", "/{x}/b"),
                ("/a/z/c", "/a/{x}/c"),
                ("/a/z/d", "/a/{*rest}"),
                ("/a/z/c/d", "/a/{*rest}"),
                ("/z", "/{*all}"),
                ("/z/z/z", "/{*all}"),
                ("/", "unknown"),
            ],
        );
    }
}

#[test]
fn a_literal_that_leads_nowhere_gives_way() {
    let routes = ["/a/b/c", "/a/{x}/d", "/{y}/b/e", "/{*rest}"];
    check(&routes, &[("/a/b/c", "/a/b/c"), ("/a/b/d", "/a/{x}/d"), ("/a/b/e", "/{y}/b/e"), ("/a/b/f", "/{*rest}")]);
}

#[test]
fn specificity_counts_from_the_left() {
    check(&["/{x}/b/c", "/a/{*rest}"], &[("/a/b/c", "/a/{*rest}"), ("/z/b/c", "/{x}/b/c")]);
}

#[test]
fn parameters_take_one_segment_and_the_rest_takes_all() {
    let routes = ["/files/{*path}", "/v1/{id}"];
    check(
        &routes,
        &[
            ("/files", "unknown"),
            ("/files/", "unknown"),
            ("/files/a", "/files/{*path}"),
            ("/files/a/", "/files/{*path}"),
            ("/files/a/b.c/", "/files/{*path}"),
            ("/v1/", "unknown"),
            ("/v1/a", "/v1/{id}"),
            ("/v1/a/b", "unknown"),
        ],
    );
}

#[test]
fn with_and_without_a_trailing_slash_are_two_patterns() {
    check(&["/x", "/x/"], &[("/x", "/x"), ("/x/", "/x/")]);
    check(&["/x/"], &[("/x/", "/x/"), ("/x", "unknown")]);
    check(&["/x"], &[("/x", "/x"), ("/x/", "ambiguous")]);
    check(&["/x!"], &[("/x", "/x!"), ("/x/", "unknown")]);
    check(&["/{id}", "/{id}/"], &[("/A", "/{id}"), ("/A/", "/{id}/")]);
    check(&["/"], &[("/", "/"), ("/x", "unknown")]);
}

#[test]
fn paths_are_matched_decoded() {
    check(
        &["/café", "GET /a b", "/100%"],
        &[("/caf%C3%A9", "/café"), ("/a%20b", "GET /a b"), ("/%31%30%30%25", "/100%")],
    );
}

#[test]
fn a_route_with_a_host_goes_first() {
    let routes = ["GET h.example/a/{*rest}", "/a/b", "h.example/x/y", "POST g.example/a/b"];
    check(
        &routes,
        &[
            ("h.example/a/b", "GET h.example/a/{*rest}"),
            ("POST h.example/a/b", "allow GET, HEAD"),
            ("h.example/a", "unknown"),
            ("other/a/b", "/a/b"),
            ("g.example/x/y", "unknown"),
            ("GET g.example/a/b", "allow POST"),
            ("h.example/x/y", "h.example/x/y"),
        ],
    );
}

#[test]
fn methods_are_told_apart_at_one_pattern_only() {
    let routes = ["GET /a", "POST,PUT /a", "/{*rest}"];
    check(
        &routes,
        &[
            ("GET /a", "GET /a"),
            ("HEAD /a", "GET /a"),
            ("PUT /a", "POST,PUT /a"),
            ("DELETE /a", "allow GET, HEAD, POST, PUT"),
            ("PROPFIND /a", "allow GET, HEAD, POST, PUT"),
            ("DELETE /b", "/{*rest}"),
        ],
    );
}

#[test]
fn a_named_method_goes_before_none() {
    let routes = ["GET /a/{x}", "/a/{y}"];
    check(&routes, &[("GET /a/1", "GET /a/{x}"), ("HEAD /a/1", "GET /a/{x}"), ("PURGE /a/1", "/a/{y}")]);
}

#[test]
fn extension_methods_are_told_apart() {
    let routes = ["PROPFIND /a", "PURGE /a", "GET /a", "LOCK /b", "/b"];
    check(
        &routes,
        &[
            ("PURGE /a", "PURGE /a"),
            ("PROPFIND /a", "PROPFIND /a"),
            ("LOCK /a", "allow GET, HEAD, PROPFIND, PURGE"),
            ("PURGE /b", "/b"),
        ],
    );
    let alone = ["PROPFIND /a", "PURGE /b"];
    check(&alone, &[("PURGE /a", "allow PROPFIND"), ("PURGE /b", "PURGE /b"), ("PROPFIND /b", "allow PURGE")]);
}

#[test]
fn literals_may_be_long() {
    let [short, longer, longest] = [22, 23, 255].map(|length| "x".repeat(length));
    let routes = [format!("/{short}"), format!("/{longer}"), format!("/{longest}"), format!("{longer}/{short}y")];
    let [a, b, c, d] = &routes;
    let other = format!("/{short}y");
    check(&[a, b, c, d], &[(a, a), (b, b), (c, c), (d, d), (&other, "unknown"), (&format!("{c}x"), "unknown")]);
    check(&[c, "/{id}"], &[(c, c), (&c.to_uppercase(), "ambiguous"), (&other, "/{id}")]);
}

#[test]
fn head_may_have_its_own_route() {
    check(&["GET /a", "HEAD /a"], &[("HEAD /a", "HEAD /a"), ("GET /a", "GET /a")]);
    check(&["HEAD /a"], &[("GET /a", "allow HEAD")]);
}

#[test]
fn routes_for_the_same_requests_are_conflicts() {
    let conflicts = |routes: &[&str]| -> Vec<(usize, usize, String)> {
        let found = Table::try_new(routes).err().unwrap_or_default();
        found.into_iter().map(|conflict| (conflict.first, conflict.second, conflict.methods.into())).collect()
    };
    assert_eq!(conflicts(&["GET /a/{x}", "GET /a/{y}"]), [(0, 1, "GET".into())]);
    assert_eq!(conflicts(&["/a/{*x}", "/b", "/a/{*y}"]), [(0, 2, "every method".into())]);
    assert_eq!(conflicts(&["GET,PUT,POST h/a", "PUT,POST h/a"]), [(0, 1, "PUT,POST".into())]);
    let twice = conflicts(&["GET /a", "PUT /a", "GET,PUT /a", "GET /a"]);
    assert_eq!(twice, [(0, 2, "GET".into()), (1, 2, "PUT".into()), (0, 3, "GET".into()), (2, 3, "GET".into())]);
    for fine in [["GET /a", "/a"], ["GET /a", "HEAD /a"], ["GET /a", "GET h/a"], ["/a", "/a/"], ["/a", "/A"]] {
        assert_eq!(conflicts(&fine), [], "{fine:?}");
    }
}

#[test]
fn a_path_that_means_more_folded_is_refused() {
    let routes = ["/v1/admin", "/v1/{*rest}"];
    check(
        &routes,
        &[
            ("/v1/admin", "/v1/admin"),
            ("/v1/Admin", "ambiguous"),
            ("/v1/ADMIN", "ambiguous"),
            ("/V1/admin", "ambiguous"),
            ("/v1/admin/", "ambiguous"),
            ("/v1/Admin/", "ambiguous"),
            ("/v1/adm%C4%B1n", "ambiguous"),
            ("/v1/Admins", "/v1/{*rest}"),
            ("/v1/admins/", "/v1/{*rest}"),
            ("DELETE /v1/Admin", "ambiguous"),
        ],
    );
    check(&["/v1/admin/x", "/v1/{*rest}"], &[("/v1/ADMIN/x/", "ambiguous"), ("/v1/Admin/y", "/v1/{*rest}")]);
    check(&["/v1/\u{e9}tat/k", "/{*rest}"], &[("/v1/%C3%89TAT/%E2%84%AA", "ambiguous"), ("/v1/%C3%89", "/{*rest}")]);
}

#[test]
fn what_only_a_folded_reading_finds_is_refused() {
    check(&["/v1/admin", "GET /v1/users/{id}"], &[("/v1/Admin", "ambiguous"), ("POST /v1/Users/1", "ambiguous")]);
    check(&["/v1/admin!"], &[("/v1/Admin", "unknown"), ("/v1/admin/", "unknown")]);
}

#[test]
fn upper_case_in_a_parameter_is_never_refused() {
    let routes = ["/v1/users/{id}", "/v1/files/{*path}", "/v1/Groups/{id}/", "/v1/users/me"];
    check(
        &routes,
        &[
            ("/v1/users/ABC", "/v1/users/{id}"),
            ("/v1/users/Ren%C3%89", "/v1/users/{id}"),
            ("/v1/files/A/B.TXT/", "/v1/files/{*path}"),
            ("/v1/Groups/ABC/", "/v1/Groups/{id}/"),
            ("/v1/users/ME", "ambiguous"),
        ],
    );
}

#[test]
fn patterns_in_upper_case_are_folded_too() {
    let routes = ["/v1/Users", "/v1/{*rest}"];
    check(&routes, &[("/v1/Users", "/v1/Users"), ("/v1/users", "ambiguous"), ("/v1/USERS/", "ambiguous")]);
    check(&["/v1/Users!", "/v1/{*rest}!"], &[("/v1/users", "/v1/{*rest}!")]);
    check(&["/v1/Users!"], &[("/v1/users", "unknown")]);
}

#[test]
fn two_spellings_that_are_both_declared_are_what_they_say() {
    let routes = ["/v1/Admin", "GET /v1/admin", "/v1/{*rest}"];
    check(
        &routes,
        &[
            ("/v1/Admin", "/v1/Admin"),
            ("GET /v1/admin", "GET /v1/admin"),
            ("POST /v1/admin", "allow GET, HEAD"),
            ("/v1/ADMIN", "ambiguous"),
        ],
    );
    // What is below the one is below the other as well, for a backend that folds.
    let routes = ["/Admin/{id}", "/admin/secret"];
    check(&routes, &[("/Admin/x", "/Admin/{id}"), ("/Admin/secret", "ambiguous"), ("/admin/x", "ambiguous")]);
}

#[test]
fn a_slash_that_the_backend_may_ignore_is_no_way_round() {
    let routes = ["/admin/", "/{id}"];
    check(&routes, &[("/admin/", "/admin/"), ("/admin", "ambiguous"), ("/other", "/{id}")]);
    check(&["/admin/!", "/{id}!"], &[("/admin", "/{id}!")]);
}

#[test]
fn a_folded_reading_that_reaches_a_host_is_refused() {
    let routes = ["h.example/admin", "/{*rest}"];
    check(
        &routes,
        &[
            ("h.example/admin", "h.example/admin"),
            ("h.example/Admin", "ambiguous"),
            ("other/Admin", "/{*rest}"),
            ("h.example/Other", "/{*rest}"),
        ],
    );
}

#[test]
fn the_upstream_of_the_route_that_matches_decides_about_folding() {
    let routes = ["GET /{*rest}!", "POST /{*rest}", "/admin"];
    check(
        &routes,
        &[
            ("GET /Admin", "GET /{*rest}!"),
            ("HEAD /Admin", "GET /{*rest}!"),
            ("POST /Admin", "ambiguous"),
            ("PUT /Admin", "ambiguous"),
            ("PUT /other", "allow GET, HEAD, POST"),
        ],
    );
}

#[test]
fn an_unknown_upstream_is_one_that_folds() {
    let mut table = Table::new(&["/admin", "/{*rest}!"]);
    assert_eq!(table.ask("/Admin"), "/{*rest}!");
    table.upstreams[1].paths = PathReading::Folding;
    assert_eq!(table.ask("/Admin"), "ambiguous");
    let path = CanonicalPath::parse("/Admin").unwrap();
    assert_eq!(table.table.find(&Method::GET, "", &path, &[]), Err(Miss::Ambiguous));
}

#[test]
fn routes_keep_their_order() {
    let table = Table::new(&["/b", "GET h/a", "/a"]).table;
    let labels: Vec<_> =
        table.iter().map(|(id, matcher, _)| (id.0, matcher.pattern.as_str(), &*matcher.label)).collect();
    assert_eq!(labels, [(0, "/b", "/b"), (1, "/a", "GET h/a"), (2, "/a", "/a")]);
    assert!(table.get(RouteId(3)).is_none());
}

#[test]
fn routes_that_say_the_same_share_it() {
    let table = Table::new(&["GET /a", "GET h/b", "GET /c!", "PUT /d"]).table;
    let [a, b, c, d] = [0, 1, 2, 3].map(|id| ptr::from_ref(table.get(RouteId(id)).unwrap()));
    assert!(a == b && b != c && b != d);
}

#[test]
fn what_a_look_up_needs_of_a_route_is_an_eighth_of_a_cache_line() {
    assert_eq!(size_of::<Slot>(), 8);
}
