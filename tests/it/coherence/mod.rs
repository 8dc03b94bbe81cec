//! What other clients do to files that are open or remembered here. Random sequences of it are in `tests/model`.

use std::time::Duration;

use blobcp::store::{BlobSettings, DeleteOptions, WriteOptions};

use crate::common::*;

mod disproved;
mod meanwhile;
mod replaced;

/// Longer than any test: nothing is asked for again because of its age.
const A_DAY: Duration = Duration::from_secs(86_400);

/// A mount that believes what it was told until it is disproved.
fn trusting() -> World {
    World::with(Setup { attr_ttl: A_DAY, ..Default::default() })
}

impl World {
    /// Another client's Put Blob into `one/box`.
    fn rest_put(&self, name: &str, content: impl Into<bytes::Bytes>) {
        let (client, content) = (self.client(ONE), content.into());
        self.block_on(client.blob(&path(name)).block_blob().upload(
            content,
            &BlobSettings::default(),
            &WriteOptions::default(),
        ))
        .unwrap();
    }

    /// Another client's Delete Blob.
    fn rest_delete(&self, name: &str) {
        let client = self.client(ONE);
        self.block_on(client.blob(&path(name)).delete(&DeleteOptions::default())).unwrap();
    }
}
