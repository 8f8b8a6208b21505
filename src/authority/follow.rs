//! The storage as the source of this gateway's registry.

use tokio::sync::watch;

use super::store::Store;
use crate::live::registry::{Batch, Changes};

/// A storage that is followed.
pub struct FollowedStore {
    /// The storage.
    pub store: Store,
    /// Told the number of the last change of signing keys.
    pub keys: watch::Sender<u64>,
    /// Told the number up to which this gateway goes by what is stored.
    pub in_force: watch::Sender<u64>,
    /// Whether the storage could not be followed the last time.
    pub is_lost: bool,
    /// How often another file had taken its place the last time.
    pub replaced: u64,
}

impl Changes for FollowedStore {
    async fn next(&mut self, after: Option<u64>) -> Result<Batch, String> {
        // Whoever asks for more has put in force what came before.
        self.in_force.send_replace(after.unwrap_or(0));
        let found = async {
            // A storage that is there again is looked at, whether there is anything new or not: that is what tells that
            // nothing was missed.
            if let Some(number) = after.filter(|_| !self.is_lost) {
                self.store.changed(number).await?;
            }
            self.store.changes(after.unwrap_or(0)).await
        };
        let found = found.await;
        self.is_lost = found.is_err();
        let changes = found.map_err(|error| error.to_string())?;
        let replaced = self.store.replaced();
        let is_another = std::mem::replace(&mut self.replaced, replaced) != replaced;
        if is_another && after.is_some_and(|number| number > 0) {
            // Its numbers may be as high, and say something else: as if they had gone back, everything has to be read anew.
            return Ok(Batch::default());
        }
        self.keys.send_if_modified(|number| std::mem::replace(number, changes.keys_number) != changes.keys_number);
        Ok(Batch { number: changes.number, items: changes.items })
    }
}
