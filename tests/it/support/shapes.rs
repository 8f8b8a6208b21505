//! Reads `tests/cases/tokens/shapes.yaml`: tokens as identity providers write them.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sidegate::core::snapshot::{Audiences, Issuer, Kinds};

use super::mint::{self, key};
use super::policy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) source: String,
    issuer: IssuerShape,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    pub(crate) expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerShape {
    audience: Option<String>,
    scopes: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    client_id: Option<Vec<String>>,
    tenant: Option<String>,
    #[serde(default)]
    scope_prefix: String,
    #[serde(default = "yes")]
    require_iss: bool,
}

fn yes() -> bool {
    true
}

/// What the token has to be taken for.
#[derive(Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expected {
    pub(crate) refused: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) tenant: Option<String>,
}

pub(crate) fn load() -> Vec<Shape> {
    serde_yaml::from_str(include_str!("../../cases/tokens/shapes.yaml")).expect("shapes.yaml")
}

impl Shape {
    /// An issuer that is configured for this token, with the key that signs it.
    pub(crate) fn issuer(&self) -> Issuer {
        let mut jwk = key(self.key_name()).jwk();
        jwk["kid"] = self.header.get("kid").cloned().unwrap_or_else(|| json!("only"));
        let iss = self.claims.get("iss").and_then(Value::as_str).unwrap_or("https://without.test");
        let mut issuer = policy::issuer("shape", iss, &json!({ "keys": [jwk] }).to_string());
        issuer.audiences = match &self.issuer.audience {
            Some(audience) => Audiences::OneOf([audience.as_str().into()].into()),
            None => Audiences::Any,
        };
        issuer.token_kinds = Kinds { client: true, user: true };
        issuer.scope_prefix = self.issuer.scope_prefix.as_str().into();
        issuer.require_iss = self.issuer.require_iss;
        let refs = |names: &Vec<String>| names.iter().map(|name| policy::reference(name)).collect();
        let claims = &mut issuer.claims;
        claims.scopes = self.issuer.scopes.as_ref().map_or(claims.scopes.clone(), refs);
        claims.roles = self.issuer.roles.as_ref().map_or(claims.roles.clone(), refs);
        claims.client_id = self.issuer.client_id.as_ref().map_or(claims.client_id.clone(), refs);
        claims.tenant = self.issuer.tenant.as_ref().map_or(claims.tenant.clone(), |name| policy::reference(name));
        issuer
    }

    /// The token.
    pub(crate) fn token(&self) -> String {
        let header = Value::Object(self.header.clone());
        mint::mint(&header, &Value::Object(self.claims.clone()), key(self.key_name()))
    }

    /// A moment at which it is valid.
    #[expect(clippy::cast_possible_truncation, reason = "times in the table are small")]
    pub(crate) fn now(&self) -> i64 {
        self.claims["iat"].as_f64().unwrap() as i64 + 60
    }

    fn key_name(&self) -> &'static str {
        if self.header["alg"] == "ES256" { "p256" } else { "rsa" }
    }
}
