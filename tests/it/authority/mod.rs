//! The authority, from the outside.

mod cli;
mod feed;
mod fixture;
mod requests;
mod streams;
mod tour;
