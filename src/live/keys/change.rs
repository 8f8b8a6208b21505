//! How a change of keys is told in the log.

use crate::core::keyset::Keyset;

/// Most ids of keys in a line of the log.
const IDS_SHOWN: usize = 8;

/// One line for the change, and one for each of the first few keys that cannot be used.
pub(super) fn log_change(issuer: &str, old: &Keyset, new: &Keyset) {
    let (added, removed) = (missing_in(old, new), missing_in(new, old));
    tracing::info!(issuer, added, removed, keys = new.iter().len(), "the issuer's keys have changed");
    for ignored in new.ignored().take(IDS_SHOWN) {
        tracing::warn!(issuer, "a key is not used: {ignored}");
    }
}

/// The ids of keys of `of` that `keys` does not have.
fn missing_in(keys: &Keyset, of: &Keyset) -> String {
    let is_missing = |id: &Option<&str>| !keys.iter().any(|key| key.id() == *id);
    let ids: Vec<_> = of.iter().map(|key| key.id()).filter(is_missing).collect();
    let mut shown: Vec<String> = ids
        .iter()
        .take(IDS_SHOWN)
        .map(|id| id.map_or_else(|| "(no kid)".to_owned(), |id| id.escape_debug().to_string()))
        .collect();
    if let more @ 1.. = ids.len().saturating_sub(IDS_SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}
