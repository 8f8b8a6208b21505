//! The authority, from the outside.

mod cli;
mod feed;
