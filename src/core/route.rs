//! Stand-in: routes.

use std::collections::HashMap;
use std::fmt;

use http::Method;

use super::path::CanonicalPath;
use super::snapshot::{Route, UpstreamPolicy};

/// An index into [`RouteTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// What a route matches.
#[derive(Debug)]
pub struct Match {
    /// Methods.
    pub methods: Methods,
    /// Host.
    pub host: Option<HostName>,
    /// Pattern.
    pub pattern: Pattern,
}

/// A path pattern.
#[derive(Debug)]
pub struct Pattern(String);

/// Methods of a route.
#[derive(Debug)]
pub struct Methods(Vec<Method>);

/// A host.
#[derive(Debug)]
pub struct HostName(String);

/// Bad pattern.
#[derive(Debug)]
pub struct PatternError {
    /// Offset.
    pub at: usize,
    text: &'static str,
}

/// Bad methods.
#[derive(Debug)]
pub struct MethodsError {
    /// Offset.
    pub at: usize,
    text: String,
}

/// Bad host.
#[derive(Debug)]
pub struct HostError(&'static str);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}
impl fmt::Display for MethodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Method::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl Pattern {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// # Errors
    /// Bad pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError { at: 0, text: "a pattern starts with `/`" });
        }
        match text.find("//") {
            Some(at) => {
                Err(PatternError { at: at + 1, text: "empty segment: no request with '//' in its path is let in" })
            }
            None => Ok(Self(text.into())),
        }
    }
}
impl Methods {
    /// The methods in the order of the configuration; `None` is every method.
    #[must_use]
    pub fn named(&self) -> Option<&[Method]> {
        (!self.0.is_empty()).then_some(&self.0)
    }
    /// Every method.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![])
    }
    /// # Errors
    /// Bad method.
    pub fn parse(text: &str) -> Result<Self, MethodsError> {
        let mut at = 0;
        let mut methods = Vec::new();
        for name in text.split(',') {
            let text = match name {
                "" => "a method is missing".to_owned(),
                _ if name.contains(|c: char| c.is_ascii_lowercase()) => {
                    format!("methods are in upper case: {}", name.to_ascii_uppercase())
                }
                _ => format!("{name:?} is no method"),
            };
            let method = Method::from_bytes(name.as_bytes()).ok();
            let method = method.filter(|method| !method.as_str().contains(|c: char| c.is_ascii_lowercase()));
            methods.push(method.ok_or(MethodsError { at, text })?);
            at += name.len() + 1;
        }
        Ok(Self(methods))
    }
}
impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// # Errors
    /// Bad host.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() || text.contains([':', '/', ' ', '*']) {
            return Err(HostError("a host has no port: a route matches the name, whatever the port"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// All routes, compiled.
#[derive(Debug, Default)]
pub struct RouteTable {
    matches: Vec<Match>,
    routes: Vec<Route>,
}

/// Two routes for the same requests.
#[derive(Debug)]
pub struct Conflict {
    /// Index.
    pub first: usize,
    /// Index.
    pub second: usize,
    /// Methods in common.
    pub methods: Box<str>,
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
    /// # Errors
    /// Conflicts.
    pub fn build(routes: Vec<(Match, Route)>) -> Result<Self, Vec<Conflict>> {
        let mut seen = HashMap::new();
        let mut conflicts = vec![];
        for (second, (it, _)) in routes.iter().enumerate() {
            let key = (it.pattern.0.clone(), it.methods.0.clone(), it.host.as_ref().map(|host| host.0.clone()));
            if let Some(first) = seen.insert(key, second) {
                let methods = it.methods.0.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
                let methods = if methods.is_empty() { "every method".to_owned() } else { methods };
                conflicts.push(Conflict { first, second, methods: methods.into() });
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let (matches, routes) = routes.into_iter().unzip();
        Ok(Self { matches, routes })
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Match, &Route)> {
        self.matches.iter().zip(&self.routes).zip(0..).map(|((m, r), id)| (RouteId(id), m, r))
    }
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
