//! Ways in: each builds a request head, asks the core, and carries the answer out.

pub mod admin;
pub mod body;
#[cfg(test)]
pub(crate) mod fixture;
pub mod proxy;
mod record;
pub mod render;
pub mod request_id;
pub mod serving;
