//! What is kept an eye on while frames pass: frames that cost a client nothing, header blocks that do not end, and a
//! socket that takes nothing.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::frames::{Frames, Kind};
use crate::net::service::Clients;

/// Bytes of the connection preface (RFC 9113 section 3.4), which come before the first frame.
const PREFACE_BYTES: usize = 24;

/// Frames that carry nothing (PING, SETTINGS, PRIORITY, empty DATA, unknown ones): a client may send this many at once, and
/// as many a second.
const CONTROL_AT_ONCE: u32 = 2048;
const CONTROL_A_SECOND: u32 = 512;
/// And one more for every so many bytes that it was sent: whoever receives may measure how far away we are. An answer to a
/// PING has half of that.
const BYTES_FOR_A_CONTROL: usize = 32;
/// The same for WINDOW_UPDATE. Nothing answers it, so that none can be earned by another. gRPC's clients give the room of
/// each message back at once, twice: to its stream and to the connection. A DATA frame has ten bytes and more, and as many
/// can wait for theirs as fit in the client's windows.
const UPDATES_AT_ONCE: u32 = 32 * 1024;
const UPDATES_A_SECOND: u32 = 512;
const BYTES_FOR_AN_UPDATE: usize = 4;
/// Streams that a client may reset. Each has cost a decision and perhaps a connection to a backend, and a client that
/// resets at once is held to no number of streams (CVE-2023-44487). A proxy before us resets whatever its own clients
/// abandon, so there have to be some.
const RESETS_AT_ONCE: u32 = 512;
const RESETS_A_SECOND: u32 = 256;
/// The same for a proxy that asks and is answered at once: a few thousand of its clients may leave together.
const RESETS_OF_PROXIES_AT_ONCE: u32 = 32 * 1024;
const RESETS_OF_PROXIES_A_SECOND: u32 = 16 * 1024;

/// Shared by the connection and the [`Wire`](super::wire::Wire) below it.
#[derive(Debug, Clone)]
pub(super) struct Watch(Rc<RefCell<Watched>>);

#[derive(Debug)]
struct Watched {
    frames: Frames,
    control: Allowance,
    updates: Allowance,
    resets: Allowance,
    written: usize,
    flooded: bool,
    block_since: Option<Instant>,
    blocked_since: Option<Instant>,
}

impl Watch {
    pub(super) fn new(clients: Clients) -> Self {
        let now = Instant::now();
        let (resets_at_once, resets_a_second) = match clients {
            Clients::Any => (RESETS_AT_ONCE, RESETS_A_SECOND),
            Clients::Proxies => (RESETS_OF_PROXIES_AT_ONCE, RESETS_OF_PROXIES_A_SECOND),
        };
        Self(Rc::new(RefCell::new(Watched {
            frames: Frames::behind(PREFACE_BYTES),
            control: Allowance::new(CONTROL_AT_ONCE, CONTROL_A_SECOND, now),
            updates: Allowance::new(UPDATES_AT_ONCE, UPDATES_A_SECOND, now),
            resets: Allowance::new(resets_at_once, resets_a_second, now),
            written: 0,
            flooded: false,
            block_since: None,
            blocked_since: None,
        })))
    }

    /// These bytes were read.
    pub(super) fn read(&self, bytes: &[u8]) {
        self.0.borrow_mut().read(bytes, Instant::now());
    }

    /// So many bytes were written.
    pub(super) fn wrote(&self, bytes: usize) {
        let watched = &mut *self.0.borrow_mut();
        watched.blocked_since = None;
        watched.updates.grant(bytes / BYTES_FOR_AN_UPDATE);
        watched.written += bytes;
        watched.control.grant(watched.written / BYTES_FOR_A_CONTROL);
        watched.written %= BYTES_FOR_A_CONTROL;
    }

    /// The socket takes nothing more at present.
    pub(super) fn is_blocked(&self) {
        self.0.borrow_mut().blocked_since.get_or_insert_with(Instant::now);
    }

    /// Whether more has come than is allowed. Nothing is to be read any more.
    pub(super) fn is_flooded(&self) -> bool {
        self.0.borrow().flooded
    }

    /// Since when a block of header fields has been incomplete. Nothing else can come on the connection meanwhile.
    pub(super) fn block_since(&self) -> Option<Instant> {
        self.0.borrow().block_since
    }

    /// Since when the client has taken nothing of what there is for it.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.0.borrow().blocked_since
    }
}

impl Watched {
    fn read(&mut self, bytes: &[u8], now: Instant) {
        let Self { frames, control, updates, resets, flooded, .. } = self;
        frames.walk(bytes, |frame| {
            *flooded |= !match frame.kind {
                Kind::Reset => resets.take(now),
                Kind::WindowUpdate => updates.take(now),
                Kind::Control => control.take(now),
                Kind::Data if frame.is_empty_data() => control.take(now),
                // What these can cost has a bound of its own: windows, the number of streams, the size of a head.
                Kind::Data | Kind::Headers | Kind::Continuation => true,
            }
        });
        match self.frames.is_in_block() {
            true => self.block_since = self.block_since.or(Some(now)),
            false => self.block_since = None,
        }
    }
}

/// A number of things that may happen, which grows again with time.
#[derive(Debug)]
struct Allowance {
    left: u32,
    max: u32,
    a_second: u32,
    since: Instant,
}

impl Allowance {
    fn new(max: u32, a_second: u32, now: Instant) -> Self {
        Self { left: max, max, a_second, since: now }
    }

    /// Whether one more is allowed.
    fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.grow(now);
        }
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }

    /// Looked at only when nothing is left, so that a frame costs no division.
    fn grow(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.since).as_millis();
        let grown = usize::try_from(millis * u128::from(self.a_second) / 1000).unwrap_or(usize::MAX);
        if grown > 0 {
            self.since = now;
            self.grant(grown);
        }
    }

    fn grant(&mut self, more: usize) {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(allowance: &mut Allowance, now: Instant) -> usize {
        (0..10_000).take_while(|_| allowance.take(now)).count()
    }

    #[test]
    fn an_allowance_is_used_up_and_grows_again() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(100, 10, begin);
        assert_eq!(taken(&mut allowance, begin), 100);
        assert_eq!(taken(&mut allowance, begin + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut allowance, begin + Duration::from_millis(500)), 5);
        assert_eq!(taken(&mut allowance, begin + Duration::from_secs(3600)), 100, "never more than at once");
    }

    #[test]
    fn pings_that_are_answered_run_out_all_the_same() {
        let watch = Watch::new(Clients::Any);
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        watch.read(&[0; PREFACE_BYTES]);
        let answered = (0..100_000).take_while(|_| {
            watch.read(&ping);
            watch.wrote(ping.len());
            !watch.is_flooded()
        });
        assert!((2048..10_000).contains(&answered.count()));
    }

    const WINDOW_UPDATE: [u8; 13] = [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 1, 0];

    #[test]
    fn whoever_receives_may_give_the_room_back_message_by_message() {
        let watch = Watch::new(Clients::Any);
        watch.read(&[0; PREFACE_BYTES]);
        for _ in 0..100_000 {
            watch.wrote(9 + 1);
            watch.read(&WINDOW_UPDATE);
            watch.read(&WINDOW_UPDATE);
        }
        assert!(!watch.is_flooded());
    }

    #[test]
    fn room_that_nobody_took_is_not_given_back_for_ever() {
        let watch = Watch::new(Clients::Any);
        watch.read(&[0; PREFACE_BYTES]);
        let given = (0..1_000_000).take_while(|_| {
            watch.read(&WINDOW_UPDATE);
            !watch.is_flooded()
        });
        assert!((32_768..100_000).contains(&given.count()));
    }
}
