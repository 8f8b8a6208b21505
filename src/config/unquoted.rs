//! Values that mean something else to YAML unless they are quoted: `${NAME}` between brackets or braces, of which it has some
//! itself, and `[::1]:8080`, which begins as a list.

use std::net::Ipv6Addr;

/// Longest IPv6 address as text, in bytes (`INET6_ADDRSTRLEN` without the zero). No more is looked at, however long the line is.
const ADDRESS_BYTES_MAX: usize = 45;

/// The first such value in a line that is no YAML.
pub(super) fn in_line(line: &str) -> Option<&str> {
    let mut start = 0;
    let mut quote = None;
    for (at, character) in line.char_indices() {
        let rest = line.get(at..)?;
        match character {
            _ if quote == Some(character) => quote = None,
            _ if quote.is_some() => {}
            '"' | '\'' if start == at => quote = Some(character),
            '#' if start == at => return None,
            '$' if rest.starts_with("${") => return line.get(start..at + length(rest, '}')),
            '[' if is_address(rest) => return line.get(start..at + length(rest, ']')),
            _ if character.is_whitespace() || "[{,".contains(character) => start = at + character.len_utf8(),
            _ => {}
        }
    }
    None
}

/// Whether an IPv6 address in brackets begins here, and goes on behind them: it is a list of one otherwise.
fn is_address(text: &str) -> bool {
    let end = text.bytes().take(ADDRESS_BYTES_MAX + 2).position(|byte| byte == b']');
    let inner = end.and_then(|end| text.get(1..end));
    let behind = end.and_then(|end| text.get(end + 1..)).unwrap_or_default();
    inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()) && behind.starts_with([':', '/'])
}

/// How long the rest of a value is that begins so, and has this bracket next: up to where YAML would see its end.
fn length(text: &str, bracket: char) -> usize {
    let mut awaited = Some(bracket);
    for (at, character) in text.char_indices() {
        match awaited {
            Some(bracket) if bracket == character => awaited = None,
            Some(_) => {}
            None if text.get(at..).is_some_and(|rest| rest.starts_with("${")) => awaited = Some('}'),
            None if character.is_whitespace() || "],}".contains(character) => return at,
            None => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_whole() {
        for (line, value) in [
            ("a: { address: ${ADDRESS} }", "${ADDRESS}"),
            ("a: {address: ${HOST:-127.0.0.1}:${PORT}}", "${HOST:-127.0.0.1}:${PORT}"),
            ("a: {address: ${HOST:-a b}.example, b: 1}", "${HOST:-a b}.example"),
            ("a: [${A}, ${B}]", "${A}"),
            ("routes: [{match: /a/${B}/c, public: true}]", "/a/${B}/c"),
            ("a: { b: \"${A}\", c: ${C} }", "${C}"),
            ("a: { b: '${A}', c: it's${C} }", "it's${C}"),
            ("  - address: [::1]:8080", "[::1]:8080"),
            ("  - { address: [::]:8080 }", "[::]:8080"),
            ("urls: [http://[fe80::1]/x, http://a]", "http://[fe80::1]/x"),
            ("a: ${A", "${A"),
        ] {
            assert_eq!(in_line(line), Some(value), "{line}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for line in [
            "",
            "a: [1, 2",
            "a: [::1, b",
            "a: [::1]",
            "a: \"[::1]:80\" b",
            "a: [\"${A}\" b]",
            "# ${A}",
            "a: b] # ${A}",
            "a: $5 {",
            "é: \"",
        ] {
            assert_eq!(in_line(line), None, "{line}");
        }
    }
}
