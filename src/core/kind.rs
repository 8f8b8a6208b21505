//! What kind of token it is: an access token or not, a client's or a user's. No claim says this in a way that all issuers
//! share, so it is read off what each of them writes.

use super::json::{Json, Object};
use super::snapshot::{ClientWhen, Kinds};

/// On whose behalf a token speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client for itself (RFC 6749 section 4.4).
    Client,
    /// A client on behalf of a user.
    User,
}

impl Kind {
    /// The word for it in configuration and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::User => "user",
        }
    }

    /// The kind that these claims speak of. `rule` is the issuer's own way to tell, in place of the common one.
    pub(super) fn of(claims: &Object<'_>, client_id: Option<&str>, rule: Option<&ClientWhen>) -> Self {
        let client = match rule {
            Some(rule) => rule.holds(claims),
            None => subject_is_client(claims.str("sub"), client_id) || claims_speak_of_client(claims),
        };
        if client { Self::Client } else { Self::User }
    }
}

impl Kinds {
    /// Whether `kind` is one of these.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        match kind {
            Kind::Client => self.client,
            Kind::User => self.user,
        }
    }
}

impl ClientWhen {
    fn holds(&self, claims: &Object<'_>) -> bool {
        match self.claim.find(claims) {
            Some(Json::String(text)) => **text == *self.equals,
            Some(Json::Integer(number)) => *number.to_string() == *self.equals,
            Some(Json::Bool(value)) => *value.to_string() == *self.equals,
            Some(Json::Null | Json::Float(_) | Json::Array(_) | Json::Object(_)) | None => false,
        }
    }
}

/// How to tell that this is no access token, if it is none: an ID token proves to a client who its user is, and opens no
/// API whoever holds it.
pub(super) fn no_access_token(claims: &Object<'_>, has_scope: bool) -> Option<&'static str> {
    if claims.str("token_use").is_some_and(|usage| usage.eq_ignore_ascii_case("id")) {
        return Some("an ID token (token_use is id)");
    }
    let is_other =
        |kind: &str| ["ID", "Refresh", "Offline", "Logout"].iter().any(|other| other.eq_ignore_ascii_case(kind));
    if claims.str("typ").is_some_and(is_other) {
        return Some("no access token (by its claim typ)");
    }
    if claims.has("at_hash") || claims.has("c_hash") {
        return Some("an ID token (it has at_hash or c_hash)");
    }
    (claims.has("nonce") && !has_scope).then_some("an ID token (it has a nonce and no scope)")
}

/// Without a user the subject is the client (RFC 9068 section 2.2), or nobody. Auth0 puts `@clients` behind the id.
fn subject_is_client(subject: Option<&str>, client_id: Option<&str>) -> bool {
    let Some(subject) = subject.filter(|subject| !subject.is_empty()) else { return true };
    client_id.is_some_and(|id| subject == id || subject.strip_suffix("@clients") == Some(id))
}

fn claims_speak_of_client(claims: &Object<'_>) -> bool {
    claims.str("gty") == Some("client-credentials")
        || claims.str("idtyp") == Some("app")
        || is_service_account(claims)
        || is_app_object(claims)
}

/// Keycloak: the user behind a client is called `service-account-` and the client's id.
fn is_service_account(claims: &Object<'_>) -> bool {
    let account = claims.str("preferred_username").and_then(|name| name.strip_prefix("service-account-"));
    account.is_some_and(|account| ["client_id", "clientId"].into_iter().any(|name| claims.str(name) == Some(account)))
}

/// Entra ID: the subject of an application's token is its service principal. A user's token has `scp`.
fn is_app_object(claims: &Object<'_>) -> bool {
    let subject = claims.str("sub");
    subject.is_some() && claims.str("oid") == subject && !claims.has("scp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::snapshot::ClaimRef;

    fn claims(text: &str) -> Object<'_> {
        Json::parse(text.as_bytes()).unwrap().into_object().unwrap()
    }

    fn kind(text: &str) -> Kind {
        Kind::of(&claims(text), Some("acme"), None)
    }

    #[test]
    fn a_client_is_known_by_its_subject() {
        for text in ["{}", r#"{"sub":""}"#, r#"{"sub":"acme"}"#, r#"{"sub":"acme@clients"}"#] {
            assert_eq!(kind(text), Kind::Client, "{text}");
        }
        for text in [r#"{"sub":"alice"}"#, r#"{"sub":"ACME"}"#, r#"{"sub":"acme@client"}"#, r#"{"sub":"@clients"}"#] {
            assert_eq!(kind(text), Kind::User, "{text}");
        }
        assert_eq!(Kind::of(&claims(r#"{"sub":"acme"}"#), None, None), Kind::User);
    }

    #[test]
    fn a_client_is_known_by_what_its_issuer_says() {
        for text in [
            r#"{"sub":"x","gty":"client-credentials"}"#,
            r#"{"sub":"x","idtyp":"app"}"#,
            r#"{"sub":"x","preferred_username":"service-account-a","client_id":"a"}"#,
            r#"{"sub":"x","preferred_username":"service-account-a","clientId":"a"}"#,
            r#"{"sub":"x","oid":"x"}"#,
        ] {
            assert_eq!(kind(text), Kind::Client, "{text}");
        }
        for text in [
            r#"{"sub":"x","gty":["client-credentials"]}"#,
            r#"{"sub":"x","gty":"password"}"#,
            r#"{"sub":"x","idtyp":"user"}"#,
            r#"{"sub":"x","preferred_username":"service-account-a"}"#,
            r#"{"sub":"x","preferred_username":"service-account-a","azp":"a"}"#,
            r#"{"sub":"x","preferred_username":"service-account-","client_id":"a"}"#,
            r#"{"sub":"x","oid":"x","scp":""}"#,
            r#"{"sub":"x","oid":"y"}"#,
        ] {
            assert_eq!(kind(text), Kind::User, "{text}");
        }
    }

    #[test]
    fn an_issuers_own_rule_replaces_the_common_one() {
        let when =
            |claim: &str, equals: &str| ClientWhen { claim: ClaimRef::parse(claim).unwrap(), equals: equals.into() };
        let kind = |text: &str, rule: &ClientWhen| Kind::of(&claims(text), Some("acme"), Some(rule));
        assert_eq!(kind(r#"{"sub":"alice","t":{"k":"machine"}}"#, &when("/t/k", "machine")), Kind::Client);
        assert_eq!(kind(r#"{"sub":"alice","m":true}"#, &when("m", "true")), Kind::Client);
        assert_eq!(kind(r#"{"sub":"alice","m":7}"#, &when("m", "7")), Kind::Client);
        for text in [r#"{"sub":"acme"}"#, r#"{"m":"True"}"#, r#"{"m":["true"]}"#, r#"{"m":{}}"#, r#"{"m":1.0}"#] {
            assert_eq!(kind(text, &when("m", "true")), Kind::User, "{text}");
        }
    }

    #[test]
    fn what_is_no_access_token_is_known_by_its_marks() {
        for text in [
            r#"{"token_use":"id"}"#,
            r#"{"typ":"ID"}"#,
            r#"{"typ":"id"}"#,
            r#"{"typ":"Refresh"}"#,
            r#"{"typ":"Offline"}"#,
            r#"{"typ":"Logout"}"#,
            r#"{"at_hash":null}"#,
            r#"{"c_hash":"x"}"#,
        ] {
            assert!(no_access_token(&claims(text), true).is_some(), "{text}");
        }
        assert!(no_access_token(&claims(r#"{"nonce":"x"}"#), false).is_some());
        assert!(no_access_token(&claims(r#"{"nonce":"x"}"#), true).is_none());
        assert!(no_access_token(&claims(r#"{"token_use":"access","typ":"Bearer"}"#), false).is_none());
    }
}
