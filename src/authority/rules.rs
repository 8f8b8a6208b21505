//! What an App Client may be. The command line and the admin API ask here, so that neither lets in what the other refuses.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use jiff::civil::{Date, date};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::client::Client;
use super::grant::effective_scopes;
use crate::config::Authority;
use crate::config::authority::{CONTROL_SCOPE_PREFIX, GENERATED_ID_CHARACTERS, is_client_id};
use crate::config::{scalar, words};
use crate::core::keyset::Keyset;
use crate::core::scope::Role;
use crate::core::time::UnixSeconds;

/// Longest name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 128;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 1024;
/// Longest notes, in bytes.
pub const NOTES_BYTES_MAX: usize = 4096;
/// Most tenants of a client: all of them stand in each of its tokens.
pub const TENANTS_MAX: usize = 64;
/// Longest tenant, in bytes.
pub const TENANT_BYTES_MAX: usize = 128;
/// Longest id of a client of another issuer, in bytes.
pub const FOREIGN_ID_BYTES_MAX: usize = 512;
/// Longest key set of a client, in bytes.
pub const JWKS_BYTES_MAX: usize = 16 * 1024;
/// How long a client lives unless it is said, in seconds.
pub const LIFETIME_SECONDS: i64 = 365 * 24 * 3600;
/// The last day that a client may live. A later one ends behind the last moment that the wire and the terminal can say, which
/// leaves room for every time zone in the year 9999.
const LAST_DAY: Date = date(9999, 12, 29);

/// Why something cannot be done. Texts are for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such client, or none that this caller may see.
    #[error("there is no client `{0}`")]
    Unknown(Box<str>),
    /// The id is taken.
    #[error("there is a client `{0}` already")]
    Exists(Box<str>),
    /// A value is not one that the field may have.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as it is called in JSON.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The client is not what the caller thinks it is.
    #[error("the client has changed: it is at version {current}")]
    Conflict {
        /// Its version now.
        current: u64,
    },
    /// Two secrets are live as it is.
    #[error("two secrets are live already: a rotation that keeps none ends both")]
    SecretsMax,
    /// The client has scopes of Sidegate's own that the caller does not have.
    #[error("only who has {} may give it to a client, or have a say over a client that has it", .0.join(" and "))]
    Beyond(Vec<Box<str>>),
    /// The caller is held to tenants, and this is not about any.
    #[error("a client that is held to tenants may not see or change what is not of a tenant")]
    TenantsOnly,
    /// There is no randomness.
    #[error("the system has no random numbers to give")]
    Random,
}

impl From<Unspecified> for Denied {
    fn from(_: Unspecified) -> Self {
        Self::Random
    }
}

/// What the configuration says of clients.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The catalogue and the prefix of ids.
    pub authority: Arc<Authority>,
    /// The roles that there are.
    pub roles: Arc<HashMap<Box<str>, Role>>,
}

impl Rules {
    /// The id of a new client: the chosen one, with the prefix unless it is there, or a random one.
    ///
    /// # Errors
    /// It is none.
    pub fn id(&self, chosen: Option<&str>) -> Result<Box<str>, Denied> {
        let prefix = &*self.authority.client_id_prefix;
        let id = match chosen {
            None => format!("{prefix}{}", random_id()?),
            Some(id) if id.starts_with(prefix) => id.to_owned(),
            Some(id) => format!("{prefix}{id}"),
        };
        if is_client_id(&id) {
            return Ok(id.into());
        }
        let reason = "1 to 128 characters: letters and digits, and behind the first of them `.`, `_`, `~`, `@` and `-`";
        Err(invalid("client_id", reason))
    }

    /// Scopes of the catalogue, sorted.
    ///
    /// # Errors
    /// One is not in it.
    pub fn scopes(&self, scopes: Vec<Box<str>>) -> Result<Box<[Box<str>]>, Denied> {
        let known = self.authority.scopes.keys().map(|name| &**name);
        let hint = "the catalogue is `authority.scopes` of the configuration";
        known_names("scopes", "scope", scopes, known, hint)
    }

    /// All scopes of the catalogue but Sidegate's own.
    #[must_use]
    pub fn all_scopes(&self) -> Vec<Box<str>> {
        self.authority.scopes.keys().filter(|scope| !scope.starts_with(CONTROL_SCOPE_PREFIX)).cloned().collect()
    }

    /// Roles that the configuration declares, sorted.
    ///
    /// # Errors
    /// One is not declared.
    pub fn roles(&self, roles: Vec<Box<str>>) -> Result<Box<[Box<str>]>, Denied> {
        let known = self.roles.keys().map(|name| &**name);
        known_names("roles", "role", roles, known, "they are declared in `roles` of the configuration")
    }

    /// The scopes of Sidegate's own that a client has, itself or by a role.
    #[must_use]
    pub fn control_scopes<'a>(&'a self, client: &'a Client) -> Vec<&'a str> {
        effective_scopes(client, &self.roles)
            .into_iter()
            .filter(|scope| scope.starts_with(CONTROL_SCOPE_PREFIX))
            .collect()
    }

    /// Whether a client may both change Sidegate and call what is behind it: whoever gets hold of one of its tokens may too.
    #[must_use]
    pub fn opens_both(&self, client: &Client) -> bool {
        let of_roles = client.roles.iter().filter_map(|role| self.roles.get(role)).flat_map(|role| &role.scopes);
        let (mut control, mut ordinary) = (false, false);
        for scope in client.scopes.iter().chain(of_roles) {
            match scope.starts_with(CONTROL_SCOPE_PREFIX) {
                true => control = true,
                false => ordinary = true,
            }
        }
        control && ordinary
    }
}

pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> Denied {
    Denied::Invalid { field, reason: reason.into() }
}

/// Letters and digits that nobody takes for one another (RFC 4648 section 6).
fn random_id() -> Result<String, Denied> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; GENERATED_ID_CHARACTERS];
    rand::fill(&mut bytes)?;
    let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(letters.map(|letter| char::from(*letter)).collect())
}

fn known_names<'k>(
    field: &'static str,
    kind: &str,
    names: Vec<Box<str>>,
    known: impl Iterator<Item = &'k str> + Clone,
    hint: &str,
) -> Result<Box<[Box<str>]>, Denied> {
    if let Some(name) = names.iter().find(|name| known.clone().all(|known| known != &***name)) {
        let name = words::shown(name);
        let reason = match words::nearest(&name, known) {
            Some(nearest) => format!("no {kind} is called `{name}`; did you mean `{nearest}`?"),
            None => format!("no {kind} is called `{name}`; {hint}"),
        };
        return Err(invalid(field, reason));
    }
    Ok(sorted(names))
}

fn sorted(mut names: Vec<Box<str>>) -> Box<[Box<str>]> {
    names.sort_unstable();
    names.dedup();
    names.into()
}

/// A client's name.
///
/// # Errors
/// It is none.
pub fn name(text: &str) -> Result<Box<str>, Denied> {
    match text {
        _ if text.trim().is_empty() => Err(invalid("name", "there is nothing in it")),
        _ if text.chars().count() > NAME_CHARACTERS_MAX => Err(invalid("name", "longer than 128 characters")),
        _ if text.contains(char::is_control) => Err(invalid("name", "control characters have no place in it")),
        _ => Ok(text.into()),
    }
}

/// A description.
///
/// # Errors
/// It is too long, or not text.
pub fn description(text: &str) -> Result<Box<str>, Denied> {
    prose("description", text, DESCRIPTION_BYTES_MAX)
}

/// Notes.
///
/// # Errors
/// They are too long, or not text.
pub fn notes(text: &str) -> Result<Box<str>, Denied> {
    prose("notes", text, NOTES_BYTES_MAX)
}

fn prose(field: &'static str, text: &str, bytes_max: usize) -> Result<Box<str>, Denied> {
    match text {
        _ if text.len() > bytes_max => Err(invalid(field, format!("longer than {bytes_max} bytes"))),
        _ if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) => {
            Err(invalid(field, "control characters have no place in it"))
        }
        _ => Ok(text.into()),
    }
}

/// Tenants, sorted. They stand in a header, one by one.
///
/// # Errors
/// One cannot be one, or they are too many.
pub fn tenants(tenants: Vec<Box<str>>) -> Result<Box<[Box<str>]>, Denied> {
    let tenants = sorted(tenants);
    if tenants.len() > TENANTS_MAX {
        return Err(invalid("tenants", format!("more than {TENANTS_MAX}")));
    }
    for tenant in &tenants {
        if tenant.is_empty() || tenant.len() > TENANT_BYTES_MAX {
            return Err(invalid("tenants", format!("a tenant has 1 to {TENANT_BYTES_MAX} bytes")));
        }
        if tenant.contains(char::is_control) || tenant.trim() != &**tenant {
            return Err(invalid("tenants", "a tenant has no spaces around it, and no control characters"));
        }
    }
    Ok(tenants)
}

/// A client's public keys (RFC 7517), each of which has to be of use.
///
/// # Errors
/// One is not: it is a private one, or of a kind that is not supported.
pub fn jwks(text: &str) -> Result<Box<str>, Denied> {
    if text.len() > JWKS_BYTES_MAX {
        return Err(invalid("jwks", format!("longer than {JWKS_BYTES_MAX} bytes")));
    }
    let keys = Keyset::parse(text.as_bytes()).map_err(|error| invalid("jwks", error.to_string()))?;
    match keys.ignored().next() {
        Some(ignored) => Err(invalid("jwks", format!("a key cannot be used: {ignored}"))),
        None => Ok(text.into()),
    }
}

/// The first second at which a client is expired: a date is that day to its end, in UTC; else a time (RFC 3339).
///
/// # Errors
/// It is neither, or too late.
pub fn expiry(text: &str) -> Result<UnixSeconds, Denied> {
    let end_of = |date: Date| date.checked_add(1.day())?.to_zoned(TimeZone::UTC).map(|end| end.timestamp());
    let time = match text.parse::<Timestamp>() {
        Ok(time) => Some(time),
        Err(_) if text.len() > "2027-01-31".len() => None,
        Err(_) => text.parse::<Date>().and_then(end_of).ok(),
    };
    let time = time.ok_or_else(|| match is_too_late(text) {
        true => invalid("expires_at", format!("too late: the last day is {LAST_DAY}")),
        false => invalid("expires_at", "neither a date such as 2027-01-31 nor a time (RFC 3339)"),
    })?;
    Ok(UnixSeconds(time.as_second()))
}

/// Whether what is no time of ours would be one, or a date, if the calendar went on for longer.
fn is_too_late(text: &str) -> bool {
    Pieces::parse(text).is_ok_and(|pieces| {
        let is_whole = pieces.time().is_some() == pieces.offset().is_some();
        is_whole && pieces.time_zone_annotation().is_none() && pieces.date() >= LAST_DAY
    })
}

/// For how long an old secret stays live, in seconds: a duration such as 24h; 0 ends it at once.
///
/// # Errors
/// It is none, or too long.
pub fn keep_old(text: &str) -> Result<u32, Denied> {
    if text == "0" {
        return Ok(0);
    }
    let duration = scalar::duration(text).map_err(|flaw| match flaw.hint {
        Some(hint) => invalid("keep_old", format!("{}: {hint}", flaw.message)),
        None => invalid("keep_old", format!("{}: expected one such as 24h", flaw.message)),
    })?;
    u32::try_from(duration.as_secs()).map_err(|_| invalid("keep_old", "the duration is too long"))
}

/// The id of a client of another issuer: whatever that one likes, as long as it can be written down.
///
/// # Errors
/// It is empty, too long, or has control characters.
pub fn foreign_id(id: &str) -> Result<(), Denied> {
    match id {
        "" => Err(invalid("client_id", "it is empty")),
        _ if id.len() > FOREIGN_ID_BYTES_MAX => {
            Err(invalid("client_id", format!("longer than {FOREIGN_ID_BYTES_MAX} bytes")))
        }
        _ if id.contains(char::is_control) => Err(invalid("client_id", "control characters have no place in it")),
        _ => Ok(()),
    }
}

/// A new expiry, which has to be ahead.
///
/// # Errors
/// It is over.
pub fn ahead(expires: UnixSeconds, now: UnixSeconds) -> Result<UnixSeconds, Denied> {
    if expires > now { Ok(expires) } else { Err(invalid("expires_at", "it is over already")) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::authority::view::rfc3339;
    use crate::config;

    pub(crate) fn rules(authority: &str) -> Rules {
        let text = format!(
            "listeners: [{{ address: 127.0.0.1:0 }}]\n\
             authority: {{ issuer: 'http://127.0.0.1', audience: api, scopes: {{ 'users:read': a, 'users:write': b }}{authority} }}\n\
             roles: {{ editor: {{ scopes: ['users:write'] }}, keeper: {{ scopes: ['sidegate.clients:write'] }} }}\n\
             upstreams: {{ echo: {{ builtin: echo }} }}\n\
             routes: [{{ match: /, authenticated: true, upstream: echo }}]\n"
        );
        let config = config::from_text("test", &text, std::path::Path::new(""), &|_| None).unwrap();
        Rules { authority: config.authority.unwrap(), roles: config.snapshot.roles.clone() }
    }

    fn names(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn ids_are_chosen_or_random() {
        let plain = rules("");
        let random = plain.id(None).unwrap();
        assert_eq!(random.len(), GENERATED_ID_CHARACTERS);
        assert_ne!(random, plain.id(None).unwrap());
        assert_eq!(&*plain.id(Some("a.b_c~d@e-f")).unwrap(), "a.b_c~d@e-f");
        for odd in ["", "-a", ".", "..", "a/b", "a:b", "a b", "é", &"a".repeat(129)] {
            assert!(plain.id(Some(odd)).is_err(), "{odd}");
        }
        let prefixed = rules(", client_id_prefix: acme-");
        assert_eq!(&*prefixed.id(Some("x")).unwrap(), "acme-x");
        assert_eq!(&*prefixed.id(Some("acme-x")).unwrap(), "acme-x");
        assert!(prefixed.id(None).unwrap().starts_with("acme-"));
    }

    #[test]
    fn scopes_and_roles_are_known_ones() {
        let rules = rules("");
        let scopes = rules.scopes(names(&["users:write", "users:read", "users:write"])).unwrap();
        assert_eq!(*scopes, *names(&["users:read", "users:write"]));
        let text = rules.scopes(names(&["user:read"])).unwrap_err().to_string();
        assert_eq!(text, "scopes: no scope is called `user:read`; did you mean `users:read`?");
        assert!(rules.scopes(names(&["sidegate.everything"])).is_err());
        assert!(rules.roles(names(&["editor"])).is_ok() && rules.roles(names(&["owner"])).is_err());
        assert_eq!(rules.all_scopes(), names(&["users:read", "users:write"]));
    }

    #[test]
    fn texts_and_tenants_have_bounds() {
        assert!(name(&"é".repeat(128)).is_ok());
        for odd in ["", " ", "a\nb", &"a".repeat(129)] {
            assert!(name(odd).is_err(), "{odd:?}");
        }
        assert!(description(&"a".repeat(1024)).is_ok() && description(&"a".repeat(1025)).is_err());
        assert!(notes("a\nb\tc").is_ok() && notes("a\u{1b}[31m").is_err() && notes(&"a".repeat(4097)).is_err());
        assert_eq!(*tenants(names(&["b", "a", "b"])).unwrap(), *names(&["a", "b"]));
        for odd in ["", " a", "a\n", &"a".repeat(129)] {
            assert!(tenants(names(&[odd])).is_err(), "{odd:?}");
        }
        assert!(tenants((0..65).map(|number| number.to_string().into()).collect()).is_err());
    }

    #[test]
    fn a_date_is_a_day_to_its_end() {
        assert_eq!(expiry("1970-01-01"), Ok(UnixSeconds(86_400)));
        assert_eq!(expiry("1970-01-01T01:00:00+01:00"), Ok(UnixSeconds(0)));
        assert_eq!(expiry("1970-01-01T00:00:01.9Z"), Ok(UnixSeconds(1)));
        for odd in ["", "1970", "tomorrow", "1970-02-30", "1970-01-01T00:00:00", "1970-01-01[UTC]", "9999-12-31"] {
            assert!(expiry(odd).is_err(), "{odd}");
        }
        assert_eq!(expiry("9999-12-29").map(rfc3339).as_deref(), Ok("9999-12-30T00:00:00Z"));
        assert_eq!(expiry("9999-12-30T22:00:00Z").map(rfc3339).as_deref(), Ok("9999-12-30T22:00:00Z"));
        let late = Err(invalid("expires_at", "too late: the last day is 9999-12-29"));
        for text in ["9999-12-30", "9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.5+00:00"] {
            assert_eq!(expiry(text), late, "{text}");
        }
        for odd in ["9999-12-31T23:59:59", "9999-12-31[UTC]", "9999-12-32", "10000-01-01", "9999-12-31T25:00:00Z"] {
            assert_ne!(expiry(odd), late, "{odd}");
            assert!(expiry(odd).is_err(), "{odd}");
        }
        assert!(ahead(UnixSeconds(2), UnixSeconds(1)).is_ok() && ahead(UnixSeconds(1), UnixSeconds(1)).is_err());
    }

    #[test]
    fn keys_are_public_ones() {
        let public = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        assert!(jwks(public).is_ok());
        let private = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let error = jwks(private).unwrap_err().to_string();
        assert!(error.contains("it holds a private key") && !error.contains("nWGx"), "{error}");
        assert!(jwks("{}").is_err() && jwks(&" ".repeat(JWKS_BYTES_MAX + 1)).is_err());
    }
}
