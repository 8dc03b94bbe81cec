//! blobcp: a mount of Azure Blob Storage that runs file copies inside the storage service.

pub mod devstore;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod ioctl;
pub mod path;
pub mod store;
