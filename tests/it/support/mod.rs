//! What several tests need.

pub(crate) mod attacks;
pub(crate) mod mint;
pub(crate) mod policy;
pub(crate) mod shapes;
