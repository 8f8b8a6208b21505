//! Where workers hand over requests for the authority. They do not answer them: to sign takes long enough to be felt by
//! every other request of a worker.

use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, oneshot};

use super::Call;

/// Requests that may wait. Those beyond are refused: whoever waits longer has gone away by then.
const WAITING_MAX: usize = 1024;

/// A place to hand over requests. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Desk(mpsc::Sender<Handed>);

/// A request that was handed over.
pub struct Handed {
    /// The request.
    pub call: Call,
    /// Where its answer is waited for.
    pub reply: oneshot::Sender<Response<Bytes>>,
}

impl Desk {
    /// A desk, and the other side of it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Handed>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// The answer to a request; `None` if there are too many already, or nobody is there to answer.
    pub async fn ask(&self, call: Call) -> Option<Response<Bytes>> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Handed { call, reply }).ok()?;
        answer.await.ok()
    }
}
