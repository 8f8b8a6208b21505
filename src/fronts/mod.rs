//! The ways in by which requests come, and the way their answers look.

#[cfg(test)]
pub(crate) mod fixture;
pub mod render;
