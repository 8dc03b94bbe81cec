//! Copies that stand still where a test wants to look at them.

use blobcp::devstore::CopyAction;

use super::*;

/// The copy that was started last, under [`World::hold_copies`]: it goes on a little each time, and stands still in between, so that what
/// is seen of it does not depend on how busy this machine is.
#[derive(Default)]
pub struct Held {
    /// Bytes copied.
    pub at: u64,
}

impl Held {
    /// At least `more` bytes further.
    pub fn go_on_a_little(&mut self, store: &Devstore, more: u64) {
        let last = || store.copies().into_iter().rfind(|copy| copy.status == "pending");
        eventually("a copy", || last().is_some());
        let copied = || last().expect("it is too fast to be held").bytes_copied;
        let id = last().unwrap().id;
        store.steer_copy(&id, CopyAction::Release).unwrap();
        eventually("some bytes more", || copied() >= self.at + more);
        store.steer_copy(&id, CopyAction::Hold).unwrap();
        self.at = copied();
    }
}
