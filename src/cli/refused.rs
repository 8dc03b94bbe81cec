//! Words for a copy that was not started: whose fault it is, what the service said, and what to do about it.
//!
//! An errno names neither the file that is meant nor the reason. The mount knows both, and is asked for them
//! ([`on_mount::refusal`]); what can be done about the usual ones is added here.

use std::fs::File;
use std::io;
use std::path::Path;

use super::failure::{Failure, explained};
use super::naming::without_query;
use super::on_mount;
use crate::ioctl;
use crate::secrets::is_url;

/// A copy that was refused.
pub(super) struct RefusedCopy<'a> {
    /// As it was typed: a path or a URL.
    pub source: &'a str,
    /// The path of the copy.
    pub destination: &'a Path,
    /// Directory of the destination, on which the copy was ordered.
    pub directory: &'a File,
    /// The id of the destination's lease was given.
    pub named_lease: bool,
}

impl RefusedCopy<'_> {
    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        let refusal = on_mount::refusal(self.directory, error);
        if let Some(refusal) = refusal.as_ref().filter(|refusal| refusal.of_the_source) {
            let hint = self.about_the_source(&refusal.text, error).map_or_else(String::new, |hint| format!("; {hint}"));
            return Failure::new(explained(without_query(self.source), error, &format!("{}{hint}", refusal.text)));
        }
        let known = refusal.map(|refusal| refusal.text).unwrap_or_default();
        let said = explained(self.destination.display(), error, &known);
        Failure::new(match self.about_leases(error) {
            Some(leases) => format!("{}: {leases}", explained(self.destination.display(), error, "")),
            None => match self.about_the_destination(&known) {
                Some(hint) => format!("{said}; {hint}"),
                None => said,
            },
        })
    }

    /// What to do about a source that cannot be read.
    fn about_the_source(&self, known: &str, error: &io::Error) -> Option<&'static str> {
        let refused = matches!(error.raw_os_error(), Some(libc::EACCES | libc::ENOENT));
        let signed = self.source.contains("sig=");
        if is_archived(known) {
            Some("it is archived: --tier Hot, Cool or Cold makes a copy that can be read")
        } else if is_url(self.source) && refused && !signed && known.contains("CannotVerifyCopySource") {
            Some("what is not public needs a SAS in its URL that allows to read it (sp=r)")
        } else if is_url(self.source) && signed && error.raw_os_error() == Some(libc::EACCES) {
            Some("its SAS has to allow to read it (sp=r), and must not be over")
        } else {
            None
        }
    }

    fn about_the_destination(&self, known: &str) -> Option<&'static str> {
        if is_archived(known) {
            return Some("an archived SRC needs --tier Hot, Cool or Cold, which makes a copy that can be read");
        }
        known
            .contains("is no access tier")
            .then_some("there are Hot, Cool, Cold and Archive, and P4 to P80 of page blobs")
    }

    /// If the destination is leased, with the holder (X5), or that the lease id is of no lease of it (X6).
    fn about_leases(&self, error: &io::Error) -> Option<String> {
        let about_leases = match error.raw_os_error() {
            Some(libc::EBUSY | libc::ENOLCK) => true,
            Some(libc::ESTALE) => self.named_lease,
            _ => false,
        };
        let lease = match about_leases {
            true => on_mount::open(self.destination).ok().and_then(|file| on_mount::lease(&file, ioctl::SHOW).ok()),
            false => None,
        };
        match lease {
            Some(lease) if lease.is_held() && self.named_lease => Some(format!("not with that lease id: {lease}")),
            Some(lease) if lease.is_held() => {
                Some(format!("{lease}; --lease-id names the id of an infinite lease, 'blobcp lease break' ends it"))
            }
            Some(lease) if self.named_lease => Some(format!("the lease id is of no lease of it: {lease}")),
            None if self.named_lease && about_leases => {
                Some("a lease id was given, and there is no such file".to_owned())
            }
            _ => None,
        }
    }
}

fn is_archived(known: &str) -> bool {
    ["BlobArchived", "it is archived", "is archived"].iter().any(|word| known.contains(word))
}
