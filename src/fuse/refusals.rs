//! The words of what was refused lately, for who was refused.
//!
//! A system call answers with a number, and the log is not for everybody to read. So the last refusal of each thread is
//! kept, and the thread that got the number may ask for the words. Nobody else may: they name what another user asked
//! for. A thread's number is used again one day, so the user has to be the same as well.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::error::Error;
use crate::secrets::scrubbed;
use crate::sync::lock;

/// Threads whose refusals are kept: who asks does so at once, so these are more than fail at the same moment.
const MOST: usize = 256;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    uid: u32,
    pub operation: &'static str,
    pub errno: i32,
    /// It is about the source of a copy.
    pub of_the_source: bool,
    pub text: String,
}

impl Refusal {
    pub(super) fn new(uid: u32, operation: &'static str, errno: i32, error: &Error) -> Self {
        // What a copy replaces may be archived.
        let is_of_archived_source = matches!(error, Error::Service(refused) if refused.code == "BlobArchived" && refused.operation == "CopyBlob");
        let of_the_source = error.is_about_the_source() || is_of_archived_source;
        // What others say, a library or the service, may repeat a URL.
        let text = scrubbed(&error.to_string()).into_owned();
        Self { uid, operation, errno, of_the_source, text }
    }
}

/// The last refusal of each thread, those of long ago first.
#[derive(Default)]
pub(super) struct Refusals(Mutex<VecDeque<(u32, Refusal)>>);

impl Refusals {
    /// Keeps the refusal of a thread, in place of the one before. A thread that cannot be seen has no number.
    pub(super) fn keep(&self, thread: u32, refusal: Refusal) {
        if thread == 0 {
            return;
        }
        let mut kept = lock(&self.0);
        kept.retain(|(other, _)| *other != thread);
        if kept.len() == MOST {
            kept.pop_front();
        }
        kept.push_back((thread, refusal));
    }

    pub(super) fn of(&self, thread: u32, uid: u32) -> Option<Refusal> {
        let kept = lock(&self.0);
        kept.iter().find(|(other, refusal)| *other == thread && refusal.uid == uid).map(|(_, found)| found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(uid: u32, text: &str) -> Refusal {
        Refusal::new(uid, "mkdir", libc::EINVAL, &Error::fs(libc::EINVAL, text))
    }

    #[test]
    fn the_last_one_of_a_thread_is_told_to_its_user_alone() {
        let kept = Refusals::default();
        kept.keep(7, refusal(1000, "first"));
        kept.keep(7, refusal(1000, "second"));
        kept.keep(0, refusal(1000, "of nobody"));
        assert_eq!(kept.of(7, 1000).unwrap().text, "second");
        assert_eq!((kept.of(7, 1001), kept.of(8, 1000), kept.of(0, 1000)), (None, None, None));
    }

    #[test]
    fn no_secret_is_kept() {
        let kept = refusal(0, "cannot reach https://a.example/c?sv=1&sig=SeCrEt: reset");
        assert_eq!(kept.text, "cannot reach https://a.example/c: reset");
    }

    #[test]
    fn old_ones_are_forgotten() {
        let kept = Refusals::default();
        (1..=MOST as u32 + 1).for_each(|thread| kept.keep(thread, refusal(0, "x")));
        assert_eq!(kept.of(1, 0), None);
        assert!(kept.of(2, 0).is_some() && kept.of(MOST as u32 + 1, 0).is_some());
    }
}
