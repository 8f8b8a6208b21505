//! YAML text to a tree in which every node knows its place.
//!
//! What a gateway's configuration does not need is refused: more than one document, tags, anchors and with them aliases
//! and merge keys. Input is bounded in size, depth and number of nodes. References to the environment are replaced here,
//! so that nobody behind this point can forget them.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::env::{self, Env};
use super::issue::holds_secret;
use super::report::Report;
use super::source::{BYTES_MAX, Place, Source};
use super::{unquoted, words};

/// Most nodes in a file: a route takes about twenty.
const NODES_MAX: u32 = 2_000_000;
/// Deepest nesting. The deepest key there is stands at five.
const DEPTH_MAX: usize = 32;

/// A value and its place.
pub(super) struct Node<'t> {
    /// For a list or mapping in block style: up to the end of its first item or key.
    pub(super) place: Place,
    pub(super) value: Value<'t>,
}

impl Node<'_> {
    /// Whether any of it came out of the environment, and is not to be shown.
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { origin: Origin::Environment, .. }))
    }
}

pub(super) enum Value<'t> {
    Scalar(Scalar<'t>),
    List(Vec<Node<'t>>),
    Map(Vec<Entry<'t>>),
    /// Something that has been reported already.
    Broken,
}

pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) origin: Origin,
}

/// Where the text of a scalar comes from, which says whether it can be anything but a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Unquoted: it may be a number, a boolean or null.
    Plain,
    /// Quoted, or a block: always a string.
    Quoted,
    /// Partly from the environment: whatever is expected.
    Environment,
}

pub(super) struct Entry<'t> {
    pub(super) key: Key<'t>,
    pub(super) value: Node<'t>,
}

pub(super) struct Key<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) place: Place,
    /// Whether it has been reported already.
    pub(super) broken: bool,
}

/// The tree of a text, as far as it could be read; problems go to the report.
pub(super) fn parse<'t>(source: &Source<'t>, env: Env<'_>, report: &mut Report<'_>) -> Option<Node<'t>> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: 2 * DEPTH_MAX,
        block_nesting_limit: 2 * DEPTH_MAX
    };
    let mut builder =
        Builder { env, report, open: Vec::new(), root: None, documents: 0, nodes: 0, expandable_bytes: BYTES_MAX };
    for next in Parser::new_from_str_with_options(source.text, options) {
        match next.map_err(Stop::Syntax).and_then(|(event, span)| builder.event(event, &span)) {
            Ok(()) => {}
            Err(Stop::Reported) => return None,
            Err(Stop::Syntax(error)) => {
                builder.syntax_error(&error);
                return None;
            }
        }
    }
    builder.root
}

/// Why no further event is read.
enum Stop {
    Reported,
    Syntax(ScanError),
}

struct Builder<'t, 'b, 's> {
    env: Env<'b>,
    report: &'b mut Report<'s>,
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    documents: u32,
    nodes: u32,
    /// How many more bytes may come out of the environment.
    expandable_bytes: usize,
}

/// A list or mapping that has not ended.
struct Open<'t> {
    node: Node<'t>,
    /// The key whose value comes next.
    key: Option<Key<'t>>,
    in_braces: bool,
}

impl<'t> Builder<'t, '_, '_> {
    fn event(&mut self, event: Event<'t>, span: &Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => self.document(span)?,
            Event::Scalar(text, style, anchor, tag) => {
                let place = self.place(span)?;
                let plain = self.is_plain_node(place, anchor, tag.is_some());
                let value = if plain { self.scalar(text, style, place) } else { Value::Broken };
                self.add(Node { place, value });
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(span, style, anchor, tag.is_some(), Value::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(span, style, anchor, tag.is_some(), Value::Map(Vec::new()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let place = self.place(span)?;
                self.report
                    .error(place, "aliases (`*name`) are not supported")
                    .hint("write the value again, or take it from the environment with `${NAME}`");
                self.add(Node { place, value: Value::Broken });
            }
            _ => {}
        }
        Ok(())
    }

    fn document(&mut self, span: &Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let place = self.place(span)?;
        self.report.error(place, "a second document begins here").hint("a configuration is one YAML document");
        Err(Stop::Reported)
    }

    /// Numbers a node and notes where it is.
    fn place(&mut self, span: &Span) -> Result<Place, Stop> {
        let bytes = span.byte_range().unwrap_or(0..0);
        let place = Place { start: bytes.start, end: bytes.end, node: self.nodes };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.report.error(place, format!("more than {NODES_MAX} values in one file"));
            return Err(Stop::Reported);
        }
        Ok(place)
    }

    fn is_plain_node(&mut self, place: Place, anchor: usize, tagged: bool) -> bool {
        if anchor != 0 {
            self.report.error(place, "anchors (`&name`) are not supported").hint("write the value where it is needed");
        }
        if tagged {
            self.report
                .error(place, "tags (`!name`) are not supported")
                .hint("a string that looks like a number is quoted");
        }
        anchor == 0 && !tagged
    }

    fn scalar(&mut self, text: Cow<'t, str>, style: ScalarStyle, place: Place) -> Value<'t> {
        let origin = if style == ScalarStyle::Plain { Origin::Plain } else { Origin::Quoted };
        match env::expand(&text, self.env, self.expandable_bytes) {
            Ok(None) => Value::Scalar(Scalar { text, origin }),
            Ok(Some(expanded)) => {
                self.expandable_bytes = self.expandable_bytes.saturating_sub(expanded.len());
                Value::Scalar(Scalar { text: expanded.into(), origin: Origin::Environment })
            }
            Err(errors) => {
                for error in errors {
                    let place = self.report.source.part(place, &text, error.at);
                    self.report.error(place, error.message).expected("expected `${NAME}` or `${NAME:-default}`");
                }
                Value::Broken
            }
        }
    }

    fn open(
        &mut self,
        span: &Span,
        style: StructureStyle,
        anchor: usize,
        tagged: bool,
        value: Value<'t>,
    ) -> Result<(), Stop> {
        let mut place = self.place(span)?;
        self.is_plain_node(place, anchor, tagged);
        if self.open.len() == DEPTH_MAX {
            self.report.error(place, format!("nested more than {DEPTH_MAX} deep"));
            return Err(Stop::Reported);
        }
        let in_braces = style == StructureStyle::Flow;
        if !in_braces {
            place.end = place.start;
        }
        self.open.push(Open { node: Node { place, value }, key: None, in_braces });
        Ok(())
    }

    fn close(&mut self, span: &Span) {
        let Some(Open { mut node, in_braces, .. }) = self.open.pop() else { return };
        if in_braces {
            node.place.end = span.byte_range().map_or(node.place.end, |bytes| bytes.end);
        }
        if let Value::Map(entries) = &mut node.value {
            self.report_duplicates(entries);
        }
        self.add(node);
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node<'t>) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let place = &mut parent.node.place;
        if place.end == place.start && !parent.in_braces {
            (place.start, place.end) = (node.place.start, node.place.end);
        }
        match &mut parent.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match parent.key.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => parent.key = Some(key(node, self.report)),
            },
            Value::Scalar(_) | Value::Broken => {}
        }
    }

    fn report_duplicates(&mut self, entries: &mut [Entry<'t>]) {
        let mut first: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
        for Entry { key, .. } in entries.iter_mut().filter(|entry| !entry.key.broken) {
            if let Some(place) = first.get(&*key.text) {
                let message = format!("the key `{}` is there twice", words::shown(&key.text));
                self.report.error(key.place, message).related(*place, "first here");
                key.broken = true;
            } else {
                first.insert(&key.text, key.place);
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let text_length = self.report.source.text.len();
        let start = error.marker().byte_offset().unwrap_or(0).min(text_length);
        let place = Place { start, end: (start + 1).min(text_length), node: 0 };
        let (_, line) = self.report.source.line_of(start);
        let line = self.report.source.text.get(line).unwrap_or_default();
        let finding = self.report.error(place, format!("not valid YAML: {}", error.info()));
        if let Some(value) = unquoted::in_line(line) {
            // A line that is not shown is not repeated here either.
            let value = if holds_secret(line) { "…".into() } else { words::shown(value) };
            finding.hint(format!("quote it: `\"{value}\"`"));
        }
    }
}

fn key<'t>(node: Node<'t>, report: &mut Report<'_>) -> Key<'t> {
    let Node { place, value } = node;
    match value {
        Value::Scalar(Scalar { text, origin: Origin::Plain }) if text == "<<" => {
            report.error(place, "merge keys (`<<`) are not supported").hint("write the keys where they are needed");
            Key { text, place, broken: true }
        }
        Value::Scalar(Scalar { text, .. }) => Key { text, place, broken: false },
        Value::List(_) | Value::Map(_) => {
            report.error(place, "a key has to be a plain word");
            Key { text: "".into(), place, broken: true }
        }
        Value::Broken => Key { text: "".into(), place, broken: true },
    }
}
