//! Loads of the configuration, one at a time, and who waits for which.

use std::future::pending;

use tokio::task::JoinHandle;

use super::{Loaded, Reply};

/// The load that is under way, if there is one, and what was asked for since.
#[derive(Default)]
pub(super) struct Loads {
    under_way: Option<UnderWay>,
    /// Who has asked since that began. It may have read the files before they were what these want to have loaded, so that
    /// they wait for the next one, which all of them share.
    asked: Option<Vec<Reply>>,
}

struct UnderWay {
    task: JoinHandle<Loaded>,
    replies: Vec<Reply>,
}

impl Loads {
    /// Notes that a load is asked for.
    pub(super) fn ask(&mut self, reply: Option<Reply>) {
        let asked = self.asked.get_or_insert_default();
        // Who has given up does not count, however long a load hangs and however often another one is asked for.
        asked.retain(|reply| !reply.is_closed());
        asked.extend(reply);
    }

    /// Begins the next load, if one was asked for and none is under way.
    pub(super) fn begin_next(&mut self, begin: impl FnOnce() -> JoinHandle<Loaded>) {
        if self.under_way.is_none()
            && let Some(replies) = self.asked.take()
        {
            self.under_way = Some(UnderWay { task: begin(), replies });
        }
    }

    /// Waits for the end of the load that is under way: what came of it, and who is to be told. Dropping it loses nothing.
    pub(super) async fn end(&mut self) -> (Loaded, Vec<Reply>) {
        let Some(UnderWay { task, replies }) = &mut self.under_way else { return pending().await };
        let loaded = task.await.unwrap_or_else(|_| Err("the reload broke off".to_owned()));
        let replies = std::mem::take(replies);
        self.under_way = None;
        (loaded, replies)
    }
}
