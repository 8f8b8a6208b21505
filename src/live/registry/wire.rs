//! The registry feed on the wire: `text/event-stream` (HTML Living Standard section 9.2). Each event's id is the number of
//! the change, and whoever has seen an id has everything up to it.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::registry::{Change, Registered};
use crate::core::time::UnixSeconds;

/// Longest event in bytes. A client with every bound of its fields used up stays far below.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Something has changed.
    Change(Change),
    /// Everything up to the event's id has been told, and there is nothing newer.
    Current,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number of the change.
    pub number: u64,
    /// What it says.
    pub said: Said,
}

/// Why a feed cannot be read. The text repeats nothing of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// An event is too long.
    #[error("the feed has an event of more than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// An event has no id, or one that is no number.
    #[error("the feed has an event without a change number")]
    Number,
    /// An event cannot be understood, so that nobody knows what it would have ended.
    #[error("the feed has an event that cannot be understood")]
    Data,
}

#[derive(Serialize, Deserialize)]
struct ClientData {
    client_id: Box<str>,
    status: Status,
    generation: u64,
    expires_at: Timestamp,
    scopes: Box<[Box<str>]>,
    roles: Box<[Box<str>]>,
    tenants: Box<[Box<str>]>,
}

/// Whether it is expired is a question of the reader's clock.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Revoked,
}

#[derive(Serialize, Deserialize)]
struct DeletedData {
    client_id: Box<str>,
}

#[derive(Serialize, Deserialize)]
struct ForeignData {
    issuer: Box<str>,
    client_id: Box<str>,
    refused: bool,
}

#[derive(Serialize, Deserialize)]
struct TokenData {
    jti: Box<str>,
    expires_at: Timestamp,
}

impl Event {
    /// The bytes of the event.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (name, data) = match &self.said {
            Said::Current => ("current", Ok("{}".to_owned())),
            Said::Change(Change::Client { id, now }) => ("client", serde_json::to_string(&ClientData::of(id, now))),
            Said::Change(Change::Deleted { id }) => {
                ("deleted", serde_json::to_string(&DeletedData { client_id: id.clone() }))
            }
            Said::Change(Change::Foreign { iss, id, is_refused }) => {
                let data = ForeignData { issuer: iss.clone(), client_id: id.clone(), refused: *is_refused };
                ("foreign", serde_json::to_string(&data))
            }
            Said::Change(Change::Token { jti, expires }) => {
                ("token", serde_json::to_string(&TokenData { jti: jti.clone(), expires_at: timestamp(*expires) }))
            }
        };
        // Texts and numbers always have a JSON form; a reader stops at an event without one, and does not pass it over.
        format!("id: {}\nevent: {name}\ndata: {}\n\n", self.number, data.unwrap_or_default()).into()
    }

    fn decode(text: &str) -> Result<Option<Self>, WireError> {
        let (mut number, mut name, mut data) = (None, "", "");
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => number = value.parse().ok(),
                "event" => name = value,
                "data" => data = value,
                // A comment, or a field of a later time.
                _ => {}
            }
        }
        if name.is_empty() && data.is_empty() {
            return Ok(None);
        }
        let number = number.ok_or(WireError::Number)?;
        Ok(Some(Self { number, said: said(number, name, data).ok_or(WireError::Data)? }))
    }
}

fn said(number: u64, name: &str, data: &str) -> Option<Said> {
    let change = match name {
        "current" => return Some(Said::Current),
        "client" => serde_json::from_str::<ClientData>(data).ok()?.change(number),
        "deleted" => Change::Deleted { id: serde_json::from_str::<DeletedData>(data).ok()?.client_id },
        "foreign" => {
            let ForeignData { issuer, client_id, refused } = serde_json::from_str(data).ok()?;
            Change::Foreign { iss: issuer, id: client_id, is_refused: refused }
        }
        "token" => {
            let TokenData { jti, expires_at } = serde_json::from_str(data).ok()?;
            Change::Token { jti, expires: UnixSeconds(expires_at.as_second()) }
        }
        _ => return None,
    };
    Some(Said::Change(change))
}

impl ClientData {
    fn of(id: &str, now: &Registered) -> Self {
        let Registered { version: _, generation, is_revoked, expires, scopes, roles, tenants } = now;
        Self {
            client_id: id.into(),
            status: if *is_revoked { Status::Revoked } else { Status::Active },
            generation: *generation,
            expires_at: timestamp(*expires),
            scopes: scopes.clone(),
            roles: roles.clone(),
            tenants: tenants.clone(),
        }
    }

    fn change(self, version: u64) -> Change {
        let Self { client_id, status, generation, expires_at, scopes, roles, tenants } = self;
        let now = Registered {
            version,
            generation,
            is_revoked: status == Status::Revoked,
            expires: UnixSeconds(expires_at.as_second()),
            scopes,
            roles,
            tenants,
        };
        Change::Client { id: client_id, now: Arc::new(now) }
    }
}

/// Stops at the ends of the calendar.
fn timestamp(at: UnixSeconds) -> Timestamp {
    Timestamp::from_second(at.0).unwrap_or(if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Reads events as their bytes arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    arrived: BytesMut,
    /// How far `arrived` has been looked through for an end.
    seen: usize,
}

impl Decoder {
    /// More has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    /// The next event, if it is whole.
    ///
    /// # Errors
    /// The feed cannot be read on.
    pub fn next_event(&mut self) -> Result<Option<Event>, WireError> {
        loop {
            let from = self.seen.saturating_sub(1);
            let end = self.arrived.get(from..).and_then(|rest| memchr::memmem::find(rest, b"\n\n")).map(|at| from + at);
            let Some(end) = end else {
                self.seen = self.arrived.len();
                return if self.seen > EVENT_BYTES_MAX { Err(WireError::TooLong) } else { Ok(None) };
            };
            let event = self.arrived.split_to(end);
            self.arrived.advance(2);
            self.seen = 0;
            if event.len() > EVENT_BYTES_MAX {
                return Err(WireError::TooLong);
            }
            let text = std::str::from_utf8(&event).map_err(|_| WireError::Data)?;
            if let Some(event) = Event::decode(text)? {
                return Ok(Some(event));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = Box<str>> {
        "[ -~é\n\"\\\\]{0,12}".prop_map(Into::into)
    }

    fn names() -> impl Strategy<Value = Box<[Box<str>]>> {
        prop::collection::vec(name(), 0..4).prop_map(Into::into)
    }

    prop_compose! {
        fn event()(
            number in any::<u64>(), kind in 0..5, id in name(), other in name(), flag in any::<bool>(),
            generation in any::<u64>(), seconds in 0..253_402_207_200_i64, lists in (names(), names(), names()),
        ) -> Event {
            let expires = UnixSeconds(seconds);
            let said = match kind {
                0 => Said::Current,
                1 => Said::Change(Change::Deleted { id }),
                2 => Said::Change(Change::Foreign { iss: other, id, is_refused: flag }),
                3 => Said::Change(Change::Token { jti: id, expires }),
                _ => {
                    let (scopes, roles, tenants) = lists;
                    let (version, is_revoked) = (number, flag);
                    let now = Registered { version, generation, is_revoked, expires, scopes, roles, tenants };
                    Said::Change(Change::Client { id, now: Arc::new(now) })
                }
            };
            Event { number, said }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_told_arrives_however_it_is_cut(
            events in prop::collection::vec(event(), 0..6),
            piece in 1..50_usize,
        ) {
            let bytes: Vec<u8> = events.iter().flat_map(|event| [&b": hello\n\n"[..], &event.encode()].concat()).collect();
            let (mut decoder, mut read) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                decoder.push(piece);
                while let Some(event) = decoder.next_event().unwrap() {
                    read.push(event);
                }
            }
            prop_assert_eq!(read, events);
        }
    }

    #[test]
    fn what_cannot_be_understood_is_not_passed_over() {
        let read = |text: &str| {
            let mut decoder = Decoder::default();
            decoder.push(text.as_bytes());
            decoder.next_event()
        };
        assert_eq!(read("event: current\ndata: {}\n\n"), Err(WireError::Number));
        assert_eq!(read("id: 7\nevent: deleted\ndata: {\n\n"), Err(WireError::Data));
        assert_eq!(read("id: 7\nevent: renamed\ndata: {}\n\n"), Err(WireError::Data));
        assert_eq!(read(&format!("id: 7\ndata: {}", "x".repeat(EVENT_BYTES_MAX))), Err(WireError::TooLong));
        assert_eq!(read(": nothing\n\nid: 7\nevent: current\n"), Ok(None));
    }
}
