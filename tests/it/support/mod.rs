//! What several tests need.

pub(crate) mod attacks;
pub(crate) mod authority;
pub(crate) mod decisions;
pub(crate) mod memo;
pub(crate) mod mint;
pub(crate) mod model;
pub(crate) mod path_attacks;
pub(crate) mod policy;
pub(crate) mod readings;
pub(crate) mod registry;
pub(crate) mod routes;
pub(crate) mod shapes;
pub(crate) mod token_requests;
