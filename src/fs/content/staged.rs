//! Blocks of a new file, before there is a blob.
//!
//! The service keeps them for a week if nothing comes of them, and shows them to nobody. In a flat namespace they are in
//! nobody's way. Where directories are, their name may keep the directory from being removed as long, and no program sees
//! why. So there a file that comes to nothing takes its blocks along, and the journal says where they are while they may
//! be left (`copies/leftovers`).
//!
//! To drop them is to make an empty blob and to delete it. So it is not done where a container keeps what is made, nor
//! where a block is there that this draft did not send: somebody else is about to make a file of that name.

use std::sync::atomic::Ordering;

use tracing::{debug, warn};

use crate::fs::block_ids::BlockIds;
use crate::fs::content::draft::{Draft, Staged};
use crate::fs::content::upload::{Target, Uploads};
use crate::fs::journal::Intent;

impl Uploads {
    /// Blocks are about to be staged: says so to whoever comes after this process.
    pub(crate) fn note_staged(&self, Target { blob, base }: Target<'_>, draft: &mut Draft) {
        let Some(ids) = &draft.ids else { return };
        let is_new = base.is_none() && draft.detour.is_none() && !draft.once;
        if is_new && draft.staged.is_none() && self.service.client(blob.account).has_directories() {
            let intent = Intent::Blocks { of: self.service.named(blob), ids: ids.origin() };
            draft.staged = Some(Staged { blob: blob.clone(), entry: self.service.journal.begin(intent) });
        }
    }

    /// Takes away what is left of a draft that is not wanted, or is stored otherwise by now.
    pub(crate) async fn abandon(&self, draft: &mut Draft) {
        if draft.detour.is_none() && draft.staged.is_none() {
            return;
        }
        // What is on its way comes before.
        if let Err(error) = draft.reap(true).await {
            debug!(%error, "a block that is not wanted any more");
        }
        self.abandon_detour(draft).await;
        let Some(Staged { blob, entry }) = draft.staged.take() else { return };
        let origin = draft.ids.as_ref().map(BlockIds::origin).unwrap_or_default();
        match self.service.blob(&blob).block_blob().drop_blocks(|id| BlockIds::is_of(&origin, id)).await {
            Ok(true) => entry.end(),
            Ok(false) => debug!(blob = %blob.path, "somebody else sends blocks, too: all of them stay"),
            Err(error) => warn!(blob = %blob.path, %error, "blocks of a file that is not stored are left"),
        }
    }

    /// They are in a blob now, or the service has dropped them for one.
    pub(crate) fn committed(&self, draft: &mut Draft) {
        let spared = draft.spared.swap(0, Ordering::Relaxed);
        if let Some(recogniser) = &self.recogniser {
            recogniser.count(spared);
        }
        if let Some(staged) = draft.staged.take() {
            staged.entry.end();
        }
    }
}
