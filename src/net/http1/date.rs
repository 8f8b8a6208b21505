//! The `Date` field (RFC 9110 section 6.6.1), written once a second and thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

thread_local! {
    static NOW: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Hands the present date to `write`, in the form of RFC 9110 section 5.6.7.
pub(super) fn with_now(write: impl FnOnce(&[u8])) {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(written, text)| {
        if *written != second {
            *written = second;
            text.clear();
            let now = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&now.unwrap_or(Timestamp::UNIX_EPOCH));
            text.push_str(&printed.unwrap_or_default());
        }
        write(text.as_bytes());
    });
}
