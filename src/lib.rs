//! blobcp: a mount of Azure Blob Storage that runs file copies inside the storage service.

pub mod cli;
pub mod config;
pub mod devstore;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod ioctl;
pub mod mount;
pub mod path;
pub mod store;
