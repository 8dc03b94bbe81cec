//! What may be read and what has to be stored, told without knowing how the mount does it.
//!
//! An inode of a mount is one version of a blob and what this mount has written to it since. Which version that is, is not known when it is
//! opened: all that ever were in the service may be. Each read leaves those that agree with it, and one has to be left. What was
//! acknowledged and is not stored yet is a list of changes; when the content in the service changes by a mount's doing, it has to be what
//! these changes make of what was there before.

use std::collections::HashMap;

use bytes::Bytes;

pub type Id = (usize, u64);

/// What was acknowledged. Bytes.
#[derive(Debug, Clone)]
pub enum Change {
    /// The file comes into being, if it is not there.
    Create,
    Resize(usize),
    /// One of these.
    Write(usize, Vec<Bytes>),
    Append(Bytes),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub content: Bytes,
    pub append_blob: bool,
}

#[derive(Debug, Clone)]
pub struct Inode {
    /// Which of the files it is, by its name on its mount.
    pub file: Option<usize>,
    pub candidates: Vec<Bytes>,
    pub pending: Vec<Change>,
    /// Somebody else has changed the blob since, or it was of an old version from the start: errors are no surprise.
    pub disturbed: bool,
    pub append_blob: bool,
    /// Another append blob was put in its place. In the second in which it was made itself it may pass for it, grown.
    pub renewed: bool,
    /// It is not known whether what is pending is stored.
    pub unsure: bool,
}

#[derive(Default)]
pub struct Oracle {
    pub stored: Vec<Option<Stored>>,
    /// Files whose content was put there once more, or described anew, and has not changed since: what a mount remembers of them may be
    /// another version although it is the same content.
    again: Vec<bool>,
    /// Files that were empty once: a mount may remember an empty one where there is none.
    was_empty: Vec<bool>,
    /// Files of which one append blob took another's place.
    renewed: Vec<bool>,
    /// Every content that was in the service.
    history: Vec<Bytes>,
    pub inodes: HashMap<Id, Inode>,
}

pub type Verdict<T = ()> = Result<T, String>;

impl Oracle {
    pub fn new(files: usize) -> Self {
        Self {
            stored: vec![None; files],
            again: vec![false; files],
            was_empty: vec![false; files],
            renewed: vec![false; files],
            history: vec![Bytes::new()],
            inodes: HashMap::new(),
        }
    }

    fn remember(&mut self, content: &Bytes) {
        if !self.history.contains(content) {
            self.history.push(content.clone());
        }
    }

    fn store(&mut self, file: usize, now: Option<Stored>) {
        self.was_empty[file] |= now.as_ref().is_some_and(|now| now.content.is_empty());
        self.stored[file] = now;
    }

    /// Another client has put or deleted a blob, or (`grown`) appended to it.
    pub fn foreign(&mut self, file: usize, now: Option<Stored>, grown: bool) {
        if let Some(now) = &now {
            self.remember(&now.content);
        }
        let content = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.content.clone());
        self.again[file] = content(&self.stored[file]) == content(&now);
        let renewed =
            !grown && [&self.stored[file], &now].iter().all(|blob| blob.as_ref().is_some_and(|blob| blob.append_blob));
        self.renewed[file] |= renewed;
        self.store(file, now);
        for inode in self.inodes.values_mut().filter(|inode| inode.file == Some(file)) {
            inode.disturbed = true;
            inode.renewed |= renewed;
        }
    }

    /// An inode that was just opened, `size` bytes long.
    pub fn opened(&mut self, id: Id, file: usize, size: usize, truncated: bool, creating: bool) {
        let (stored, history, again) = (&self.stored[file], &self.history, self.again[file]);
        let (was_empty, renewed) = (self.was_empty[file], self.renewed[file]);
        let inode = self.inodes.entry(id).or_insert_with(|| {
            let candidates: Vec<Bytes> = match truncated {
                true => vec![Bytes::new()],
                false => history.iter().filter(|content| content.len() == size).cloned().collect(),
            };
            // Where several versions are as long, it may be an older one.
            let current = stored.as_ref().is_some_and(|stored| candidates == [stored.content.clone()]);
            let is_new = creating && size == 0;
            let append_blob = stored.as_ref().is_some_and(|stored| stored.append_blob);
            let disturbed = if is_new { stored.is_some() || was_empty } else { !current || again };
            Inode {
                file: Some(file),
                candidates,
                pending: Vec::new(),
                disturbed: disturbed || truncated,
                append_blob,
                renewed,
                unsure: false,
            }
        });
        if creating {
            inode.pending.push(Change::Create);
        }
        if truncated {
            inode.pending.push(Change::Resize(0));
            inode.candidates = vec![Bytes::new()];
        }
    }

    /// An inode that is only appended to may be whatever has its name, of `size` bytes if that is known, unless something waits to be stored.
    pub fn adopted(&mut self, id: Id, size: Option<usize>) {
        let Some(inode) = self.inodes.get_mut(&id) else { return };
        if inode.pending.iter().all(|change| matches!(change, Change::Create)) {
            let fits = |content: &&Bytes| size.is_none_or(|size| content.len() == size);
            inode.candidates.extend(self.history.iter().filter(fits).cloned());
            inode.candidates = unique(std::mem::take(&mut inode.candidates));
        }
    }

    /// What was read of an inode, `len` bytes asked for at `at`.
    pub fn read(&mut self, id: Id, at: usize, len: usize, read: &[u8]) -> Verdict {
        let grown: Vec<Bytes> = self.history.clone();
        let inode = self.inodes.get_mut(&id).ok_or("no such inode")?;
        let agrees = |content: &Bytes| {
            let range = at.min(content.len())..(at + len).min(content.len());
            content[range] == *read
        };
        let left: Vec<Bytes> = inode.candidates.iter().filter(|content| agrees(content)).cloned().collect();
        if !left.is_empty() {
            inode.candidates = left;
            return Ok(());
        }
        if inode.append_blob {
            // It may have grown, and the kernel may not know how far.
            let begins =
                |content: &Bytes| inode.renewed || inode.candidates.iter().any(|known| content.starts_with(known));
            let prefix = |content: &Bytes| {
                let range = at.min(content.len())..(at + read.len()).min(content.len());
                content[range] == *read
            };
            let grown: Vec<Bytes> = grown.into_iter().filter(|content| begins(content) && prefix(content)).collect();
            if !grown.is_empty() {
                inode.candidates.extend(grown);
                return Ok(());
            }
            if inode.candidates.iter().any(prefix) {
                return Ok(());
            }
        }
        Err(format!(
            "inode {id:?} of {:?}: {} bytes read at {at} are of no version ({} candidates, {} pending)",
            inode.file,
            read.len(),
            inode.candidates.len(),
            inode.pending.len()
        ))
    }

    /// A change of an inode was acknowledged.
    pub fn changed(&mut self, id: Id, change: Change) -> Verdict {
        let inode = self.inodes.get_mut(&id).ok_or("no such inode")?;
        let changed = inode.candidates.iter().flat_map(|content| apply(std::slice::from_ref(&change), Some(content)));
        inode.candidates = unique(changed.flatten().collect());
        inode.pending.push(change);
        Ok(())
    }

    /// A change of a file on a mount was refused, and may have happened to what is not stored.
    pub fn may_have_changed(&mut self, mount: usize, file: usize, change: Change) {
        for (_, inode) in self.inodes.iter_mut().filter(|(id, inode)| id.0 == mount && inode.file == Some(file)) {
            let changed = |content: &Bytes| apply(std::slice::from_ref(&change), Some(content));
            let changed: Vec<Bytes> = inode.candidates.iter().flat_map(changed).flatten().collect();
            inode.candidates.extend(changed);
            inode.candidates = unique(std::mem::take(&mut inode.candidates));
        }
    }

    /// What ranges of the content an inode may have.
    pub fn ranges(&self, id: Id, at: usize, len: usize) -> Vec<Bytes> {
        let Some(inode) = self.inodes.get(&id) else { return Vec::new() };
        unique(
            inode
                .candidates
                .iter()
                .filter_map(|content| content.get(at..at + len).map(Bytes::copy_from_slice))
                .collect(),
        )
    }

    /// The service has other content now, by the doing of a mount: it must be what an inode of that mount has pending.
    pub fn explain(&mut self, mount: usize, now: &[Option<Bytes>]) -> Verdict {
        for (file, now) in now.iter().enumerate() {
            let before = self.stored[file].clone();
            if before.as_ref().map(|stored| &stored.content) == now.as_ref() {
                continue;
            }
            let was = before.as_ref().map(|stored| &stored.content);
            if let Some(now) = now {
                self.split_what_is_being_added(mount, file, was, now);
            }
            let of_mount = |(id, inode): &(&Id, &mut Inode)| id.0 == mount && inode.file == Some(file);
            let mut inodes: Vec<(&Id, &mut Inode)> = self.inodes.iter_mut().filter(|found| of_mount(found)).collect();
            inodes.sort_by_key(|(id, _)| **id);
            // A commit may come before the last of the changes, where that needs what there is to be stored.
            let stored = |pending: &[Change]| {
                let is_stored =
                    |upto: &usize| apply(&pending[..*upto], was).iter().any(|after| after.as_ref() == now.as_ref());
                (1..=pending.len()).rev().find(is_stored)
            };
            let by = inodes.iter_mut().find_map(|(id, inode)| Some((stored(&inode.pending)?, **id, inode)));
            let Some((upto, id, inode)) = by else {
                let pending: Vec<_> = inodes.iter().map(|(id, inode)| (**id, brief(&inode.pending))).collect();
                return Err(format!(
                    "file {file}: {:?} bytes became {:?}, which nothing that mount {mount} acknowledged explains: {pending:?}",
                    was.map(Bytes::len),
                    now.as_ref().map(Bytes::len)
                ));
            };
            inode.pending.drain(..upto);
            inode.candidates = apply(&inode.pending, now.as_ref()).into_iter().flatten().collect();
            let append_blob = before.is_some_and(|before| before.append_blob);
            self.store(file, now.clone().map(|content| Stored { content, append_blob }));
            now.iter().for_each(|content| self.remember(content));
            self.again[file] = false;
            for (other, inode) in &mut self.inodes {
                if *other != id && inode.file == Some(file) {
                    inode.disturbed = true;
                }
            }
        }
        Ok(())
    }

    /// A long write comes to the mount in several requests, and of what is added it may store the first when the others are still to come.
    fn split_what_is_being_added(&mut self, mount: usize, file: usize, was: Option<&Bytes>, now: &Bytes) {
        let of_mount = |(id, inode): &(&Id, &mut Inode)| id.0 == mount && inode.file == Some(file) && inode.append_blob;
        for (_, inode) in self.inodes.iter_mut().filter(of_mount) {
            let Some((Change::Append(last), before)) = inode.pending.split_last() else { continue };
            let ends = apply(before, was).into_iter().flatten();
            let first =
                ends.filter_map(|end| now.len().checked_sub(end.len()).filter(|first| (1..last.len()).contains(first)));
            let Some(first) = first.max() else { continue };
            let parts = [last.slice(..first), last.slice(first..)].map(Change::Append);
            inode.pending.pop();
            inode.pending.extend(parts);
        }
    }

    /// A call that stores the inode has succeeded; `deferred`: it may put off what is only empty.
    pub fn stored(&mut self, id: Id, deferred: bool) -> Verdict {
        let Some(inode) = self.inodes.get_mut(&id) else { return Ok(()) };
        let Some(file) = inode.file else { return Ok(()) };
        let writes = |change: &Change| matches!(change, Change::Write(..) | Change::Append(_));
        let is_blank = !inode.pending.iter().any(writes)
            && matches!(inode.pending.last(), Some(Change::Create | Change::Resize(0)));
        let now = self.stored[file].as_ref().map(|stored| &stored.content);
        let is_there = apply(&inode.pending, now).iter().any(|after| after.as_ref() == now);
        let was_pending = !inode.pending.is_empty();
        if !was_pending || is_there && !(is_blank && deferred) {
            inode.pending.clear();
            // The same content may have been put there once more, as another version.
            let others = self.inodes.iter_mut().filter(|(other, inode)| **other != id && inode.file == Some(file));
            others.for_each(|(_, inode)| inode.disturbed |= was_pending);
            self.again[file] |= was_pending;
            return Ok(());
        }
        // Opened, it may have been taken for one that is there, and there was nothing to be made.
        if inode.pending.iter().all(|change| matches!(change, Change::Create)) {
            return Ok(());
        }
        let is_truncated = matches!(inode.pending.last(), Some(Change::Resize(0)));
        if is_blank && (deferred || inode.unsure || inode.disturbed && !is_truncated) {
            // Whether it has been stored, or will be, does not show.
            inode.unsure = true;
            return Ok(());
        }
        Err(format!("inode {id:?} of file {file}: acknowledged and lost: {:?}", brief(&inode.pending)))
    }

    /// A call that stores the inode has failed: whoever made it knows.
    pub fn not_stored(&mut self, id: Id, readers: bool) -> Verdict {
        let Some(inode) = self.inodes.get_mut(&id) else { return Ok(()) };
        let there = inode.file.and_then(|file| self.stored[file].clone());
        let small = |change: &Change| match change {
            Change::Write(_, options) => options.iter().all(|bytes| bytes.len() < 1 << 20),
            Change::Append(bytes) => bytes.len() < 1 << 20,
            _ => true,
        };
        let copied =
            inode.pending.iter().any(|change| matches!(change, Change::Write(_, options) if options.len() != 1));
        let ordinary = !inode.append_blob && there.as_ref().is_none_or(|there| !there.append_blob);
        let anew =
            matches!(inode.pending.as_slice(), [Change::Resize(0), ..] | [Change::Create, Change::Resize(0), ..]);
        let only_added =
            there.is_some() && !readers && inode.pending.iter().all(|change| matches!(change, Change::Append(_)));
        if !inode.unsure
            && !inode.pending.is_empty()
            && ordinary
            && !copied
            && inode.pending.iter().all(small)
            && inode.file.is_some()
            && (anew || only_added)
        {
            return Err(format!(
                "inode {id:?}: it needs nothing of what was there, and was not stored: {:?}",
                brief(&inode.pending)
            ));
        }
        inode.pending.clear();
        Ok(())
    }

    /// Whether an error of that inode is no surprise.
    pub fn may_fail(&self, id: Id) -> bool {
        self.inodes.get(&id).is_none_or(|inode| inode.disturbed || inode.append_blob || inode.file.is_none())
    }

    /// A mount has renamed a file; what was pending is stored.
    pub fn renamed(&mut self, mount: usize, from: usize, to: usize, now: &[Option<Bytes>]) -> Verdict {
        let moved = self.stored[from].clone();
        if now[from].is_some() || now[to].is_none() || now[to] != moved.as_ref().map(|moved| moved.content.clone()) {
            return Err(format!(
                "renamed {from} to {to}: {:?}",
                now.iter().map(|now| now.as_ref().map(Bytes::len)).collect::<Vec<_>>()
            ));
        }
        self.store(from, None);
        self.store(to, moved);
        self.renewed[to] |= self.renewed[from];
        for (id, inode) in &mut self.inodes {
            match inode.file {
                Some(file) if file == to && id.0 == mount => inode.file = None,
                Some(file) if file == from && id.0 == mount => inode.file = Some(to),
                Some(file) if file == to || file == from => inode.disturbed = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// A mount has unlinked a file that it made and that was never stored; false if it has none.
    pub fn unlinked_here_only(&mut self, mount: usize, file: usize) -> bool {
        let made = |inode: &Inode| inode.pending.iter().any(|change| matches!(change, Change::Create));
        let mut made =
            self.inodes.iter_mut().filter(|(id, inode)| id.0 == mount && inode.file == Some(file) && made(inode));
        made.next().is_some_and(|(_, inode)| {
            inode.file = None;
            true
        })
    }

    pub fn unlinked(&mut self, mount: usize, file: usize) {
        self.stored[file] = None;
        for (id, inode) in self.inodes.iter_mut().filter(|(_, inode)| inode.file == Some(file)) {
            if id.0 == mount {
                inode.file = None;
            } else {
                inode.disturbed = true;
            }
        }
    }
}

fn brief(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| match change {
        Change::Create => "create".to_owned(),
        Change::Resize(to) => format!("resize {to}"),
        Change::Write(at, options) => format!("write {at}+{} ({})", options[0].len(), options.len()),
        Change::Append(bytes) => format!("append {}", bytes.len()),
    };
    changes.iter().map(one).collect()
}

fn unique(contents: Vec<Bytes>) -> Vec<Bytes> {
    let mut unique: Vec<Bytes> = Vec::new();
    for content in contents {
        if !unique.contains(&content) {
            unique.push(content);
        }
    }
    unique
}

/// What the changes make of a content.
pub fn apply(changes: &[Change], base: Option<&Bytes>) -> Vec<Option<Bytes>> {
    let mut results = vec![base.cloned()];
    for change in changes {
        results = results
            .into_iter()
            .flat_map(|content| match (change, content) {
                (Change::Create, content) => vec![Some(content.unwrap_or_default())],
                (Change::Resize(0), _) => vec![Some(Bytes::new())],
                (_, None) => vec![None],
                (Change::Resize(to), Some(content)) => {
                    let mut content = content.to_vec();
                    content.resize(*to, 0);
                    vec![Some(content.into())]
                }
                (Change::Write(at, options), Some(content)) => options
                    .iter()
                    .map(|bytes| {
                        let mut content = content.to_vec();
                        content.resize(content.len().max(at + bytes.len()), 0);
                        content[*at..at + bytes.len()].copy_from_slice(bytes);
                        Some(content.into())
                    })
                    .collect(),
                (Change::Append(bytes), Some(content)) => vec![Some([&content[..], bytes].concat().into())],
            })
            .collect();
    }
    results
}
