//! The authority: App Clients, the tokens that they get, and the keys that sign them.
//!
//! No request ever asks it. What gateways need to know of it reaches them as updates of the snapshot: its public keys like
//! those of any issuer, its clients as that issuer's registry ([`crate::core::registry`]).

mod answer;
mod assertion;
pub mod caller;
pub mod client;
mod credentials;
pub mod desk;
pub mod error;
pub mod first_start;
pub mod follow;
mod form;
pub mod grant;
mod guess;
mod introspect;
pub mod keyring;
pub mod manage;
mod metadata;
pub mod mint;
mod revoke;
pub mod rotation;
pub mod rules;
mod seal;
pub mod secret;
mod service;
pub mod signer;
pub mod store;
#[cfg(test)]
mod tests;
mod token;
mod used;
pub mod view;

pub use answer::error as error_answer;
pub use form::BODY_BYTES_MAX;
pub use service::{Call, Service, StartError, rotate_now};
