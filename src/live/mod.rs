//! State that lives longer than a request: what is in force, what changes it, and what workers remember.

pub mod keys;
pub mod memo;
pub mod registry;
pub mod reload;
pub mod state;
pub mod watch;
