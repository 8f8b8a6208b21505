//! The trie that patterns are compiled into: one step per segment of the path, whatever the number of routes.
//!
//! A node is a prefix of patterns. Its literal children are found by hashing the segment, all nodes' in one table; of
//! `{x}` and `{*x}` it has at most one each. A look-up tries the literal child first, then `{x}`, then `{*x}`, each with
//! all that is below before the next: that is the precedence of patterns, segment by segment from the left.
//!
//! What a large table costs is cache misses. So a node is one cache line, with the literal that leads to it, with the patterns
//! that end one parameter behind it, and with what their routes say: of `/v1/users/{id}` nothing else is read that is its own.
//!
//! What a look-up can cost: a prefix leads to one node, and a look-up enters a node only by its prefix, so it never enters
//! one twice. However a client builds its path, the work is bounded by the number of nodes that the configuration made,
//! and that is at most the number of segments in all patterns; at each it is one pass over one segment. To have two nodes
//! at the same depth entered, the patterns must repeat a prefix with a literal and with `{x}` in the same place, and to
//! have 2^n of them entered they must have 2^n such prefixes: a client cannot multiply what is not written there.
//! Ordinary tables are entered once per segment. The depth of the recursion is bounded by the longest pattern, which [`Pattern`](super::pattern::Pattern)
//! limits.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::fold::{self, Buffer, LITERAL_BYTES_MAX};
use super::index::Index;
use super::leaf::PolicyId;
use super::pattern::Segment;
use super::route::RouteId;

/// A compiled set of patterns, some of them under a host.
#[derive(Debug)]
pub(super) struct Trie {
    /// The nodes that a literal leads to, by it and by what is before it.
    literals: HashTable<Node>,
    /// The roots, and the nodes that `{x}` leads to.
    others: Vec<Node>,
}

/// Where a pattern ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) leaf: LeafId,
    /// What the route there says, if it is known to be the only one: the list of routes need not be read.
    pub(super) only: Option<PolicyId>,
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

#[derive(Debug)]
#[repr(align(64))]
struct Node {
    id: NodeId,
    /// The node before it and the literal that leads from there. None of both for one of the others, which is not looked for.
    from: NodeId,
    literal: Text,
    has_literals: bool,
    /// Of the patterns that go on behind `{x}` here: its place among the others.
    parameter: Option<Index>,
    /// Of the pattern that ends with `{x}` here.
    parameter_end: Option<End>,
    /// Of the pattern that continues with `{*x}` here.
    rest: Option<End>,
    /// Of the pattern that ends here.
    end: Option<End>,
}

/// A literal, in place unless it is a long one.
#[derive(Debug)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

const SHORT_BYTES: usize = 22;

/// Where a node is.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Behind a literal of that node.
    Literal(NodeId, &'a [u8]),
    /// Among the others.
    Other(Index),
}

/// Its children are the roots of the patterns with a host; the edge is the host.
const HOSTS: Index = Index::FIRST;
/// The root of the patterns without a host.
const GENERAL: Index = Index::SECOND;

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
        RouteId(self.0.get_u32())
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
        let root = |at| Node::other(NodeId(at));
        Self { literals: HashTable::new(), others: vec![root(HOSTS), root(GENERAL)] }
    }
}

impl Trie {
    /// Adds a pattern. Its leaf is the new one, or that of an earlier pattern with the same host and shape.
    pub(super) fn insert(&mut self, host: Option<&str>, segments: &[Segment], new: End) -> LeafId {
        let mut place = Place::Other(GENERAL);
        if let Some(host) = host {
            place = self.literal_or_new(Place::Other(HOSTS), host.as_bytes());
        }
        for (at, segment) in segments.iter().enumerate() {
            place = match segment {
                Segment::Literal(text) => self.literal_or_new(place, text.as_bytes()),
                Segment::Parameter(_) if at + 1 == segments.len() => {
                    return self.end_or_new(place, |node| &mut node.parameter_end, new);
                }
                Segment::Parameter(_) => self.parameter_or_new(place),
                Segment::Rest(_) => return self.end_or_new(place, |node| &mut node.rest, new),
            };
        }
        self.end_or_new(place, |node| &mut node.end, new)
    }

    /// The most specific pattern that matches: under the host if there is one, else among those without a host.
    pub(super) fn find(&self, host: &str, path: &str, reading: Reading) -> Option<End> {
        let rest = path.strip_prefix('/')?;
        let hosts = self.other(HOSTS)?;
        let own = if hosts.has_literals { self.literal(hosts.id, host.as_bytes()) } else { None };
        own.and_then(|root| self.walk(root, rest, reading)).or_else(|| self.walk(self.other(GENERAL)?, rest, reading))
    }

    /// The most specific pattern below `node` that matches `rest`, which follows a slash.
    fn walk(&self, node: &Node, rest: &str, reading: Reading) -> Option<End> {
        let (segment, tail) = split_segment(rest);
        if node.has_literals
            && let Some(child) = self.read_literal(node.id, segment, reading)
            && let Some(found) = self.step(child, tail, reading)
        {
            return Some(found);
        }
        let by_parameter = if segment.is_empty() { None } else { self.step_by_parameter(node, tail, reading) };
        by_parameter.or(node.rest.filter(|_| !rest.is_empty()))
    }

    fn step(&self, child: &Node, tail: Option<&str>, reading: Reading) -> Option<End> {
        count_visit();
        match tail {
            Some(tail) => self.walk(child, tail, reading),
            None => child.end,
        }
    }

    fn step_by_parameter(&self, node: &Node, tail: Option<&str>, reading: Reading) -> Option<End> {
        match tail {
            Some(_) => self.step(self.other(node.parameter?)?, tail, reading),
            None => node.parameter_end.inspect(|_| count_visit()),
        }
    }

    fn read_literal(&self, from: NodeId, segment: &str, reading: Reading) -> Option<&Node> {
        if reading == Reading::Exact || !fold::could_fold(segment) {
            return self.literal(from, segment.as_bytes());
        }
        let mut buffer: Buffer = [0; LITERAL_BYTES_MAX];
        self.literal(from, fold::fold_into(segment, &mut buffer)?)
    }

    fn literal(&self, from: NodeId, text: &[u8]) -> Option<&Node> {
        self.literals.find(hash(from, text), |node| node.is_behind(from, text))
    }

    fn other(&self, at: Index) -> Option<&Node> {
        self.others.get(at.get())
    }

    fn node_mut(&mut self, place: Place<'_>) -> Option<&mut Node> {
        match place {
            Place::Literal(from, text) => self.literals.find_mut(hash(from, text), |node| node.is_behind(from, text)),
            Place::Other(at) => self.others.get_mut(at.get()),
        }
    }

    fn literal_or_new<'t>(&mut self, before: Place<'_>, text: &'t [u8]) -> Place<'t> {
        let new = self.new_id();
        let from = self.node_mut(before).map_or(new, |node| {
            node.has_literals = true;
            node.id
        });
        if self.literal(from, text).is_none() {
            let node = Node::new(new, from, text);
            self.literals.insert_unique(hash(from, text), node, Node::hash);
        }
        Place::Literal(from, text)
    }

    fn parameter_or_new(&mut self, before: Place<'_>) -> Place<'static> {
        let new = Index::new(self.others.len());
        let at = self.node_mut(before).map_or(new, |node| *node.parameter.get_or_insert(new));
        if at == new {
            self.others.push(Node::other(self.new_id()));
        }
        Place::Other(at)
    }

    fn end_or_new(&mut self, place: Place<'_>, end: fn(&mut Node) -> &mut Option<End>, new: End) -> LeafId {
        let Some(end) = self.node_mut(place).map(end) else { return new.leaf };
        let known = end.get_or_insert(new);
        if known.leaf != new.leaf {
            known.only = None;
        }
        known.leaf
    }

    fn new_id(&self) -> NodeId {
        NodeId(Index::new(self.others.len() + self.literals.len()))
    }
}

impl Node {
    fn new(id: NodeId, from: NodeId, literal: &[u8]) -> Self {
        let literal = Text::new(literal);
        Self { id, from, literal, has_literals: false, parameter: None, parameter_end: None, rest: None, end: None }
    }

    fn other(id: NodeId) -> Self {
        Self::new(id, id, b"")
    }

    fn is_behind(&self, from: NodeId, literal: &[u8]) -> bool {
        self.from == from && self.literal.as_bytes() == literal
    }

    fn hash(&self) -> u64 {
        hash(self.from, self.literal.as_bytes())
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
    hasher.write_u32(from.0.get_u32());
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
            let end = End { leaf: LeafId::new(id), only: None };
            trie.insert(None, Pattern::parse(pattern).expect(pattern).segments(), end);
        }
        trie
    }

    #[test]
    fn a_node_is_a_cache_line() {
        assert_eq!(size_of::<Node>(), 64);
    }

    fn nodes(trie: &Trie) -> usize {
        trie.literals.len() + trie.others.len()
    }

    fn visits(trie: &Trie, path: &str) -> (usize, Option<LeafId>) {
        VISITS.set(0);
        let found = trie.find("", path, Reading::Exact).map(|end| end.leaf);
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
        assert!(visits < nodes(&trie), "{visits} nodes entered of {}", nodes(&trie));
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
        assert!(visits < nodes(&trie));
    }
}
