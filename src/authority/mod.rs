//! The authority: App Clients, the tokens that they get, and the keys that sign them.
//!
//! No request ever asks it. What gateways need to know of it reaches them as updates of the snapshot: its public keys like
//! those of any issuer, its clients as that issuer's registry ([`crate::core::registry`]).

pub mod client;
pub mod manage;
pub mod rules;
pub mod secret;
pub mod store;
pub mod view;
