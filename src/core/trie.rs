//! The trie that patterns are compiled into: one step per segment of the path, whatever the number of routes.
//!
//! A node is a prefix of patterns. Its literal children are found by hashing the segment, all nodes' in one table; of
//! `{x}` and `{*x}` it has at most one each. A look-up tries the literal child first, then `{x}`, then `{*x}`, each with
//! all that is below before the next: that is the precedence of patterns, segment by segment from the left.
//!
//! What a large table costs is cache misses. So a node is one cache line, with the literal that leads to it and with the
//! patterns that end one parameter behind it: of `/v1/users/{id}` nothing else is read that is not every request's.
//!
//! What a look-up can cost: a prefix leads to one node, and a look-up enters a node only by its prefix, so it never enters
//! one twice. However a client builds its path, the work is bounded by the number of nodes that the configuration made,
//! and that is at most the number of segments in all patterns; at each it is one pass over one segment. To have two nodes
//! at the same depth entered, the patterns must repeat a prefix with a literal and with `{x}` in the same place, and to
//! have 2^n of them entered they must have 2^n such prefixes: a client cannot multiply what is not written there.
//! Ordinary tables are entered once per segment. The depth of the recursion is bounded by the longest pattern, which [`Pattern`](super::pattern::Pattern)
//! limits.

use std::hash::Hasher;
use std::num::NonZeroU32;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::fold::{self, Buffer, LITERAL_BYTES_MAX};
use super::pattern::Segment;
use super::route::RouteId;

/// A compiled set of patterns, some of them under a host.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Those that a literal leads to, by it and by what is before it.
    literals: HashTable<NodeId>,
}

/// Stands for a pattern: the first route that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LeafId(Index);

/// How the segments of a path are compared with literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As they are.
    Exact,
    /// With their case folded, as are the literals of the trie.
    Folded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodeId(Index);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Node {
    /// The literal that leads here, and from where.
    literal: Option<(NodeId, Text)>,
    has_literals: bool,
    /// Of the patterns that go on behind `{x}` here.
    parameter: Option<NodeId>,
    /// Of the pattern that ends with `{x}` here.
    parameter_end: Option<LeafId>,
    /// Of the pattern that continues with `{*x}` here.
    rest: Option<LeafId>,
    /// Of the pattern that ends here.
    end: Option<LeafId>,
}

/// A literal, in place unless it is a long one.
#[derive(Debug)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

const SHORT_BYTES: usize = 30;

/// Its children are the roots of the patterns with a host; the edge is the host.
const HOSTS: NodeId = NodeId(Index(NonZeroU32::MIN));
/// The root of the patterns without a host.
const GENERAL: NodeId = NodeId(Index(NonZeroU32::MIN.saturating_add(1)));

/// An index in half a word, absent in no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Index(NonZeroU32);

impl Index {
    /// Past four billion, where nothing is, all are the same one: what cannot be counted is not found.
    fn new(index: usize) -> Self {
        Self(u32::try_from(index).map_or(NonZeroU32::MAX, |index| NonZeroU32::MIN.saturating_add(index)))
    }

    fn get(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl LeafId {
    /// That of the first route with a pattern, by its place in the list.
    pub(super) fn new(route: usize) -> Self {
        Self(Index::new(route))
    }

    /// The place of the route.
    pub(super) fn index(self) -> usize {
        self.0.get()
    }

    /// The route.
    pub(super) fn route(self) -> RouteId {
        RouteId(self.0.0.get() - 1)
    }
}

impl Text {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(text);
                Self::Short { length, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default(), Node::default()], literals: HashTable::new() }
    }
}

impl Trie {
    /// The leaf of a pattern: the given one, or that of an earlier pattern with the same host and shape.
    pub(super) fn insert(&mut self, host: Option<&str>, segments: &[Segment], new: LeafId) -> LeafId {
        let mut node = match host {
            Some(host) => self.literal_or_new(HOSTS, host.as_bytes()),
            None => GENERAL,
        };
        for (at, segment) in segments.iter().enumerate() {
            node = match segment {
                Segment::Literal(text) => self.literal_or_new(node, text.as_bytes()),
                Segment::Parameter(_) if at + 1 == segments.len() => {
                    return self.leaf_or(new, node, |node| &mut node.parameter_end);
                }
                Segment::Parameter(_) => self.parameter_or_new(node),
                Segment::Rest(_) => return self.leaf_or(new, node, |node| &mut node.rest),
            };
        }
        self.leaf_or(new, node, |node| &mut node.end)
    }

    /// The most specific pattern that matches: under the host if there is one, else among those without a host.
    pub(super) fn find(&self, host: &str, path: &str, reading: Reading) -> Option<LeafId> {
        let rest = path.strip_prefix('/')?;
        let has_hosts = self.node(HOSTS)?.has_literals;
        let own = if has_hosts { self.literal(HOSTS, host.as_bytes()) } else { None };
        own.and_then(|root| self.walk(root, rest, reading)).or_else(|| self.walk(GENERAL, rest, reading))
    }

    /// The most specific pattern below `id` that matches `rest`, which follows a slash.
    fn walk(&self, id: NodeId, rest: &str, reading: Reading) -> Option<LeafId> {
        let node = self.node(id)?;
        let (segment, tail) = split_segment(rest);
        if node.has_literals
            && let Some(child) = self.read_literal(id, segment, reading)
            && let Some(found) = self.step(child, tail, reading)
        {
            return Some(found);
        }
        let by_parameter = if segment.is_empty() { None } else { self.step_by_parameter(node, tail, reading) };
        by_parameter.or(node.rest.filter(|_| !rest.is_empty()))
    }

    fn step(&self, child: NodeId, tail: Option<&str>, reading: Reading) -> Option<LeafId> {
        count_visit();
        match tail {
            Some(tail) => self.walk(child, tail, reading),
            None => self.node(child)?.end,
        }
    }

    fn step_by_parameter(&self, node: &Node, tail: Option<&str>, reading: Reading) -> Option<LeafId> {
        match tail {
            Some(_) => self.step(node.parameter?, tail, reading),
            None => node.parameter_end.inspect(|_| count_visit()),
        }
    }

    fn read_literal(&self, from: NodeId, segment: &str, reading: Reading) -> Option<NodeId> {
        if reading == Reading::Exact || !fold::could_fold(segment) {
            return self.literal(from, segment.as_bytes());
        }
        let mut buffer: Buffer = [0; LITERAL_BYTES_MAX];
        self.literal(from, fold::fold_into(segment, &mut buffer)?)
    }

    fn literal(&self, from: NodeId, text: &[u8]) -> Option<NodeId> {
        let is_it = |id: &NodeId| self.node(*id).and_then(Node::literal) == Some((from, text));
        self.literals.find(hash(from, text), is_it).copied()
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0.get())
    }

    fn literal_or_new(&mut self, from: NodeId, text: &[u8]) -> NodeId {
        if let Some(child) = self.literal(from, text) {
            return child;
        }
        let child = self.new_node(Some((from, Text::new(text))));
        let nodes = &self.nodes;
        let hash_of = |id: &NodeId| {
            let literal = nodes.get(id.0.get()).and_then(Node::literal);
            literal.map_or(0, |(from, text)| hash(from, text))
        };
        self.literals.insert_unique(hash(from, text), child, hash_of);
        if let Some(node) = self.nodes.get_mut(from.0.get()) {
            node.has_literals = true;
        }
        child
    }

    fn parameter_or_new(&mut self, from: NodeId) -> NodeId {
        if let Some(child) = self.node(from).and_then(|node| node.parameter) {
            return child;
        }
        let child = self.new_node(None);
        if let Some(node) = self.nodes.get_mut(from.0.get()) {
            node.parameter = Some(child);
        }
        child
    }

    fn leaf_or(&mut self, new: LeafId, node: NodeId, place: fn(&mut Node) -> &mut Option<LeafId>) -> LeafId {
        self.nodes.get_mut(node.0.get()).map_or(new, |node| *place(node).get_or_insert(new))
    }

    fn new_node(&mut self, literal: Option<(NodeId, Text)>) -> NodeId {
        let id = NodeId(Index::new(self.nodes.len()));
        self.nodes.push(Node { literal, ..Node::default() });
        id
    }
}

impl Node {
    fn literal(&self) -> Option<(NodeId, &[u8])> {
        self.literal.as_ref().map(|(from, text)| (*from, text.as_bytes()))
    }
}

fn count_visit() {
    #[cfg(test)]
    tests::VISITS.with(|visits| visits.set(visits.get() + 1));
}

/// The first segment, and what follows its slash if it has one.
fn split_segment(rest: &str) -> (&str, Option<&str>) {
    let split = memchr::memchr(b'/', rest.as_bytes()).and_then(|at| rest.split_at_checked(at));
    split.map_or((rest, None), |(segment, tail)| (segment, tail.get(1..)))
}

fn hash(from: NodeId, text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(from.0.0.get());
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::core::pattern::Pattern;

    thread_local! {
        /// Nodes entered by this thread's look-ups.
        pub(super) static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    fn trie(patterns: &[String]) -> Trie {
        let mut trie = Trie::default();
        for (id, pattern) in patterns.iter().enumerate() {
            trie.insert(None, Pattern::parse(pattern).expect(pattern).segments(), LeafId::new(id));
        }
        trie
    }

    #[test]
    fn a_node_is_a_cache_line() {
        assert_eq!(size_of::<Node>(), 64);
    }

    fn visits(trie: &Trie, path: &str) -> (usize, Option<LeafId>) {
        VISITS.set(0);
        let found = trie.find("", path, Reading::Exact);
        (VISITS.get(), found)
    }

    #[test]
    fn ordinary_tables_are_entered_once_a_segment() {
        let patterns: Vec<String> = (0..1000).map(|i| format!("/v1/r{i}/{{id}}/items/{{item}}")).collect();
        assert_eq!(visits(&trie(&patterns), "/v1/r7/a/items/b").0, 5);
        assert_eq!(visits(&trie(&patterns), "/v1/r7/a/other/b/c/d").0, 3);
        assert_eq!(visits(&trie(&patterns), &"/v1".repeat(5000)).0, 1);
    }

    /// Sixty segments deep, each pattern leaves the literals for a parameter somewhere else and dead-ends, so a request
    /// has to come back from every one of them. Every node is entered once at most.
    #[test]
    fn coming_back_never_costs_more_than_the_table_is_large() {
        const DEPTH: usize = 60;
        let pattern = |parameter: usize| -> String {
            let segment = |at| if at == parameter { format!("/{{p{at}}}") } else { "/a".to_owned() };
            (0..DEPTH).map(segment).chain(["/end".to_owned()]).collect()
        };
        let mut patterns: Vec<String> = (0..DEPTH).map(pattern).collect();
        patterns.push("/{*rest}".to_owned());
        let trie = trie(&patterns);
        let (visits, found) = visits(&trie, &format!("{}/no", "/a".repeat(DEPTH)));
        assert_eq!(found.map(LeafId::index), Some(DEPTH));
        assert!(visits > DEPTH * DEPTH / 2, "the table is no hard one: {visits}");
        assert!(visits < trie.nodes.len(), "{visits} nodes entered of {}", trie.nodes.len());
    }

    /// Every pattern of ten segments that are each a literal or a parameter: 2^10 patterns are needed for 2^10 visits.
    #[test]
    fn to_enter_many_nodes_many_have_to_be_configured() {
        let pattern = |bits: usize| -> String {
            (0..10).map(|at| if bits >> at & 1 == 1 { format!("/{{p{at}}}") } else { "/a".to_owned() }).collect()
        };
        let trie = trie(&(0..1024).map(|bits| pattern(bits) + "/end").collect::<Vec<_>>());
        let (visits, found) = visits(&trie, &format!("{}/no", "/a".repeat(10)));
        assert_eq!((visits, found), (2046, None));
        assert!(visits < trie.nodes.len());
    }
}
