//! What a scalar can stand for: durations, sizes, addresses, names. Each reader takes the text and says what is wrong
//! with it; what was expected is said by the caller.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

/// What is wrong with a scalar.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) hint: Option<String>,
    /// The part of the text that is wrong; `None` is all of it.
    pub(super) at: Option<Range<usize>>,
}

impl Flaw {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn at(self, at: Range<usize>) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// A number with its unit: the digits, and what follows them.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

/// Longest duration: beyond any use, and far from where clocks overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// `250ms`, `30s`, `5m`, `24h`, `30d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Flaw> {
    let (number, unit) = split_unit(text).ok_or_else(|| Flaw::new("not a duration"))?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        "" => return Err(Flaw::new("a duration has a unit").hint(format!("write `{number}s` for seconds"))),
        _ => return Err(Flaw::new("not a duration")),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
    duration.filter(|duration| *duration <= DURATION_MAX).ok_or_else(|| Flaw::new("the duration is too long"))
}

/// A duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, Flaw> {
    duration(text).and_then(|it| if it.is_zero() { Err(Flaw::new("the duration is zero")) } else { Ok(it) })
}

/// A duration in whole seconds, which is how tokens count.
pub(super) fn whole_seconds(text: &str) -> Result<i64, Flaw> {
    let duration = duration(text)?;
    if duration.subsec_millis() != 0 {
        return Err(Flaw::new("times in tokens are whole seconds"));
    }
    i64::try_from(duration.as_secs()).map_err(|_| Flaw::new("the duration is too long"))
}

/// `16KiB`, `10MiB`, `1GiB`, or a plain number of bytes.
pub(super) fn size(text: &str) -> Result<u64, Flaw> {
    let (number, unit) = split_unit(text).ok_or_else(|| Flaw::new("not a size"))?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => {
            let first = unit.chars().next().map(|unit| unit.to_ascii_uppercase());
            let flaw = Flaw::new("not a size");
            return Err(match first {
                Some(unit @ ('K' | 'M' | 'G' | 'T')) => flaw.hint(format!("write `{number}{unit}iB`")),
                _ => flaw,
            });
        }
    };
    number.checked_mul(factor).ok_or_else(|| Flaw::new("the size is too large"))
}

/// A size that fits into memory.
pub(super) fn memory_size(text: &str) -> Result<usize, Flaw> {
    usize::try_from(size(text)?).map_err(|_| Flaw::new("the size is too large"))
}

/// `IP:PORT`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Flaw> {
    let flaw = || Flaw::new("not an address to listen on");
    text.parse().map_err(|_| match text.split_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            flaw().hint(format!("write `0.0.0.0:{port}` for every interface"))
        }
        Some(("localhost", port)) => flaw().hint(format!("write `127.0.0.1:{port}`")),
        None if text.parse::<u16>().is_ok() => flaw().hint(format!("write `0.0.0.0:{text}` for every interface")),
        _ => flaw(),
    })
}

/// `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Flaw> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| Flaw::new("not a network"))?;
    if network.trunc() == network {
        return Ok(network);
    }
    Err(Flaw::new("the address has bits behind the prefix").hint(format!("write `{}`", network.trunc())))
}

/// The name of a header field (RFC 9110 section 5.1).
pub(super) fn header_name(text: &str) -> Result<HeaderName, Flaw> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| Flaw::new("not the name of a header"))
}

/// Something that can stand in a header, and has no spaces around it.
pub(super) fn header_text(text: &str) -> Result<(), Flaw> {
    let ok = text.trim() == text && !text.is_empty() && !text.contains(char::is_control);
    if ok && HeaderValue::from_str(text).is_ok() { Ok(()) } else { Err(Flaw::new("not fit to stand in a header")) }
}

/// A name that the operator chooses: it shows up in logs and as a metric label.
pub(super) fn name(text: &str) -> Result<Box<str>, Flaw> {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    match text {
        "" => Err(Flaw::new("the name is empty")),
        _ if text.len() > 128 => Err(Flaw::new("the name is longer than 128 bytes")),
        _ if text.contains(odd) => Err(Flaw::new("a name has no spaces and no control characters")),
        _ => Ok(text.into()),
    }
}

/// A scope (`scope-token` of RFC 6749 section 3.3).
pub(super) fn scope(text: &str) -> Result<Box<str>, Flaw> {
    let scope_byte = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !text.is_empty() && text.bytes().all(scope_byte) {
        return Ok(text.into());
    }
    let flaw = Flaw::new("not a scope (RFC 6749 section 3.3)");
    Err(if text.contains(' ') { flaw.hint("several scopes are several items of the list") } else { flaw })
}

/// A value that a claim may have: anything that is there.
pub(super) fn claim_value(text: &str) -> Result<Box<str>, Flaw> {
    if text.is_empty() { Err(Flaw::new("the text is empty")) } else { Ok(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("30").unwrap_err().hint.unwrap(), "write `30s` for seconds");
        assert_eq!(duration("30d"), duration("720h"));
        for odd in ["", "s", "-1s", "1.5s", " 1s", "1s ", "1S", "1 s", "99999999999999999999s", "9999999999h"] {
            assert!(duration(odd).is_err(), "{odd}");
        }
        assert!(positive_duration("0ms").is_err());
        assert!(whole_seconds("1500ms").is_err());
        assert_eq!(whole_seconds("2000ms"), Ok(2));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("16KiB"), Ok(16_384));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("1MB").unwrap_err().hint.unwrap(), "write `1MiB`");
        for odd in ["", "KiB", "1.5KiB", "-1", "1 KiB", "18446744073709551616", "99999999TiB"] {
            assert!(size(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn addresses_say_what_is_missing() {
        assert_eq!(address(":80").unwrap_err().hint.unwrap(), "write `0.0.0.0:80` for every interface");
        assert_eq!(address("localhost:80").unwrap_err().hint.unwrap(), "write `127.0.0.1:80`");
        assert!(address("[::1]:80").is_ok() && address("::1").is_err() && address("1.2.3.4").is_err());
    }

    #[test]
    fn networks_are_exact() {
        assert_eq!(network("10.1.2.3/8").unwrap_err().hint.unwrap(), "write `10.0.0.0/8`");
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert!(network("10.0.0.0/33").is_err() && network("x").is_err());
    }

    #[test]
    fn scopes_are_tokens() {
        assert!(scope("https://example.com/users:read.all").is_ok());
        for odd in ["", "a b", "a\"b", "a\\b", "é"] {
            assert!(scope(odd).is_err(), "{odd}");
        }
    }
}
