//! The patterns as a careless backend reads them, which ignores case and a trailing slash.

use std::collections::HashMap;

use super::fold;
use super::pattern::Pattern;
use super::trie::{End, LeafId, Reading, Trie};

/// All patterns, folded, in a trie of their own. Patterns that differ in nothing but case or trailing slash are one here.
#[derive(Debug, Default)]
pub(super) struct Folded {
    trie: Trie,
    /// Which leaf of this trie a leaf of the exact one has become, by route.
    of_exact: Vec<LeafId>,
    /// Which leaves of the exact trie have become a leaf of this one.
    members: HashMap<LeafId, Vec<LeafId>>,
}

impl Folded {
    /// Adds the pattern of the next route, which is `exact` in the exact trie.
    pub(super) fn insert(&mut self, host: Option<&str>, pattern: &Pattern, exact: LeafId) {
        let leaf = self.trie.insert(host, &pattern.folded(), End { leaf: exact, only: None });
        if exact.index() == self.of_exact.len() {
            self.members.entry(leaf).or_default().push(exact);
        }
        self.of_exact.push(leaf);
    }

    /// The folded leaf that the folded reading of this path finds.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<LeafId> {
        find(&self.trie, host, path)
    }

    /// What a leaf of the exact trie has become.
    pub(super) fn of_exact(&self, exact: LeafId) -> Option<LeafId> {
        self.of_exact.get(exact.index()).copied()
    }

    /// The leaves of the exact trie that have become this one.
    pub(super) fn members(&self, leaf: LeafId) -> &[LeafId] {
        self.members.get(&leaf).map_or(&[], Vec::as_slice)
    }
}

/// Reads a path folded, in a trie of folded patterns.
pub(super) fn find(trie: &Trie, host: &str, path: &str) -> Option<LeafId> {
    trie.find(host, fold::without_slash(path), Reading::Folded).map(|end| end.leaf)
}
