//! The routes at one leaf of the trie: they share a host and the shape of a pattern, and are told apart by their methods.

use http::Method;

use super::methods::{self, Methods};
use super::route::{Conflict, RouteId};

/// The routes of one pattern.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    named: Vec<(Method, RouteId)>,
    /// The route that names no method.
    any: Option<RouteId>,
    allow: Box<str>,
    has_trailing_slash: bool,
}

impl Leaf {
    /// A leaf without routes.
    pub(super) fn new(has_trailing_slash: bool) -> Self {
        Self { has_trailing_slash, ..Self::default() }
    }

    /// Whether the pattern is that of paths with a trailing slash.
    pub(super) fn has_trailing_slash(&self) -> bool {
        self.has_trailing_slash
    }

    /// Adds a route, and what it has in common with an earlier one to `conflicts`.
    pub(super) fn add(&mut self, id: RouteId, methods: &Methods, conflicts: &mut Vec<Conflict>) {
        match methods.named() {
            None => match self.any {
                Some(first) => conflicts.push(conflict(first, id, "every method")),
                None => self.any = Some(id),
            },
            Some(named) => self.add_named(id, named, conflicts),
        }
        self.allow = methods::allow(self.named.iter().map(|(method, _)| method));
    }

    /// The route for a method: one that names it, for `HEAD` else one that names `GET`, else one that names none.
    pub(super) fn route(&self, method: &Method) -> Option<RouteId> {
        self.naming(method)
            .or_else(|| if method == Method::HEAD { self.naming(&Method::GET) } else { None })
            .or(self.any)
    }

    /// All of them.
    pub(super) fn routes(&self) -> impl Iterator<Item = RouteId> {
        self.named.iter().map(|(_, id)| *id).chain(self.any)
    }

    /// The value of `Allow`.
    pub(super) fn allow(&self) -> Box<str> {
        self.allow.clone()
    }

    fn add_named(&mut self, id: RouteId, named: &[Method], conflicts: &mut Vec<Conflict>) {
        for method in named {
            let Some(first) = self.naming(method) else {
                self.named.push((method.clone(), id));
                continue;
            };
            match conflicts.last_mut().filter(|last| **last == conflict(first, id, &last.methods)) {
                Some(last) => last.methods = format!("{},{method}", last.methods).into(),
                None => conflicts.push(conflict(first, id, method.as_str())),
            }
        }
    }

    fn naming(&self, method: &Method) -> Option<RouteId> {
        self.named.iter().find(|(named, _)| named == method).map(|(_, id)| *id)
    }
}

fn conflict(first: RouteId, second: RouteId, methods: &str) -> Conflict {
    Conflict { first: first.0 as usize, second: second.0 as usize, methods: methods.into() }
}
