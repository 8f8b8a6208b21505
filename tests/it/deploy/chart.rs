//! The chart, rendered by Helm itself.

use std::fs;

use serde_json::{Value, json};

use super::manifests::Manifests;
use super::{ROOT, pods, read, validated};
use crate::real::peers;

fn helm(values: &Value) -> Value {
    let directory = format!("{ROOT}/deploy/helm/sidegate");
    peers::outcome("chart.py", &[&directory, &values.to_string()])
}

/// The configuration of edge.yaml, which the chart's defaults are for.
fn config() -> String {
    let manifests = Manifests::parse(&read("deploy/kubernetes/edge.yaml"));
    manifests.the("ConfigMap")["data"]["config.yaml"].as_str().unwrap().to_owned()
}

fn values() -> Value {
    let tls = json!({ "name": "tls", "path": "/etc/sidegate-tls", "secret": "sidegate-tls" });
    json!({ "config": config(), "mounts": [tls], "serviceMonitor": { "enabled": true } })
}

#[test]
fn renders_to_manifests_as_good_as_the_others() {
    let outcome = helm(&values());
    assert_eq!(outcome["findings"], json!([]), "helm lint");
    let text = outcome["manifests"].as_str().unwrap_or_else(|| panic!("{outcome}"));
    let manifests = Manifests::parse(text);
    let gateways = pods::gateways(&manifests);
    assert_eq!(gateways.len(), 1);
    pods::is_set_up_well(&gateways[0], &manifests);
    assert_eq!(manifests.the("ConfigMap")["data"]["config.yaml"], config(), "to the letter");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rendered.yaml");
    fs::write(&file, text).unwrap();
    let validated = validated(&[file]);
    assert_eq!(validated["problems"], json!([]));
    assert_eq!(validated["foreign"], json!(["monitoring.coreos.com/v1 ServiceMonitor"]));
}

#[test]
fn is_the_version_of_the_binary() {
    let chart: Value = serde_yaml::from_str(&read("deploy/helm/sidegate/Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn values_that_cannot_work_are_refused() {
    let refused = |name: &str, value: Value, why: &str| {
        let mut values = values();
        values[name] = value;
        let error = helm(&values)["error"].to_string();
        assert!(error.contains(why), "{name}: {error}");
    };
    refused("config", json!(""), "/config");
    refused("config", json!("listeners: []"), "health listener");
    refused("config", json!("health: { address: 127.0.0.1:9902 }"), "health listener");
    refused("replicas", json!(3), "replicas");
    refused("mounts", json!([{ "name": "tls", "path": "/etc/tls" }]), "/mounts/0");
    refused("service", json!({ "ports": [{ "name": "health", "port": 1, "targetPort": 1 }] }), "/service/ports/0");
}
