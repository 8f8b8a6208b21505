//! The authority, from the outside.

mod admin_api;
mod cli;
mod feed;
mod fixture;
mod requests;
mod streams;
mod tour;
