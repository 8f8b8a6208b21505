//! The routes at one leaf of the trie: they share a host and the shape of a pattern, and are told apart by their methods.
//!
//! What a look-up needs of a route is small, so that a large table of them stays in the cache.

use std::iter;
use std::sync::Arc;

use http::Method;

use super::methods::{MethodSet, Methods};
use super::route::RouteId;
use super::snapshot::Route;
use super::trie::LeafId;

/// A route among all of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) route: Arc<Route>,
    /// The next route of the same leaf: no leaf of its own, but as small.
    next: Option<LeafId>,
    methods: MethodSet,
}

/// The routes of one pattern; at least one.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'t> {
    slots: &'t [Slot],
    first: LeafId,
}

impl Slot {
    pub(super) fn new(route: Arc<Route>, methods: &Methods) -> Self {
        Self { route, next: None, methods: methods.into() }
    }
}

/// Adds a route, behind the others of its leaf if it is not the first.
pub(super) fn push(slots: &mut Vec<Slot>, leaf: LeafId, slot: Slot) {
    let new = LeafId::new(slots.len());
    let last = Leaf::new(slots, leaf).chain().last().map(|(id, _)| id);
    if let Some(last) = last.and_then(|id| slots.get_mut(id.index())) {
        last.next = Some(new);
    }
    slots.push(slot);
}

impl<'t> Leaf<'t> {
    pub(super) fn new(slots: &'t [Slot], first: LeafId) -> Self {
        Self { slots, first }
    }

    /// All of them, in the order of the configuration.
    pub(super) fn routes(self) -> impl Iterator<Item = RouteId> {
        self.chain().map(|(id, _)| id.route())
    }

    /// The route for a method: one that names it, for `HEAD` else one that names `GET`, else one that names none.
    /// `names` looks closer at a route that names some extension method.
    pub(super) fn route(self, method: &Method, names: impl Fn(RouteId) -> bool) -> Option<RouteId> {
        let asked = MethodSet::of(method);
        let all_with = |set: MethodSet| self.chain().filter(move |(_, slot)| slot.methods.intersects(set));
        let with = |set: MethodSet| all_with(set).map(|(id, _)| id.route()).next();
        let named = if asked == MethodSet::EXTENSION {
            all_with(asked).map(|(id, _)| id.route()).find(|id| names(*id))
        } else {
            with(asked)
        };
        named
            .or_else(|| if method == Method::HEAD { with(MethodSet::of(&Method::GET)) } else { None })
            .or_else(|| with(MethodSet::ALL))
    }

    fn chain(self) -> impl Iterator<Item = (LeafId, &'t Slot)> {
        let at = move |id: LeafId| Some((id, self.slots.get(id.index())?));
        iter::successors(at(self.first), move |(_, slot)| at(slot.next?))
    }
}
