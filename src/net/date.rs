//! The `Date` field (RFC 9110 section 6.6.1), written once a second and thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

thread_local! {
    static NOW: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The present date, in the form of RFC 9110 section 5.6.7.
pub(super) fn now() -> HeaderValue {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(written, value)| {
        if *written != second {
            *written = second;
            *value = at(second);
        }
        value.clone()
    })
}

fn at(second: u64) -> HeaderValue {
    let now = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&now.unwrap_or(Timestamp::UNIX_EPOCH));
    printed.ok().and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_form_of_http() {
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
