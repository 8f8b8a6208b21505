//! Names that routes ask for and tokens carry (scopes, roles), interned at load: a request compares numbers.

use std::collections::HashMap;

/// The scope that the admin listener asks for where it is reachable from other machines.
pub const ADMIN_SCOPE: &str = "sidegate.admin";

/// A name's number in its [`Vocabulary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

/// The names that the configuration mentions. A name that only a token mentions has no number, and grants nothing.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    ids: HashMap<Box<str>, NameId>,
    names: Vec<Box<str>>,
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

/// The names that a token has been granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted(Box<[NameId]>);

impl Granted {
    /// The set of these numbers.
    #[must_use]
    pub fn new(mut ids: Vec<NameId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self(ids.into())
    }

    /// Whether `id` is granted.
    #[must_use]
    pub fn contains(&self, id: NameId) -> bool {
        self.0.binary_search(&id).is_ok()
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
