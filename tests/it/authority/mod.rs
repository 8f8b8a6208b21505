//! The authority, from the outside.

mod cli;
mod fixture;
mod tour;
