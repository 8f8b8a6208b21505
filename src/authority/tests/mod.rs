//! The authority's endpoints over a real storage, and what comes before them.

mod assertions;
mod endpoints;
mod first_start;
mod fixture;
mod keys;
mod requests;
