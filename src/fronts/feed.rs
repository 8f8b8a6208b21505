//! The registry feed: what has changed of the authority's clients, told to gateways that have no business with its storage.
//!
//! A reader is a number: everything up to it was told. What is newer is read from the mirror that the gateway itself
//! decides by, so that a slow reader holds back nothing and skips what was overtaken. Readers that know the same are sent the
//! same bytes, which are made once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::config::authority::ISSUER_NAME;
use crate::live::registry::wire::{Event, Said};
use crate::live::registry::{Mirror, RegistryStates};
use crate::live::state::Live;
use crate::worker::Phase;

/// Silence after which a reader is told that nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What is written at a time, in bytes, but for the last event of it.
const PIECE_BYTES: usize = 32 * 1024;
/// Pieces that may wait for a reader.
const PIECES_MAX: usize = 1;
/// Pieces that are remembered: one for each number that many readers know when something changes.
const REMEMBERED_MAX: usize = 8;

/// What feeds are made from. Clones are the same one.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) live: Arc<Live>,
    pub(super) states: RegistryStates,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) newest: Newest,
}

/// A client that reads a feed.
pub(super) struct Reader {
    /// Its id.
    pub(super) client_id: Box<str>,
    /// Number of its last change when it was let in. After another one it has to be let in again.
    pub(super) version: u64,
}

impl Feed {
    /// Tells what is newer than the change of this number, from now on; `None` if the authority does not know itself.
    pub(super) fn read(&self, reader: Reader, after: u64) -> Option<mpsc::Receiver<Bytes>> {
        self.mirror()?;
        let (pieces, body) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_local(self.clone().write(reader, after, pieces));
        Some(body)
    }

    /// The mirror, as long as it is what the storage says.
    fn mirror(&self) -> Option<Arc<Mirror>> {
        let in_step = self.states.get(ISSUER_NAME).is_some_and(|state| state.error.is_none());
        let live = self.live.load();
        let own = live.own_registry().filter(|own| in_step && own.mirror.is_complete())?;
        Some(Arc::clone(&own.mirror))
    }

    /// Writes until there is a reason to end: the reader is gone or not let in any more, the process drains, or the authority
    /// does not know itself any more, which the reader has to learn.
    async fn write(mut self, reader: Reader, mut told: u64, pieces: mpsc::Sender<Bytes>) {
        let mut swapped = self.live.changes();
        let mut word_is_due = None;
        loop {
            swapped.borrow_and_update();
            let Some(mirror) = self.mirror().filter(|mirror| reader.is_let_in(mirror)) else { return };
            let now = clock::timer();
            // Whoever knows more has followed a gateway that is ahead of this one, or a storage that was put back since: that
            // is seen when the next word is due.
            let is_ahead = told > mirror.number();
            let due = *word_is_due.get_or_insert(if is_ahead { now + HEARTBEAT } else { now });
            let piece = if told < mirror.number() {
                let piece = self.newest.piece(&mirror, told);
                (told, word_is_due) = (piece.last, Some(now + HEARTBEAT));
                Some(piece.bytes)
            } else if now >= due {
                (told, word_is_due) = (mirror.number(), Some(now + HEARTBEAT));
                Some(current(told))
            } else {
                None
            };
            // Nothing of a mirror is held while a reader is waited for.
            drop(mirror);
            tokio::select! {
                goes_on = send(&pieces, piece, &mut swapped, due) => if !goes_on { return },
                _ = self.phase.wait_for(|phase| *phase != Phase::Serving) => return,
            }
        }
    }
}

/// Sends a piece as soon as there is room for it. Without one it waits for the next thing that can have changed. Whether the
/// reader is still there.
async fn send(
    pieces: &mpsc::Sender<Bytes>,
    piece: Option<Bytes>,
    swapped: &mut watch::Receiver<()>,
    due: Instant,
) -> bool {
    if let Some(piece) = piece {
        return pieces.send(piece).await.is_ok();
    }
    tokio::select! {
        changed = swapped.changed() => changed.is_ok(),
        () = sleep_until(due) => true,
        () = pieces.closed() => false,
    }
}

impl Reader {
    fn is_let_in(&self, mirror: &Mirror) -> bool {
        mirror
            .client(&self.client_id)
            .is_some_and(|client| client.version == self.version && clock::now() < client.expires)
    }
}

/// Some events, and the number up to which they tell everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    bytes: Bytes,
    last: u64,
}

impl Piece {
    /// The next events, and behind the last one of all that everything was told.
    fn of(mirror: &Mirror, told: u64) -> Self {
        let (mut bytes, mut last) = (BytesMut::new(), told);
        for (number, change) in mirror.after(told) {
            if bytes.len() >= PIECE_BYTES {
                return Self { bytes: bytes.freeze(), last };
            }
            last = number;
            bytes.extend_from_slice(&Event { number, said: Said::Change(change.clone()) }.encode());
        }
        last = last.max(mirror.number());
        bytes.extend_from_slice(&current(last));
        Self { bytes: bytes.freeze(), last }
    }
}

/// The newest pieces, so that they are made once for all readers, and not once for each. What leads to the end of a long way
/// is remembered, and not the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    mirror: Arc<Mirror>,
    /// By the number up to which their readers knew everything.
    pieces: Vec<(u64, Piece)>,
}

impl Newest {
    fn piece(&self, mirror: &Arc<Mirror>, told: u64) -> Piece {
        // No panic leaves it half-changed.
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&remembered.mirror, mirror) {
            *remembered = Remembered { mirror: Arc::clone(mirror), pieces: Vec::new() };
        }
        if let Some((_, piece)) = remembered.pieces.iter().find(|(from, _)| *from == told) {
            return piece.clone();
        }
        let piece = Piece::of(mirror, told);
        if piece.last == mirror.number() && remembered.pieces.len() < REMEMBERED_MAX {
            remembered.pieces.push((told, piece.clone()));
        }
        piece
    }
}

fn current(number: u64) -> Bytes {
    Event { number, said: Said::Current }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::registry::Change;

    fn mirror(clients: u64) -> Arc<Mirror> {
        let mut mirror = Mirror::default();
        for number in 1..=clients {
            mirror.apply(number, Change::Deleted { id: format!("client-{number}").into() });
        }
        mirror.complete();
        Arc::new(mirror)
    }

    #[test]
    fn readers_that_know_the_same_share_the_bytes_of_what_is_new() {
        let (newest, before, after) = (Newest::default(), mirror(1), mirror(2));
        let [one, other] = [(); 2].map(|()| newest.clone().piece(&after, 1));
        assert_eq!(one.bytes.as_ptr(), other.bytes.as_ptr());
        assert_eq!(
            one.bytes,
            "id: 2\nevent: deleted\ndata: {\"client_id\":\"client-2\"}\n\nid: 2\nevent: current\ndata: {}\n\n"
        );
        assert_ne!(newest.piece(&after, 0), one);
        assert_eq!(newest.piece(&before, 0).last, 1, "another mirror says something else");
        let many = mirror(100);
        (0..100).for_each(|told| drop(newest.piece(&many, told)));
        assert_eq!(newest.0.lock().unwrap().pieces.len(), REMEMBERED_MAX);
    }

    #[test]
    fn a_long_way_comes_in_pieces_that_nobody_keeps() {
        let (newest, mirror) = (Newest::default(), mirror(10_000));
        let (mut told, mut pieces, mut all) = (0, 0, Vec::new());
        while told < mirror.number() {
            let piece = newest.piece(&mirror, told);
            assert!(piece.bytes.len() < PIECE_BYTES + 1024);
            (told, pieces) = (piece.last, pieces + 1);
            all.extend_from_slice(&piece.bytes);
        }
        let ids = String::from_utf8(all).unwrap();
        assert_eq!((ids.matches("deleted").count(), ids.matches("current").count()), (10_000, 1));
        assert!(pieces > 10 && newest.0.lock().unwrap().pieces.len() == 1);
    }
}
