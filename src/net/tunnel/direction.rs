//! One direction of a tunnel: from whom it is read, to whom it is written, and how it ends.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{Io, Protocol};
use crate::net::websocket::Frames;

/// Bytes read at once, and about the most that is held of a direction.
const READ_BYTES: usize = 16 * 1024;

/// One direction. It is read on only when everything before is written: whoever is slow slows the other side down.
pub(super) struct Direction {
    /// Read and not yet written. Given up while nothing comes: there may be many tunnels that are silent.
    buffer: BytesMut,
    stage: Stage,
    /// Where its frames end, if it is a WebSocket's.
    frames: Option<Frames>,
    /// Bytes passed on.
    passed: Rc<Cell<u64>>,
    moved: Instant,
}

/// How far a direction is.
enum Stage {
    /// Passing on whatever comes.
    Open,
    /// Passing on the rest of a frame, and then this close frame.
    Parting(Vec<u8>),
    /// The close frame is sent or about to be, if there is to be one; what comes is dropped until a close frame answers it.
    Parted,
    /// Nothing more comes: what is left is written, and then the end.
    Ending,
    /// Over.
    Ended,
}

impl Direction {
    /// A direction of a tunnel that speaks `protocol`. Counts in `passed` what it passes on.
    pub(super) fn new(protocol: Protocol, passed: Rc<Cell<u64>>) -> Self {
        let frames = (protocol == Protocol::WebSocket).then(Frames::default);
        Self { buffer: BytesMut::new(), stage: Stage::Open, frames, passed, moved: Instant::now() }
    }

    /// When it was last read or written.
    pub(super) fn moved(&self) -> Instant {
        self.moved
    }

    /// Whether there is something that is not being taken.
    pub(super) fn has_unsent(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Ready once the end of `from` was passed on to `to`.
    ///
    /// # Errors
    /// Either of them failed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl Io + ?Sized),
        to: &mut (impl Io + ?Sized),
    ) -> Poll<io::Result<()>> {
        loop {
            if matches!(self.stage, Stage::Ended) {
                return Poll::Ready(Ok(()));
            }
            let written = self.poll_write(cx, to)?;
            match self.stage {
                // Whoever does not take the close frame must not keep the other side's from being seen.
                Stage::Parted => ready!(self.poll_read(cx, from))?,
                Stage::Open | Stage::Parting(_) => {
                    ready!(written);
                    ready!(self.poll_read(cx, from))?;
                }
                Stage::Ending => {
                    ready!(written);
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.stage = Stage::Ended;
                }
                Stage::Ended => {}
            }
        }
    }

    /// Has `frame`, a close frame, sent at the next boundary, and nothing behind it.
    pub(super) fn part(&mut self, frame: Vec<u8>) {
        if matches!(self.stage, Stage::Open) {
            self.stage = Stage::Parting(frame);
            self.part_at_boundary();
        }
    }

    /// Has nothing more passed on, not even the rest of a frame.
    pub(super) fn cut(&mut self) {
        if matches!(self.stage, Stage::Open | Stage::Parting(_)) {
            self.stage = Stage::Parted;
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut (impl Io + ?Sized)) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.buffer.advance(written),
            }
            self.moved = Instant::now();
        }
        Pin::new(to).poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut (impl Io + ?Sized)) -> Poll<io::Result<()>> {
        let before = self.buffer.len();
        self.buffer.reserve(READ_BYTES);
        let Poll::Ready(read) = pin!(from.read_buf(&mut self.buffer)).poll(cx)? else {
            if before == 0 {
                self.buffer = BytesMut::new();
            }
            return Poll::Pending;
        };
        self.moved = Instant::now();
        if read == 0 {
            self.stage = Stage::Ending;
        } else {
            self.sort(before);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps of what was just read, behind `before`, what is to be passed on.
    fn sort(&mut self, before: usize) {
        let fresh = self.buffer.get(before..).unwrap_or_default();
        let kept = match (&self.stage, &mut self.frames) {
            (Stage::Parting(_), Some(frames)) => frames.follow_one(fresh),
            (Stage::Parted, _) => 0,
            (_, None) => fresh.len(),
            (_, Some(frames)) => {
                frames.follow(fresh);
                fresh.len()
            }
        };
        self.passed.set(self.passed.get() + kept as u64);
        let dropped = if kept < fresh.len() { self.buffer.split_off(before + kept) } else { BytesMut::new() };
        self.part_at_boundary();
        self.drop_after_parting(&dropped);
    }

    fn part_at_boundary(&mut self) {
        let Some(frames) = self.frames.as_ref().filter(|frames| frames.at_boundary()) else { return };
        if let Stage::Parting(frame) = &self.stage {
            // Nothing may follow a close frame, not even another.
            if !frames.closed() {
                self.buffer.extend_from_slice(frame);
            }
            self.stage = Stage::Parted;
            self.drop_after_parting(&[]);
        }
    }

    /// Looks through what is not passed on for the close frame with which the direction ends.
    fn drop_after_parting(&mut self, dropped: &[u8]) {
        if let (Stage::Parted, Some(frames)) = (&self.stage, &mut self.frames) {
            frames.follow(dropped);
            if frames.closed() {
                self.stage = Stage::Ending;
            }
        }
    }
}
