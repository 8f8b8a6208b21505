//! Routes: which of them a request takes. Patterns are compiled into a trie at load (`trie.rs`); here is what a match
//! means: precedence of hosts, then of patterns, then of methods, and the refusal of paths that a backend may read as another
//! route's.
//!
//! # Folding
//!
//! A backend that ignores case serves `/v1/Admin` as `/v1/admin`. If the gateway let the former through by
//! `/v1/{*rest}`, whatever guards the latter would be passed by. So where a route's upstream may fold, its request is read
//! once more the way such a backend does: case folded, one trailing slash dropped, on the path and on all patterns
//! alike. Folding never takes a match away, so the reading finds the same pattern again, or one that is more specific
//! (in the order of patterns, a host's before the general ones). In the latter case the request is refused. What follows for
//! those that are let through:
//!
//! > However case and trailing slash of the path are changed, the pattern that then matches is not more specific than the
//! > one that authorised the request, unless the two differ in nothing but case or trailing slash.
//!
//! The last words are for those who declare both `/v1/Admin` and `/v1/admin`, or `/x` and `/x/`: each is what it says.
//! `{id}` and `{*path}` stand for any text, so upper case in them is never refused.
//!
//! All of this costs nothing where it cannot matter: for a path in lower-case ASCII without a trailing slash, in a table
//! whose patterns are so too, there is no other reading.

use std::sync::Arc;

use http::Method;

use super::fold;
use super::folded::{self, Folded};
use super::leaf::{self, Known, Leaf, Policies, Slot};
use super::methods;
use super::path::CanonicalPath;
use super::snapshot::{PathReading, Route, UpstreamPolicy};
use super::trie::{End, LeafId, Reading, Trie};

pub use super::host::{HostError, HostName};
pub use super::methods::{Methods, MethodsError};
pub use super::pattern::{Pattern, PatternError};

/// An index into [`RouteTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// `match` and `host` of a route: which requests it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// `METHODS host pattern` as in the configuration: the route's name in metrics and logs.
    pub label: Arc<str>,
    /// Line in the configuration file, from 1.
    pub line: u32,
    /// The methods.
    pub methods: Methods,
    /// The host; `None` is every host.
    pub host: Option<HostName>,
    /// The path.
    pub pattern: Pattern,
}

/// Two routes for the same requests: same host, same shape of the pattern, same methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Index of the earlier route.
    pub first: usize,
    /// Index of the later route.
    pub second: usize,
    /// The methods that both have, for people to read.
    pub methods: Box<str>,
}

/// Why no route was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// No pattern matches.
    Unknown,
    /// Folded, the path means more than it says.
    Ambiguous,
    /// In upper case, the method is another route's.
    MethodAmbiguous,
    /// The winning pattern lacks the method.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: Box<str>,
    },
}

/// All routes, compiled.
#[derive(Debug, Default)]
pub struct RouteTable {
    slots: Vec<Slot>,
    policies: Policies,
    /// Apart from the rest, since few requests look at it.
    matches: Vec<Match>,
    trie: Trie,
    /// `None` where folding leaves every pattern as it is, so that the trie itself is the folded one.
    folded: Option<Folded>,
}

/// What a look-up is about.
struct Request<'a> {
    method: &'a Method,
    host: &'a str,
    path: &'a str,
    upstreams: &'a [UpstreamPolicy],
}

impl RouteTable {
    /// Compiles the routes. The id of each is its place in the list.
    ///
    /// # Errors
    /// Every pair of routes for the same requests.
    pub fn build(routes: Vec<(Match, Route)>) -> Result<Self, Vec<Conflict>> {
        let mut table = Self::default();
        let mut folded = Folded::default();
        let mut conflicts = Vec::new();
        let mut known = Known::new();
        for (id, (matcher, route)) in (0..).map(RouteId).zip(routes) {
            let host = matcher.host.as_ref().map(HostName::as_str);
            let policy = table.policies.id(route, &matcher.methods, &mut known);
            let end = End { leaf: LeafId::new(id.0 as usize), only: Some(policy) };
            let leaf = table.trie.insert(host, matcher.pattern.segments(), end);
            folded.insert(host, &matcher.pattern, leaf);
            table.find_conflicts(leaf, id, &matcher.methods, &mut conflicts);
            leaf::push(&mut table.slots, leaf, policy);
            table.matches.push(matcher);
        }
        if table.matches.iter().any(|matcher| matcher.pattern.changes_folded()) {
            table.folded = Some(folded);
        }
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    /// The route of a request, and its id. `host` is in lower case, without port and trailing dot.
    ///
    /// # Errors
    /// A [`Miss`].
    pub fn find(
        &self,
        method: &Method,
        host: &str,
        path: &CanonicalPath<'_>,
        upstreams: &[UpstreamPolicy],
    ) -> Result<(RouteId, &Route), Miss> {
        let request = Request { method, host, path: path.as_str(), upstreams };
        let Some(found) = self.trie.find(host, request.path, Reading::Exact) else {
            return Err(self.miss(&request));
        };
        let leaf = Leaf::new(&self.slots, &self.policies, found);
        if self.means_more_folded(found.leaf, leaf, &request) {
            return Err(Miss::Ambiguous);
        }
        let route = self.route_at(leaf, method).ok_or_else(|| Miss::MethodNotAllowed { allow: self.allow(leaf) })?;
        if self.means_another_method(route.0, leaf, method) { Err(Miss::MethodAmbiguous) } else { Ok(route) }
    }

    /// The route behind an id of this table.
    #[must_use]
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        self.slots.get(id.0 as usize).and_then(|slot| self.route(slot))
    }

    /// What the route behind an id of this table is for.
    #[must_use]
    pub fn matcher(&self, id: RouteId) -> Option<&Match> {
        self.matches.get(id.0 as usize)
    }

    /// The name of the route behind an id of this table.
    #[must_use]
    pub fn label(&self, id: RouteId) -> Option<&Arc<str>> {
        self.matcher(id).map(|matcher| &matcher.label)
    }

    /// All routes in their order, and what each is for.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Match, &Route)> {
        let both = self.matches.iter().zip(&self.slots);
        (0..).map(RouteId).zip(both).filter_map(|(id, (matcher, slot))| Some((id, matcher, self.route(slot)?)))
    }

    fn route(&self, slot: &Slot) -> Option<&Route> {
        self.policies.get(slot.policy).map(|policy| &policy.route)
    }

    /// Those that the next route, `id`, has with the routes that are at its leaf already.
    fn find_conflicts(&self, leaf: LeafId, id: RouteId, methods: &Methods, conflicts: &mut Vec<Conflict>) {
        for (first, _) in self.leaf(leaf).routes() {
            let other = self.matcher(first).map(|matcher| &matcher.methods);
            if let Some(shared) = other.and_then(|other| other.shared_with(methods)) {
                conflicts.push(Conflict { first: first.0 as usize, second: id.0 as usize, methods: shared });
            }
        }
    }

    fn leaf(&self, leaf: LeafId) -> Leaf<'_> {
        Leaf::new(&self.slots, &self.policies, End { leaf, only: None })
    }

    fn route_at<'t>(&'t self, leaf: Leaf<'t>, method: &Method) -> Option<(RouteId, &'t Route)> {
        leaf.route(method, |id| self.matcher(id).is_some_and(|matcher| matcher.methods.contains(method)))
    }

    fn allow(&self, leaf: Leaf<'_>) -> Box<str> {
        let named = leaf.routes().filter_map(|(id, _)| self.matcher(id)?.methods.named());
        methods::allow(named.flatten())
    }

    /// Whether a backend that puts methods in upper case, as some frameworks do, would see a request of another route:
    /// `post` must not slip past a route of `POST` into one of every method. Methods are case-sensitive (RFC 9110 section
    /// 9.1), so nothing is put in upper case here.
    fn means_another_method(&self, id: RouteId, leaf: Leaf<'_>, method: &Method) -> bool {
        methods::in_upper_case(method).is_some_and(|upper| self.route_at(leaf, &upper).map(|(id, _)| id) != Some(id))
    }

    /// Whether the request, which matches the leaf `exact`, finds another pattern once it is folded.
    fn means_more_folded(&self, exact: LeafId, leaf: Leaf<'_>, request: &Request<'_>) -> bool {
        match &self.folded {
            None if fold::is_folded(request.path) => false,
            _ if !self.may_be_folded(leaf, request) => false,
            None => folded::find(&self.trie, request.host, request.path) != Some(exact),
            Some(folded) => folded.find(request.host, request.path) != folded.of_exact(exact),
        }
    }

    /// What to say where no pattern matches the path as it is: if a folded reading does, the path is ambiguous.
    fn miss(&self, request: &Request<'_>) -> Miss {
        let is_reached = |id: LeafId| self.is_reached_folded(self.leaf(id), request);
        let is_ambiguous = match &self.folded {
            None => folded::find(&self.trie, request.host, request.path).is_some_and(is_reached),
            Some(folded) => folded
                .find(request.host, request.path)
                .is_some_and(|leaf| folded.members(leaf).iter().copied().any(is_reached)),
        };
        if is_ambiguous { Miss::Ambiguous } else { Miss::Unknown }
    }

    /// On a miss a slash is dropped from the path and none added, for nothing is let through either way: where there is
    /// only `/x/`, `/x` is unknown.
    fn is_reached_folded(&self, leaf: Leaf<'_>, request: &Request<'_>) -> bool {
        let has_slash = |matcher: &Match| matcher.pattern.has_trailing_slash();
        let adds_slash = !request.path.ends_with('/')
            && leaf.routes().next().and_then(|(id, _)| self.matcher(id)).is_some_and(has_slash);
        !adds_slash && self.may_be_folded(leaf, request)
    }

    /// Whether the backend of the request's route may fold. Where the pattern lacks the method: that of any of its routes.
    fn may_be_folded(&self, leaf: Leaf<'_>, request: &Request<'_>) -> bool {
        let may_fold = |route: &Route| {
            let upstream = request.upstreams.get(usize::from(route.upstream.0));
            upstream.is_none_or(|upstream| upstream.paths == PathReading::Folding)
        };
        let any_may = || leaf.routes().any(|(_, route)| may_fold(route));
        self.route_at(leaf, request.method).map_or_else(any_may, |(_, route)| may_fold(route))
    }
}

#[cfg(test)]
mod tests;
