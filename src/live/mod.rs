//! State that lives longer than a request: what workers remember, and the files that a configuration is made of.

pub mod memo;
pub mod watch;
