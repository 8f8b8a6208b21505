//! What a client is granted: the settings that are announced to it, and the bounds that `h2` keeps.
//!
//! Together they bound what a connection can make the gateway hold: [`CONNECTION_WINDOW`] of bodies that are not read
//! yet, [`SEND_BUFFER_BYTES`] a stream of answers that are not sent yet, and the heads of [`STREAMS_MAX`] requests; about
//! 14 MiB if a client and its backends do their worst, and some ten KiB while nothing is under way.

use h2::server::Builder;

use super::super::http1::head::HEADERS_MAX;
use crate::net::service::{Clients, Limits};

/// Requests at a time on one connection. RFC 9113 section 6.5.2 recommends no less than 100; beyond, a client waits, or
/// is told REFUSED_STREAM and may try again.
pub(super) const STREAMS_MAX: u32 = 128;
/// How much of a request's body is taken ahead of whoever reads it. A client that is 100 ms away gets 2.5 MB/s through
/// it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How much is taken ahead for all of a connection's requests: sixteen bodies can be stuck at slow backends before the
/// others have to wait for them.
const CONNECTION_WINDOW: u32 = 16 * STREAM_WINDOW;
/// The least that RFC 9113 allows. Larger frames make streams wait for each other.
const FRAME_BYTES: u32 = 16 * 1024;
/// What of an answer waits for the client's socket at most, by stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// What a field counts in `SETTINGS_MAX_HEADER_LIST_SIZE` beyond its name and value (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;
/// Fields of a request that HTTP/1.1 has in the request line.
const PSEUDO_FIELDS: usize = 5;
/// Streams that the client has reset before they were looked at (CVE-2023-44487). More, within what is read at once, and
/// the connection ends.
const UNSEEN_RESETS_MAX: usize = 32;
/// The same for a proxy: those of its clients that leave at once, on as many streams as it may have and some.
const UNSEEN_RESETS_OF_PROXIES_MAX: usize = 1024;
/// Streams that `h2` has reset for what the client did wrong, over the life of a connection. More, and it ends.
const ERRORS_MAX: usize = 1024;
/// Streams that we have reset and of which late frames are still expected.
const LATE_STREAMS_MAX: usize = 64;

/// The configured server side of a connection.
pub(super) fn builder(limits: Limits, clients: Clients) -> Builder {
    let unseen_resets_max = match clients {
        Clients::Any => UNSEEN_RESETS_MAX,
        Clients::Proxies => UNSEEN_RESETS_OF_PROXIES_MAX,
    };
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(header_list_bytes(limits.header_bytes))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(unseen_resets_max)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .max_concurrent_reset_streams(LATE_STREAMS_MAX)
        .enable_connect_protocol();
    builder
}

/// Large enough for every head that HTTP/1.1 takes, as HTTP/2 counts it: those are measured again, as HTTP/1.1 does it,
/// and refused with an answer of ours, where `h2` has only a bare 431.
fn header_list_bytes(header_bytes: usize) -> u32 {
    let overhead = FIELD_OVERHEAD_BYTES * (HEADERS_MAX + PSEUDO_FIELDS);
    u32::try_from(header_bytes.saturating_add(overhead)).unwrap_or(u32::MAX)
}
