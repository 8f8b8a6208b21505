//! When a connection has to end although nobody has closed it, and why.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;
use tokio::time::{Instant, Sleep, sleep};

use super::watch::Watch;
use crate::net::service::Limits;

/// How long a client has to answer, before a worker's end, that it has seen it coming: requests that it sent until then
/// are served. `h2` closes the connection as soon as there is an answer and no stream.
const HURRY: Duration = Duration::from_secs(1);

/// Why a connection is ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was under way for long enough.
    Idle,
    /// A block of header fields stays incomplete, and nothing else can come meanwhile.
    SlowHead,
    /// The client takes nothing.
    Blocked,
    /// The client sends more of what costs it nothing than is allowed.
    Flood,
    /// The client breaks the rules of HTTP/2.
    Broken,
}

impl End {
    /// Of a connection that `h2` has ended; `None` if it was the client, or the network.
    pub(super) fn by_rule(error: &h2::Error) -> Option<Self> {
        match error.reason() {
            _ if !error.is_library() => None,
            Some(Reason::ENHANCE_YOUR_CALM) => Some(Self::Flood),
            _ => Some(Self::Broken),
        }
    }

    /// What the client is told.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Idle | Self::Blocked => Reason::NO_ERROR,
            Self::SlowHead | Self::Flood => Reason::ENHANCE_YOUR_CALM,
            Self::Broken => Reason::PROTOCOL_ERROR,
        }
    }
}

/// When a connection has to end.
pub(super) struct Clock {
    watch: Watch,
    limits: Limits,
    /// How long nothing may be under way: at first as long as a request may take to arrive.
    quiet_max: Duration,
    quiet_since: Option<Instant>,
    /// The worker ends.
    hurried: bool,
    timer: Pin<Box<Sleep>>,
}

impl Clock {
    pub(super) fn new(watch: Watch, limits: Limits) -> Self {
        let quiet_max = limits.request_head;
        let timer = Box::pin(sleep(quiet_max));
        Self { watch, limits, quiet_max, quiet_since: Some(Instant::now()), hurried: false, timer }
    }

    /// So many streams are open.
    pub(super) fn set_open(&mut self, streams: usize) {
        if streams > 0 {
            self.quiet_since = None;
            self.quiet_max = if self.hurried { HURRY } else { self.limits.idle };
        } else {
            self.quiet_since.get_or_insert_with(Instant::now);
        }
    }

    /// From now on the connection ends soon after its last stream.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
        self.quiet_max = HURRY;
        self.quiet_since = self.quiet_since.map(|_| Instant::now());
    }

    /// Ready when the connection has to end. The timer is not moved with every event but looks, when it fires, what has
    /// happened since.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.watch.is_flooded() {
            return Poll::Ready(End::Flood);
        }
        loop {
            let Some((deadline, end)) = self.next_end() else { return Poll::Pending };
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= deadline {
                return Poll::Ready(end);
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    fn next_end(&self) -> Option<(Instant, End)> {
        let Limits { request_head, idle, .. } = self.limits;
        let blocked = self.watch.blocked_since();
        // Whoever still takes what there is for it is not idle.
        let quiet = self.quiet_since.filter(|_| blocked.is_none()).map(|since| (since + self.quiet_max, End::Idle));
        let block = self.watch.block_since().map(|since| (since + request_head, End::SlowHead));
        let blocked = blocked.map(|since| (since + idle, End::Blocked));
        [quiet, block, blocked].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}
