//! Pods with a gateway in them: whether its configuration, its mounts, its probes and its times fit each other.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::manifests::{Manifests, items, text};
use super::{IMAGE, USER};
use crate::harness::certificates::Authority;

/// What `check` says of a health listener that others than this machine reach, which is what it is for.
const EXPECTED_WARNING: &str = "health and metrics can be read from other machines without a token";

/// Seconds between the end of `limits.drain` and the kubelet's patience.
const SPARE_SECONDS: u64 = 5;

/// A container with Sidegate, and what belongs to it.
pub(super) struct Gateway<'a> {
    name: &'a str,
    labels: &'a Value,
    pod: &'a Value,
    container: &'a Value,
    is_sidecar: bool,
    text: &'a str,
    config: Value,
}

pub(super) fn gateways(manifests: &Manifests) -> Vec<Gateway<'_>> {
    manifests.of_kind("Deployment").map(|deployment| gateway(deployment, manifests)).collect()
}

fn gateway<'a>(deployment: &'a Value, manifests: &'a Manifests) -> Gateway<'a> {
    let template = &deployment["spec"]["template"];
    let pod = &template["spec"];
    let find = |list: &'a Value| items(list).find(|container| container["image"] == IMAGE);
    let sidecar = find(&pod["initContainers"]);
    let container = sidecar.or_else(|| find(&pod["containers"])).expect("a container with the image");
    let mount = items(&container["volumeMounts"]).find(|mount| mount["mountPath"] == "/etc/sidegate");
    let volume = volume(pod, mount.expect("the configuration is mounted"));
    let map = manifests.named("ConfigMap", text(&volume["configMap"]["name"]));
    let config_text = text(&map["data"]["config.yaml"]);
    Gateway {
        name: text(&deployment["metadata"]["name"]),
        labels: &template["metadata"]["labels"],
        pod,
        container,
        is_sidecar: sidecar.is_some(),
        text: config_text,
        config: serde_yaml::from_str(config_text).unwrap(),
    }
}

fn volume<'a>(pod: &'a Value, mount: &Value) -> &'a Value {
    items(&pod["volumes"]).find(|volume| volume["name"] == mount["name"]).expect("a volume for each mount")
}

pub(super) fn is_set_up_well(gateway: &Gateway<'_>, manifests: &Manifests) {
    passes_check(gateway);
    is_locked_down(gateway);
    mounts_are_directories(gateway);
    ports_and_probes_exist(gateway);
    services_lead_to_ports(gateway, manifests);
    has_time_to_end(gateway);
}

/// With files of our own in the place of what is mounted. A file that no volume brings is missed.
fn passes_check(gateway: &Gateway<'_>) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = gateway.text.to_owned();
    for mount in items(&gateway.container["volumeMounts"]) {
        let volume = volume(gateway.pod, mount);
        let inside = directory.path().join(text(&mount["name"]));
        fs::create_dir(&inside).unwrap();
        if volume["secret"].is_object() || volume["configMap"].is_object() {
            fill(&inside, volume);
            let [mounted, ours] = [text(&mount["mountPath"]), inside.to_str().unwrap()].map(|path| format!("{path}/"));
            config = config.replace(&mounted, &ours);
        }
    }
    let file = directory.path().join("config.yaml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let output = command.arg("check").arg("-c").arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}", gateway.name);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning")).collect();
    assert!(warnings.len() == 1 && warnings[0].ends_with(EXPECTED_WARNING), "{}: {said}", gateway.name);
}

/// The files that a Secret or ConfigMap of this name is documented to have.
fn fill(directory: &Path, volume: &Value) {
    let name = volume["secret"]["secretName"].as_str().or_else(|| volume["configMap"]["name"].as_str()).unwrap();
    let issued = Authority::new("internal").issue("gateway");
    let files: &[(&str, &str)] = match name {
        "sidegate-tls" | "sidegate-authority-tls" => &[("tls.crt", &issued.certificate), ("tls.key", &issued.key)],
        "sidegate-authority" => &[("kek", "0123456789abcdef0123456789abcdef"), ("postgres-password", "one")],
        "sidegate-registry" => &[("client-secret", "sgs_one")],
        _ => &[],
    };
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    }
}

/// As the Pod Security Standard `restricted` has it, and more.
fn is_locked_down(gateway: &Gateway<'_>) {
    let context = &gateway.container["securityContext"];
    let expected = json!({
        "runAsUser": USER,
        "runAsGroup": USER,
        "runAsNonRoot": true,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    assert_eq!(context, &expected, "{}", gateway.name);
    assert_eq!(gateway.pod["automountServiceAccountToken"], false, "{}", gateway.name);
    assert_eq!(gateway.pod["securityContext"]["fsGroup"], USER, "{}", gateway.name);
    assert!(gateway.container["resources"]["limits"]["memory"].is_string(), "{}", gateway.name);
    assert!(gateway.config["workers"].is_u64(), "{}: without a CPU limit", gateway.name);
}

/// The kubelet updates directories, and never what is mounted by subPath.
fn mounts_are_directories(gateway: &Gateway<'_>) {
    let mut writable = Vec::new();
    for mount in items(&gateway.container["volumeMounts"]) {
        assert!(mount["subPath"].is_null(), "{}: {mount}", gateway.name);
        let volume = volume(gateway.pod, mount);
        if volume["emptyDir"].is_object() {
            writable.push(format!("{}/", text(&mount["mountPath"])));
        } else {
            assert_eq!(mount["readOnly"], true, "{}: {mount}", gateway.name);
        }
        // Readable by the owner and the group of fsGroup. Not written as `0440`, which YAML 1.2 takes for another number.
        let mode = &volume["secret"]["defaultMode"];
        assert!(volume["secret"].is_null() || *mode == json!(0o440), "{}: {mode}", gateway.name);
    }
    for path in [&gateway.config["state_dir"], &gateway.config["authority"]["admin_secret_file"]] {
        let Some(path) = path.as_str() else { continue };
        assert!(writable.iter().any(|directory| path.starts_with(directory)), "{}: {path}", gateway.name);
    }
}

fn port_of(address: &Value) -> Option<u64> {
    address.as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// The number behind a port's name.
fn container_port(gateway: &Gateway<'_>, name: &str) -> u64 {
    let port = items(&gateway.container["ports"]).find(|port| port["name"] == name);
    port.unwrap_or_else(|| panic!("{}: no port {name}", gateway.name))["containerPort"].as_u64().unwrap()
}

fn ports_and_probes_exist(gateway: &Gateway<'_>) {
    let config = &gateway.config;
    let health = port_of(&config["health"]["address"]).expect("a health listener");
    let listeners = items(&config["listeners"]).filter_map(|listener| port_of(&listener["address"]));
    let mut bound: Vec<u64> = listeners.chain(port_of(&config["authz"]["grpc"])).collect();
    bound.push(health);
    for port in items(&gateway.container["ports"]) {
        assert!(bound.contains(&port["containerPort"].as_u64().unwrap()), "{}: {port}", gateway.name);
    }
    for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let asked = &gateway.container[probe]["httpGet"];
        assert_eq!(asked["path"], path, "{}: {probe}", gateway.name);
        assert_eq!(container_port(gateway, text(&asked["port"])), health, "{}: {probe}", gateway.name);
    }
}

fn services_lead_to_ports(gateway: &Gateway<'_>, manifests: &Manifests) {
    let mut led = 0;
    for service in manifests.of_kind("Service").filter(|service| selects(&service["spec"]["selector"], gateway.labels))
    {
        for port in items(&service["spec"]["ports"]) {
            container_port(gateway, text(&port["targetPort"]));
            led += 1;
        }
    }
    assert!(led > 0, "{}: no Service", gateway.name);
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(name, value)| &labels[name] == value)
}

/// A sidecar is told to end after the service: whoever still called is gone.
fn has_time_to_end(gateway: &Gateway<'_>) {
    let limits = &gateway.config["limits"];
    let [delay, drain] = ["drain_delay", "drain"].map(|name| seconds(&limits[name]));
    let patience = gateway.pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(patience >= delay + drain + SPARE_SECONDS, "{}: {patience} s", gateway.name);
    assert_eq!(delay == 0, gateway.is_sidecar, "{}", gateway.name);
    if gateway.is_sidecar {
        assert_eq!(gateway.container["restartPolicy"], "Always", "{}", gateway.name);
        let service = &gateway.pod["containers"][0];
        assert!(service["lifecycle"]["preStop"]["sleep"]["seconds"].is_u64(), "{}", gateway.name);
    }
}

fn seconds(duration: &Value) -> u64 {
    text(duration).strip_suffix('s').unwrap().parse().unwrap()
}
