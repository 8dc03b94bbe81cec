//! Writing, and changes of ranges: allocating, zeros, holes. Zeros are a segment of the extent map, so that all this is
//! cheap until the commit, and cheap then (`content/plan`).

use std::ops::Range;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::{Caller, User, is_let_go, is_refused};
use crate::fs::content::draft::Draft;
use crate::fs::content::extent_map::Segment;
use crate::fs::content::handle::{Fh, Handle, Locked};
use crate::fs::content::strategy::Change;
use crate::fs::content::tail::Aim;
use crate::fs::content::write::room_to_write_back;

/// The way by which a write comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteMode {
    /// From a mapping: it goes where it is, not to the end.
    pub mapped: bool,
    /// The file loses its set-user-ID and set-group-ID bits.
    pub drop_setid: bool,
    /// Who writes, if that is known: of what comes from a mapping it is not.
    pub writer: Option<User>,
}

/// What the kernel writes back of mappings, in nobody's name.
pub(crate) struct WrittenBack<'a> {
    fs: &'a Fs,
}

impl<'a> WrittenBack<'a> {
    /// That of a filesystem.
    pub(crate) fn of(fs: &'a Fs) -> Self {
        Self { fs }
    }

    /// Those who have opened the file of a handle for writing: who maps it is most likely one of them.
    pub(crate) fn writers(&self, fh: Fh) -> Vec<Caller> {
        self.fs.handles.get(fh).map(|handle| handle.file.writers()).unwrap_or_default()
    }

    /// Bytes that may be taken beyond the memory that content may have.
    pub(crate) fn overdraft(&self) -> u64 {
        self.fs.files.memory.overdraft()
    }
}

impl Fs {
    /// Writes all of `data` at `offset`, or at the end of a file opened with O_APPEND. Where it went, if what the
    /// kernel has cached of that and of the attributes has to go before the writer goes on: the write went past it, and
    /// others may have mapped the file, or it has lost a bit of its mode.
    pub async fn write(
        &self,
        fh: Fh,
        offset: u64,
        data: &Bytes,
        mode: WriteMode,
        caller: Caller,
    ) -> Result<Option<Range<u64>>> {
        let handle = self.handles.get(fh)?;
        handle.check()?;
        // The kernel was told that it is taken.
        let is_taken = || mode.mapped && is_let_go() && !is_refused();
        let mut state = match self.destinations.settled(&handle.file, caller).await {
            Err(error) if is_taken() => {
                handle.file.lock().await.lost.get_or_insert_with(|| error.clone());
                return Err(error);
            }
            state => state?,
        };
        let written = write_alone(self, &handle, &mut state, offset, data, mode).await;
        if let Err(error) = &written
            && is_taken()
        {
            state.lost.get_or_insert_with(|| error.clone());
        }
        written
    }

    /// fallocate(2): allocating is adding zeros up to there, unless the size is to be kept; zeroing and punching holes
    /// put zeros.
    pub async fn fallocate(&self, fh: Fh, offset: u64, len: u64, mode: i32, caller: Caller) -> Result<()> {
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let zero = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => false,
            libc::FALLOC_FL_ZERO_RANGE => true,
            libc::FALLOC_FL_PUNCH_HOLE if keep_size => true,
            _ => return Err(Error::unsupported("ranges of a file cannot be moved")),
        };
        let handle = self.handles.get(fh)?;
        let file = &handle.file;
        let mut state = self.destinations.settled(file, caller).await?;
        self.tree.refuse_replaced(file.ino)?;
        handle.version(&state)?;
        self.files.make_room(&mut state).await?;
        let size = state.draft()?.extents.len();
        let mut end = offset.saturating_add(len);
        if keep_size {
            end = end.min(size);
        }
        if zero && end > offset {
            self.files.admit(&mut state, Change::Zeros(offset..end))?;
            self.files.edit(&mut state, end, |draft| draft.splice(offset, Segment::Zero(end - offset))).await
        } else if end > size {
            self.files.admit(&mut state, Change::Resize(end))?;
            self.files.edit(&mut state, end, |draft| draft.truncate(end)).await
        } else {
            Ok(())
        }
    }
}

/// [`Fs::write`] into a file on which nobody else works.
async fn write_alone(
    fs: &Fs,
    handle: &Handle,
    state: &mut Locked,
    offset: u64,
    data: &Bytes,
    mode: WriteMode,
) -> Result<Option<Range<u64>>> {
    let file = &handle.file;
    // What could not be stored any more is better refused at once.
    fs.tree.refuse_replaced(file.ino)?;
    // Whoever appends does so wherever the end is now; others would write into what they have never seen.
    let append = handle.access.append && !mode.mapped;
    if !append {
        handle.version(state)?;
    }
    let len = data.len() as u64;
    let room = match mode.mapped {
        true => room_to_write_back(&fs.files, state, len).await?,
        false => {
            fs.files.make_room(state).await?;
            fs.files.room_to_write(state, len).await?
        }
    };
    let draft = state.draft()?;
    draft.take_room(room);
    draft.author = draft.author.and(mode.writer.filter(|_| !mode.mapped));
    let offset = if append { state.draft()?.extents.len() } else { offset };
    let end = offset.saturating_add(len);
    let aim = if append { Aim::End } else { Aim::Position };
    fs.files.admit(state, Change::Write { range: offset..end, aim })?;
    if fs.files.config.content_md5 {
        state.draft()?.hash_whole();
    }
    let write = |draft: &mut Draft| if append { draft.append(data) } else { draft.write(offset, data) };
    fs.files.edit(state, end, write).await?;
    let mode_changed = mode.drop_setid && fs.files.drop_setid(state);
    if !(mode.mapped && is_let_go()) {
        // The data is taken; what cannot be sent now is kept, and is the error of the next call.
        let _ = fs.files.make_room(state).await;
    }
    // What comes from a mapping is in the cache, which cannot drop it before it is answered.
    let past_the_cache = handle.direct && !mode.mapped;
    Ok((mode_changed || past_the_cache && file.is_read()).then_some(offset..end))
}
