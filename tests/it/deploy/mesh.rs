//! Istio and Envoy Gateway ask the authorizer that is there, and take no answer for a no.

use serde_json::{Value, json};

use super::manifests::{Manifests, items, text};
use super::read;

/// Longer than the gateway waits for the keys of an issuer.
const TIMEOUT: &str = "10s";

/// `name.namespace` and the port of the authorizer's Service.
fn authorizer() -> (String, Value) {
    let manifests = Manifests::parse(&read("deploy/kubernetes/authorizer.yaml"));
    let service = manifests.the("Service");
    let metadata = &service["metadata"];
    let name = format!("{}.{}", text(&metadata["name"]), text(&metadata["namespace"]));
    (name, service["spec"]["ports"][0]["port"].clone())
}

#[test]
fn istio_asks_it() {
    let mesh: Value = serde_yaml::from_str(&read("deploy/istio/mesh-config.yaml")).unwrap();
    let provider = &mesh["meshConfig"]["extensionProviders"][0];
    let (service, port) = authorizer();
    let expected = json!({
        "service": format!("{service}.svc.cluster.local"),
        "port": port,
        "timeout": TIMEOUT,
        "failOpen": false,
        "statusOnError": "503",
    });
    assert_eq!(provider["envoyExtAuthzGrpc"], expected);

    let policy: Value = serde_yaml::from_str(&read("deploy/istio/authorization-policy.yaml")).unwrap();
    assert_eq!(
        (&policy["apiVersion"], &policy["kind"]),
        (&json!("security.istio.io/v1"), &json!("AuthorizationPolicy"))
    );
    assert_eq!(policy["spec"]["action"], "CUSTOM");
    assert_eq!(policy["spec"]["provider"]["name"], provider["name"]);
    assert_eq!(policy["spec"]["rules"], json!([{}]), "everything is asked about");
}

#[test]
fn envoy_gateway_asks_it() {
    let manifests = Manifests::parse(&read("deploy/envoy-gateway/security-policy.yaml"));
    let policy = manifests.the("SecurityPolicy");
    let asked = &policy["spec"]["extAuth"];
    assert_eq!((&asked["failOpen"], &asked["timeout"]), (&json!(false), &json!(TIMEOUT)));
    assert_eq!(asked["headersToExtAuth"], Value::Null, "all headers are shown");
    let backend = &asked["grpc"]["backendRefs"][0];
    let (service, port) = authorizer();
    assert_eq!(format!("{}.{}", text(&backend["name"]), text(&backend["namespace"])), service);
    assert_eq!(backend["port"], port);

    let grant = manifests.the("ReferenceGrant");
    assert_eq!(grant["metadata"]["namespace"], backend["namespace"]);
    assert!(items(&grant["spec"]["from"]).any(|from| from["namespace"] == policy["metadata"]["namespace"]));
    assert!(items(&grant["spec"]["to"]).any(|to| to["name"] == backend["name"]));
}
