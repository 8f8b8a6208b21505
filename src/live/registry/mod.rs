//! Registries of clients: mirrored in memory, followed by the number of each change so that nothing is lost when a
//! connection is, and in force for the issuers whose clients they are.

mod feed;
mod follower;
mod keeper;
mod mirror;
mod mirrors;
mod state;
#[cfg(test)]
pub(super) mod tests;
pub mod wire;

pub use self::feed::Feed;
pub use self::follower::{Batch, Changes, Follower, InForce};
pub use self::keeper::Keeper;
pub use self::mirror::Mirror;
pub use self::mirrors::{Followed, Source};
pub(super) use self::mirrors::{follow, with_clients};
pub use self::state::{RegistryState, RegistryStates};
