//! Whether requests may be sent here.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far the process has come. It only ever goes on: once ready, only draining makes it unready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Not every listener is bound yet.
    Starting = 0,
    /// Every listener is bound.
    Ready = 1,
    /// The process was told to end.
    Draining = 2,
}

impl Phase {
    /// Why not ready, for people; `None` if ready.
    #[must_use]
    pub const fn cause(self) -> Option<&'static str> {
        match self {
            Self::Starting => Some("starting: not every listener is bound yet"),
            Self::Ready => None,
            Self::Draining => Some("draining: the process is about to end"),
        }
    }
}

/// The phase, shared by all who have to know.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Goes on to `phase`; there is no way back.
    pub fn advance(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_way_back() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.advance(Phase::Ready);
        readiness.advance(Phase::Starting);
        assert_eq!(readiness.phase(), Phase::Ready);
        readiness.advance(Phase::Draining);
        readiness.advance(Phase::Ready);
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
