//! blobcp: a mount of Azure Blob Storage that runs file copies inside the storage service.

pub mod devstore;
