//! The methods of a route (RFC 9110 section 9.1).

use std::fmt;

use http::Method;

/// As people list them, which is the order of `Allow`; extensions come behind.
const ORDER: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// The methods that a route names, or every method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(Option<Box<[Method]>>);

/// What [`Methods`] are, in two bytes: one bit for each method that [`ORDER`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MethodSet(u16);

/// Why a list of methods is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MethodsError {
    /// Byte offset of what is wrong.
    pub at: usize,
    message: String,
}

impl Methods {
    /// Every method: what a route has that names none.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// Reads `GET` or `GET,PUT`. Methods are case-sensitive and all that are registered are in upper case, so a lower-case
    /// letter is taken for a mistake.
    ///
    /// # Errors
    /// Says which element is no method, or is there twice.
    pub fn parse(text: &str) -> Result<Self, MethodsError> {
        let mut methods = Vec::new();
        let mut at = 0;
        for name in text.split(',') {
            let method = parse_one(name).map_err(|message| MethodsError { at, message })?;
            if methods.contains(&method) {
                return Err(MethodsError { at, message: format!("{method} is there twice") });
            }
            methods.push(method);
            at += name.len() + 1;
        }
        Ok(Self(Some(methods.into())))
    }

    /// The methods in the order of the configuration; `None` is every method.
    #[must_use]
    pub fn named(&self) -> Option<&[Method]> {
        self.0.as_deref()
    }

    /// Whether a request with this method is meant. `GET` covers `HEAD` (RFC 9110 section 9.3.2).
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        let covers = |named: &Method| named == method || (named == Method::GET && method == Method::HEAD);
        self.named().is_none_or(|named| named.iter().any(covers))
    }

    /// The methods that both name, for people to read. `GET` beside `HEAD` is none, nor is a named method beside every
    /// method: the more specific route has those requests.
    pub(super) fn shared_with(&self, other: &Self) -> Option<Box<str>> {
        let (Some(own), Some(other)) = (self.named(), other.named()) else {
            return (self == other).then(|| self.to_string().into());
        };
        let shared: Vec<Method> = own.iter().filter(|method| other.contains(method)).cloned().collect();
        (!shared.is_empty()).then(|| join(&shared, ",").into())
    }
}

impl MethodSet {
    /// The set of a route that names no method.
    pub(super) const ALL: Self = Self(1 << 15);
    /// In the set of a route that names a method that is not in [`ORDER`], and the set of such a method.
    pub(super) const EXTENSION: Self = Self(1 << 14);

    /// The set of one method.
    pub(super) fn of(method: &Method) -> Self {
        ORDER.iter().position(|known| known == method).map_or(Self::EXTENSION, |bit| Self(1 << bit))
    }

    /// Whether the two have a bit in common.
    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl From<&Methods> for MethodSet {
    fn from(methods: &Methods) -> Self {
        let union = |set: Self, method| Self(set.0 | Self::of(method).0);
        methods.named().map_or(Self::ALL, |named| named.iter().fold(Self(0), union))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named() {
            None => f.write_str("every method"),
            Some(named) => f.write_str(&join(named, ",")),
        }
    }
}

/// The method in upper case, if it has a letter in lower case.
pub(super) fn in_upper_case(method: &Method) -> Option<Method> {
    let is_lower = method.as_str().bytes().any(|byte| byte.is_ascii_lowercase());
    if is_lower { Method::from_bytes(method.as_str().to_ascii_uppercase().as_bytes()).ok() } else { None }
}

/// The value of `Allow` (RFC 9110 section 10.2.1) for a resource whose routes name these methods.
pub(super) fn allow<'a>(named: impl Iterator<Item = &'a Method>) -> Box<str> {
    let mut methods: Vec<Method> = named.cloned().collect();
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.sort_by(|a, b| (rank(a), a.as_str()).cmp(&(rank(b), b.as_str())));
    methods.dedup();
    join(&methods, ", ").into()
}

fn parse_one(name: &str) -> Result<Method, String> {
    if name.is_empty() {
        return Err("a method is missing".to_owned());
    }
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("methods are in upper case: {}", name.to_ascii_uppercase()));
    }
    if name == "CONNECT" {
        return Err("CONNECT asks for a tunnel, and has no path that a route could match".to_owned());
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no method"))
}

fn join(methods: &[Method], separator: &str) -> String {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(separator)
}

fn rank(method: &Method) -> usize {
    ORDER.iter().position(|known| known == method).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for text in ["GET", "GET,PUT", "PROPFIND,M-SEARCH"] {
            assert_eq!(Methods::parse(text).unwrap().to_string(), text);
        }
        assert!(Methods::all().contains(&Method::TRACE));
    }

    #[test]
    fn get_covers_head_and_nothing_else_does() {
        assert!(Methods::parse("POST,GET").unwrap().contains(&Method::HEAD));
        assert!(!Methods::parse("POST").unwrap().contains(&Method::HEAD));
        assert!(!Methods::parse("HEAD").unwrap().contains(&Method::GET));
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        for (text, at, message) in [
            ("", 0, "a method is missing"),
            ("GET,", 4, "a method is missing"),
            ("GET,post", 4, "methods are in upper case: POST"),
            ("GET,PUT,GET", 8, "GET is there twice"),
            ("GET, PUT", 4, "\" PUT\" is no method"),
            ("G@T", 0, "\"G@T\" is no method"),
        ] {
            let error = Methods::parse(text).unwrap_err();
            assert_eq!((error.at, error.to_string().as_str()), (at, message), "{text}");
        }
    }

    #[test]
    fn allow_is_ordered_and_adds_head() {
        let methods = Methods::parse("PURGE,DELETE,GET,ACL").unwrap();
        assert_eq!(&*allow(methods.named().unwrap().iter()), "GET, HEAD, DELETE, ACL, PURGE");
    }
}
