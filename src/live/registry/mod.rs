//! Registries of clients: mirrored in memory, and in force for the issuers whose clients they are.

mod mirror;
mod mirrors;
#[cfg(test)]
mod tests;

pub use self::mirror::Mirror;
pub use self::mirrors::{Followed, Source};
pub(super) use self::mirrors::{follow, with_clients};
