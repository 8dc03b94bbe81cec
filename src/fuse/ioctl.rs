//! The ioctl commands: decode, call the filesystem, encode.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bitflags::Flags;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::access::Credentials;
use crate::fs::attr::{FileKind, Ino};
use crate::fs::bulk::{Event, Outcome, Skip, TreeOrder};
use crate::fs::caller::Caller;
use crate::fs::control::CopyOrder;
use crate::fs::handle::Fh;
use crate::fs::lease::LeaseSource;
use crate::fs::leftovers::{Fate, Leftover, Remnant};
use crate::fs::method::CopyMethod;
use crate::fs::walk::Found;
use crate::fuse::call::read_only;
use crate::fuse::refusals::Refusal;
use crate::ioctl::{
    self, ABORT, ABORTED, ACCEPTED, Abort, BLOB_METHOD, BLOCKS_METHOD, BREAK, COPIES, COPY, Copies, Copy, DUE, EXISTS,
    Entry, FAILED, LEASE, LEFTOVERS, Lease, Leftovers, NEWS, News, OrderFlags, PENDING, REASON, Reason, Records,
    ReportFlags, SAME, SHOW, SNAPSHOT, STATUS, SUCCESS, Snapshot, Status, TREE, Tree, is_wrong_size, set_text, text,
};
use crate::store::{CopyId, CopyState, CopyStatus};

/// An ioctl as it came.
pub(super) struct Request {
    pub ino: Ino,
    pub fh: Fh,
    pub command: u32,
    pub input: Vec<u8>,
    pub who: Credentials,
    pub caller: Caller,
    /// The last one of the calling thread.
    pub refusal: Option<Refusal>,
    /// Nobody may write to the mount. The kernel lets every ioctl through.
    pub read_only: bool,
}

/// The output of a command.
pub(super) async fn answer(fs: &Arc<Fs>, request: Request) -> Result<Vec<u8>> {
    let Request { ino, fh, command, ref input, ref who, caller, ref refusal, read_only: is_read_only } = request;
    if is_write(command, input)? && (is_read_only || !fs.control().may_be_written_through(ino, caller, who).await) {
        return Err(read_only());
    }
    match command {
        COPY => copy(fs, ino, read(input)?, who, caller).await,
        STATUS => status(fs, ino).await,
        ABORT => abort(fs, ino, fh, read(input)?, who).await,
        TREE => tree(fs, fh, read(input)?, who),
        NEWS => news(fs, fh).await,
        COPIES => copies(fs, fh, read(input)?, who).await,
        SNAPSHOT => snapshot(fs, ino, who).await,
        LEASE => lease(fs, ino, read(input)?, who).await,
        LEFTOVERS => leftovers(fs, fh, read(input)?, who).await,
        REASON => reason(refusal.as_ref()),
        _ if is_wrong_size(command) => Err(wrong_size()),
        _ => Err(Error::fs(libc::ENOTTY, format!("no such command: {command:#x}"))),
    }
}

/// Whether a command changes something.
fn is_write(command: u32, input: &[u8]) -> Result<bool> {
    Ok(match command {
        COPY | ABORT | TREE | SNAPSHOT => true,
        LEASE => read::<Lease>(input)?.action == BREAK,
        LEFTOVERS => read::<Leftovers>(input)?.flags.contains(ReportFlags::CLEAN),
        _ => false,
    })
}

/// A payload as its command reads it, and nothing else.
#[cfg(any(test, fuzzing))]
pub(super) fn payload(command: u32, input: &[u8]) -> Result<()> {
    match command {
        COPY => copy_order(&read(input)?, Ino::ROOT).map(drop),
        ABORT => field("id", &read::<Abort>(input)?.id).map(drop),
        TREE => tree_order(&read(input)?).map(drop),
        COPIES => read::<Copies>(input).map(drop),
        LEASE => read::<Lease>(input).map(drop),
        _ => Err(wrong_size()),
    }
}

fn read<T: FromBytes>(input: &[u8]) -> Result<T> {
    T::read_from_bytes(input).map_err(|_| wrong_size())
}

fn wrong_size() -> Error {
    Error::fs(libc::EINVAL, "the structure has another size than this command's")
}

fn field<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    text(bytes).ok_or_else(|| Error::fs(libc::EINVAL, format!("{name} is not UTF-8 that ends with a zero byte")))
}

fn refuse_unknown<F: Flags<Bits = u32>>(flags: F, known: F) -> Result<()> {
    match flags.difference(known).bits() {
        0 => Ok(()),
        unknown => Err(Error::fs(libc::EINVAL, format!("unknown flags: {unknown:#x}"))),
    }
}

/// What COPY orders at a node.
fn copy_order(copy: &Copy, ino: Ino) -> Result<CopyOrder<'_>> {
    refuse_unknown(copy.flags, OrderFlags::OF_COPY)?;
    let has = |flag| copy.flags.contains(flag);
    let lease = has(OrderFlags::LEASE_ID).then(|| field("id", &copy.id)).transpose()?;
    let tier = field("tier", &copy.tier)?;
    Ok(CopyOrder {
        source: field("source", &copy.source)?,
        at: ino,
        name: field("destination", &copy.destination)?,
        no_replace: has(OrderFlags::NO_REPLACE),
        no_wait: has(OrderFlags::NO_WAIT),
        followed: has(OrderFlags::FOLLOWED),
        tier: (!tier.is_empty()).then_some(tier),
        metadata: field("metadata", &copy.metadata)?,
        keep: has(OrderFlags::SNAPSHOT_FIRST),
        lease_source: lease_source(copy.flags)?,
        method: copy_method(copy.flags),
        lease,
    })
}

async fn copy(fs: &Arc<Fs>, ino: Ino, mut copy: Copy, who: &Credentials, caller: Caller) -> Result<Vec<u8>> {
    let (id, status) = fs.control().copy(copy_order(&copy, ino)?, who, caller).await?;
    copy.status = number(status);
    set_text(&mut copy.id, id.as_str());
    Ok(copy.as_bytes().to_vec())
}

/// `None`: as the mount does.
fn lease_source(flags: OrderFlags) -> Result<Option<LeaseSource>> {
    const NOTHING: OrderFlags = OrderFlags::empty();
    const EARLY: OrderFlags = OrderFlags::LEASE_SOURCE.union(OrderFlags::LEASE_EARLY);
    match flags & EARLY.union(OrderFlags::NO_LEASE) {
        NOTHING => Ok(None),
        OrderFlags::LEASE_SOURCE => Ok(Some(LeaseSource::Pending)),
        OrderFlags::NO_LEASE => Ok(Some(LeaseSource::Never)),
        EARLY => Ok(Some(LeaseSource::Always)),
        _ => Err(Error::fs(libc::EINVAL, "flags that say two things about the source's lease")),
    }
}

/// `None`: as the mount does.
fn copy_method(flags: OrderFlags) -> Option<CopyMethod> {
    match (flags.contains(OrderFlags::BY_COPY_BLOB), flags.contains(OrderFlags::BY_BLOCKS)) {
        (false, false) => None,
        (true, false) => Some(CopyMethod::Blob),
        (false, true) => Some(CopyMethod::Blocks),
        (true, true) => Some(CopyMethod::Auto),
    }
}

async fn lease(fs: &Arc<Fs>, ino: Ino, mut lease: Lease, who: &Credentials) -> Result<Vec<u8>> {
    match lease.action {
        SHOW => {}
        BREAK => fs.control().break_lease(ino, who).await?,
        other => return Err(Error::fs(libc::EINVAL, format!("unknown action: {other}"))),
    }
    let report = fs.control().lease(ino).await?;
    set_text(&mut lease.state, &report.state);
    set_text(&mut lease.duration, &report.duration);
    set_text(&mut lease.holder, &report.holder);
    Ok(lease.as_bytes().to_vec())
}

fn method(state: &CopyState) -> u32 {
    if state.in_blocks { BLOCKS_METHOD } else { BLOB_METHOD }
}

async fn status(fs: &Arc<Fs>, ino: Ino) -> Result<Vec<u8>> {
    let state = fs.control().copy_state(ino).await?;
    let mut status = Status::new_zeroed();
    status.status = number(state.status);
    status.method = method(&state);
    status.bytes_copied = state.bytes_copied;
    status.total_bytes = state.total_bytes;
    status.completion_time = state.completion_time.map_or(0, seconds);
    set_text(&mut status.id, state.id.as_str());
    set_text(&mut status.source, state.source.as_deref().unwrap_or(""));
    set_text(&mut status.description, state.description.as_deref().unwrap_or(""));
    Ok(status.as_bytes().to_vec())
}

/// On a directory: of what is being copied into it.
async fn abort(fs: &Arc<Fs>, ino: Ino, fh: Fh, abort: Abort, who: &Credentials) -> Result<Vec<u8>> {
    let id = field("id", &abort.id)?;
    if fs.control().kind(ino)? == FileKind::Directory {
        fs.tree_copies().cancel(fh)?;
        return Ok(Vec::new());
    }
    let id = (!id.is_empty()).then(|| CopyId::new(id));
    fs.control().abort_as(ino, id.as_ref(), who).await?;
    Ok(Vec::new())
}

/// What TREE orders.
fn tree_order(tree: &Tree) -> Result<TreeOrder> {
    refuse_unknown(tree.flags, OrderFlags::OF_TREE)?;
    let has = |flag| tree.flags.contains(flag);
    Ok(TreeOrder {
        source: field("source", &tree.source)?.to_owned(),
        name: field("destination", &tree.destination)?.to_owned(),
        recursive: has(OrderFlags::RECURSIVE),
        no_replace: has(OrderFlags::NO_REPLACE),
        update: has(OrderFlags::UPDATE),
        no_wait: has(OrderFlags::NO_WAIT),
        dry_run: has(OrderFlags::DRY_RUN),
        keep: has(OrderFlags::SNAPSHOT_FIRST),
        lease_source: lease_source(tree.flags)?,
        method: copy_method(tree.flags),
        jobs: tree.jobs,
    })
}

fn tree(fs: &Arc<Fs>, fh: Fh, tree: Tree, who: &Credentials) -> Result<Vec<u8>> {
    fs.tree_copies().start(fh, tree_order(&tree)?, who.clone())?;
    Ok(Vec::new())
}

async fn news(fs: &Arc<Fs>, fh: Fh) -> Result<Vec<u8>> {
    let mut records = Records::default();
    let heard = fs.tree_copies().progress(fh, |event| record(&mut records, event)).await?;
    for pending in &heard.slowest {
        let mut entry = Entry::new_zeroed();
        entry.status = PENDING;
        (entry.bytes_copied, entry.total_bytes) = (pending.copied, pending.total);
        entry.modified = seconds(pending.since);
        if !records.push(entry, [&pending.path, pending.id.as_str(), "", ""]) {
            break;
        }
    }
    let totals = heard.totals;
    let mut news = News::new_zeroed();
    news.flags.set(ReportFlags::DONE, heard.done);
    news.flags.set(ReportFlags::LISTED, heard.listed);
    (news.found_files, news.found_bytes) = (totals.found.files, totals.found.bytes);
    (news.copied_files, news.copied_bytes) = (totals.copied.files, totals.copied.bytes);
    (news.skipped_files, news.skipped_bytes) = (totals.skipped.files, totals.skipped.bytes);
    (news.failed_files, news.failed_bytes) = (totals.failed.files, totals.failed.bytes);
    (news.aborted_files, news.aborted_bytes) = (totals.aborted.files, totals.aborted.bytes);
    (news.pending_files, news.pending_bytes) = (heard.pending as u64, heard.underway_bytes);
    news.bears = heard.limit.unwrap_or(0) as u64;
    let (count, bytes) = records.finish();
    news.count = count;
    news.records.copy_from_slice(bytes);
    Ok(news.as_bytes().to_vec())
}

fn record(records: &mut Records, event: &Event) -> bool {
    let mut entry = Entry::new_zeroed();
    entry.total_bytes = event.bytes;
    let (status, id, reason) = match &event.outcome {
        Outcome::Copied(id) => (SUCCESS, id.as_str(), ""),
        Outcome::Accepted(id) => (ACCEPTED, id.as_str(), ""),
        Outcome::Due => (DUE, "", ""),
        Outcome::Skipped(Skip::Exists) => (EXISTS, "", ""),
        Outcome::Skipped(Skip::Same) => (SAME, "", ""),
        Outcome::Failed(_, reason) => (FAILED, "", reason.as_str()),
        Outcome::Aborted(true) => (ABORTED, "", "an empty file is left in place of the one that was there"),
        Outcome::Aborted(false) => (ABORTED, "", ""),
    };
    entry.status = status;
    if let Outcome::Failed(errno, _) = event.outcome {
        entry.error = errno;
    }
    if status == SUCCESS {
        entry.bytes_copied = event.bytes;
    }
    records.push(entry, [&event.path, id, "", reason])
}

async fn copies(fs: &Arc<Fs>, fh: Fh, mut copies: Copies, who: &Credentials) -> Result<Vec<u8>> {
    // What the last call said may still stand there.
    refuse_unknown(copies.flags, ReportFlags::AGAIN | ReportFlags::UNFINISHED | ReportFlags::DONE)?;
    let again = copies.flags.contains(ReportFlags::AGAIN);
    let ended_since = copies.flags.contains(ReportFlags::UNFINISHED).then_some(copies.since);
    let mut records = Records::default();
    let done = fs.control().list_copies(fh, again, who, |found| state(&mut records, found, ended_since)).await?;
    copies.flags = if done { ReportFlags::DONE } else { ReportFlags::empty() };
    let (count, bytes) = records.finish();
    copies.count = count;
    copies.records.copy_from_slice(bytes);
    Ok(copies.as_bytes().to_vec())
}

/// `ended_since`: of the copies that were successful only those.
fn state(records: &mut Records, found: &Found, ended_since: Option<i64>) -> bool {
    let copy = found.properties.copy.as_ref();
    let is_recent = |copy: &CopyState| match ended_since {
        None => true,
        Some(0) => false,
        Some(since) => copy.completion_time.is_some_and(|ended| seconds(ended) >= since),
    };
    let wanted = match copy {
        None => ended_since.is_none(),
        Some(copy) => copy.status != CopyStatus::Success || is_recent(copy),
    };
    // A directory is no file, but somebody may want to know of a marker that failed.
    let is_fine = copy.is_none_or(|copy| copy.status == CopyStatus::Success);
    if !wanted || (found.kind == FileKind::Directory && is_fine) {
        return true;
    }
    let mut entry = Entry::new_zeroed();
    entry.total_bytes = found.properties.size;
    entry.modified = seconds(found.properties.last_modified);
    let mut texts = [&*found.path, "", "", ""];
    if let Some(copy) = copy {
        entry.status = number(copy.status);
        entry.method = method(copy);
        (entry.bytes_copied, entry.total_bytes) = (copy.bytes_copied, copy.total_bytes);
        entry.completion_time = copy.completion_time.map_or(0, seconds);
        texts[1] = copy.id.as_str();
        texts[2] = copy.source.as_deref().unwrap_or("");
        texts[3] = copy.description.as_deref().unwrap_or("");
    }
    records.push(entry, texts)
}

async fn leftovers(fs: &Arc<Fs>, fh: Fh, mut leftovers: Leftovers, who: &Credentials) -> Result<Vec<u8>> {
    refuse_unknown(leftovers.flags, ReportFlags::AGAIN | ReportFlags::CLEAN | ReportFlags::DONE)?;
    let has = |flag| leftovers.flags.contains(flag);
    let (again, clean) = (has(ReportFlags::AGAIN), has(ReportFlags::CLEAN));
    let mut records = Records::default();
    let take = |left: &Leftover| {
        let mut entry = Entry::new_zeroed();
        entry.status = match left.kind {
            Remnant::Backup => ioctl::BACKUP,
            Remnant::Hidden => ioctl::HIDDEN,
            Remnant::Lease => ioctl::LEASED,
            Remnant::Move => ioctl::MOVE,
            Remnant::MoveTree => ioctl::MOVE_TREE,
            Remnant::Copy => ioctl::PENDING_COPY,
            Remnant::Blocks => ioctl::BLOCKS,
            Remnant::GivenUp => ioctl::GIVEN_UP,
        };
        entry.error = match left.fate {
            Fate::Clean | Fate::Done => 0,
            Fate::Keep => libc::EBUSY,
            Fate::Passing => libc::EAGAIN,
            Fate::Failed(errno) => errno,
        };
        entry.total_bytes = left.bytes;
        entry.modified = seconds(left.since);
        records.push(entry, [&left.path, "", "", &left.why])
    };
    let done = fs.control().leftovers(fh, (again, clean), who, take).await?;
    leftovers.flags = if done { ReportFlags::DONE } else { ReportFlags::empty() };
    let (count, bytes) = records.finish();
    leftovers.count = count;
    leftovers.records.copy_from_slice(bytes);
    Ok(leftovers.as_bytes().to_vec())
}

fn reason(refusal: Option<&Refusal>) -> Result<Vec<u8>> {
    let refusal = refusal.ok_or_else(|| Error::fs(libc::ENODATA, "nothing was refused lately"))?;
    let mut reason = Reason::new_zeroed();
    reason.error = refusal.errno;
    reason.about = if refusal.of_the_source { ioctl::OF_THE_SOURCE } else { ioctl::OF_THE_REQUEST };
    set_text(&mut reason.operation, refusal.operation);
    set_text(&mut reason.text, &refusal.text);
    Ok(reason.as_bytes().to_vec())
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

async fn snapshot(fs: &Arc<Fs>, ino: Ino, who: &Credentials) -> Result<Vec<u8>> {
    let mut snapshot = Snapshot::new_zeroed();
    set_text(&mut snapshot.moment, fs.control().take_snapshot(ino, who).await?.as_str());
    Ok(snapshot.as_bytes().to_vec())
}

fn number(status: CopyStatus) -> u32 {
    match status {
        CopyStatus::Pending => PENDING,
        CopyStatus::Success => SUCCESS,
        CopyStatus::Aborted => ABORTED,
        CopyStatus::Failed => FAILED,
    }
}
