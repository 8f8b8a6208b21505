//! State that lives longer than a request: what workers remember.

pub mod memo;
