//! The `WWW-Authenticate` challenge: RFC 6750 section 3, with `resource_metadata` of RFC 9728 section 5.1.

use http::HeaderValue;

use super::{Refusal, body};
use crate::core::rejection::{Answer, Reason};
use crate::core::snapshot::Snapshot;

/// The challenge of a refusal.
///
/// `scope` is told to a valid token that lacks one, and to nobody else: a 401 does not say what a route asks for, and
/// is the same for every way in which a token can be bad.
pub(super) fn value(snapshot: &Snapshot, refusal: &Refusal<'_>, answer: &Answer) -> HeaderValue {
    let mut challenge = Challenge::new(&snapshot.errors.realm);
    if let Some(error) = answer.bearer_error {
        challenge.add("error", error);
        challenge.add("error_description", answer.description);
    }
    if refusal.rejection.reason == Reason::ScopeMissing {
        challenge.add("scope", &body::required_scopes(snapshot, refusal).join(" "));
    }
    if let Some(resource) = &snapshot.resource {
        challenge.add("resource_metadata", &resource.metadata_url);
    }
    challenge.finish()
}

struct Challenge(String);

impl Challenge {
    fn new(realm: &str) -> Self {
        let mut challenge = Self(String::with_capacity(256));
        challenge.0.push_str("Bearer ");
        challenge.push("realm", realm);
        challenge
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push_str(", ");
        self.push(name, value);
    }

    /// A parameter as quoted-string (RFC 9110 section 5.6.4). What no quoted-string should hold (controls) and what
    /// clients read in different ways (anything but ASCII) becomes `?`.
    fn push(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push_str("=\"");
        for char in value.chars() {
            match char {
                '"' | '\\' => self.0.extend(['\\', char]),
                ' '..='~' => self.0.push(char),
                _ => self.0.push('?'),
            }
        }
        self.0.push('"');
    }

    fn finish(self) -> HeaderValue {
        // Printable ASCII only: always a header value.
        HeaderValue::try_from(self.0).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}
