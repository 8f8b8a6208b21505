//! Routes: patterns, precedence, and the trie they are compiled into at load.

use http::Method;

use super::path::CanonicalPath;
use super::snapshot::{Route, UpstreamPolicy};

/// An index into [`RouteTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// All routes, compiled.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
}

/// Why no route was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// No pattern matches.
    Unknown,
    /// Folded, the path means more than it says.
    Ambiguous,
    /// The winning pattern lacks the method.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: Box<str>,
    },
}

impl RouteTable {
    /// The route of a request.
    ///
    /// # Errors
    /// A [`Miss`].
    pub fn find(
        &self,
        _method: &Method,
        _host: &str,
        _path: &CanonicalPath<'_>,
        _upstreams: &[UpstreamPolicy],
    ) -> Result<RouteId, Miss> {
        todo!()
    }

    /// The route behind an id of this table.
    #[must_use]
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.0 as usize)
    }
}
