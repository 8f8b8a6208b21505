//! The authority, from the outside.

mod cli;
mod fixture;
mod requests;
mod streams;
mod tour;
