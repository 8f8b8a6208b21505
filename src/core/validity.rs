//! From when to when a token is valid (RFC 7519 sections 4.1.4 to 4.1.6).

use super::json::{Json, Object};
use super::rejection::{Reason, Rejection};
use super::snapshot::Issuer;
use super::time::UnixSeconds;

/// 9999-12-31T23:59:59Z. A later date is milliseconds taken for seconds, and a token that never expires.
const LATEST: i64 = 253_402_300_799;

/// `exp`, `nbf` and `iat` of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    expires: NumericDate,
    not_before: Option<NumericDate>,
    issued: Option<NumericDate>,
}

/// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NumericDate {
    /// The whole seconds before it.
    floor: UnixSeconds,
    has_fraction: bool,
}

impl NumericDate {
    /// The whole seconds after it.
    fn ceiling(self) -> UnixSeconds {
        if self.has_fraction { self.floor.plus(1) } else { self.floor }
    }
}

impl Validity {
    /// Reads the dates of a claims set.
    ///
    /// # Errors
    /// `token_malformed` without `exp`, and for a date that is no number or behind the year 9999. A date that is there
    /// and cannot be read is never taken for one that is absent.
    pub(super) fn read(claims: &Object<'_>) -> Result<Self, Rejection> {
        let expires = date(claims, "exp")?.ok_or_else(|| malformed("the token has no exp".into()))?;
        Ok(Self { expires, not_before: date(claims, "nbf")?, issued: date(claims, "iat")? })
    }

    /// The first whole second at which the token is expired, without leeway.
    pub(super) fn expires(&self) -> UnixSeconds {
        self.expires.ceiling()
    }

    /// The first whole second at which [`Self::check`] finds the token expired or too old.
    pub(super) fn ends(&self, issuer: &Issuer) -> UnixSeconds {
        let leeway = issuer.leeway_seconds;
        let expires = self.expires.ceiling().plus(leeway);
        let aged = issuer.max_token_age_seconds.zip(self.issued);
        let aged = aged.map(|(age_max, issued)| issued.floor.plus(age_max.saturating_add(leeway)).plus(1));
        aged.map_or(expires, |aged| aged.min(expires))
    }

    /// Checks the dates against the clock, with the issuer's leeway on each side.
    ///
    /// # Errors
    /// `token_expired`, `token_not_yet_valid`, `token_too_old`.
    pub(super) fn check(&self, issuer: &Issuer, now: UnixSeconds) -> Result<(), Rejection> {
        let leeway = issuer.leeway_seconds;
        if now >= self.expires.ceiling().plus(leeway) {
            return Err(at(Reason::TokenExpired, "exp", self.expires, now));
        }
        let future = |date: &NumericDate| date.ceiling() > now.plus(leeway);
        if let Some(date) = self.not_before.filter(future) {
            return Err(at(Reason::TokenNotYetValid, "nbf", date, now));
        }
        if let Some(date) = self.issued.filter(future) {
            return Err(at(Reason::TokenNotYetValid, "iat", date, now));
        }
        match issuer.max_token_age_seconds {
            Some(age_max) => self.check_age(age_max.saturating_add(leeway), now),
            None => Ok(()),
        }
    }

    fn check_age(&self, seconds_max: i64, now: UnixSeconds) -> Result<(), Rejection> {
        match self.issued {
            None => Err(Rejection::new(Reason::TokenTooOld, "the token has no iat to tell its age by")),
            Some(issued) if now > issued.floor.plus(seconds_max) => Err(at(Reason::TokenTooOld, "iat", issued, now)),
            Some(_) => Ok(()),
        }
    }
}

fn date(claims: &Object<'_>, name: &'static str) -> Result<Option<NumericDate>, Rejection> {
    let (floor, has_fraction) = match claims.get(name) {
        None => return Ok(None),
        Some(Json::Integer(seconds)) => (*seconds, false),
        #[expect(clippy::cast_possible_truncation, reason = "the parser has bounded floats to the range of an i64")]
        Some(Json::Float(seconds)) => (seconds.floor() as i64, seconds.fract() != 0.0),
        Some(_) => return Err(malformed(format!("{name} is not a number"))),
    };
    let date = NumericDate { floor: UnixSeconds(floor), has_fraction };
    if date.ceiling() > UnixSeconds(LATEST) {
        return Err(malformed(format!("{name} lies behind the year 9999")));
    }
    Ok(Some(date))
}

fn at(reason: Reason, name: &str, date: NumericDate, now: UnixSeconds) -> Rejection {
    Rejection::new(reason, format!("{name} is {} and now is {}", date.floor.0, now.0))
}

fn malformed(detail: String) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}
