//! Between the bytes of an ioctl and the filesystem: decode, call, encode.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::attr::Ino;
use crate::fs::caller::Caller;
use crate::fs::control::CopyOrder;
use crate::ioctl::{
    ABORT, ABORTED, Abort, COPY, Copy, FAILED, LEASE_SOURCE, NO_REPLACE, NO_WAIT, PENDING, SNAPSHOT, SNAPSHOT_FIRST,
    STATUS, SUCCESS, Snapshot, Status, decode, encode, is_wrong_size, set_text, text, zeroed,
};
use crate::store::{CopyId, CopyStatus};

/// The output of a command.
pub async fn answer(fs: &Arc<Fs>, ino: Ino, command: u32, input: &[u8], caller: Caller) -> Result<Vec<u8>> {
    match command {
        COPY => copy(fs, ino, decode(input).ok_or_else(wrong_size)?, caller).await,
        STATUS => status(fs, ino).await,
        ABORT => abort(fs, ino, decode(input).ok_or_else(wrong_size)?).await,
        SNAPSHOT => snapshot(fs, ino).await,
        _ if is_wrong_size(command) => Err(wrong_size()),
        _ => Err(Error::fs(libc::ENOTTY, format!("no such command: {command:#x}"))),
    }
}

fn wrong_size() -> Error {
    Error::fs(libc::EINVAL, "the structure has another size than this command's")
}

fn field<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    text(bytes).ok_or_else(|| Error::fs(libc::EINVAL, format!("{name} is not UTF-8 that ends with a zero byte")))
}

async fn copy(fs: &Arc<Fs>, ino: Ino, mut copy: Copy, caller: Caller) -> Result<Vec<u8>> {
    if copy.flags & !(NO_REPLACE | NO_WAIT | SNAPSHOT_FIRST | LEASE_SOURCE) != 0 {
        return Err(Error::fs(libc::EINVAL, format!("unknown flags: {:#x}", copy.flags)));
    }
    if copy.flags & (SNAPSHOT_FIRST | LEASE_SOURCE) != 0 {
        return Err(Error::fs(libc::EOPNOTSUPP, "snapshot-first and lease-source are not supported yet"));
    }
    let tier = field("tier", &copy.tier)?;
    let order = CopyOrder {
        source: field("source", &copy.source)?,
        at: ino,
        name: field("destination", &copy.destination)?,
        no_replace: copy.flags & NO_REPLACE != 0,
        no_wait: copy.flags & NO_WAIT != 0,
        tier: (!tier.is_empty()).then_some(tier),
        metadata: field("metadata", &copy.metadata)?,
    };
    let (id, status) = fs.order_copy(order, caller).await?;
    copy.status = number(status);
    set_text(&mut copy.id, id.as_str());
    Ok(encode(&copy).to_vec())
}

async fn status(fs: &Fs, ino: Ino) -> Result<Vec<u8>> {
    let state = fs.copy_state(ino).await?;
    let mut status: Status = zeroed();
    status.status = number(state.status);
    status.bytes_copied = state.bytes_copied;
    status.total_bytes = state.total_bytes;
    let ended = state.completion_time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    status.completion_time = ended.map_or(0, |since| since.as_secs() as i64);
    set_text(&mut status.id, state.id.as_str());
    set_text(&mut status.source, state.source.as_deref().unwrap_or(""));
    set_text(&mut status.description, state.description.as_deref().unwrap_or(""));
    Ok(encode(&status).to_vec())
}

async fn abort(fs: &Fs, ino: Ino, abort: Abort) -> Result<Vec<u8>> {
    let id = field("id", &abort.id)?;
    let id = (!id.is_empty()).then(|| CopyId::new(id));
    fs.abort(ino, id.as_ref()).await?;
    Ok(Vec::new())
}

async fn snapshot(fs: &Fs, ino: Ino) -> Result<Vec<u8>> {
    let mut snapshot: Snapshot = zeroed();
    set_text(&mut snapshot.moment, fs.take_snapshot(ino).await?.as_str());
    Ok(encode(&snapshot).to_vec())
}

fn number(status: CopyStatus) -> u32 {
    match status {
        CopyStatus::Pending => PENDING,
        CopyStatus::Success => SUCCESS,
        CopyStatus::Aborted => ABORTED,
        CopyStatus::Failed => FAILED,
    }
}
