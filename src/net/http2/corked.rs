//! What a connection writes in one turn is sent in one piece.
//!
//! `h2` flushes after each frame of data that is not very short. Where answers of several streams are ready in the same turn that is
//! a system call for each of them, and with TLS a record. So nothing is flushed when `h2` says so, but when the turn is over.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::buffers;

/// How much is gathered, in bytes. A frame that is longer is not copied: it is sent from where it is, behind what is before it.
const ROOM_BYTES: usize = 12 * 1024;

/// A stream that is written to in turns. A clone is the same one.
pub(super) struct Corked<T>(Rc<RefCell<Gathering<T>>>);

struct Gathering<T> {
    stream: T,
    /// What was written in this turn, and what the stream did not take in those before.
    gathered: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
    /// Whether the stream itself may hold something back.
    unflushed: bool,
    /// Whether the stream did not take all when the last turn was over.
    blocked: bool,
    /// What went wrong after a turn was over: for whoever writes next.
    failed: Option<io::Error>,
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    pub(super) fn new(stream: T) -> Self {
        let gathering =
            Gathering { stream, gathered: Vec::new(), sent: 0, unflushed: false, blocked: false, failed: None };
        Self(Rc::new(RefCell::new(gathering)))
    }

    /// Runs what writes to this stream. At the end of each of its turns all is sent.
    pub(super) async fn run<F: Future>(&self, writing: F) -> F::Output {
        let mut writing = pin!(writing);
        poll_fn(|cx| {
            let output = writing.as_mut().poll(cx);
            self.0.borrow_mut().end_turn(cx);
            output
        })
        .await
    }
}

impl<T> Clone for Corked<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: AsyncWrite + Unpin> Gathering<T> {
    /// Sends what was written. Where that cannot be done there is another turn: whoever writes has to hear of what failed, and
    /// whoever watches that the stream takes nothing has looked before it did not.
    fn end_turn(&mut self, cx: &mut Context<'_>) {
        let sent = self.poll_send(cx);
        let news = sent.is_pending() && !self.blocked;
        self.blocked = sent.is_pending();
        if let Poll::Ready(Err(error)) = sent {
            self.failed = Some(error);
        } else if !news {
            return;
        }
        cx.waker().wake_by_ref();
    }

    /// Sends all that was written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gathered(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was gathered, and gives its buffer back.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.gathered.get(self.sent..).filter(|left| !left.is_empty()) {
            self.unflushed = true;
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                bytes => self.sent += bytes,
            }
        }
        self.sent = 0;
        if self.gathered.capacity() > 0 {
            buffers::was_written(&mut self.gathered);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if self.gathered.len().saturating_add(bytes) > ROOM_BYTES {
            ready!(self.poll_gathered(cx))?;
        }
        if bytes > ROOM_BYTES {
            self.unflushed = true;
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        }
        if self.gathered.capacity() == 0 {
            self.gathered = buffers::to_write(ROOM_BYTES);
        }
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(bytes))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// That is for the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow_mut().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathering = &mut *self.0.borrow_mut();
        gathering.check()?;
        ready!(gathering.poll_gathered(cx))?;
        Pin::new(&mut gathering.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Takes so many bytes more, or fails.
    struct Taker {
        taken: Vec<String>,
        room: Result<usize, ErrorKind>,
    }

    impl AsyncWrite for Taker {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let room = self.room?;
            if room == 0 {
                return Poll::Pending;
            }
            let bytes = bytes.get(..room).unwrap_or(bytes);
            self.room = Ok(room - bytes.len());
            self.taken.push(String::from_utf8_lossy(bytes).into_owned());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.taken.push("the end".to_owned());
            Poll::Ready(Ok(()))
        }
    }

    /// How often somebody was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Test {
        corked: Corked<Taker>,
        woken: Arc<Woken>,
    }

    impl Test {
        fn with_room(bytes: usize) -> Self {
            let corked = Corked::new(Taker { taken: Vec::new(), room: Ok(bytes) });
            Self { corked, woken: Arc::default() }
        }

        /// One turn: `None` if it did not come to its end.
        fn turn<O>(&self, turn: impl AsyncFnOnce(Corked<Taker>) -> O) -> Option<O> {
            let waker = Waker::from(Arc::clone(&self.woken));
            match pin!(self.corked.run(turn(self.corked.clone()))).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            }
        }

        /// A turn in which each of these is written and flushed.
        fn write(&self, pieces: &[&str]) -> Option<io::Result<()>> {
            self.turn(async |mut corked| {
                for piece in pieces {
                    corked.write_all(piece.as_bytes()).await?;
                    corked.flush().await?;
                }
                Ok(())
            })
        }

        fn set_room(&self, room: Result<usize, ErrorKind>) {
            self.corked.0.borrow_mut().stream.room = room;
        }

        fn taken(&self) -> Vec<String> {
            mem::take(&mut self.corked.0.borrow_mut().stream.taken)
        }

        fn woken(&self) -> usize {
            self.woken.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn what_is_written_in_a_turn_is_sent_in_one_piece() {
        let test = Test::with_room(usize::MAX);
        assert!(test.write(&["one ", "two ", "three"]).unwrap().is_ok());
        assert_eq!(test.taken(), ["one two three"]);
        assert!(test.write(&["four"]).unwrap().is_ok());
        assert!(test.write(&[]).unwrap().is_ok());
        assert_eq!((test.taken(), test.woken()), (vec!["four".to_owned()], 0));
        assert_eq!(test.corked.0.borrow().gathered.capacity(), 0, "no buffer is held");
    }

    #[test]
    fn what_is_long_is_sent_at_once_and_behind_what_was_before() {
        let test = Test::with_room(usize::MAX);
        let long = "x".repeat(ROOM_BYTES + 1);
        assert!(test.write(&["head ", &long, "tail"]).unwrap().is_ok());
        assert_eq!(test.taken(), ["head ", &long, "tail"]);
        let half = "y".repeat(ROOM_BYTES / 2 + 1);
        assert!(test.write(&[&half, &half]).unwrap().is_ok());
        assert_eq!(test.taken(), [&*half, &*half], "no more is gathered than there is room for");
    }

    #[test]
    fn what_is_not_taken_is_sent_later_and_its_turn_comes_once_more() {
        let test = Test::with_room(4);
        assert!(test.write(&["one ", "two "]).unwrap().is_ok());
        assert_eq!((test.taken(), test.woken()), (vec!["one ".to_owned()], 1));
        assert!(test.write(&["three "]).unwrap().is_ok());
        assert_eq!((test.taken().len(), test.woken()), (0, 0), "that it is blocked is told once");
        let long = "x".repeat(ROOM_BYTES);
        assert!(test.write(&[&long]).is_none(), "nor is more gathered");
        test.set_room(Ok(5));
        assert!(test.write(&["four"]).unwrap().is_ok());
        assert_eq!((test.taken(), test.woken()), (vec!["two t".to_owned()], 0));
        test.set_room(Ok(usize::MAX));
        assert!(test.turn(async |mut corked| corked.shutdown().await).unwrap().is_ok());
        assert_eq!(test.taken(), ["hree four", "the end"]);
    }

    #[test]
    fn who_writes_next_hears_of_what_failed() {
        let test = Test::with_room(0);
        test.set_room(Err(ErrorKind::BrokenPipe));
        assert!(test.write(&["one"]).unwrap().is_ok());
        assert_eq!(test.woken(), 1);
        assert_eq!(test.write(&["two"]).unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
