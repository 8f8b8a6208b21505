//! The head of a request, whatever version of HTTP it came by: HTTP/1.1 and HTTP/2 make the same value of it, so that
//! nothing behind can treat one less strictly than the other.

use std::cell::OnceCell;

use http::header::EXPECT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::core::fields::{Fields, Lines, Occurs};

/// Request line and header fields. Has no `Debug`: the fields hold the token, and the target the query.
#[derive(Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The version: 1.0, 1.1 or 2.
    pub version: Version,
    /// What the client wants the connection (HTTP/1.1, RFC 9110 section 7.8) or the stream (HTTP/2, RFC 8441) to become,
    /// if anything: the protocol's name, such as `websocket`. The method is then what it is in HTTP/1.1, for HTTP/2 too.
    pub upgrade: Option<HeaderValue>,
    target: Box<str>,
    fields: HeadFields,
}

#[derive(Clone)]
enum HeadFields {
    /// As they came in HTTP/1.1, and as a map once somebody has asked for one.
    Lines(Lines, OnceCell<Box<HeaderMap>>),
    Map(HeaderMap),
}

/// Why a head is refused. The texts are for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not the syntax of RFC 9112.
    #[error("{0}")]
    Malformed(&'static str),
    /// Longer than allowed, in bytes or in fields.
    #[error("the request head is longer than limits.header_bytes, or has too many fields")]
    TooLarge,
}

impl Head {
    /// A head without upgrade.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for a target that is not UTF-8.
    pub fn new(method: Method, target: &[u8], version: Version, headers: HeaderMap) -> Result<Self, HeadError> {
        let target = Self::target_of(target)?;
        Ok(Self { method, version, upgrade: None, target, fields: HeadFields::Map(headers) })
    }

    /// The same with the fields as they came in HTTP/1.1.
    #[must_use]
    pub fn of_lines(method: Method, target: Box<str>, version: Version, lines: Lines) -> Self {
        Self { method, version, upgrade: None, target, fields: HeadFields::Lines(lines, OnceCell::new()) }
    }

    /// A request target, to be kept.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for one that is not UTF-8.
    pub fn target_of(target: &[u8]) -> Result<Box<str>, HeadError> {
        std::str::from_utf8(target).map(Into::into).map_err(|_| HeadError::Malformed("the request target is not UTF-8"))
    }

    /// The fields, to be looked at. Of HTTP/2 the authority is among them, as `Host`.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        match &self.fields {
            HeadFields::Lines(lines, _) => lines.into(),
            HeadFields::Map(map) => map.into(),
        }
    }

    /// The fields as a map. Of HTTP/1.1 one has to be made: no request that is just forwarded needs it.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        match &self.fields {
            HeadFields::Lines(lines, map) => map.get_or_init(|| Box::new(map_of(lines))),
            HeadFields::Map(map) => map,
        }
    }

    /// How many bytes target and fields take up, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.fields {
            HeadFields::Lines(lines, _) => lines.bytes(),
            HeadFields::Map(map) => map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &HeaderName) {
        match &mut self.fields {
            HeadFields::Lines(lines, map) => {
                map.take();
                lines.retain(|is, _| is != name.as_str().as_bytes());
            }
            HeadFields::Map(map) => drop(map.remove(name)),
        }
    }

    /// The fields as a map, to be kept.
    #[must_use]
    pub fn into_headers(self) -> HeaderMap {
        match self.fields {
            HeadFields::Lines(lines, map) => map.into_inner().map_or_else(|| map_of(&lines), |map| *map),
            HeadFields::Map(map) => map,
        }
    }

    /// The request target, byte for byte.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether there is as much `Host` as there has to be (RFC 9112 section 3.2), whatever the target is and whatever two
    /// of them say.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for none in HTTP/1.1 and for more than one.
    pub fn check_host(&self) -> Result<(), HeadError> {
        match self.fields().occurs(&http::header::HOST) {
            Occurs::Never if self.version == Version::HTTP_11 => {
                Err(HeadError::Malformed("an HTTP/1.1 request without Host"))
            }
            Occurs::Never | Occurs::Once(_) => Ok(()),
            Occurs::Again => Err(HeadError::Malformed("more than one Host")),
        }
    }

    /// Whether the client waits for `100 Continue`. There is no other expectation that could be met (RFC 9110 section
    /// 10.1.1), and none that HTTP/1.0 could have.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, HeadError> {
        let mut expectations = self.fields().all(&EXPECT).filter(|_| self.version >= Version::HTTP_11).peekable();
        let any = expectations.peek().is_some();
        if expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
            return Ok(any);
        }
        Err(HeadError::Malformed("an expectation other than 100-continue"))
    }
}

fn map_of(lines: &Lines) -> HeaderMap {
    let mut map = HeaderMap::new();
    lines.append_to(&mut map);
    map
}
