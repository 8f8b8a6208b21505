//! Tunnels between two pipes, with a clock that jumps to whatever is waited for next.

use std::pin::Pin;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::net::websocket::Frames;

const IDLE: Duration = Duration::from_secs(60);
/// What a pipe holds: little, so that everything is cut.
const PIPE_BYTES: usize = 7;

/// A tunnel, and what is at its ends.
struct Setup {
    client: DuplexStream,
    backend: DuplexStream,
    drain: Rc<Drain>,
    ending: Rc<Ending>,
    traffic: Rc<Traffic>,
    tunnel: JoinHandle<()>,
    began: Instant,
}

impl Setup {
    fn new(protocol: Protocol, expires_in: Option<Duration>) -> Self {
        let ((client, inner_client), (backend, inner_backend)) = (duplex(PIPE_BYTES), duplex(PIPE_BYTES));
        let (drain, traffic): (Rc<Drain>, Rc<Traffic>) = Default::default();
        let ending = Rc::<Ending>::default();
        let told = (Rc::clone(&ending), Rc::clone(&traffic));
        let tunnel = Tunnel { backend: Box::new(inner_backend), protocol, expires_in, ending: told.0, traffic: told.1 };
        let draining = Rc::clone(&drain);
        let tunnel = tokio::task::spawn_local(async move { run(inner_client, tunnel, IDLE, &draining).await });
        Self { client, backend, drain, ending, traffic, tunnel, began: Instant::now() }
    }

    /// Waits for the end; how long the tunnel lasted, in seconds.
    async fn lasted(self) -> u64 {
        self.tunnel.await.unwrap();
        self.began.elapsed().as_secs()
    }
}

/// A pipe knows no abort.
impl Side for DuplexStream {
    fn abort(&self) {}
}

/// A side that fails when it is read, or notes that it was aborted.
struct Breaking {
    pipe: DuplexStream,
    breaks: bool,
    aborted: Rc<Cell<bool>>,
}

impl Side for Breaking {
    fn abort(&self) {
        self.aborted.set(true);
    }
}

impl AsyncRead for Breaking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.breaks {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => Pin::new(&mut self.pipe).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[test]
fn when_one_side_breaks_the_other_is_aborted() {
    for (client_breaks, backend_breaks) in [(true, false), (false, true), (false, false)] {
        with_jumping_clock(async {
            let side = |breaks| {
                let ((near, far), aborted) = (duplex(PIPE_BYTES), Rc::<Cell<bool>>::default());
                (Breaking { pipe: near, breaks, aborted: Rc::clone(&aborted) }, far, aborted)
            };
            let (client, _far_client, client_aborted) = side(client_breaks);
            let (backend, _far_backend, backend_aborted) = side(backend_breaks);
            let tunnel = Tunnel {
                backend: Box::new(backend),
                protocol: Protocol::Other,
                expires_in: None,
                ending: Rc::default(),
                traffic: Rc::default(),
            };
            run(client, tunnel, IDLE, &Drain::default()).await;
            let expected = client_breaks || backend_breaks;
            assert_eq!((client_aborted.get(), backend_aborted.get()), (expected, expected), "silence is no break");
        });
    }
}

fn with_jumping_clock<T>(test: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap().block_on(test)
}

async fn read(from: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn rest(from: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[test]
fn bytes_pass_and_are_counted_until_both_have_ended() {
    with_jumping_clock(async {
        let mut setup = Setup::new(Protocol::Other, None);
        setup.client.write_all(b"hel").await.unwrap();
        assert_eq!(read(&mut setup.backend, 3).await, b"hel");
        setup.client.shutdown().await.unwrap();
        assert_eq!(rest(&mut setup.backend).await, b"");
        setup.backend.write_all(b"hello").await.unwrap();
        assert_eq!(read(&mut setup.client, 5).await, b"hello");
        setup.backend.shutdown().await.unwrap();
        assert_eq!(rest(&mut setup.client).await, b"");
        assert_eq!(setup.traffic.bytes(), (3, 5));
        assert_eq!(setup.lasted().await, 0);
    });
}

#[test]
fn silence_ends_it_and_any_byte_is_none() {
    with_jumping_clock(async {
        let mut setup = Setup::new(Protocol::WebSocket, None);
        for _ in 0..3 {
            sleep(IDLE - Duration::from_secs(1)).await;
            setup.backend.write_all(b"\x89\x00").await.unwrap();
            assert_eq!(read(&mut setup.client, 2).await, b"\x89\x00");
        }
        assert_eq!(setup.lasted().await, 3 * 59 + 60);
    });
}

#[test]
fn a_side_that_does_not_read_ends_it_though_it_speaks() {
    with_jumping_clock(async {
        let setup = Setup::new(Protocol::Other, None);
        let (mut reader, mut writer) = tokio::io::split(setup.backend);
        tokio::task::spawn_local(async move { while writer.write_all(&[0; 100]).await.is_ok() {} });
        tokio::task::spawn_local(async move {
            let mut client = setup.client;
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
        setup.tunnel.await.unwrap();
        assert_eq!(setup.began.elapsed().as_secs(), 60);
        drop(reader);
    });
}

#[test]
fn it_ends_when_the_token_expires() {
    with_jumping_clock(async {
        let expires_in = Some(Duration::from_secs(10));
        assert_eq!(Setup::new(Protocol::Other, expires_in).lasted().await, 10);
        let mut setup = Setup::new(Protocol::WebSocket, expires_in);
        assert_eq!(read(&mut setup.client, 4).await, b"\x88\x02\x03\xf0");
        assert_eq!(read(&mut setup.backend, 2).await, b"\x88\x82");
        assert_eq!(setup.lasted().await, 10, "nobody answers the close frames");
    });
}

#[test]
fn it_ends_when_it_is_told_to() {
    with_jumping_clock(async {
        for protocol in [Protocol::Other, Protocol::WebSocket] {
            let mut setup = Setup::new(protocol, None);
            sleep(Duration::from_secs(3)).await;
            setup.ending.tell();
            if protocol == Protocol::WebSocket {
                assert_eq!(read(&mut setup.client, 4).await, b"\x88\x02\x03\xf0");
                assert_eq!(read(&mut setup.backend, 2).await, b"\x88\x82");
                assert_eq!(setup.lasted().await, 3, "nobody answers the close frames");
            } else {
                assert_eq!(setup.lasted().await, 3);
            }
        }
    });
}

#[test]
fn an_expiry_beyond_all_time_is_none() {
    with_jumping_clock(async {
        assert_eq!(Setup::new(Protocol::Other, Some(Duration::MAX)).lasted().await, 60);
    });
}

#[test]
fn draining_does_not_end_what_cannot_be_told() {
    with_jumping_clock(async {
        let setup = Setup::new(Protocol::Other, None);
        setup.drain.start();
        assert_eq!(setup.lasted().await, 60);
    });
}

#[test]
fn nothing_follows_a_close_frame_that_has_passed() {
    with_jumping_clock(async {
        let mut setup = Setup::new(Protocol::WebSocket, None);
        setup.backend.write_all(b"\x88\x00").await.unwrap();
        assert_eq!(read(&mut setup.client, 2).await, b"\x88\x00");
        setup.drain.start();
        assert_eq!(rest(&mut setup.client).await, b"", "not another one");
        setup.client.write_all(b"\x88\x00").await.unwrap();
        assert_eq!(rest(&mut setup.backend).await.len(), 8, "one that is masked");
        assert_eq!(setup.lasted().await, 0);
    });
}

#[test]
fn an_endless_frame_does_not_keep_it() {
    with_jumping_clock(async {
        let mut setup = Setup::new(Protocol::WebSocket, Some(Duration::from_secs(10)));
        setup.client.write_all(&[&b"\x82\xff\x7f"[..], &[0xff; 7], &[0; 4]].concat()).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(setup.backend);
        tokio::task::spawn_local(async move { while reader.read_u8().await.is_ok() {} });
        tokio::task::spawn_local(async move {
            let mut client = setup.client;
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        setup.tunnel.await.unwrap();
        assert_eq!(setup.began.elapsed().as_secs(), 10);
        let _ = writer.shutdown().await;
    });
}

#[test]
fn nothing_more_comes_from_a_client_that_fell_within_a_frame() {
    with_jumping_clock(async {
        let mut setup = Setup::new(Protocol::WebSocket, None);
        let begun = [&b"\x82\xff\x7f"[..], &[0xff; 7], &[0; 4]].concat();
        setup.client.write_all(&begun).await.unwrap();
        assert_eq!(read(&mut setup.backend, begun.len()).await, begun);
        setup.ending.tell();
        assert_eq!(read(&mut setup.client, 4).await, b"\x88\x02\x03\xf0");
        setup.client.write_all(b"more").await.unwrap();
        assert_eq!(rest(&mut setup.backend).await, b"");
        assert_eq!(setup.lasted().await, 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever draining begins, each side is sent a beginning of what the other sent that ends with a frame, then one
    /// close frame, then the end.
    #[test]
    fn close_frames_come_between_frames(
        payloads in proptest::collection::vec(0_usize..200, 1..6),
        cut in 1_usize..50,
        drain_after in 0_usize..600,
    ) {
        let sent: Vec<u8> = payloads
            .iter()
            .flat_map(|length| [&[0x82, 126][..], &u16::try_from(*length).unwrap().to_be_bytes(), &vec![7; *length]].concat())
            .collect();
        let received = with_jumping_clock(async {
            let setup = Setup::new(Protocol::WebSocket, None);
            let (mut client, backend) = (setup.client, setup.backend);
            let (mut from_tunnel, mut to_tunnel) = tokio::io::split(backend);
            let pieces: Vec<Vec<u8>> = sent.chunks(cut).map(<[u8]>::to_vec).collect();
            tokio::task::spawn_local(async move {
                for piece in pieces {
                    let _ = to_tunnel.write_all(&piece).await;
                }
                let _ = to_tunnel.write_all(b"\x88\x00").await;
            });
            tokio::task::spawn_local(async move { while from_tunnel.read_u8().await.is_ok() {} });
            let mut received = Vec::new();
            while received.len() < drain_after && !received.ends_with(b"\x88\x00") {
                match client.read_u8().await { Ok(byte) => received.push(byte), Err(_) => break }
            }
            setup.drain.start();
            received.extend(rest(&mut client).await);
            received
        });
        let mut frames = Frames::default();
        frames.follow(&received);
        prop_assert!(frames.at_boundary() && frames.closed());
        let passed = received.strip_suffix(b"\x88\x02\x03\xe9").or(received.strip_suffix(b"\x88\x00"));
        prop_assert!(passed.is_some_and(|passed| sent.starts_with(passed)));
    }
}
