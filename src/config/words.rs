//! Words in messages: the nearest of those known, lists of them, and words out of the file made fit to be shown.

use std::borrow::Cow;

/// Longest word that is compared or shown, in characters.
const CHARACTERS_MAX: usize = 60;

/// The known word nearest to `word`, if one is near: a third of its characters may differ, and at least one; or one is
/// a part of the other.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str> + Clone) -> Option<&'w str> {
    let lower = word.to_lowercase();
    let candidates = known.clone().into_iter();
    let (distance, best) = candidates.map(|it| (distance(&lower, &it.to_lowercase()), it)).min_by_key(|(d, _)| *d)?;
    let longest = word.chars().count().max(best.chars().count());
    let is_near = distance <= (longest / 3).max(1) && distance < longest;
    if is_near { Some(best) } else { akin(&lower, known) }
}

/// The one word that begins as this one does, as `certificate` and `cert`, or has it between underscores, as
/// `private_key` and `key`.
fn akin<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let is_akin = |known: &&str| {
        known.split('_').any(|part| part == word)
            || (word.len() >= 3 && known.starts_with(word))
            || (known.len() >= 3 && word.starts_with(known))
    };
    let mut akin = known.into_iter().filter(is_akin);
    akin.next().filter(|_| akin.next().is_none())
}

/// How many characters have to be added, taken away, replaced, or swapped with their neighbour (optimal string
/// alignment). Words that differ in length by more than could ever count are not compared.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(CHARACTERS_MAX).collect();
    let b: Vec<char> = b.chars().take(CHARACTERS_MAX).collect();
    if a.len().abs_diff(b.len()) * 3 > a.len().max(b.len()).max(3) {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut above_left = None;
        for (j, right) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = cell(&last, j) + usize::from(left != right);
            let mut best = replaced.min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            if previous == Some(right) && above_left == Some(left) {
                best = best.min(cell(&before_last, j.wrapping_sub(1)) + 1);
            }
            above_left = Some(right);
            row.push(best);
        }
        previous = Some(left);
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

/// `a`, `b` or `c`, each in backquotes.
pub(super) fn or_list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A word from the file as it may be shown: not too long, and without control characters.
pub(crate) fn shown(word: &str) -> Cow<'_, str> {
    let long = word.char_indices().nth(CHARACTERS_MAX);
    if long.is_none() && !word.contains(char::is_control) {
        return Cow::Borrowed(word);
    }
    let (end, dots) = long.map_or((word.len(), ""), |(end, _)| (end, "…"));
    let clean = word.get(..end).unwrap_or_default().replace(char::is_control, "\u{fffd}");
    Cow::Owned(clean + dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_if_it_is_near() {
        let known = ["listeners", "limits", "issuers", "routes", "id"];
        for (word, found) in [
            ("lisenters", Some("listeners")),
            ("Routes", Some("routes")),
            ("route", Some("routes")),
            ("rotues", Some("routes")),
            ("issuer", Some("issuers")),
            ("banana", None),
            ("ab", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_part_of_one_word_stands_for_it() {
        let known = ["certificate", "private_key", "client_ca", "client_certificate"];
        for (word, found) in [
            ("cert", Some("certificate")),
            ("key", Some("private_key")),
            ("ca", Some("client_ca")),
            ("client_ca_file", Some("client_ca")),
            ("c", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest("timeout", ["connect_timeout", "request_timeout"]), None, "it may be either");
    }

    #[test]
    fn a_swap_of_neighbours_counts_once() {
        assert_eq!(distance("abcd", "acbd"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(or_list(["a"]), "`a`");
        assert_eq!(or_list(["a", "b", "c"]), "`a`, `b` or `c`");
    }

    #[test]
    fn what_is_shown_is_short_and_clean() {
        assert_eq!(shown("a\u{1b}[31mb"), "a\u{fffd}[31mb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
    }
}
