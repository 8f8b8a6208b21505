//! The core is pure, and this is its fence: `src/core` imports nothing of ours from outside itself, and nothing that
//! waits, listens, stores, logs or tells the time.

use std::fs;
use std::path::{Path, PathBuf};

/// What the core may not name. A name is followed by anything but a letter, a digit or an underscore.
const FORBIDDEN: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::Condvar",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::atomic",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "arc_swap",
    "hyper",
    "hyper_util",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "log",
    "parking_lot",
    "prometheus",
    "sidegate",
    "socket2",
    "tokio",
    "tracing",
];

/// Values that only live in a module of others: an address is a number, whoever listens on it.
const HARMLESS: &[&str] = &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"];

#[test]
fn the_core_is_pure() {
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/core")), &mut files);
    assert!(files.len() > 10, "only {files:?}");
    let breaches: Vec<String> = files.iter().flat_map(|file| breaches(file)).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_fence_holds() {
    for breach in [
        "use crate::config::Config;",
        "use crate::{core::path, net};",
        "use super::super::config;",
        "use std::{fmt, net::TcpStream};",
        "use std::time::{Duration, Instant};",
        "use std::sync::{Arc, Mutex as Lock};",
        "let now = std::time::SystemTime::now();",
        "tracing::info!(\"x\");",
        "use {std::fmt, tokio};",
        "pub use ::std::fs::File;",
    ] {
        assert!(!in_text(breach, 1).is_empty(), "{breach}");
    }
    for fine in [
        "use crate::core::path::CanonicalPath;",
        "use super::rejection::{Reason, Rejection};",
        "use std::sync::Arc;",
        "use std::net::{IpAddr, Ipv6Addr};",
        "use std::{collections::HashMap, time::Duration};",
        "use serde_json::Value; // no tokio:: here",
        "#[cfg(test)]\nmod tests { use std::fs; }",
    ] {
        assert_eq!(in_text(fine, 1), Vec::<String>::new(), "{fine}");
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn breaches(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let parts: Vec<_> = file.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let depth = parts.len() - parts.iter().rposition(|part| part == "core").unwrap() - 1;
    // `core/mod.rs` is the core itself and `core/x/mod.rs` is `x`.
    let depth = if file.ends_with("mod.rs") { depth - 1 } else { depth };
    in_text(&text, depth).into_iter().map(|breach| format!("{}: {breach}", file.display())).collect()
}

/// What a module `depth` levels below the core names and may not. Its unit tests may do as they like.
fn in_text(text: &str, depth: usize) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join(" ");
    let mut paths: Vec<String> = code.split(';').filter_map(after_use).flat_map(expand).collect();
    paths.extend(inline_paths(&code));
    let outside = "super::".repeat(depth + 1);
    paths.retain(|path| {
        let harmless = HARMLESS.iter().any(|name| starts_with_path(path, name));
        let ours = path.strip_prefix("crate::").is_some_and(|rest| !starts_with_path(rest, "core"));
        ours || path.starts_with(&outside) || (!harmless && FORBIDDEN.iter().any(|name| starts_with_path(path, name)))
    });
    paths
}

/// The tree of a `use` item, if this statement ends in one.
fn after_use(statement: &str) -> Option<&str> {
    let start = statement.match_indices("use").map(|(start, _)| start).filter(|start| {
        let before = statement[..*start].chars().next_back().is_none_or(|letter| " })\n".contains(letter));
        before && statement[start + 3..].starts_with([' ', '{'])
    });
    let start = start.last()?;
    Some(statement[start + 3..].trim())
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim().trim_start_matches("::");
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut level, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(expand).map(|part| format!("{}{part}", prefix.trim())).collect()
}

/// Paths of two names or more, wherever they stand. One that ends in `::` is the beginning of a `use` tree.
fn inline_paths(code: &str) -> Vec<String> {
    let words = code.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
    let paths = words.filter(|word| word.contains("::") && !word.ends_with("::"));
    paths.map(|word| word.trim_matches(':').to_owned()).collect()
}

fn starts_with_path(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
