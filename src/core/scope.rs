//! Names that routes ask for and tokens carry (scopes, roles), interned at load: a request compares numbers.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

/// The scope that the admin listener asks for where it is reachable from other machines.
pub const ADMIN_SCOPE: &str = "sidegate.admin";

/// A name's number in its [`Vocabulary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

/// The names that the configuration mentions. A name that only a token mentions has no number, and grants nothing.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// No protection against flooding is needed: only the configuration inserts.
    ids: HashMap<Box<str>, NameId, FxBuildHasher>,
    names: Vec<Box<str>>,
}

impl NameId {
    /// The bit of a number that is small enough to have one.
    const fn bit(self) -> Option<u64> {
        1_u64.checked_shl(self.0)
    }
}

impl Vocabulary {
    /// The number of `name`, which it gets now if it has none.
    pub fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = NameId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.ids.insert(name.into(), id);
        self.names.push(name.into());
        id
    }

    /// The number of `name`, if the configuration mentions it.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// The name behind a number of this vocabulary; empty for a number of another one.
    #[must_use]
    pub fn name(&self, id: NameId) -> &str {
        self.names.get(id.0 as usize).map_or("", |name| name)
    }
}

/// Names in one text, parted by spaces as in `scope` (RFC 6749 section 3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameList(Box<str>);

impl NameList {
    /// The caller has made sure that no name is empty or has a space in it.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        Self(names.join(" ").into())
    }

    /// The names, none of which is empty.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    /// All of them, as they stand in a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names that a token has been granted. Few configurations mention so many that it takes more than the bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    bits: u64,
    others: Box<[NameId]>,
}

impl Granted {
    /// Whether `id` is granted.
    #[must_use]
    pub fn contains(&self, id: NameId) -> bool {
        match id.bit() {
            Some(bit) => self.bits & bit != 0,
            None => self.others.binary_search(&id).is_ok(),
        }
    }
}

impl FromIterator<NameId> for Granted {
    fn from_iter<I: IntoIterator<Item = NameId>>(ids: I) -> Self {
        let (mut bits, mut others) = (0, Vec::new());
        for id in ids {
            match id.bit() {
                Some(bit) => bits |= bit,
                None => others.push(id),
            }
        }
        others.sort_unstable();
        Self { bits, others: others.into() }
    }
}

/// What a role stands for: the `roles` section, with `includes` already followed to its end.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// Every role this one includes, itself not among them.
    pub includes: Box<[Box<str>]>,
    /// The scopes of the role and of all it includes.
    pub scopes: Box<[Box<str>]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_found_however_many_names_there_are() {
        let ids = [0, 5, 63, 64, 200, u32::MAX].map(NameId);
        let granted: Granted = ids.into_iter().rev().collect();
        assert!(ids.into_iter().all(|id| granted.contains(id)));
        assert!([1, 62, 65, 128, 199].map(NameId).into_iter().all(|id| !granted.contains(id)));
        assert!(!Granted::default().contains(NameId(0)));
    }

    #[test]
    fn a_list_of_names_is_read_as_it_was_written() {
        for names in [&[][..], &["a"], &["a", "b:c", "d"]] {
            let list = NameList::new(names);
            assert_eq!(list.iter().collect::<Vec<_>>(), names);
            assert_eq!((list.is_empty(), list.as_str()), (names.is_empty(), &*names.join(" ")));
        }
    }
}
