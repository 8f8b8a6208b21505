//! Who waits for a change.

use tokio::sync::oneshot;

use super::StoreError;

/// Somebody who waits for a change after a number.
pub(super) struct Waiter {
    pub(super) after: u64,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Waiter {
    /// Answers all for whom something has happened, and keeps the others but those that have gone. A number that went back
    /// is something as well: the storage was put back to what it was.
    pub(super) fn answer_all(waiters: &mut Vec<Self>, number: &Result<u64, StoreError>) {
        for waiter in std::mem::take(waiters) {
            let answer = match number {
                Ok(number) if *number == waiter.after => {
                    waiters.push(waiter);
                    continue;
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error.clone()),
            };
            let _ = waiter.reply.send(answer);
        }
        waiters.retain(|waiter| !waiter.reply.is_closed());
    }
}
