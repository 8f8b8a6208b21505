//! Where to find a claim.

use std::fmt;

use thiserror::Error;

use super::json::{Json, Object};
use super::snapshot::ClaimRef;

/// Why a text does not say where a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClaimRefError {
    /// It is empty.
    #[error("a claim's name is empty")]
    Empty,
    /// It is a JSON Pointer with a `~` that is neither `~0` nor `~1`.
    #[error("in a JSON Pointer ~ is followed by 0 or 1")]
    Escape,
}

impl ClaimRef {
    /// Reads a claim's plain name or, starting with `/`, a JSON Pointer (RFC 6901). A URL as a name
    /// (`https://example.com/tenant`) is a plain name.
    ///
    /// # Errors
    /// If it is empty, or no JSON Pointer.
    pub fn parse(text: &str) -> Result<Self, ClaimRefError> {
        match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<_, _>>().map(Self::Pointer),
            None if text.is_empty() => Err(ClaimRefError::Empty),
            None => Ok(Self::Name(text.into())),
        }
    }

    /// The claim, if it is there. `null` is not there: issuers write it for what they have nothing to say about.
    #[must_use]
    pub fn find<'a, 't>(&self, claims: &'a Object<'t>) -> Option<&'a Json<'t>> {
        let found = match self {
            Self::Name(name) => claims.get(name)?,
            Self::Pointer(path) => {
                let (first, rest) = path.split_first()?;
                rest.iter().try_fold(claims.get(first)?, |value, step| descend(value, step))?
            }
        };
        (*found != Json::Null).then_some(found)
    }

    /// The first of several claims that is there.
    #[must_use]
    pub fn first<'a, 't>(refs: &[Self], claims: &'a Object<'t>) -> Option<&'a Json<'t>> {
        refs.iter().find_map(|reference| reference.find(claims))
    }
}

/// As it is written in the configuration.
impl fmt::Display for ClaimRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pointer(path) => {
                path.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
            }
        }
    }
}

fn unescape(step: &str) -> Result<Box<str>, ClaimRefError> {
    let escapes_ok = step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    // `~1` first: `~01` is `~1` and not `/` (RFC 6901 section 4).
    escapes_ok.then(|| step.replace("~1", "/").replace("~0", "~").into()).ok_or(ClaimRefError::Escape)
}

fn descend<'a, 't>(value: &'a Json<'t>, step: &str) -> Option<&'a Json<'t>> {
    match value {
        Json::Object(object) => object.get(step),
        Json::Array(elements) => elements.get(index(step)?),
        _ => None,
    }
}

/// An array index: digits without leading zeros (RFC 6901 section 4).
fn index(step: &str) -> Option<usize> {
    let canonical = step == "0" || (step.starts_with(|c: char| c.is_ascii_digit()) && !step.starts_with('0'));
    if canonical { step.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(reference: &str) -> Option<Json<'static>> {
        let claims =
            r#"{"a":1,"https://x/t":2,"r":{"roles":["x",{"n":3}],"a/b":4,"m~n":5,"":6,"~1":7},"null":null,"/a":8}"#;
        let claims = Json::parse(claims.as_bytes()).unwrap().into_object().unwrap();
        ClaimRef::parse(reference).unwrap().find(&claims).cloned()
    }

    #[test]
    fn a_name_is_taken_whole_and_a_pointer_step_by_step() {
        let found =
            [("a", 1), ("https://x/t", 2), ("/a", 1), ("/r/roles/1/n", 3), ("/r/a~1b", 4), ("/r/m~0n", 5), ("/r/", 6)];
        for (reference, number) in found {
            assert_eq!(find(reference), Some(Json::Integer(number)), "{reference}");
        }
        assert_eq!(find("/r/~01"), Some(Json::Integer(7)));
        for absent in
            ["b", "r/roles", "/r/roles/2", "/r/roles/00", "/r/roles/+1", "/r/roles/-", "/a/b", "/", "null", "/null"]
        {
            assert_eq!(find(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_points_nowhere_is_an_error() {
        assert_eq!(ClaimRef::parse(""), Err(ClaimRefError::Empty));
        for text in ["/~", "/a~2b", "/a/~"] {
            assert_eq!(ClaimRef::parse(text), Err(ClaimRefError::Escape), "{text}");
        }
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        for text in ["tenant", "https://x/t", "/r/a~1b/m~0n/~01"] {
            assert_eq!(ClaimRef::parse(text).unwrap().to_string(), text);
        }
    }
}
