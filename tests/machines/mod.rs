//! The state machines of the filesystem, without a mount and without waiting.
//!
//! They belong to the crate and are compiled with its other unit tests: what they test is nobody else's to see. Two kinds:
//!
//! - *Interleaved*: threads do what requests of several programs do at the same time, and change places wherever a mutex is locked
//!   ([`interleave`](crate::sync::interleaved::interleave)). Each test states what has to hold in every order.
//! - *On a clock that stands still*: tokio's, which goes on by itself to the next moment at which something is due. Where a client of the
//!   service is needed it goes on only when the test says so ([`service`]).

mod bulk;
mod copies;
mod handles;
mod jobs;
mod lookups;
mod memory;
mod method;
mod service;
mod tree;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::fs::attr;
use crate::fs::tree::{AccountId, Blob, BlobDir, NodeProperties, Observation, Place};
use crate::path::ContainerName;
use crate::store::{BlobSettings, ETag, Written};

type Thread<T> = Box<dyn FnOnce() -> T + Send>;

fn container() -> BlobDir {
    BlobDir { account: AccountId(0), container: ContainerName::parse("box").unwrap(), prefix: String::new() }
}

fn blob(name: &str) -> Blob {
    container().blob(name).unwrap()
}

fn root() -> Place {
    Place::Directory(container())
}

fn known(etag: &str, at: Instant) -> Observation {
    let written = Written { etag: ETag::new(etag), last_modified: SystemTime::UNIX_EPOCH };
    Observation {
        properties: NodeProperties::Blob(Arc::new(attr::just_written(5, BlobSettings::default(), written))),
        at,
    }
}
