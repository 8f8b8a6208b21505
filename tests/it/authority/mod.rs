//! The authority, from the outside.

mod admin_api;
mod cli;
mod feed;
mod fixture;
mod fleet;
mod keys;
mod kills;
mod libraries;
mod reloads;
mod requests;
mod streams;
mod tour;
