//! The routes at one leaf of the trie: they share a host and the shape of a pattern, and are told apart by their methods.
//!
//! A route is the number of its policy here. Of policies there are few, so that of a large table what a look-up needs stays in
//! the cache.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use http::Method;

use super::index::Index;
use super::methods::{MethodSet, Methods};
use super::route::RouteId;
use super::snapshot::Route;
use super::trie::{End, LeafId};

/// What a route says, and of which methods: extension methods are told apart by its matcher. Routes that say the same share it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    pub(super) route: Route,
    methods: MethodSet,
}

/// A policy among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PolicyId(Index);

/// All policies.
#[derive(Debug, Default)]
pub(super) struct Policies(Vec<Arc<Policy>>);

/// The policies that there are while routes are added.
pub(super) type Known = HashMap<Arc<Policy>, PolicyId>;

/// A route among all of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) policy: PolicyId,
    /// The next route of the same leaf: no leaf of its own, but as small.
    next: Option<LeafId>,
}

/// The routes of one pattern; at least one.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'t> {
    slots: &'t [Slot],
    policies: &'t Policies,
    end: End,
}

/// One of them.
struct Step<'t> {
    id: LeafId,
    policy: &'t Policy,
    next: Option<LeafId>,
}

impl Policies {
    /// The policy of a route, one from before if there is one.
    pub(super) fn id(&mut self, route: Route, methods: &Methods, known: &mut Known) -> PolicyId {
        let policy = Arc::new(Policy { route, methods: methods.into() });
        *known.entry(policy).or_insert_with_key(|policy| {
            self.0.push(Arc::clone(policy));
            PolicyId(Index::new(self.0.len() - 1))
        })
    }

    /// The policy with this id.
    pub(super) fn get(&self, id: PolicyId) -> Option<&Policy> {
        self.0.get(id.0.get()).map(|policy| &**policy)
    }
}

/// Adds a route, behind the others of its leaf if it is not the first.
pub(super) fn push(slots: &mut Vec<Slot>, leaf: LeafId, policy: PolicyId) {
    let new = LeafId::new(slots.len());
    let ids = iter::successors(Some(leaf), |id| slots.get(id.index())?.next);
    let last = ids.last().filter(|last| *last != new);
    if let Some(last) = last.and_then(|id| slots.get_mut(id.index())) {
        last.next = Some(new);
    }
    slots.push(Slot { policy, next: None });
}

impl<'t> Leaf<'t> {
    pub(super) fn new(slots: &'t [Slot], policies: &'t Policies, end: End) -> Self {
        Self { slots, policies, end }
    }

    /// All of them, in the order of the configuration.
    pub(super) fn routes(self) -> impl Iterator<Item = (RouteId, &'t Route)> {
        self.steps().map(|step| (step.id.route(), &step.policy.route))
    }

    /// The route for a method: one that names it, for `HEAD` else one that names `GET`, else one that names none.
    /// `names` looks closer at a route that names some extension method.
    pub(super) fn route(self, method: &Method, names: impl Fn(RouteId) -> bool) -> Option<(RouteId, &'t Route)> {
        let asked = MethodSet::of(method);
        let all_with = |set: MethodSet| self.steps().filter(move |step| step.policy.methods.intersects(set));
        let with = |set: MethodSet| all_with(set).next();
        let named = if asked == MethodSet::EXTENSION {
            all_with(asked).find(|step| names(step.id.route()))
        } else {
            with(asked)
        };
        let found = named
            .or_else(|| if method == Method::HEAD { with(MethodSet::of(&Method::GET)) } else { None })
            .or_else(|| with(MethodSet::ALL));
        found.map(|step| (step.id.route(), &step.policy.route))
    }

    fn steps(self) -> impl Iterator<Item = Step<'t>> {
        let step = move |id: LeafId, policy, next| Some(Step { id, policy: self.policies.get(policy)?, next });
        let at = move |id: LeafId| self.slots.get(id.index()).and_then(|slot| step(id, slot.policy, slot.next));
        let first = self.end.only.map_or_else(|| at(self.end.leaf), |policy| step(self.end.leaf, policy, None));
        iter::successors(first, move |step| at(step.next?))
    }
}
