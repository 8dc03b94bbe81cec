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

/// A file that has borrowed could not be stored because of a source: [`refused_by`], where it is not told which one it
/// is. A source that is another one now, or gone, is nowhere any more; so the file is what the service has, or empty,
/// and whoever hears the error knows that nothing was stored. Otherwise the draft stays, to be stored again.
pub(in crate::fs) fn sources_refused(files: &Files, locked: &mut Locked, error: Error) -> Error {
    let (file, state) = locked.parts();
    let Content::Draft(draft) = &mut state.content else { return error };
    if !error.is_of_another_source() && !error.is_of_no_source() {
        return error;
    }
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

/// Before this mount removes a file, or many, or names them otherwise: the service copies what was lent of it, and
/// nothing more is lent until what this returns is dropped. Nothing is to be removed if that fails. Not to be called
/// under the lock of a file that may have borrowed.
pub(in crate::fs) async fn recall(files: &Files, what: Changed) -> Result<Changing> {
    let (changing, failed) = take_back(files, what).await;
    failed.map_or(Ok(changing), Err)
}

/// [`recall`] before a file is stored or described, which does not fail because another one cannot be stored: whoever
/// stores that hears that what it was to hold is gone.
pub(in crate::fs) async fn recall_if_possible(files: &Files, what: Changed) -> Changing {
    let (changing, failed) = take_back(files, what).await;
    if let Some(error) = failed {
        warn!(%error, "not copied before it changes");
    }
    changing
}

/// Asks all who have borrowed; the first failure.
async fn take_back(files: &Files, what: Changed) -> (Changing, Option<Error>) {
    let (changing, borrowers) = files.loans.change(what);
    let mut failed = None;
    for to in borrowers {
        match files.handles.of_ino(to) {
            Some(file) => failed = failed.or(settle_loans(files, &file, what).await.err()),
            None => files.loans.repay(to),
        }
    }
    (changing, failed)
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
        // Whoever has the lock may be the one who waits for us: a rename, which has recalled what it
        // changes itself.
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
