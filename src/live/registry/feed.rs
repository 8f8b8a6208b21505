//! The registry feed of another Sidegate as the source of an issuer's registry.
//!
//! One connection is read for as long as it says something. Whatever goes wrong drops it, and the next one goes on where
//! this one has ended: nothing depends on a connection but how soon a change is known.

mod access;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use self::access::Access;
use super::follower::{Batch, Changes};
use super::wire::{Decoder, Said};
use crate::clock;
use crate::config::authority::RegistryFeed;
use crate::core::registry::Change;
use crate::net::fetch::{Events, Fetcher};

/// Longest silence of a feed, which says every 10 s that nothing has changed.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// Most bytes between two moments at which everything is told: about a million clients.
const BATCH_BYTES_MAX: usize = 512 << 20;

/// A feed that is followed.
pub struct Feed {
    access: Access,
    reading: Option<Reading>,
}

/// A connection that is read.
struct Reading {
    events: Events,
    decoder: Decoder,
    /// Number up to which everything was returned.
    told: u64,
    batch: Collected,
    /// When the last event came.
    heard: Instant,
}

/// What has come since everything was told last.
#[derive(Default)]
struct Collected {
    items: Vec<(u64, Change)>,
    bytes: usize,
}

impl Feed {
    /// The feed at `registry`, which has to be that of the authority of this `iss`.
    #[must_use]
    pub fn new(fetcher: Rc<Fetcher>, iss: Box<str>, registry: RegistryFeed) -> Self {
        Self { access: Access::new(fetcher, iss, registry), reading: None }
    }

    async fn read(&mut self, after: Option<u64>) -> Result<Batch, String> {
        // Whoever asks for something else than what comes next is not told what comes next.
        self.reading = self.reading.take().filter(|reading| after == Some(reading.told));
        let reading = match &mut self.reading {
            Some(reading) => reading,
            none => {
                let told = after.unwrap_or(0);
                none.insert(Reading::new(self.access.open(told).await?, told))
            }
        };
        reading.batch().await
    }
}

impl Changes for Feed {
    async fn next(&mut self, after: Option<u64>) -> Result<Batch, String> {
        let batch = self.read(after).await;
        if batch.is_err() {
            self.reading = None;
        }
        batch
    }
}

impl Reading {
    fn new(events: Events, told: u64) -> Self {
        Self { events, decoder: Decoder::default(), told, batch: Collected::default(), heard: clock::timer() }
    }

    /// What comes until everything is told. What has come so far is kept here and not in the future that this returns.
    async fn batch(&mut self) -> Result<Batch, String> {
        loop {
            while let Some(event) = self.decoder.next_event().map_err(|error| error.to_string())? {
                self.heard = clock::timer();
                match event.said {
                    Said::Change(change) => self.batch.items.push((event.number, change)),
                    Said::Current => return self.current(event.number),
                }
            }
            let bytes = self.more().await?;
            self.batch.bytes = self.batch.bytes.saturating_add(bytes.len());
            if self.batch.bytes > BATCH_BYTES_MAX {
                return Err(format!(
                    "the feed goes on for more than {BATCH_BYTES_MAX} bytes without saying that it is current"
                ));
            }
            self.decoder.push(&bytes);
        }
    }

    async fn more(&mut self) -> Result<Bytes, String> {
        match timeout_at(self.heard + SILENCE, self.events.next()).await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => Err("the authority has ended the feed".to_owned()),
            Ok(Err(error)) => Err(format!("the feed broke off: {error}")),
            Err(_) => Err(format!("the feed has been silent for {} s", SILENCE.as_secs())),
        }
    }

    fn current(&mut self, number: u64) -> Result<Batch, String> {
        let Collected { items, bytes: _ } = std::mem::take(&mut self.batch);
        if items.iter().any(|(of_item, _)| *of_item > number) {
            return Err("the feed has a change of a later number than the one it says it is current with".to_owned());
        }
        self.told = number;
        Ok(Batch { number, items })
    }
}
