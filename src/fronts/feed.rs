//! The registry feed: what has changed of the authority's clients, told to gateways that have no business with its storage.
//!
//! A reader is a number: everything up to it was told. What is newer is read from the mirror that the gateway itself
//! decides by, so that a slow reader holds back nothing and skips what was overtaken.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::config::authority::ISSUER_NAME;
use crate::live::registry::wire::{Event, Said};
use crate::live::registry::{Mirror, RegistryStates};
use crate::live::state::Live;
use crate::worker::Phase;

/// Silence after which a reader is told that nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events that are written at a time.
const EVENTS_MAX: usize = 256;
/// Pieces that may wait for a reader.
const PIECES_MAX: usize = 2;

/// What a feed is made from.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) live: Arc<Live>,
    pub(super) states: RegistryStates,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Feed {
    /// Tells what is newer than the change of this number, from now on; `None` if the authority does not know itself.
    pub(super) fn read(&self, after: u64) -> Option<mpsc::Receiver<Bytes>> {
        self.mirror()?;
        let (pieces, body) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_local(self.clone().write(after, pieces));
        Some(body)
    }

    /// The mirror, as long as it is what the storage says.
    fn mirror(&self) -> Option<Arc<Mirror>> {
        let in_step = self.states.get(ISSUER_NAME).is_some_and(|state| state.error.is_none());
        let live = self.live.load();
        let own = live.own_registry().filter(|own| in_step && own.mirror.is_complete())?;
        Some(Arc::clone(&own.mirror))
    }

    async fn write(mut self, mut told: u64, pieces: mpsc::Sender<Bytes>) {
        let mut swapped = self.live.changes();
        loop {
            swapped.borrow_and_update();
            // A reader that is told nothing knows by the silence that nobody knows.
            let Some(mirror) = self.mirror() else { return };
            while told < mirror.number() {
                let (piece, last) = piece(&mirror, told);
                told = last;
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = swapped.changed() => if changed.is_err() { return },
                () = sleep(HEARTBEAT) => {
                    if pieces.send(current(told)).await.is_err() {
                        return;
                    }
                }
                () = pieces.closed() => return,
                _ = self.phase.wait_for(|phase| *phase != Phase::Serving) => return,
            }
        }
    }
}

/// The next events, and the number up to which they tell everything.
fn piece(mirror: &Mirror, told: u64) -> (Bytes, u64) {
    let (mut piece, mut last) = (BytesMut::new(), mirror.number());
    let mut events = mirror.after(told);
    for (number, change) in events.by_ref().take(EVENTS_MAX) {
        last = number;
        piece.extend_from_slice(&Event { number, said: Said::Change(change.clone()) }.encode());
    }
    if events.next().is_none() {
        last = mirror.number();
        piece.extend_from_slice(&current(last));
    }
    (piece.freeze(), last)
}

fn current(number: u64) -> Bytes {
    Event { number, said: Said::Current }.encode()
}
