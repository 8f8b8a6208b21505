//! HTTP/2 towards backends.

mod messages;
mod refusals;
mod sharing;
mod silence;
mod streams;
