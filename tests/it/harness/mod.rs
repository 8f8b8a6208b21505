//! What the black-box tests are made of: the built binary as a process, a client and a backend that work on raw bytes,
//! and nginx and curl for what a real backend and a real client do.
//!
//! Nothing here sleeps: whatever a test waits for is an event, and every wait ends after [`PATIENCE`] with a panic that
//! says what was there instead.

pub(crate) mod backend;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod curl;
pub(crate) mod gateway;
pub(crate) mod h2_backend;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod response;
pub(crate) mod sync;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod tunnel;
pub(crate) mod wire;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long anything may take that should happen at once. Generous: a slow machine must not fail a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An address for a program that does not tell which port it was given.
///
/// It lies below the ports that the kernel gives away by itself, and each test process begins elsewhere: what was free
/// a moment ago stays so until the program listens.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    loop {
        let place = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + place % (PORTS.end - PORTS.start);
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
