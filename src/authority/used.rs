//! When clients last got a token: collected here, and written now and then.

use std::collections::HashMap;

use crate::core::time::UnixSeconds;

/// Most clients that are remembered between two writes. Those beyond are noted when they get their next token.
const CLIENTS_MAX: usize = 10_000;

/// Clients that got a token since the last write.
#[derive(Default)]
pub(super) struct LastUsed(HashMap<Box<str>, UnixSeconds>);

impl LastUsed {
    pub(super) fn note(&mut self, id: &str, now: UnixSeconds) {
        if let Some(at) = self.0.get_mut(id) {
            *at = now.max(*at);
        } else if self.0.len() < CLIENTS_MAX {
            self.0.insert(id.into(), now);
        }
    }

    pub(super) fn take(&mut self) -> Vec<(Box<str>, UnixSeconds)> {
        self.0.drain().collect()
    }
}
