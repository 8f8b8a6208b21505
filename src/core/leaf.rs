//! The routes at one leaf of the trie: they share a host and the shape of a pattern, and are told apart by their methods.
//!
//! A leaf is small, so that the leaves of a large table stay in the cache: one route in place, others chained to it.

use std::iter;

use http::Method;

use super::methods::MethodSet;
use super::route::RouteId;

/// The routes of one pattern; at least one.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The first one.
    pub(super) first: RouteId,
    methods: MethodSet,
    others: Option<Box<Leaf>>,
}

impl Leaf {
    /// A leaf with one route.
    pub(super) fn new(first: RouteId, methods: MethodSet) -> Self {
        Self { first, methods, others: None }
    }

    /// Adds a route behind the others.
    pub(super) fn push(&mut self, id: RouteId, methods: MethodSet) {
        match &mut self.others {
            Some(others) => others.push(id, methods),
            None => self.others = Some(Box::new(Self::new(id, methods))),
        }
    }

    /// All of them, in the order of the configuration.
    pub(super) fn routes(&self) -> impl Iterator<Item = RouteId> {
        self.chain().map(|leaf| leaf.first)
    }

    /// The route for a method: one that names it, for `HEAD` else one that names `GET`, else one that names none.
    /// `names` looks closer at a route that names some extension method.
    pub(super) fn route(&self, method: &Method, names: impl Fn(RouteId) -> bool) -> Option<RouteId> {
        let asked = MethodSet::of(method);
        let with = |set: MethodSet| self.chain().find(|leaf| leaf.methods.intersects(set)).map(|leaf| leaf.first);
        let named = if asked == MethodSet::EXTENSION {
            self.chain().filter(|leaf| leaf.methods.intersects(asked)).map(|leaf| leaf.first).find(|id| names(*id))
        } else {
            with(asked)
        };
        named
            .or_else(|| if method == Method::HEAD { with(MethodSet::of(&Method::GET)) } else { None })
            .or_else(|| with(MethodSet::ALL))
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |leaf| leaf.others.as_deref())
    }
}
