//! HTTP/2 to a backend (RFC 9113): one connection carries many requests, each on a stream of its own.
//!
//! Not hyper's: its client takes a request's body and never gives it back, so that what a backend refused without having
//! looked at it could not be sent elsewhere; and it queues without a limit what a connection has no room for. The framing
//! is the `h2` crate's, under both.
//!
//! A request takes a [`Place`] on a connection (`connection`, from the `pool`); `exchange` turns its head into fields
//! (`request`) and waits for that of the response; `upload` sends its body, `incoming` is the response's.
//! `keeper` finds out about backends that are gone without a word.

mod ask;
mod connection;
mod exchange;
mod heard;
mod incoming;
mod keeper;
mod pool;
mod request;
mod upload;

use h2::client::Builder;

use super::error::BoxError;

pub(super) use self::ask::ask;
pub(super) use self::connection::{Place, Shared};
pub(super) use self::exchange::exchange;
pub(super) use self::incoming::Incoming;
pub(super) use self::pool::Pool;

/// Most streams that a connection carries at a time, if the backend does not want fewer.
const STREAMS_MAX: usize = 128;
/// How much of a response a backend may send ahead of its reader, in bytes. Between backend and gateway it is what fits
/// on the way: 25 MB/s on each stream at a distance of 10 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection together: as much as all of them may. If it were less, clients that read
/// slowly could use it up, and nobody else on the connection would get anything.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What frames below 256 bytes that nobody has read may cost beyond their content, in bytes on a connection: h2 closes it
/// above that. As much as if every stream were full of frames of 85 bytes.
const SMALL_FRAMES_MAX: usize = 2 * CONNECTION_WINDOW as usize;
/// How much of a request is kept for a backend that takes it slowly, in bytes.
const SEND_BUFFER_MAX: usize = 256 * 1024;
/// Longest response head and longest trailers, in bytes as RFC 9113 section 6.5.2 counts them.
const FIELDS_BYTES_MAX: u32 = 64 * 1024;
/// Longest frame that is read, in bytes: the least there is, as every limit that has to be more is one of its own.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// What an error of h2 says, without what the backend said in it.
pub(super) fn cause(error: h2::Error) -> BoxError {
    match (error.reason(), error.into_io()) {
        (Some(reason), _) => reason.description().into(),
        (None, Some(error)) => error.into(),
        (None, None) => "the stream was not used as it can be".into(),
    }
}

/// How connections are set up.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(FIELDS_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_MAX)
        .max_send_buffer_size(SEND_BUFFER_MAX);
    builder
}
