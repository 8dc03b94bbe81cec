//! Ids of blocks that are sent to a blob.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::{Error, Result};
use crate::store::{Block, BlockId};

/// Blocks on their way to the service at once, over all files.
pub(crate) const UPLOADS: usize = 16;

/// Length of a block id before Base64 in a blob that has none yet: a UUID and a counter.
pub(in crate::fs) const ID_LEN: usize = 24;

/// Makes ids that fit beside the blob's own: all of a blob's have one length (§1.3).
pub(crate) struct BlockIds {
    prefix: [u8; 16],
    len: usize,
    /// The number that was made, and those that may not be made.
    made: Mutex<(u32, HashSet<BlockId>)>,
}

impl BlockIds {
    pub(in crate::fs) fn beside(existing: &[Block]) -> Self {
        let len =
            existing.first().and_then(|block| BASE64.decode(block.id.as_str()).ok()).map_or(ID_LEN, |id| id.len());
        let taken = existing.iter().map(|block| block.id.clone()).collect();
        Self { prefix: uuid::Uuid::new_v4().into_bytes(), len, made: Mutex::new((0, taken)) }
    }

    /// What ids made here have in common, and those of others have not: letters of a journal.
    pub(in crate::fs) fn origin(&self) -> String {
        BASE64.encode(self.prefix)
    }

    /// Whether an id of the usual length is of that origin.
    pub(in crate::fs) fn is_of(origin: &str, id: &BlockId) -> bool {
        let decoded = BASE64.decode(id.as_str()).ok();
        let prefix = decoded.as_deref().and_then(|id| id.get(4..20));
        prefix.is_some() && prefix == BASE64.decode(origin).ok().as_deref()
    }

    /// EFBIG when ids of the blob's length have run out, which takes ids of one or two bytes.
    pub(in crate::fs) fn next(&self) -> Result<BlockId> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (next, taken) = &mut *made;
            if self.len < 4 && *next >> (8 * self.len) != 0 {
                return Err(Error::fs(libc::EFBIG, "the blob's block ids are too short for another block"));
            }
            // The counter comes first, so that ids shorter than a UUID still differ.
            let mut id: Vec<u8> = next.to_le_bytes().into_iter().chain(self.prefix).collect();
            id.resize(self.len, 0);
            *next += 1;
            let id = BlockId::new(&BASE64.encode(id));
            if taken.insert(id.clone()) {
                return Ok(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ids_have_the_length_of_those_that_are_there() {
        let existing = [Block { id: BlockId::new(&BASE64.encode("0001")), size: 5 }];
        let ids = BlockIds::beside(&existing);
        let made: HashSet<_> = (0..1000).map(|_| ids.next().unwrap()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.as_str().len() == existing[0].id.as_str().len() && *id != existing[0].id));
        let fresh = BlockIds::beside(&[]).next().unwrap();
        assert_eq!(BASE64.decode(fresh.as_str()).unwrap().len(), ID_LEN);
        let (ids, others) = (BlockIds::beside(&[]), BlockIds::beside(&[]));
        let id = ids.next().unwrap();
        assert!(BlockIds::is_of(&ids.origin(), &id) && !BlockIds::is_of(&others.origin(), &id));
        assert!(!BlockIds::is_of("", &BlockId::new("MQ==")));
    }

    #[test]
    fn ids_of_one_byte_run_out() {
        let ids = BlockIds::beside(&[Block { id: BlockId::new(&BASE64.encode([7])), size: 5 }]);
        let made: HashSet<_> = (0..255).map(|_| ids.next().unwrap()).collect();
        assert_eq!(made.len(), 255);
        assert_eq!(ids.next().unwrap_err().errno(), libc::EFBIG);
    }
}
