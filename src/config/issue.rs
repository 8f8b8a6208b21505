//! What is wrong with a configuration, as values and as text for people.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::source::{Position, Source};

/// Longest source line that is shown, in bytes.
const SHOWN_LINE_BYTES_MAX: usize = 500;

/// Everything that is wrong with a configuration. [`fmt::Display`] shows it all, with the source lines.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    /// The file, as the operator named it.
    pub name: String,
    /// The problems in the order of the file; at least one.
    pub issues: Vec<ConfigIssue>,
    /// Number of further problems that are only counted.
    pub more: usize,
    /// The files that the configuration names, as far as it could be read. A change in one of them may be all it takes.
    pub files: Vec<PathBuf>,
}

/// One problem.
#[derive(Debug, Clone)]
pub struct ConfigIssue {
    /// Where; `None` where the file as a whole is the problem.
    pub place: Option<Spot>,
    /// Path of the key, such as `routes[2].upstream`; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    pub expected: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Another place that has to do with it, and what is there.
    pub related: Option<(Spot, &'static str)>,
}

/// A place in the file, with the line it is on.
#[derive(Debug, Clone)]
pub struct Spot {
    /// Line and column.
    pub position: Position,
    line_text: String,
    marked: Range<usize>,
}

impl Spot {
    /// The place of these bytes; what goes on behind the end of the line is left out.
    pub(super) fn new(source: &Source<'_>, bytes: Range<usize>) -> Self {
        let (_, line) = source.line_of(bytes.start);
        let line_text = source.text.get(line.clone()).unwrap_or_default().trim_end_matches('\r');
        let within = |offset: usize| {
            let offset = offset.saturating_sub(line.start).min(line_text.len());
            (offset..=line_text.len()).find(|offset| line_text.is_char_boundary(*offset)).unwrap_or(line_text.len())
        };
        let (start, end) = (within(bytes.start), within(bytes.end.max(bytes.start)));
        let is_shown = line_text.len() <= SHOWN_LINE_BYTES_MAX && !holds_secret(line_text);
        let line_text = if is_shown { line_text } else { "" };
        Self { position: source.position(bytes.start), line_text: line_text.to_owned(), marked: start..end }
    }

    fn draw<'a>(&'a self, group: Group<'a>, name: &'a str, label: Option<&'a str>, kind: AnnotationKind) -> Group<'a> {
        if self.line_text.is_empty() {
            let origin = Origin::path(name).line(self.position.line).char_column(self.position.column);
            let group = group.element(origin);
            return match label {
                Some(label) => group.element(Level::NOTE.message(label)),
                None => group,
            };
        }
        let mark = kind.span(self.marked.clone()).label(label);
        group.element(Snippet::source(&*self.line_text).path(name).line_start(self.position.line).annotation(mark))
    }
}

/// Whether a line has a secret in it that ought not to be in the file: a private key in place of its path, or a URL with
/// a password. It is not repeated.
pub(super) fn holds_secret(line: &str) -> bool {
    let mut urls = line.match_indices("://").filter_map(|(at, mark)| line.get(at + mark.len()..));
    let has_password = |rest: &str| {
        let url = rest.split([' ', '\t']).next().unwrap_or_default();
        url.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || url.contains("password=")
    };
    line.contains("PRIVATE KEY-----") || urls.any(has_password)
}

impl ConfigIssue {
    /// A problem of the file as a whole.
    pub(super) fn of_file(message: impl Into<String>) -> Self {
        Self { place: None, path: String::new(), message: message.into(), expected: None, hint: None, related: None }
    }

    fn render(&self, name: &str, renderer: &Renderer) -> String {
        let title =
            if self.path.is_empty() { self.message.clone() } else { format!("{}: {}", self.path, self.message) };
        let mut group = Level::ERROR.primary_title(title).elements(None::<Origin<'_>>);
        match &self.place {
            Some(place) => group = place.draw(group, name, self.expected.as_deref(), AnnotationKind::Primary),
            None => group = group.element(Origin::path(name)),
        }
        if let Some((place, label)) = &self.related {
            group = place.draw(group, name, Some(label), AnnotationKind::Context);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        renderer.render(&[group])
    }
}

impl Diagnostics {
    /// A single problem of the file as a whole.
    pub(super) fn of_file(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), issues: vec![ConfigIssue::of_file(message)], more: 0, files: Vec::new() }
    }

    /// All of it as text, with colours for a terminal or without.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for issue in &self.issues {
            out.push_str(&issue.render(&self.name, &renderer));
            out.push_str("\n\n");
        }
        let count = self.issues.len() + self.more;
        let problems = if count == 1 { "problem" } else { "problems" };
        let shown = if self.more == 0 { String::new() } else { format!(", the first {} shown", self.issues.len()) };
        out.push_str(&format!("{}: {count} {problems}{shown}\n", self.name));
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
