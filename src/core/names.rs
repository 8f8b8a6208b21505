//! Names as a token lists them: scopes, roles, tenants.

use std::collections::HashSet;

/// So many names are compared one by one, which is quicker than to hash them. Beyond that it is not: how many there are is up
/// to whoever wrote the token.
const FEW: usize = 8;

/// Names in the order in which they came, none empty and none twice.
#[derive(Default)]
pub(super) struct Names<'a> {
    order: Vec<&'a str>,
    /// The first of them, and all while there are more than [`FEW`].
    known: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn add(&mut self, name: &'a str) {
        if name.is_empty() || self.contains(name) {
            return;
        }
        self.order.push(name);
        if self.order.len() > FEW {
            self.known.extend(self.order.iter().skip(self.known.len()));
        }
    }

    /// Drops those that are not among `others`.
    pub(super) fn keep(&mut self, others: &Names<'_>) {
        self.order.retain(|name| others.contains(name));
        self.known.retain(|name| others.contains(name));
    }

    pub(super) fn as_slice(&self) -> &[&'a str] {
        &self.order
    }

    fn contains(&self, name: &str) -> bool {
        if self.order.len() > FEW { self.known.contains(name) } else { self.order.contains(&name) }
    }
}
