//! The parameters behind the question mark.

use std::borrow::Cow;

use super::problem::Problem;

/// How many entries are listed, unless it is said.
const LIMIT: usize = 50;
/// How many at most.
const LIMIT_MAX: usize = 500;

/// Which part of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'q> {
    /// At most so many entries.
    pub(super) limit: usize,
    /// Only those behind this one.
    pub(super) after: Option<Cow<'q, str>>,
}

/// Reads `limit` and `after`.
pub(super) fn part(query: &str) -> Result<Part<'_>, Problem> {
    let mut part = Part { limit: LIMIT, after: None };
    let mut has_limit = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "limit" if !has_limit => (part.limit, has_limit) = (limit(&value)?, true),
            "after" if part.after.is_none() => part.after = Some(value),
            "limit" | "after" => return Err(Problem::malformed("the parameter is there twice").about(name)),
            _ => return Err(no_such(&name, "there are `limit` and `after`")),
        }
    }
    Ok(part)
}

/// Sees to it that there are none.
pub(super) fn none(query: &str) -> Result<(), Problem> {
    match form_urlencoded::parse(query.as_bytes()).next() {
        Some((name, _)) => Err(no_such(&name, "there are none here")),
        None => Ok(()),
    }
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::malformed(format!("not a number from 1 to {LIMIT_MAX}")).about("limit"))
}

fn no_such(name: &str, known: &str) -> Problem {
    Problem::malformed(format!("no such parameter; {known}")).about(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_bounds() {
        assert_eq!(part(""), Ok(Part { limit: 50, after: None }));
        assert_eq!(part("after=a%40b&limit=500"), Ok(Part { limit: 500, after: Some("a@b".into()) }));
        for odd in ["limit=0", "limit=501", "limit=", "limit=-1", "limit=1&limit=2", "after=a&after=b", "offset=1"] {
            assert!(part(odd).is_err(), "{odd}");
        }
        assert!(none("").is_ok() && none("force=true").is_err());
    }
}
