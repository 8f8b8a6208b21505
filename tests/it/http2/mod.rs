//! HTTP/2 towards clients: real ones, raw frames, and what becomes of it in HTTP/1.1.

mod connections;
pub(crate) mod frames;
mod real;
mod requests;
