//! The clocks. This is the only place that reads them: whatever needs the time is given it, and can be tested at any.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::core::time::UnixSeconds;

/// The wall clock, for what is written into tokens. A clock set before 1970 reads as 1970: every token is then from the
/// future and refused.
#[must_use]
pub fn now() -> UnixSeconds {
    UnixSeconds(i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX))
}

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z, for logs.
#[must_use]
pub fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The clock that never goes back, for durations.
#[must_use]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The same clock as timers read it, which tests can stop and put forward.
#[must_use]
pub fn timer() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
