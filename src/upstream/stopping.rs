//! Tasks that end with whoever wants what they do.

use tokio::task::AbortHandle;

/// Stops a task when it is dropped.
#[derive(Debug)]
pub(super) struct Stopping(AbortHandle);

impl Stopping {
    /// Has `task` go on for as long as this is kept. Has to run within a `LocalRuntime` or a `LocalSet`.
    pub(super) fn spawn(task: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(task).abort_handle())
    }

    /// Whether the task has come to its end.
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
