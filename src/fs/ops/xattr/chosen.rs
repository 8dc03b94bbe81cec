//! Attributes of a file that the service does not have yet ([`content::chosen`](crate::fs::content::chosen)).

use std::sync::Arc;

use super::{Header, PREFIX, XattrChange, XattrName, Xattrs, is_online};
use crate::error::{Error, Result};
use crate::fs::content::handle::Locked;
use crate::fs::names::attr::{self, AttrChange, Defaults, FileKind, Ino, Meaning, Permissions, SetTime};
use crate::store::{BlobSettings, Metadata};

/// What a new file is to have of that name.
fn value_of(name: &XattrName<'_>, chosen: &BlobSettings) -> Option<String> {
    match name {
        XattrName::Header(header) => header.of(&mut chosen.headers.clone()).clone(),
        XattrName::Meta(name) => chosen.metadata.get(name).map(str::to_owned),
        XattrName::Tag(name) => chosen.tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.clone()),
        XattrName::Tier => chosen.tier.clone(),
        XattrName::Copy(_) | XattrName::Priority | XattrName::Kept(_) | XattrName::Access(_) | XattrName::System(_) => {
            None
        }
    }
}

/// The names of all that a new file is to have.
fn names(chosen: &BlobSettings) -> Vec<String> {
    let mut headers = chosen.headers.clone();
    let headers = Header::ALL.into_iter().filter(|(_, header)| header.of(&mut headers).is_some());
    let mut names: Vec<String> = headers.map(|(name, _)| format!("{PREFIX}{name}")).collect();
    names.extend(chosen.tier.iter().map(|_| format!("{PREFIX}tier")));
    names.extend(chosen.metadata.iter().map(|(name, _)| format!("{PREFIX}meta.{name}")));
    names.extend(chosen.tags.iter().map(|(name, _)| format!("{PREFIX}tag.{name}")));
    names
}

impl XattrChange<'_> {
    /// The mode, owner or time that it sets, if chmod(2), chown(2) or utimensat(2) would store it in the same words. The
    /// time of a new file may come in others.
    fn as_attributes(&self, defaults: &Defaults, is_new: bool) -> Option<AttrChange> {
        let (XattrName::Meta(key), Some(value)) = (&self.parsed, self.value) else { return None };
        let mut change = AttrChange::default();
        match attr::meaning_of(key)? {
            Meaning::Mode => change.mode = Some(attr::parse_mode(value)?),
            Meaning::Owner => change.uid = Some(value.parse().ok()?),
            Meaning::Group => change.gid = Some(value.parse().ok()?),
            Meaning::Time if attr::is_mtime(key) => change.mtime = Some(SetTime::At(attr::parse_time(value)?)),
            Meaning::Time | Meaning::Kind | Meaning::Device => return None,
        }
        let mut stored = Metadata::default();
        change.apply(FileKind::File, &mut stored, defaults);
        let is_the_same = self.flags == 0 && stored.get(key) == Some(value);
        (is_the_same || is_new && attr::is_mtime(key)).then_some(change)
    }

    /// It can be stored with the content. What the mount itself understands is seen in other places at once; and a blob
    /// that goes to the archive cannot be written again.
    pub(super) fn may_wait(&self, defaults: &Defaults) -> bool {
        match (&self.parsed, self.value) {
            (XattrName::Header(_) | XattrName::Tag(_), _) => true,
            (XattrName::Meta(key), _) => {
                attr::meaning_of(key).is_none() || self.as_attributes(defaults, true).is_some()
            }
            (XattrName::Tier, Some(tier)) => is_online(tier),
            _ => false,
        }
    }
}

impl Xattrs<'_> {
    fn chosen_of(&self, ino: Ino) -> Option<Arc<BlobSettings>> {
        self.fs.handles.of_ino(ino)?.chosen()
    }

    /// The value that a file is to have which the service does not have yet; the outer `None` if it does, or nothing was
    /// chosen.
    pub(super) fn chosen_value(&self, ino: Ino, name: &XattrName<'_>) -> Option<Option<String>> {
        self.chosen_of(ino).map(|chosen| value_of(name, &chosen))
    }

    /// The names of what was chosen, likewise.
    pub(super) fn chosen_names(&self, ino: Ino) -> Option<Vec<String>> {
        self.chosen_of(ino).map(|chosen| names(&chosen))
    }

    /// The value that metadata of a name will have with what is to be stored of mode, owner and time, if that says so.
    pub(super) fn pending_value(&self, ino: Ino, name: &XattrName<'_>) -> Option<String> {
        let XattrName::Meta(key) = name else { return None };
        self.with_pending(ino, &Metadata::default()).get(key).map(str::to_owned)
    }

    /// The metadata as they are when what was set by chmod(2) and its like is stored.
    pub(super) fn with_pending(&self, ino: Ino, stored: &Metadata) -> Metadata {
        let mut metadata = stored.clone();
        if let Some(file) = self.fs.handles.of_ino(ino) {
            file.pending_change().apply(FileKind::File, &mut metadata, &self.fs.config.defaults);
        }
        metadata
    }

    /// What is set is a mode, an owner or a time, and would wait for the next commit if it were set by chmod(2), chown(2)
    /// or utimensat(2): it does. False if not.
    pub(super) async fn keep_attributes(&self, locked: &mut Locked, change: &XattrChange<'_>) -> Result<bool> {
        let caller = change.who.caller();
        let waits = locked.content.is_uncommitted() || locked.file().is_written_by(caller);
        let keeps_modes = self.fs.config.permissions == Permissions::Keep;
        match change.as_attributes(&self.fs.config.defaults, false).filter(|_| waits && keeps_modes) {
            Some(attributes) => {
                self.refuse_strangers(locked.ino(), change)?;
                self.fs.files.store_or_keep(locked, attributes, caller).await?;
                // The kernel knows them by another way.
                self.fs.tree.kernel().expire_file(locked.ino());
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What a new file is to have beside its content, before it is stored.
    pub(super) fn choose(&self, locked: &mut Locked, change: &XattrChange<'_>) -> Result<()> {
        let XattrChange { name, parsed, value, flags, .. } = change;
        match parsed {
            XattrName::Kept(_) => return Err(Error::unsupported("its container keeps blobs and not versions")),
            XattrName::Priority | XattrName::Access(_) => {
                return Err(Error::fs(libc::EBUSY, "it is stored when it is closed, and has none before"));
            }
            XattrName::Copy(_) | XattrName::System(_) => return Ok(()),
            XattrName::Header(_) | XattrName::Meta(_) | XattrName::Tag(_) | XattrName::Tier => {}
        }
        // As utimensat(2) and others do, which tools that copy attributes call as well.
        if let Some(attributes) = change.as_attributes(&self.fs.config.defaults, true) {
            locked.change.merge(attributes);
            locked.publish();
            self.fs.tree.kernel().expire_file(locked.ino());
            return Ok(());
        }
        let blob = self.fs.tree.blob(locked.ino())?;
        let anew = || Arc::new(self.fs.files.settings(&blob, None, &AttrChange::default(), None));
        let chosen = Arc::make_mut(locked.chosen.get_or_insert_with(anew));
        let is_present = value_of(parsed, chosen).is_some();
        if flags & libc::XATTR_CREATE != 0 && is_present {
            return Err(Error::fs(libc::EEXIST, format!("{name} has a value")));
        }
        if (flags & libc::XATTR_REPLACE != 0 || value.is_none()) && !is_present {
            return Err(Error::fs(libc::ENODATA, format!("{name} has no value")));
        }
        let value = value.map(str::to_owned);
        match (parsed, value) {
            (XattrName::Header(header), value) => *header.of(&mut chosen.headers) = value,
            (XattrName::Meta(key), Some(value)) => chosen.metadata.set(key, value),
            (XattrName::Meta(key), None) => drop(chosen.metadata.remove(key)),
            (XattrName::Tag(tag), value) => {
                chosen.tags.retain(|(key, _)| key != tag);
                chosen.tags.extend(value.map(|value| ((*tag).to_owned(), value)));
            }
            (XattrName::Tier, tier) => chosen.tier = tier,
            _ => {}
        }
        locked.publish();
        Ok(())
    }
}
