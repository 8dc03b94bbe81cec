//! blobcp mounts Azure Blob Storage and runs file copies inside the storage service.
//!
//! This page is the map. A request comes in at the top and goes down through the rooms; nothing calls upwards.
//!
//! ```text
//!  cli, config     what the user typed and set, as one validated plan
//!      │
//!  mount           the life of a mount: check, mount, serve, flush, unmount
//!      │
//!  fuse            the kernel's requests: decode, spawn, answer         (only this room knows fuser)
//!      │
//!  fs              files and directories over blobs: names, content, copies, renames, attributes
//!      │
//!  store           the client of the Blob service: requests, signing, retries, lost answers
//!      │
//!   HTTP ┄┄┄┄┄┄┄┄┄ Azure, Azurite, or
//!                  devstore: the embedded Blob service, with a real asynchronous copy engine
//! ```
//!
//! Beside them stand five rooms that everybody may use: [`path`] (names, parsed once), [`error`] (one error, one errno
//! table), [`ioctl`] (the public interface of a mount for other programs), `secrets` (what may be shown of a text that
//! may hold one) and `sync` (one way to lock). The devstore shares no code with the client, so that an error cannot hide
//! on both sides; the filesystem always talks HTTP to it.
//!
//! The way of a `cp a b`: the kernel's `copy_file_range` reaches `fuse`, which asks `fs::ops::copy_file_range`; that sees that the
//! whole of `a` is wanted onto an empty `b` and has `store` send one Copy Blob with the ETag of `a` as condition. If
//! the service says `success`, the reply is the whole length; if it says `pending`, the reply is what is copied so far,
//! cp asks again, and `close` waits for the end. No byte of the file passes through this machine.

// The prose at the top of a room speaks of its private parts: it is read in the source, or with
// `--document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
mod config;
pub mod devstore;
pub mod error;
pub mod fs;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ioctl;
pub mod mount;
pub mod path;
mod secrets;
pub mod store;
mod sync;
