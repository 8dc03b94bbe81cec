//! Client of the Blob service.
//!
//! No SDK is used: users have account keys, and the official crate `azure_storage_blob` has no Shared Key credential.
//! It could sign neither requests nor the SAS that a copy between accounts needs (decision D1). Tokens of Entra ID do
//! come from the vendor's `azure_identity`.
//!
//! A [`Client`] speaks for one account. It is made from an [`Account`], which [`AccountConfig::resolve`] puts together
//! and validates out of names, keys, tokens and connection strings, and from an [`Http`], the connection pool that all
//! clients of the process share.
//!
//! Each operation of the REST reference is one method of a [`ContainerClient`] or [`BlobClient`], in the file of its
//! theme: [`container`], [`blob`], [`block`], [`append`], [`page`], [`copy`], [`external_source`], [`delegation`],
//! [`lease`], [`tags`], [`hierarchical`]. What an operation need not be told is in [`options`]. Such a method says what
//! to send by filling a `Request` ([`request`]); what comes back is taken as far as it
//! fits what was asked ([`body`]), and read by [`headers`], [`xml`] and [`listing`] into the owned types of [`types`];
//! [`pages`] follows a listing to its end. Between the two stands one [`pipeline`] through which every request goes: [`endpoint`]
//! turns names into the one encoded path, [`sign`] signs exactly what is sent, [`http`] sends it over one of the [`connections`], which keep the [`spelling`] of metadata names, [`retry`] judges a
//! failure and sets the next date, [`deadline`] says when it is too late for that, and [`breaker`] keeps requests from a
//! service that answers nobody. [`credential`] has the proof that a request carries, and asks for another before it
//! ends or when it is refused; [`entra`] keeps the tokens of accounts that are asked with one. [`concurrency`] limits
//! the requests of work on many blobs to what the service bears.
//!
//! An answer can be lost after the service has acted. For operations that cannot simply be repeated, [`resolve`]
//! describes how the client finds out what happened, so that callers see one of two things: the operation took place,
//! or an error.
//!
//! Errors carry the operation, `account/container/blob`, the service's code and its request id. No key, signature or
//! SAS is ever in an error, a log line or a `Debug` output: secrets are [`Secret`]s, and URLs are shown without `sig`.
//!
//! ```no_run
//! use blobcp::path::{BlobName, BlobPath, ContainerName};
//! use blobcp::store::{AccountConfig, Client, Http, Options, Secret};
//!
//! # async fn example() -> blobcp::error::Result<()> {
//! let connection_string = Some(Secret::new("UseDevelopmentStorage=true"));
//! let account = AccountConfig { connection_string, ..Default::default() }.resolve()?;
//! let client = Client::new(account, Http::new(Options::default()));
//! let blob = BlobPath::new(ContainerName::parse("photos")?, BlobName::parse("2026/cat.jpg")?);
//! println!("{} bytes", client.blob(&blob).properties().await?.size);
//! # Ok(())
//! # }
//! ```
//!
//! Section numbers (§) in this room point into the REST specification that the project is built against.

mod account;
mod append;
mod ask;
mod blob;
mod block;
mod body;
mod breaker;
mod client;
mod clocks;
mod concurrency;
mod connection_string;
mod connections;
mod container;
mod copy;
mod credential;
mod deadline;
mod delegation;
mod endpoint;
mod entra;
mod external_source;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod hierarchical;
mod http;
mod immutability;
mod lease;
#[cfg(test)]
mod lies;
mod life;
mod listing;
mod namespace;
mod options;
mod page;
mod pages;
mod payload;
mod pipeline;
mod request;
mod resolve;
mod retry;
pub mod sas;
#[cfg(test)]
mod scripted;
mod secret;
mod sign;
mod snapshots;
mod source_signer;
mod spelling;
mod tags;
#[cfg(test)]
mod tests;
mod traffic;
mod types;
mod xml;

pub use account::{Account, AccountConfig, DEFAULT_API_VERSION};
pub use append::{AppendBlobClient, Appended};
pub use blob::BlobClient;
pub use block::{BlockBlobClient, LARGEST_BLOB_FROM_URL, LARGEST_BLOCK_FROM_URL};
pub(crate) use body::crc64_of;
pub use client::Client;
pub use concurrency::Permit;
pub use container::ContainerClient;
pub use credential::{Credential, CredentialSource, Found, Nearing, ReadCredential, Reread};
pub use endpoint::{AZURE, Endpoint, is_loopback};
pub use entra::{Authority, GET_TOKEN, Identity, Tokens};
pub use external_source::{SharedFile, SourceProperties};
pub use hierarchical::RenameOptions;
pub use http::{Http, Options};
pub use immutability::ProtectionClient;
pub use namespace::Namespace;
pub use options::*;
pub use page::{LARGEST_PAGE_BLOB, LARGEST_PAGE_WRITE, PAGE, PageBlobClient};
pub use pages::{Pages, Progress, may_follow};
pub use payload::Payload;
pub use request::{Answer, Probe};
pub use resolve::same_source;
pub use secret::{AccountKey, Secret};
pub use snapshots::Snapshots;
pub use traffic::{bytes_sent, requests_stored};
pub use types::*;
