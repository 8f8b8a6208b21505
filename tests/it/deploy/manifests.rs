//! Kubernetes manifests as JSON.

use serde_json::Value;

/// The documents of a file.
pub(super) struct Manifests(pub(super) Vec<Value>);

impl Manifests {
    pub(super) fn parse(text: &str) -> Self {
        let documents = format!("\n{text}\n");
        let documents = documents.split("\n---\n").filter(|document| has_content(document));
        Self(documents.map(|document| serde_yaml::from_str(document).unwrap_or_else(|e| panic!("{e}"))).collect())
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |manifest| manifest["kind"] == kind)
    }

    /// The only one of its kind.
    pub(super) fn the(&self, kind: &str) -> &Value {
        let mut all = self.of_kind(kind);
        let first = all.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(all.next().is_none(), "one {kind}");
        first
    }

    pub(super) fn named(&self, kind: &str, name: &str) -> &Value {
        let mut all = self.of_kind(kind);
        all.find(|manifest| manifest["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }
}

fn has_content(document: &str) -> bool {
    document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// The items of a list that may be missing.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
