//! Which version of a client a request is about (RFC 9110 section 13). The entity tag of a client is the number of its last
//! change; when it last got a token, and whether its time is over, is no change.

use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::Problem;

/// `If-Match`, or `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`.
    Any,
    /// These. What is no version of ours is none of them.
    Versions(Vec<Tag>),
}

/// An entity tag that is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) version: u64,
    is_weak: bool,
}

/// The entity tag of a version.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// What a change is for, which has to be said.
pub(super) fn required(headers: &HeaderMap) -> Result<Tags, Problem> {
    if_match(headers)?.ok_or_else(|| {
        let detail = "say in If-Match which version is meant: the ETag that GET gives, such as \"12\", or * for any";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "PRECONDITION_REQUIRED", detail)
    })
}

/// What a change is for, if it is said.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Tags>, Problem> {
    read(headers, IF_MATCH)
}

/// Whether whoever asks has this version already.
pub(super) fn is_known(headers: &HeaderMap, version: u64) -> Result<bool, Problem> {
    Ok(match read(headers, IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::Versions(tags)) => tags.iter().any(|tag| tag.version == version),
    })
}

impl Tags {
    /// Whether this version is meant. A weak tag names none that could be changed (RFC 9110 section 13.1.1).
    pub(super) fn mean(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(tags) => tags.iter().any(|tag| tag.version == version && !tag.is_weak),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (mut rest, mut tags) = (text, Vec::new());
        loop {
            let (is_weak, opaque) = match rest.strip_prefix("W/") {
                Some(opaque) => (true, opaque),
                None => (false, rest),
            };
            let (tag, behind) = opaque.strip_prefix('"')?.split_once('"')?;
            // One with a sign or leading zeros is a tag, but none of ours.
            let version = tag.parse().ok().filter(|version: &u64| version.to_string() == tag);
            tags.extend(version.map(|version| Tag { version, is_weak }));
            match behind.trim_start_matches([' ', '\t']) {
                "" => return Some(Self::Versions(tags)),
                behind => rest = behind.strip_prefix(',')?.trim_start_matches([' ', '\t']),
            }
        }
    }
}

fn read(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Problem> {
    let lines: Option<Vec<&str>> = headers.get_all(&name).iter().map(|line| line.to_str().ok()).collect();
    let malformed =
        || Problem::malformed("not a list of entity tags in quotes, such as \"12\", and not *").about(name.as_str());
    match lines.ok_or_else(malformed)?.as_slice() {
        [] => Ok(None),
        lines => Tags::parse(lines.join(",").trim()).map(Some).ok_or_else(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared() {
        let tags = |text| Tags::parse(text).unwrap();
        assert!(tags("*").mean(7) && tags("\"7\"").mean(7) && !tags("\"7\"").mean(8));
        assert!(tags("\"6\" ,\t\"7\"").mean(7) && !tags("W/\"7\"").mean(7));
        for foreign in ["\"07\"", "\"+7\"", "\"a,b\"", "\"\""] {
            assert_eq!(tags(foreign), Tags::Versions(vec![]), "{foreign}");
        }
        for odd in ["", "7", "\"7", "\"7\" \"8\"", "\"7\",", ",\"7\"", "*, \"7\"", "w/\"7\""] {
            assert_eq!(Tags::parse(odd), None, "{odd}");
        }
        let headers = |text| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(text))]);
        assert_eq!(is_known(&headers("W/\"7\""), 7), Ok(true));
        assert_eq!(is_known(&headers("\"8\""), 7), Ok(false));
        assert!(is_known(&headers("8"), 7).is_err() && required(&HeaderMap::new()).is_err());
    }
}
