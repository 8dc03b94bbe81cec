//! What files have borrowed of others, before those change.

use std::sync::Arc;

use tracing::warn;

use crate::error::{Error, Result};
use crate::fs::caller::Caller;
use crate::fs::content::copied_from::CopiedFrom;
use crate::fs::content::draft::{Basis, Draft};
use crate::fs::content::files::Files;
use crate::fs::content::handle::{Content, Locked, OpenFile};
use crate::fs::content::loans::{Changed, Changing};
use crate::fs::content::source::RangeSource;
use crate::fs::content::upload::Target;
use crate::fs::names::attr::Ino;
use crate::fs::names::coherence::refutes_cache;

/// `Names::invalidate_refused_source` for a source that was borrowed from.
pub(in crate::fs) fn refused_by(files: &Files, source: &CopiedFrom, error: Error) -> Error {
    files.names.invalidate_refused_source(source.ino, &source.origin, &source.version.etag, error)
}

/// What a file has borrowed may have another name by now.
pub(in crate::fs) fn locate_sources(files: &Files, locked: &mut Locked) {
    let Content::Draft(draft) = &mut locked.content else { return };
    for source in &mut draft.sources {
        if let Ok(origin) = files.tree.origin(source.ino) {
            source.origin = origin;
        }
    }
}

/// [`refused_by`] where it is not told which source it is. What was to be copied is nowhere any more, so the
/// file is what the service has, or empty; whoever hears the error knows that nothing was stored.
pub(in crate::fs) fn sources_refused(files: &Files, locked: &mut Locked, error: Error) -> Error {
    let (file, state) = locked.parts();
    let Content::Draft(draft) = &mut state.content else { return error };
    draft.discard_uploads();
    let mut told = error.clone();
    for source in &draft.sources {
        told = refused_by(files, source, error.clone());
    }
    state.content = match &state.version {
        Some(_) => Content::Clean,
        None => Content::Draft(Box::new(Draft::empty(Basis::Version))),
    };
    files.loans.repay(file.ino);
    told
}

/// Before this mount changes a file, or many: the service copies what was lent of it, and nothing more is lent
/// until what this returns is dropped. Not to be called under the lock of a file that may have borrowed.
pub(in crate::fs) async fn recall(files: &Files, what: Changed) -> Result<Changing> {
    let (changing, borrowers) = files.loans.change(what);
    for to in borrowers {
        let Some(file) = files.handles.of_ino(to) else {
            files.loans.repay(to);
            continue;
        };
        settle_loans(files, &file, what).await?;
    }
    Ok(changing)
}

async fn settle_loans(files: &Files, file: &Arc<OpenFile>, what: Changed) -> Result<()> {
    let source = match what {
        Changed::One(ino) => Some(ino),
        Changed::Many => None,
    };
    loop {
        let repaid = files.loans.repaid.notified();
        tokio::pin!(repaid);
        repaid.as_mut().enable();
        if !files.loans.owes(file.ino) {
            return Ok(());
        }
        // Whoever has the lock may be the one who waits for us: a rename, which has recalled what it changes itfiles.
        tokio::select! {
            mut locked = file.lock() => return stage_borrowed(files, &mut locked, source).await,
            () = repaid => {}
        }
    }
}

/// Has the service make blocks of what the file has borrowed from `source`, or from all. What has been changed by
/// another client is left: the error is that of whoever stores the file.
async fn stage_borrowed(files: &Files, locked: &mut Locked, source: Option<Ino>) -> Result<()> {
    let (file, state) = locked.parts();
    let base = state.version.clone();
    let Content::Draft(draft) = &mut state.content else {
        files.loans.repay(file.ino);
        return Ok(());
    };
    let Ok(to) = files.tree.blob(file.ino) else { return Ok(()) };
    let target = Target { blob: &to, base: base.as_deref() };
    let borrowed: Vec<_> = draft.extents.remotes().collect();
    for (start, number, range) in borrowed {
        let Some(from) = draft.sources.get(number).cloned() else { continue };
        if source.is_some_and(|ino| ino != from.ino) {
            continue;
        }
        let mut done = 0;
        while range.start + done < range.end {
            let rest = range.start + done..range.end;
            let part = RangeSource::of(&from.origin, &from.version.etag, rest.clone());
            let made = match files.uploads.splice_block(target, draft, &part, start + done, Caller { pid: 0 }).await {
                Ok(Some(len)) => len,
                // What the service cannot copy is read and sent.
                Ok(None) => return files.commit(locked).await,
                // Source or destination are another client's by now: whoever stores the file hears of it.
                Err(error) if error.is_about_the_source() || refutes_cache(&error) => {
                    warn!(source = %from.origin.blob.path, destination = %to.path, %error, "not copied any more");
                    break;
                }
                Err(error) => return Err(error),
            };
            done += made;
        }
    }
    if draft.extents.remotes().next().is_none() {
        draft.sources.clear();
        files.loans.repay(file.ino);
    }
    locked.publish();
    Ok(())
}
