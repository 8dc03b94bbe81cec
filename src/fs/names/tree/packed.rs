//! Packed properties of a blob, in as few bytes as it takes.
//!
//! A directory may have a million blobs, and the kernel may hold on to all of them. Most of what the service says of
//! them is the same for all: type, content type, tier, lease. So a [`PackedBlob`] has a blob's own size, times, version
//! and hash in numbers, and shares the rest, its shape, with blobs that look alike. Metadata and copy state, which few
//! blobs have, are kept beside.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::store::{BlobProperties, ContainerItem, CopyState, ETag, Metadata};

/// Different shapes looked through for one that is the same: blobs of a directory have a few between them.
const SHAPES: usize = 16;

/// Properties of a name, packed.
#[derive(Debug, Clone)]
pub(super) enum Packed {
    Blob(PackedBlob),
    Container(Arc<ContainerItem>),
    Nothing,
}

/// A blob's properties, packed.
#[derive(Debug, Clone)]
pub(super) struct PackedBlob {
    size: u64,
    last_modified: SystemTime,
    creation_time: Option<SystemTime>,
    version: PackedETag,
    hash: Option<[u8; 16]>,
    shape: Arc<BlobProperties>,
    rest: Option<Box<Rare>>,
}

/// The service's ETags are hexadecimal numbers; others may look as they like.
#[derive(Debug, Clone)]
enum PackedETag {
    Number(u64),
    Text(ETag),
}

/// Properties that few blobs have.
#[derive(Debug, Clone)]
struct Rare {
    metadata: Metadata,
    copy: Option<CopyState>,
    version_id: Option<String>,
    /// A hash that is none as Base64 goes, as it was stated.
    odd_hash: Option<String>,
}

/// The shapes met last.
#[derive(Debug, Default)]
pub(super) struct Shapes(Vec<Arc<BlobProperties>>);

impl Shapes {
    pub(super) fn pack(&mut self, properties: &BlobProperties) -> PackedBlob {
        let stated = properties.headers.content_md5.as_deref();
        let hash = stated.and_then(hash_of);
        let odd_hash = stated.filter(|_| hash.is_none()).map(str::to_owned);
        let BlobProperties { metadata, copy, version_id, .. } = properties;
        let has_rest = !metadata.is_empty() || copy.is_some() || version_id.is_some() || odd_hash.is_some();
        let rest = has_rest.then(|| {
            let (metadata, copy, version_id) = (metadata.clone(), copy.clone(), version_id.clone());
            Box::new(Rare { metadata, copy, version_id, odd_hash })
        });
        PackedBlob {
            size: properties.size,
            last_modified: properties.last_modified,
            creation_time: properties.creation_time,
            version: PackedETag::of(&properties.etag),
            hash,
            shape: self.shape_of(properties),
            rest,
        }
    }

    fn shape_of(&mut self, properties: &BlobProperties) -> Arc<BlobProperties> {
        let mut shape = BlobProperties {
            size: 0,
            etag: ETag::new(""),
            last_modified: SystemTime::UNIX_EPOCH,
            creation_time: None,
            metadata: Metadata::default(),
            copy: None,
            version_id: None,
            ..properties.clone()
        };
        shape.headers.content_md5 = None;
        match self.0.iter().position(|known| **known == shape) {
            // The one met last is tried first.
            Some(index) => self.0[..=index].rotate_right(1),
            None => {
                self.0.truncate(SHAPES - 1);
                self.0.insert(0, Arc::new(shape));
            }
        }
        self.0[0].clone()
    }
}

impl PackedBlob {
    pub(super) fn has_etag_of(&self, other: &Self) -> bool {
        match (&self.version, &other.version) {
            (PackedETag::Number(one), PackedETag::Number(other)) => one == other,
            (one, other) => one.etag() == other.etag(),
        }
    }

    pub(super) fn unpack(&self) -> BlobProperties {
        let mut properties = BlobProperties {
            size: self.size,
            etag: self.version.etag(),
            last_modified: self.last_modified,
            creation_time: self.creation_time,
            ..BlobProperties::clone(&self.shape)
        };
        properties.headers.content_md5 = self.hash.map(|hash| STANDARD.encode(hash));
        if let Some(rest) = self.rest.as_deref().cloned() {
            properties.metadata = rest.metadata;
            properties.copy = rest.copy;
            properties.version_id = rest.version_id;
            properties.headers.content_md5 = rest.odd_hash.or(properties.headers.content_md5);
        }
        properties
    }
}

impl PackedETag {
    fn of(etag: &ETag) -> Self {
        let number = etag.as_str().strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match number.map(Self::Number) {
            // Only what comes out as it went in.
            Some(version) if version.etag() == *etag => version,
            _ => Self::Text(etag.clone()),
        }
    }

    fn etag(&self) -> ETag {
        match self {
            Self::Number(number) => ETag::new(&format!("0x{number:X}")),
            Self::Text(etag) => etag.clone(),
        }
    }
}

fn hash_of(stated: &str) -> Option<[u8; 16]> {
    let hash: [u8; 16] = STANDARD.decode(stated).ok()?.try_into().ok()?;
    (STANDARD.encode(hash) == stated).then_some(hash)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fs::names::attr;
    use crate::store::{BlobSettings, CopyId, CopyStatus, Written};

    fn blob(etag: &str) -> BlobProperties {
        let last_modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut settings = BlobSettings::default();
        settings.headers.content_type = Some("text/plain".into());
        attr::just_written(7, settings, Written { etag: ETag::new(etag), last_modified })
    }

    #[test]
    fn what_is_packed_comes_out_as_it_went_in() {
        let mut full = blob("0x8DE2BC8D7AF4E00");
        full.headers.content_md5 = Some("1B2M2Y8AsgTpgAmY7PhCfg==".into());
        full.metadata = [("mtime", "2024-01-01T00:00:00.000000001Z")].into_iter().collect();
        full.version_id = Some("v".into());
        full.copy = Some(CopyState {
            id: CopyId::new("id"),
            status: CopyStatus::Pending,
            source: None,
            bytes_copied: 1,
            total_bytes: 2,
            completion_time: None,
            description: Some("slow".into()),
            in_blocks: false,
        });
        let mut odd = blob("0x08dE");
        odd.headers.content_md5 = Some("no hash".into());
        odd.creation_time = None;
        let mut shapes = Shapes::default();
        for properties in [full, odd, blob(""), blob("0x0"), blob("0xFFFFFFFFFFFFFFFFF"), blob("any")] {
            assert_eq!(shapes.pack(&properties).unpack(), properties);
        }
    }

    #[test]
    fn blobs_that_look_alike_share_what_is_alike() {
        let mut shapes = Shapes::default();
        let (one, two) = (shapes.pack(&blob("0x1")), shapes.pack(&blob("0x2")));
        assert!(Arc::ptr_eq(&one.shape, &two.shape));
        for number in 0..100 {
            let mut other = blob("0x3");
            other.tier = Some(format!("tier {number}"));
            shapes.pack(&other);
        }
        assert_eq!(shapes.0.len(), SHAPES);
        assert!(size_of::<Packed>() <= 112);
    }
}
