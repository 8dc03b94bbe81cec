//! The asynchronous copy engine (§13.3–13.6).
//!
//! A pending copy is a [`Transfer`]: where it goes, what the destination will be, and a [`Progress`] from which the
//! number of copied bytes at any moment follows by arithmetic. Nothing runs in the background. [`State::advance`],
//! called with every lock of the state, finishes what is due, so completion is exact to the observer and a 1 TiB copy
//! costs nothing. Bytes are never moved: the finished content was shared with the source when the copy began.
//!
//! What ends a copy, in the order it is looked at: the source changed or vanished (X8), the copy is done, the source's
//! signature ran out, the copy is too old (X9). Held copies are frozen but still watch their source. While a copy is
//! pending, the destination is a zero-length placeholder (block and append blobs) or fills up from the front (page
//! blobs).

use std::time::SystemTime;

use uuid::Uuid;

use super::address::{BlobAddress, Revision, Service, without_signature};
use super::answers::{Answers, CopySourceSignature, LastModifiedAfterCopy};
use super::config::CopyRate;
use super::content::Content;
use super::copies::{CopySummary, NewCopy, Progress, SourceName, Timing, Transfer};
use super::error::{Code, ServiceError};
use super::model::{Blob, CopyState, CopyStatus, ETag, Entry, Kind};
use super::state::State;

/// The state of a transfer at a moment.
enum TransferState {
    Going(u64),
    Done,
    Failed(String),
    Vanished,
}

impl State {
    /// Starts a copy into an admitted destination and returns what that is then. Copies at the rate `immediate`
    /// are done at once, and so is a copy of a blob onto itself, whose source would vanish under a placeholder.
    pub(super) fn begin_copy(&mut self, mut copy: NewCopy, now: SystemTime) -> Result<Blob, ServiceError> {
        let from_blob = copy.source.service == Service::Blob;
        let onto_itself =
            from_blob && copy.source.revision == Revision::Current && copy.source.address == copy.destination;
        let rate = match from_blob && copy.source.address.account == copy.destination.account {
            true => self.policy.copy_same_account,
            false => self.policy.copy_cross_account,
        };
        let held = self.policy.hold_new_copies || copy.timing == Timing::WhenReleased;
        let immediate = onto_itself || copy.timing == Timing::Immediately || (rate == CopyRate::Immediate && !held);
        let total = copy.finished.content.len();
        let mut state = CopyState {
            id: Uuid::new_v4(),
            source: shown_source(&self.answers, &copy),
            status: CopyStatus::Pending,
            bytes: 0,
            total,
            completed: None,
            description: None,
        };
        let ticks = self.ticks.next();
        copy.finished.touch(ticks, now);
        if immediate {
            state.status = CopyStatus::Success;
            state.bytes = total;
            state.completed = Some(now);
            self.copies.remember(copy.summary(state.id, state.status.name(), total));
            copy.finished.copy = Some(state);
            return Ok(self.entry_or_new(&copy.destination)?.replace(copy.finished).clone());
        }
        let id = state.id;
        let placeholder = placeholder(&copy.finished, state);
        let placed = self.entry_or_new(&copy.destination)?.replace(placeholder).clone();
        let progress = match held {
            true => Progress::Held { bytes: 0 },
            false => Progress::running(0, now, rate),
        };
        self.copies.pending.insert(id, Transfer { copy, rate, progress, started: now });
        Ok(placed)
    }

    /// Lets time pass: concludes what is due at `now` and brings progress up to date.
    pub(super) fn advance(&mut self, now: SystemTime) {
        if self.copies.pending.is_empty() {
            return;
        }
        let ids: Vec<Uuid> = self.copies.pending.keys().copied().collect();
        for id in ids {
            match self.transfer_state(id, now) {
                TransferState::Going(bytes) => self.show_progress(id, bytes),
                TransferState::Done => self.conclude(id, CopyStatus::Success, None, now),
                TransferState::Failed(description) => self.conclude(id, CopyStatus::Failed, Some(description), now),
                TransferState::Vanished => {
                    if let Some(transfer) = self.copies.pending.remove(&id) {
                        self.copies.remember(transfer.copy.summary(id, "vanished", transfer.bytes(now)));
                    }
                }
            }
        }
    }

    /// The source of a copy as it is now.
    pub(super) fn source(&self, name: &SourceName) -> Option<&Blob> {
        match name.service {
            Service::Blob => self.entry_at(&name.address)?.at(&name.revision),
            Service::File => self.files.get(&name.address),
            Service::Web => None,
        }
    }

    fn entry_at(&self, address: &BlobAddress) -> Option<&Entry> {
        let containers = self.accounts.get(&address.account)?;
        containers.get(&address.container)?.blobs.get(&address.blob)
    }

    fn transfer_state(&self, id: Uuid, now: SystemTime) -> TransferState {
        let Some(transfer) = self.copies.pending.get(&id) else {
            return TransferState::Vanished;
        };
        let NewCopy { destination, source, source_etag, source_expiry, finished, .. } = &transfer.copy;
        let base = self.entry_at(destination).and_then(|entry| entry.base.as_ref());
        let copy = base.and_then(|base| base.copy.as_ref());
        if copy.is_none_or(|copy| copy.id != id || copy.status != CopyStatus::Pending) {
            return TransferState::Vanished;
        }
        match self.source(source) {
            // Read to its end when the copy began.
            _ if source.service == Service::Web => {}
            None => return TransferState::Failed(failed_reading(404, "ResourceNotFound")),
            Some(source) if source.etag != *source_etag => {
                return TransferState::Failed(failed_reading(412, "ConditionNotMet"));
            }
            Some(_) => {}
        }
        let total = finished.content.len();
        let readable_until = source_expiry.map_or(now, |expiry| expiry.min(now));
        let done = match transfer.progress {
            Progress::Held { .. } => false,
            Progress::Unseen { looks } => looks == 0,
            Progress::Running { .. } => transfer.progress.bytes(readable_until) >= total,
        };
        if done {
            return TransferState::Done;
        }
        if readable_until < now {
            return TransferState::Failed(failed_reading(403, "AuthenticationFailed"));
        }
        if now.duration_since(transfer.started).unwrap_or_default() > self.copies.age_limit {
            let text = "500 OperationCancelled \"The copy exceeded the maximum allowed time.\"";
            return TransferState::Failed(text.to_owned());
        }
        TransferState::Going(transfer.bytes(now))
    }

    /// Page blobs fill visibly and change their ETag as they do (§13.3); the others only count.
    fn show_progress(&mut self, id: Uuid, bytes: u64) {
        let Some(transfer) = self.copies.pending.get(&id) else { return };
        let destination = transfer.copy.destination.clone();
        let source = transfer.copy.finished.content.clone();
        let ticks = self.ticks.next();
        let Some(base) = self.current(&destination) else { return };
        let Some(state) = base.copy.as_mut().filter(|state| state.bytes != bytes) else { return };
        state.bytes = bytes;
        if matches!(base.kind, Kind::Page { .. }) {
            base.content = source.slice(0..bytes / 512 * 512).resize(source.len());
            base.etag = ETag::from_ticks(ticks);
        }
    }

    fn conclude(&mut self, id: Uuid, status: CopyStatus, description: Option<String>, now: SystemTime) {
        let Some(transfer) = self.copies.pending.remove(&id) else { return };
        let stays = status == CopyStatus::Success && self.answers.copied_at == LastModifiedAfterCopy::Started;
        let (ticks, bytes, copy) = (self.ticks.next(), transfer.bytes(now), transfer.copy);
        let Some(base) = self.current(&copy.destination) else { return };
        let Some(state) = base.copy.as_mut() else { return };
        state.status = status;
        state.completed = Some(now);
        state.description = description;
        state.bytes = bytes;
        let summary = copy.summary(state.id, status.name(), bytes);
        match status {
            CopyStatus::Success => {
                base.kind = copy.finished.kind;
                base.content = copy.finished.content;
                base.properties = copy.finished.properties;
            }
            // Nothing of a copy that did not succeed is kept, whatever the type (C50).
            _ => {
                base.content = Content::default();
                // S103
                base.tier_changed = base.tier.map(|_| now);
            }
        }
        let written = if stays { base.last_modified } else { now };
        base.touch(ticks, written);
        self.copies.remember(summary);
    }

    /// Abort Copy Blob on a destination that exists: only the pending copy of that id (X11).
    pub(super) fn abort_copy(
        &mut self,
        destination: &BlobAddress,
        id: &str,
        now: SystemTime,
    ) -> Result<(), ServiceError> {
        let base = self.entry(destination)?.base.as_ref().ok_or(Code::BlobNotFound)?;
        let pending = base.copy.as_ref().filter(|copy| copy.status == CopyStatus::Pending);
        let pending = pending.ok_or(Code::NoPendingCopyOperation)?.id;
        if id.parse() != Ok(pending) {
            return Err(Code::CopyIdMismatch.into());
        }
        self.conclude(pending, CopyStatus::Aborted, None, now);
        Ok(())
    }

    /// Every copy known, concluded ones first.
    pub(super) fn copy_summaries(&self, now: SystemTime) -> Vec<CopySummary> {
        let pending = self
            .copies
            .pending
            .iter()
            .map(|(id, transfer)| transfer.copy.summary(*id, CopyStatus::Pending.name(), transfer.bytes(now)));
        self.copies.concluded.iter().cloned().chain(pending).collect()
    }

    /// Freezes a pending copy. False when there is no such copy.
    pub(super) fn hold_copy(&mut self, id: Uuid, now: SystemTime) -> bool {
        let Some(transfer) = self.copies.pending.get_mut(&id) else { return false };
        transfer.progress = Progress::Held { bytes: transfer.bytes(now) };
        true
    }

    /// Lets a held or troubled copy go on at its rate.
    pub(super) fn release_copy(&mut self, id: Uuid, now: SystemTime) -> bool {
        let Some(transfer) = self.copies.pending.get_mut(&id) else { return false };
        if let Progress::Held { bytes } = transfer.progress {
            // Who lets it go on has seen it.
            transfer.progress = match transfer.rate {
                CopyRate::Looks(_) => Progress::running(bytes, now, CopyRate::Immediate),
                rate => Progress::running(bytes, now, rate),
            };
        }
        self.describe_copy(id, None);
        self.advance(now);
        true
    }

    /// Ends a pending copy as failed reading its source.
    pub(super) fn fail_copy(&mut self, id: Uuid, status: u16, code: &str, now: SystemTime) -> bool {
        let known = self.copies.pending.contains_key(&id);
        self.conclude(id, CopyStatus::Failed, Some(failed_reading(status, code)), now);
        known
    }

    /// Freezes a pending copy and gives it the description of retryable trouble (X10).
    pub(super) fn trouble_copy(&mut self, id: Uuid, status: u16, code: &str, now: SystemTime) -> bool {
        let time = super::clock::rfc1123(now);
        let text = format!(
            "{status} {code} \"Encountered a retryable error when reading the source. Will retry. Time of failure: {time}\""
        );
        self.describe_copy(id, Some(text));
        self.hold_copy(id, now)
    }

    fn describe_copy(&mut self, id: Uuid, description: Option<String>) {
        let Some(transfer) = self.copies.pending.get(&id) else { return };
        let destination = transfer.copy.destination.clone();
        if let Some(copy) = self.current(&destination).and_then(|base| base.copy.as_mut()) {
            copy.description = description;
        }
    }

    /// The blob that is there now.
    fn current(&mut self, address: &BlobAddress) -> Option<&mut Blob> {
        self.find(address).ok()??.base.as_mut()
    }

    /// Does what another client would by aborting a copy and starting the same one again: another id is pending at the
    /// destination, from the beginning and held. Returns the new id.
    pub(super) fn replace_copy(&mut self, id: Uuid, now: SystemTime) -> Option<Uuid> {
        let transfer = self.copies.pending.remove(&id)?;
        self.copies.remember(transfer.copy.summary(id, CopyStatus::Aborted.name(), 0));
        let ticks = self.ticks.next();
        let new = Uuid::new_v4();
        let base = self.current(&transfer.copy.destination)?;
        let copy = base.copy.as_mut()?;
        copy.id = new;
        copy.bytes = 0;
        copy.description = None;
        base.touch(ticks, now);
        let progress = Progress::Held { bytes: 0 };
        self.copies.pending.insert(new, Transfer { progress, started: now, ..transfer });
        Some(new)
    }
}

/// `x-ms-copy-source` of a copy.
fn shown_source(answers: &Answers, copy: &NewCopy) -> String {
    let strips = match answers.copy_source_signature {
        CopySourceSignature::ByOperation => copy.timing != Timing::Immediately,
        CopySourceSignature::Stripped => true,
        CopySourceSignature::Kept => false,
    };
    let shown = if strips { without_signature(&copy.source_url) } else { copy.source_url.clone() };
    match shown.split_once('?') {
        // Colons are not encoded (S7).
        Some((path, query)) => format!("{path}?{}", query.replace("%3A", ":").replace("%3a", ":")),
        None => shown,
    }
}

/// The destination while the copy is pending: new metadata and properties, the MD5 among them (S5), and none of the
/// content (X14).
fn placeholder(finished: &Blob, state: CopyState) -> Blob {
    let (kind, content) = match &finished.kind {
        Kind::Block { .. } => (Kind::unlisted(), Content::default()),
        Kind::Append { .. } => (Kind::Append { blocks: 0, sealed: false }, Content::default()),
        Kind::Page { sequence } => (Kind::Page { sequence: *sequence }, Content::zeros(finished.content.len())),
    };
    Blob { kind, content, copy: Some(state), ..finished.clone() }
}

/// Description of a copy that could not read its source.
fn failed_reading(status: u16, code: &str) -> String {
    format!("{status} {code} \"Copy failed when reading the source.\"")
}
