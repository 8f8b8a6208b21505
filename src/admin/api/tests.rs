//! The OpenAPI document says what is served, and nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::describe;
use super::route::{Access, ROUTES, find};
use crate::authority::rules::tests::rules;

fn document() -> Value {
    serde_json::to_value(describe(&rules(", scope_prefix: acme/").authority)).unwrap()
}

/// Method, path and operation.
fn documented(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn what_is_served_is_documented_and_what_is_documented_is_served() {
    let document = document();
    let documented: BTreeSet<(String, String)> =
        documented(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let served = ROUTES.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned()));
    assert_eq!(documented, served.collect());
}

#[test]
fn operations_are_whole() {
    let document = document();
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let mut ids = BTreeSet::new();
    for (method, path, operation) in documented(&document) {
        let place = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{place}");
        let access = find(&method.parse().unwrap(), &path).unwrap().access;
        let scope = if access == Access::Write { "sidegate.clients:write" } else { "sidegate.clients:read" };
        let security = operation["security"].as_array().unwrap();
        assert!(security.iter().any(|one| one["token"][0] == scope), "{place}: {security:?}");
        let named = path.matches('{').count();
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(parameters.iter().filter(|parameter| parameter["in"] == "path").count(), named, "{place}");
        assert!(operation["summary"].is_string() || operation["description"].is_string(), "{place}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value {
                Value::String(reference) if name == "$ref" => {
                    found.insert(reference.clone());
                }
                value => references(value, found),
            }),
            Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (document, mut found) = (document(), BTreeSet::new());
    references(&document, &mut found);
    assert!(found.len() >= 8, "{found:?}");
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["NewClient"]["additionalProperties"], false);
    assert_eq!(schemas["NewClient"]["required"], serde_json::json!(["name"]));
    assert_eq!(schemas["Client"]["properties"]["client_secret"]["type"], serde_json::json!(["string", "null"]));
    let flow = &document["components"]["securitySchemes"]["token"]["flows"]["clientCredentials"];
    assert_eq!(flow["tokenUrl"], "http://127.0.0.1/oauth2/token");
    assert!(flow["scopes"]["acme/sidegate.clients:write"].is_string());
}
