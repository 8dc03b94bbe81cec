//! Client of the Blob service.

mod client;
mod types;

pub use client::Client;
pub use types::*;
