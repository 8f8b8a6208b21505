//! The authority, from the outside.

mod admin_api;
mod cli;
