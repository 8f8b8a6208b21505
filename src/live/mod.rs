//! State that lives longer than a request: what workers remember.

pub mod memo;
pub mod reload;
pub mod state;
