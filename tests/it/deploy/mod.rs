//! What `deploy/` ships fits Kubernetes, Helm, the gateway, and itself.

mod chart;
mod manifests;
mod mesh;
mod pods;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::real::peers;
use manifests::Manifests;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What every file calls the image: one place to replace.
const IMAGE: &str = concat!("registry.example.com/sidegate:", env!("CARGO_PKG_VERSION"));

/// The numeric user of the image.
const USER: u64 = 65532;

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML files of `deploy/` below a directory, but for templates, which are none yet.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(ROOT).join(directory)];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("templates") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The outcome of `tests/peers/manifests.py`.
fn validated(files: &[PathBuf]) -> Value {
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    peers::outcome("manifests.py", &files)
}

#[test]
fn every_file_can_be_read() {
    let files = files("deploy");
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let manifests = Manifests::parse(&read(&file));
        assert!(!manifests.0.is_empty(), "{}", file.display());
    }
}

#[test]
fn manifests_fit_the_schemas_of_kubernetes() {
    let outcome = validated(&[files("deploy/kubernetes"), files("deploy/envoy-gateway")].concat());
    assert_eq!(outcome["problems"], Value::Array(Vec::new()));
    assert!(outcome["valid"].as_u64().unwrap() > 25, "{outcome}");
    let foreign: Vec<&str> = outcome["foreign"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!(
        foreign,
        [
            "gateway.envoyproxy.io/v1alpha1 SecurityPolicy",
            "gateway.networking.k8s.io/v1beta1 ReferenceGrant",
            "monitoring.coreos.com/v1 PodMonitor",
            "monitoring.coreos.com/v1 PrometheusRule",
            "monitoring.coreos.com/v1 ServiceMonitor",
        ]
    );
}

/// Otherwise the test above could not fail.
#[test]
fn a_field_that_kubernetes_does_not_know_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.yaml");
    fs::write(&file, read("deploy/kubernetes/edge.yaml").replace("maxUnavailable: 1\n", "maxUnavailble: 1\n")).unwrap();
    let problems = validated(&[file])["problems"].to_string();
    assert!(problems.contains("PodDisruptionBudget") && problems.contains("maxUnavailble"), "{problems}");
}

#[test]
fn gateways_of_all_manifests_are_set_up_well() {
    let mut gateways = 0;
    for file in files("deploy/kubernetes") {
        let manifests = Manifests::parse(&read(&file));
        for gateway in pods::gateways(&manifests) {
            pods::is_set_up_well(&gateway, &manifests);
            gateways += 1;
        }
    }
    assert_eq!(gateways, 5);
}

#[test]
fn only_one_image_is_named() {
    for file in files("deploy/kubernetes") {
        for line in read(&file).lines().filter(|line| line.contains("image:") && line.contains("/sidegate")) {
            assert_eq!(line.trim(), format!("image: {IMAGE}"), "{}", file.display());
        }
    }
}

#[test]
fn the_image_is_what_the_manifests_expect() {
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("\nUSER {USER}:{USER}\n")), "the user");
    assert!(
        dockerfile.contains("\nENV SIDEGATE_CONFIG=/etc/sidegate/config.yaml\n"),
        "where the configuration is mounted"
    );
    assert!(dockerfile.contains("\"health\", \"--url\", \"http://127.0.0.1:9902\""), "the health listener");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.starts_with("scratch\n") && !last_stage.contains("\nRUN "), "nothing but the binary");
}

#[test]
fn alerts_and_monitors_name_what_there_is() {
    let manifests = Manifests::parse(&read("deploy/kubernetes/monitoring.yaml"));
    let metrics = read("docs/operating.md");
    let rules = &manifests.the("PrometheusRule")["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().unwrap() {
        let words = rule["expr"].as_str().unwrap().split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
        let names: Vec<&str> = words.filter(|word| word.starts_with("sidegate_")).collect();
        assert!(!names.is_empty(), "{rule}");
        for name in names {
            assert!(metrics.contains(&format!("| `{name}` |")), "{name}");
        }
    }
    let endpoint = &manifests.the("ServiceMonitor")["spec"]["endpoints"][0];
    let pods = &manifests.the("PodMonitor")["spec"]["podMetricsEndpoints"][0];
    for endpoint in [endpoint, pods] {
        assert_eq!((endpoint["port"].as_str(), endpoint["path"].as_str()), (Some("health"), Some("/metrics")));
    }
}
