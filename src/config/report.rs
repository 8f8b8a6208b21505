//! Collects what is found while a configuration is read. Nothing stops at the first problem.

use super::issue::{ConfigIssue, Diagnostics, Spot};
use super::source::{Place, Source};
use super::words;
use super::yaml::{Node, Value};

/// Problems that are kept with their place; further ones are counted.
const ISSUES_MAX: usize = 100;

/// Problems and warnings found so far.
pub(super) struct Report<'s> {
    pub(super) source: &'s Source<'s>,
    findings: Vec<Finding>,
    more: usize,
    /// Stands in for a finding that is only counted, so that a caller need not know.
    discarded: Finding,
    warnings: Vec<(Place, String)>,
}

/// A problem while the file is being read: like [`ConfigIssue`], but in terms of the tree.
#[derive(Default)]
pub(super) struct Finding {
    place: Option<Place>,
    key: Option<&'static str>,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
    related: Option<(Place, &'static str)>,
}

impl Finding {
    /// The problem is with a key that is not there.
    pub(super) fn missing(&mut self, key: &'static str) -> &mut Self {
        self.key = Some(key);
        self
    }

    /// What would have been right.
    pub(super) fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// What to do about it.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// The right word is probably this one.
    pub(super) fn did_you_mean(&mut self, word: Option<&str>) -> &mut Self {
        if let Some(word) = word {
            self.hint(format!("did you mean `{word}`?"));
        }
        self
    }

    /// Another place that has to do with it.
    pub(super) fn related(&mut self, place: Place, label: &'static str) -> &mut Self {
        self.related = Some((place, label));
        self
    }
}

impl<'s> Report<'s> {
    pub(super) fn new(source: &'s Source<'s>) -> Self {
        Self { source, findings: Vec::new(), more: 0, discarded: Finding::default(), warnings: Vec::new() }
    }

    /// Number of problems so far.
    pub(super) fn problems(&self) -> usize {
        self.findings.len() + self.more
    }

    /// Notes a problem.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>) -> &mut Finding {
        if self.findings.len() == ISSUES_MAX {
            self.more += 1;
            self.discarded = Finding::default();
            return &mut self.discarded;
        }
        self.findings.push(Finding { place: Some(place), message: message.into(), ..Finding::default() });
        self.findings.last_mut().unwrap_or(&mut self.discarded)
    }

    /// Notes a word that stands for nothing, and the nearest one that does.
    pub(super) fn unknown_word<'w>(
        &mut self,
        place: Place,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = &'w str> + Clone,
    ) -> &mut Finding {
        // Comparing with every word is worth it only for a problem that will be shown.
        let nearest = if self.findings.len() < ISSUES_MAX { words::nearest(word, known) } else { None };
        self.error(place, message).did_you_mean(nearest)
    }

    /// Notes a choice that opens something, or is probably not meant.
    pub(super) fn warn(&mut self, place: Place, text: impl Into<String>) {
        self.warnings.push((place, text.into()));
    }

    /// The warnings as text, in the order of the file; or, if there are problems, those.
    pub(super) fn finish(mut self, root: Option<&Node<'_>>) -> Result<Vec<String>, Diagnostics> {
        if self.findings.is_empty() {
            self.warnings.sort_by_key(|(place, _)| *place);
            return Ok(self.warnings.iter().map(|(place, text)| self.warning(*place, text)).collect());
        }
        self.findings.sort_by_key(|finding| finding.place);
        let findings = std::mem::take(&mut self.findings);
        let issues = findings.into_iter().map(|finding| self.issue(finding, root)).collect();
        Err(Diagnostics { name: self.source.name.to_owned(), issues, more: self.more, files: Vec::new() })
    }

    fn warning(&self, place: Place, text: &str) -> String {
        let at = self.source.position(place.start);
        format!("{}:{}:{}: {text}", self.source.name, at.line, at.column)
    }

    fn issue(&self, finding: Finding, root: Option<&Node<'_>>) -> ConfigIssue {
        let Finding { place, key, message, expected, hint, related } = finding;
        let path = place.zip(root).map(|(place, root)| path_of(root, place.node)).unwrap_or_default();
        let path = [path.as_str(), key.unwrap_or_default()].into_iter().filter(|part| !part.is_empty());
        let spot = |place: Place| Spot::new(self.source, place.start..place.end);
        ConfigIssue {
            place: place.map(spot),
            path: path.collect::<Vec<_>>().join("."),
            message,
            expected,
            hint,
            related: related.map(|(place, label)| (spot(place), label)),
        }
    }
}

/// The path of a node's key. Nodes are numbered in the order of the file, so that it is found by descending.
fn path_of(root: &Node<'_>, number: u32) -> String {
    let mut path = String::new();
    let mut node = root;
    while node.place.node < number {
        let below = match &node.value {
            Value::List(items) => {
                let index = items.partition_point(|item| item.place.node <= number).wrapping_sub(1);
                items.get(index).map(|item| (format!("[{index}]"), item))
            }
            Value::Map(entries) => {
                let index = entries.partition_point(|entry| entry.key.place.node <= number).wrapping_sub(1);
                entries.get(index).map(|entry| {
                    let dot = if path.is_empty() { "" } else { "." };
                    (format!("{dot}{}", words::shown(&entry.key.text)), &entry.value)
                })
            }
            Value::Scalar(_) | Value::Broken => None,
        };
        let Some((step, next)) = below else { break };
        path.push_str(&step);
        node = next;
    }
    path
}
