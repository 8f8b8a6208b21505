//! Keys that are fetched, and whoever asks for them.

/// Asks for issuers' keys to be fetched, from any thread.
#[derive(Debug, Clone, Default)]
pub struct KeyRefresh {}

/// How asking went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// A fetch has ended since, well or badly.
    Done,
    /// Nothing was fetched: the last time was a moment ago.
    NotNow,
    /// Too many wait already.
    Busy,
}

impl KeyRefresh {
    /// Asks for the keys of the issuer of this name, and waits. Bounded in time by itself.
    #[expect(clippy::unused_async, reason = "nothing is fetched as yet")]
    pub async fn ask(&self, _issuer: &str) -> Refreshed {
        Refreshed::NotNow
    }
}
