//! Extended attributes: what the service keeps about a blob besides its content (design §2).
//!
//! | name | value | to write |
//! |---|---|---|
//! | `user.blob.copy.*` | state of the last copy (C33–C38), and `method`: `blob` or `blocks` | `status`: `abort` or `abort:ID` (M7) |
//! | `user.blob.type`, `.etag`, `.url`, … | what the service says | ignored |
//! | `user.blob.content_type`, … `.tier` | properties | set |
//! | `user.blob.immutability_until`, `.immutability_mode`, `.legal_hold` | what keeps the version (S114) | set, remove |
//! | `user.blob.meta.NAME`, `user.blob.tag.NAME` | metadata and tags | set, remove |
//! | `user.blob.warnings` | of the whole mount: credentials that end soon, a line each | |
//! | `user.blob.usage` | of the whole mount: what it holds, a line each | |
//! | `user.blob.owner`, `.group`, `.permissions`, `.acl` | where the namespace is hierarchical, of directories, too | set |
//!
//! `cp -a`, `rsync -X` and `tar --xattrs` read all names of one file and write them to another. So writing a value that
//! the blob has already sends nothing, a copy state may be written back, and what only the service can set is accepted
//! and ignored.
//!
//! Copy attributes are never served from a cache: they are a HEAD. A program that lists a file's attributes and reads
//! each of them asks one question in many calls, so one HEAD answers each name once
//! ([`Reads`](crate::fs::names::xattr_reads::Reads)); asking the same name again asks the service again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OnceCell;

mod chosen;
mod kept;

use kept::KeptName;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::content::handle::{Content, Locked};
use crate::fs::content::loans::Changed;
use crate::fs::content::recall::recall_if_possible;
use crate::fs::names::access::Credentials;
use crate::fs::names::attr::{self, AttrChange, FileKind, Ino};
use crate::fs::names::cache::Names;
use crate::fs::names::ownership::check_metadata;
use crate::fs::names::tree::{Blob, NodeProperties, Origin};
use crate::fs::names::xattr_reads::Seen;
use crate::fs::ops::xattr::access_name::AccessName;
use crate::store::{BlobProperties, ContentHeaders, CopyId, Metadata, Precondition};

mod access;
mod access_name;

/// Extended attributes.
pub struct Xattrs<'a> {
    pub(in crate::fs) fs: &'a Fs,
}

/// A change of an attribute.
struct XattrChange<'a> {
    /// As the caller gave it.
    name: &'a str,
    parsed: XattrName<'a>,
    /// `None`: it is removed.
    value: Option<&'a str>,
    /// Of setxattr(2).
    flags: i32,
    who: &'a Credentials,
}

/// A tier whose content can be read and written at any time.
fn is_online(tier: &str) -> bool {
    matches!(tier, "Hot" | "Cool" | "Cold")
}

const PREFIX: &str = "user.blob.";

/// What the mount wants somebody to know, of every file and directory. It is in no list, so that no copy takes it along.
const WARNINGS: &str = "user.blob.warnings";

/// What the mount holds, likewise ([`Xattrs::usage`]).
const USAGE: &str = "user.blob.usage";

/// A name after `user.blob.`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum XattrName<'a> {
    Copy(&'a str),
    Header(Header),
    Tier,
    /// How urgently it is brought back from the archive.
    Priority,
    /// Policy or hold of the version.
    Kept(KeptName),
    Meta(&'a str),
    Tag(&'a str),
    /// Owner, group, permissions or list of a path (`access`).
    Access(AccessName),
    /// A property that only the service sets.
    System(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    ContentType,
    CacheControl,
    ContentEncoding,
    ContentLanguage,
    ContentDisposition,
}

const COPY_NAMES: [&str; 9] = [
    "status",
    "method",
    "id",
    "source",
    "progress",
    "bytes_copied",
    "total_bytes",
    "completion_time",
    "status_description",
];

const SYSTEM_NAMES: [&str; 14] = [
    "type",
    "etag",
    "url",
    "last_modified",
    "creation_time",
    "content_md5",
    "lease_state",
    "lease_status",
    "lease_duration",
    "archive_status",
    "sequence_number",
    "committed_block_count",
    "sealed",
    "version_id",
];

/// The value of an attribute that the properties of a blob have, if they have it. Tags are not among them.
fn value_of(name: &XattrName<'_>, blob: &BlobProperties, url: &str) -> Option<String> {
    let date = httpdate::fmt_http_date;
    match name {
        XattrName::Copy(name) => {
            let copy = blob.copy.as_ref()?;
            match *name {
                "status" => Some(copy.status.as_str().to_owned()),
                "method" => Some(if copy.in_blocks { "blocks" } else { "blob" }.to_owned()),
                "id" => Some(copy.id.to_string()),
                "source" => copy.source.clone(),
                "progress" => Some(format!("{}/{}", copy.bytes_copied, copy.total_bytes)),
                "bytes_copied" => Some(copy.bytes_copied.to_string()),
                "total_bytes" => Some(copy.total_bytes.to_string()),
                "completion_time" => copy.completion_time.map(date),
                "status_description" => copy.description.clone(),
                _ => None,
            }
        }
        XattrName::Header(header) => header.of(&mut blob.headers.clone()).clone(),
        XattrName::Tier => blob.tier.clone(),
        XattrName::Priority => blob.rehydrate_priority.clone(),
        XattrName::Kept(name) => name.value(blob),
        XattrName::Meta(name) => blob.metadata.get(name).map(str::to_owned),
        XattrName::Tag(_) => None,
        XattrName::Access(name) => name.of_path(blob.path.as_ref()?),
        XattrName::System(name) => match *name {
            "type" => Some(blob.blob_type.as_str().to_owned()),
            "etag" => Some(blob.etag.to_string()),
            "url" => Some(url.to_owned()),
            "last_modified" => Some(date(blob.last_modified)),
            "creation_time" => blob.creation_time.map(date),
            "content_md5" => blob.headers.content_md5.clone(),
            "lease_state" => blob.lease.state.clone(),
            "lease_status" => blob.lease.status.clone(),
            "lease_duration" => blob.lease.duration.clone(),
            "archive_status" => blob.archive_status.clone(),
            "sequence_number" => blob.sequence_number.map(|number| number.to_string()),
            "committed_block_count" => blob.committed_block_count.map(|count| count.to_string()),
            "sealed" => blob.sealed.then(|| "true".to_owned()),
            "version_id" => blob.version_id.clone(),
            _ => None,
        },
    }
}

/// The tier, in small letters, to which a blob is being brought back from the archive.
fn target_of(blob: &BlobProperties) -> Option<&str> {
    blob.archive_status.as_deref()?.strip_prefix("rehydrate-pending-to-")
}

/// A tier as requests spell it.
fn capitalized(tier: &str) -> String {
    let mut characters = tier.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A C# identifier (§1.3), as far as a header can carry it.
pub(crate) fn is_metadata_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(letter) && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
}

/// The service takes such a tag (§1).
fn is_tag(key: &str, value: &str) -> bool {
    let taken = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-./:=_".contains(c));
    (1..=128).contains(&key.len()) && value.len() <= 256 && taken(key) && taken(value)
}

/// Whether a header can carry the text as it is.
pub(crate) fn is_header_value(value: &str) -> bool {
    value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

impl Header {
    const ALL: [(&'static str, Self); 5] = [
        ("content_type", Self::ContentType),
        ("cache_control", Self::CacheControl),
        ("content_encoding", Self::ContentEncoding),
        ("content_language", Self::ContentLanguage),
        ("content_disposition", Self::ContentDisposition),
    ];

    fn of(self, headers: &mut ContentHeaders) -> &mut Option<String> {
        match self {
            Self::ContentType => &mut headers.content_type,
            Self::CacheControl => &mut headers.cache_control,
            Self::ContentEncoding => &mut headers.content_encoding,
            Self::ContentLanguage => &mut headers.content_language,
            Self::ContentDisposition => &mut headers.content_disposition,
        }
    }
}

impl<'a> XattrName<'a> {
    /// EOPNOTSUPP for names that are not this filesystem's.
    fn parse(name: &'a str) -> Result<Self> {
        let unknown = || Error::unsupported(format!("{name}: no such attribute is kept here"));
        let short = name.strip_prefix(PREFIX).ok_or_else(unknown)?;
        if let Some((_, header)) = Header::ALL.iter().find(|(known, _)| *known == short) {
            return Ok(Self::Header(*header));
        }
        if let Some(name) = AccessName::parse(short) {
            return Ok(Self::Access(name));
        }
        match short.split_once('.') {
            None if short == "tier" => Ok(Self::Tier),
            None if short == "rehydrate_priority" => Ok(Self::Priority),
            None if KeptName::parse(short).is_some() => KeptName::parse(short).map(Self::Kept).ok_or_else(unknown),
            None if SYSTEM_NAMES.contains(&short) => Ok(Self::System(short)),
            Some(("copy", name)) if COPY_NAMES.contains(&name) => Ok(Self::Copy(name)),
            Some(("meta", name)) if !name.is_empty() => Ok(Self::Meta(name)),
            Some(("tag", name)) if !name.is_empty() => Ok(Self::Tag(name)),
            _ => Err(unknown()),
        }
    }
}

/// True for the name of an attribute that is kept here.
#[cfg(any(test, fuzzing))]
pub(in crate::fs) fn is_kept(name: &str) -> bool {
    XattrName::parse(name).is_ok()
}

impl Fs {
    /// Extended attributes.
    pub fn xattrs(&self) -> Xattrs<'_> {
        Xattrs { fs: self }
    }
}

impl Xattrs<'_> {
    /// What the mount holds at the moment, in lines: inodes that the kernel knows, files that are open, bytes of content on
    /// their way and bytes kept to be read again.
    pub fn usage(&self) -> String {
        let (held, kept) = self.fs.files.memory.in_use();
        let (inodes, open) = (self.fs.tree.known(), self.fs.handles.open_files().len());
        format!("inodes {inodes}\nopen {open}\nheld {held}\nkept {kept}")
    }

    /// getxattr(2). `probe`: only the size of the value is asked for. ENODATA if the blob has no such value.
    pub async fn get(&self, ino: Ino, name: &str, probe: bool, caller: Caller) -> Result<Vec<u8>> {
        let none = || Error::fs(libc::ENODATA, format!("{name} has no value"));
        if name == WARNINGS {
            return self.fs.service.warnings().map(String::into_bytes).ok_or_else(none);
        }
        if name == USAGE {
            return Ok(self.usage().into_bytes());
        }
        let parsed = XattrName::parse(name)?;
        let directory = self.fs.tree.view(ino)?.kind == FileKind::Directory;
        if let XattrName::Access(access) = parsed
            && (directory || access == AccessName::Acl)
        {
            return self.access_of(ino, access).await?.map(String::into_bytes).ok_or_else(none);
        }
        if directory {
            return Err(none());
        }
        if let Some(value) = self.pending_value(ino, &parsed) {
            return Ok(value.into_bytes());
        }
        if let Some(chosen) = self.chosen_value(ino, &parsed) {
            return chosen.map(String::into_bytes).ok_or_else(none);
        }
        let value = match parsed {
            // Of the last a listing does not tell. What comes back from the archive is asked for to see whether it is there.
            XattrName::Copy(_)
            | XattrName::System("archive_status")
            | XattrName::Priority
            | XattrName::Tag(_)
            | XattrName::Access(_)
            | XattrName::Kept(_) => {
                let origin = self.fs.tree.origin(ino)?;
                let seen = self.look(ino, &origin, name, probe, caller).await?;
                match parsed {
                    XattrName::Tag(tag) => {
                        let tags = self.fs.service.tags_of(&origin, &seen).await?;
                        tags.iter().find(|(key, _)| key == tag).map(|(_, value)| value.clone())
                    }
                    _ => value_of(&parsed, &seen.properties, ""),
                }
            }
            _ => {
                let Origin { blob, revision } = self.fs.tree.origin(ino)?;
                let url = self.fs.service.blob(&blob).at(revision.as_ref()).url();
                // A program that listed the names a moment ago gets the values that went with them.
                match self.fs.xattr_reads.recall(ino, caller, name, probe) {
                    Some(seen) => value_of(&parsed, &seen.properties, &url),
                    None => {
                        let view = self.fs.names.fresh(ino).await?;
                        Names::check_named(&view)?;
                        view.properties().and_then(|properties| value_of(&parsed, properties, &url))
                    }
                }
            }
        };
        value.map(String::into_bytes).ok_or_else(none)
    }

    /// listxattr(2): the names that have a value.
    pub async fn list(&self, ino: Ino, probe: bool, caller: Caller) -> Result<Vec<String>> {
        if self.fs.tree.view(ino)?.kind == FileKind::Directory {
            let path = self.path_with_access(ino)?;
            return Ok(
                path.map_or_else(Vec::new, |_| AccessName::ALL.map(|(name, _)| format!("{PREFIX}{name}")).into())
            );
        }
        if let Some(chosen) = self.chosen_names(ino) {
            return Ok(chosen);
        }
        if self.fs.tree.view(ino)?.kind != FileKind::File
            || self.fs.names.is_new(ino) && !self.fs.names.is_copied_to(ino)
        {
            let pending = self.with_pending(ino, &Metadata::default());
            return Ok(pending.iter().map(|(name, _)| format!("{PREFIX}meta.{name}")).collect());
        }
        let origin = self.fs.tree.origin(ino)?;
        let seen = self.look(ino, &origin, "", probe, caller).await?;
        let properties = &seen.properties;
        let mut names = Vec::new();
        let copy = COPY_NAMES.map(|name| (format!("copy.{name}"), XattrName::Copy(name)));
        let headers = Header::ALL.map(|(name, header)| (name.to_owned(), XattrName::Header(header)));
        let system = SYSTEM_NAMES.map(|name| (name.to_owned(), XattrName::System(name)));
        let tier = [("tier".to_owned(), XattrName::Tier), ("rehydrate_priority".to_owned(), XattrName::Priority)];
        for (name, parsed) in copy.into_iter().chain(system).chain(headers).chain(tier) {
            if value_of(&parsed, properties, "-").is_some() {
                names.push(format!("{PREFIX}{name}"));
            }
        }
        if properties.path.is_some() {
            names.extend(AccessName::ALL.map(|(name, _)| format!("{PREFIX}{name}")));
        }
        let metadata = self.with_pending(ino, &properties.metadata);
        names.extend(metadata.iter().map(|(name, _)| format!("{PREFIX}meta.{name}")));
        if properties.tag_count > 0 {
            let tags = self.fs.service.tags_of(&origin, &seen).await?;
            names.extend(tags.iter().map(|(name, _)| format!("{PREFIX}tag.{name}")));
        }
        Ok(names)
    }

    /// The blob as it is now, or as it was a moment ago for the same question.
    async fn look(&self, ino: Ino, origin: &Origin, name: &str, probe: bool, caller: Caller) -> Result<Arc<Seen>> {
        if let Some(seen) = self.fs.xattr_reads.recall(ino, caller, name, probe) {
            return Ok(seen);
        }
        let (blob, asked) = (&origin.blob, Instant::now());
        let (found, own) = self.fs.control().look_at(origin).await;
        let mut properties = match found {
            // It comes into being with the last of its blocks.
            Err(error) if error.is_not_found() && own.is_some() => {
                let properties = BlobProperties { copy: own, ..attr::unborn(0) };
                let seen = Seen { properties, tags: OnceCell::new() };
                return Ok(self.remember(ino, seen, name, probe, caller));
            }
            Err(error) if error.is_not_found() && self.fs.names.is_new(ino) => {
                return Err(Error::fs(libc::ENODATA, "the file is not in the service yet"));
            }
            Err(error) if error.is_not_found() && !self.fs.names.is_ahead(ino) => {
                return Err(self.fs.names.remove_missing(&self.fs.tree.view(ino)?, blob, asked));
            }
            other => other?,
        };
        // What is said of another file is not said of this one.
        Names::check_named(&self.fs.names.update_if_newer(ino, properties.clone(), asked)?)?;
        properties.copy = own.or(properties.copy);
        Ok(self.remember(ino, Seen { properties, tags: OnceCell::new() }, name, probe, caller))
    }

    fn remember(&self, ino: Ino, seen: Seen, name: &str, probe: bool, caller: Caller) -> Arc<Seen> {
        let seen = Arc::new(seen);
        self.fs.xattr_reads.remember(ino, caller, seen.clone());
        // Notes that this name has its answer.
        self.fs.xattr_reads.recall(ino, caller, name, probe);
        seen
    }

    /// setxattr(2) with its flags.
    pub async fn set(&self, ino: Ino, name: &str, value: &[u8], flags: i32, who: &Credentials) -> Result<()> {
        let parsed = XattrName::parse(name)?;
        let invalid = |why: &str| Error::fs(libc::EINVAL, format!("{name}: {why}"));
        let value = std::str::from_utf8(value).map_err(|_| invalid("the value is not text"))?;
        if self.fs.tree.view(ino)?.kind == FileKind::Directory {
            return match parsed {
                XattrName::Access(access) => {
                    self.check_access_name(ino, access, who)?;
                    self.set_access_of_directory(ino, access, value).await
                }
                _ => Err(Error::unsupported("directories and containers have no such attribute of the service")),
            };
        }
        match parsed {
            XattrName::Copy("status") => {
                return self.set_copy_status(ino, value.trim_end_matches(['\n', '\0']), invalid).await;
            }
            XattrName::Copy(_) | XattrName::System(_) => return Ok(()),
            XattrName::Meta(key) if !is_metadata_name(key) => {
                return Err(invalid("a metadata name is a C# identifier"));
            }
            XattrName::Tag(key) if !is_tag(key, value) => {
                return Err(invalid(
                    "a tag has 1 to 128 characters, its value at most 256, of A-Z a-z 0-9 space +-./:=_",
                ));
            }
            XattrName::Meta(_) | XattrName::Header(_) | XattrName::Access(_) if !is_header_value(value) => {
                return Err(invalid("the value must be printable ASCII"));
            }
            _ => {}
        }
        self.change_attribute(ino, XattrChange { name, parsed, value: Some(value), flags, who }).await
    }

    /// Sets or, without a value, removes. What a new file is to have travels with its content; to any other, what was
    /// written is committed first, so that a commit that comes later finds the blob as it knows it.
    async fn change_attribute(&self, ino: Ino, change: XattrChange<'_>) -> Result<()> {
        if let Some(file) = self.fs.handles.of_ino(ino) {
            // Who copies onto it, and was granted all, asks for that next.
            self.fs.destinations.settle_granted(&file, change.who.caller()).await?;
        }
        if let Ok(blob) = self.fs.tree.blob(ino) {
            self.fs.copies.jobs.refuse_copied_to(&blob)?;
        }
        let file = self.fs.files.acquire(&self.fs.tree.view(ino)?).await;
        let mut state = file.lock().await;
        let may_wait = change.may_wait(&self.fs.config.defaults) && !self.has_no_tags(ino, &change);
        let done = if state.is_unborn() || state.is_new() && may_wait {
            self.refuse_strangers(ino, &change).and_then(|()| self.choose(&mut state, &change))
        } else if self.is_so(&state, &change).await {
            Ok(())
        } else {
            self.change_stored(&mut state, &change).await
        };
        self.fs.xattr_reads.forget(ino);
        self.fs.files.release(state).await;
        done
    }

    async fn change_stored(&self, locked: &mut Locked, change: &XattrChange<'_>) -> Result<()> {
        if self.keep_attributes(locked, change).await? {
            return Ok(());
        }
        // A tier is no part of a version: a mode or time that waits for a commit goes on waiting.
        if change.parsed != XattrName::Tier || !matches!(locked.content, Content::Clean) {
            self.fs.files.commit(locked).await?;
        }
        self.change_locked(locked, change).await
    }

    /// EPERM for what the kernel has asked nobody about: that metadata, or the service, say who owns a file; and what whoever
    /// may write cannot undo.
    fn refuse_strangers(&self, ino: Ino, change: &XattrChange<'_>) -> Result<()> {
        let XattrChange { parsed, value, who, .. } = change;
        match parsed {
            XattrName::Meta(key) => {
                let (view, config) = (self.fs.tree.view(ino)?, &self.fs.config);
                if view.properties().is_some_and(|properties| properties.metadata.get(key) == *value) {
                    return Ok(());
                }
                let attr = self.fs.names.attr_of(&view);
                check_metadata(who, &attr, (key, *value), config.permissions, &config.defaults)
            }
            XattrName::Access(access) => self.check_access_name(ino, *access, who),
            XattrName::Kept(_) => self.check_may_keep(ino, who),
            XattrName::Tier | XattrName::Priority => self.check_may_move(ino, parsed, *value, who),
            XattrName::Copy(_) | XattrName::Header(_) | XattrName::Tag(_) | XattrName::System(_) => Ok(()),
        }
    }

    /// It is a tag, and the account has none (S193): that is said at once.
    fn has_no_tags(&self, ino: Ino, change: &XattrChange<'_>) -> bool {
        let has_directories = |blob: Blob| self.fs.service.client(blob.account).has_directories();
        matches!(change.parsed, XattrName::Tag(_)) && self.fs.tree.blob(ino).is_ok_and(has_directories)
    }

    /// The file has that value, or will have it with what is to be stored anyway: nothing is sent, not even that.
    async fn is_so(&self, locked: &Locked, change: &XattrChange<'_>) -> bool {
        let (Some(value), 0, Content::Clean) = (change.value, change.flags, &locked.content) else { return false };
        let Ok(view) = self.fs.names.fresh(locked.ino()).await else { return false };
        let Some(properties) = view.properties().filter(|_| Names::check_named(&view).is_ok()) else { return false };
        match &change.parsed {
            XattrName::Meta(key) => {
                let mut metadata = properties.metadata.clone();
                locked.change.apply(view.kind, &mut metadata, &self.fs.config.defaults);
                metadata.get(key) == Some(value)
            }
            XattrName::Header(_) | XattrName::Tier => {
                value_of(&change.parsed, properties, "").as_deref() == Some(value)
            }
            XattrName::Tag(key) => self.has_tag(locked, key, value),
            _ => false,
        }
    }

    /// What it was given here a moment ago, with its content or its copy, need not be asked for.
    fn has_tag(&self, locked: &Locked, key: &str, value: &str) -> bool {
        let known = locked.tags.as_ref().filter(|(given, _)| given.elapsed() < self.fs.config.attr_ttl);
        known.is_some_and(|(_, tags)| tags.iter().any(|(name, given)| name == key && given == value))
    }

    async fn change_locked(&self, locked: &mut Locked, change: &XattrChange<'_>) -> Result<()> {
        let XattrChange { name, parsed, value, flags, who } = change;
        let ino = locked.ino();
        let (blob, properties) = self.properties_to_change(ino).await?;
        // Which tier it has decides whether a stranger changes anything.
        if *parsed == XattrName::Tier && properties.tier.is_none() && !self.is_of_owner(ino, who)? {
            self.ask_tier(ino, &blob).await?;
        }
        self.refuse_strangers(ino, change)?;
        let present = match parsed {
            // That a tag is missing is said where it is looked for to be removed.
            XattrName::Tag(_) if value.is_none() => true,
            XattrName::Access(_) => true,
            // Nobody asks.
            _ if *flags == 0 && value.is_some() => true,
            XattrName::Tag(tag) => self.fs.service.blob(&blob).tags().await?.iter().any(|(key, _)| key == tag),
            // A listing does not tell of it, and to take away what is not there is no harm.
            XattrName::Kept(_) => true,
            _ => value_of(parsed, &properties, "").is_some(),
        };
        if flags & libc::XATTR_CREATE != 0 && present {
            return Err(Error::fs(libc::EEXIST, format!("{name} has a value")));
        }
        if (flags & libc::XATTR_REPLACE != 0 || value.is_none()) && !present {
            return Err(Error::fs(libc::ENODATA, format!("{name} has no value")));
        }
        let _changing = recall_if_possible(&self.fs.files, Changed::One(ino)).await;
        let (_storing, stood_on) = (locked.file().storing(), properties.etag.clone());
        let changed = self.change(locked, &blob, properties, parsed, *value).await;
        changed.map_err(|error| self.fs.names.invalidate_refused(ino, Some(&stood_on), error))
    }

    /// removexattr(2): metadata, tags and the properties that can be empty.
    pub async fn remove(&self, ino: Ino, name: &str, who: &Credentials) -> Result<()> {
        let parsed = XattrName::parse(name)?;
        if self.fs.tree.view(ino)?.kind == FileKind::Directory {
            return Err(Error::fs(libc::ENODATA, format!("{name} has no value")));
        }
        if matches!(
            parsed,
            XattrName::Copy(_) | XattrName::System(_) | XattrName::Tier | XattrName::Priority | XattrName::Access(_)
        ) {
            return Err(Error::fs(libc::EPERM, format!("{name} cannot be removed")));
        }
        self.change_attribute(ino, XattrChange { name, parsed, value: None, flags: 0, who }).await
    }

    async fn set_copy_status(&self, ino: Ino, value: &str, invalid: impl Fn(&str) -> Error) -> Result<()> {
        match value.split_once(':') {
            _ if value == "abort" => self.fs.copies.abort(ino, None).await,
            Some(("abort", id)) if !id.is_empty() => self.fs.copies.abort(ino, Some(&CopyId::new(id))).await,
            _ if ["pending", "success", "aborted", "failed"].contains(&value) => Ok(()),
            _ => Err(invalid("only `abort` or `abort:ID` can be written")),
        }
    }

    async fn properties_to_change(&self, ino: Ino) -> Result<(Blob, Arc<BlobProperties>)> {
        let view = self.fs.names.fresh(ino).await?;
        Names::check_named(&view)?;
        let blob = self.fs.tree.blob(ino)?;
        let properties = view.properties().cloned();
        let missing = || Error::not_in_the_service(&blob.path);
        Ok((blob.clone(), properties.ok_or_else(missing)?))
    }

    /// Sets or, without a value, removes. A value that is there already sends nothing.
    async fn change(
        &self,
        locked: &mut Locked,
        blob: &Blob,
        properties: Arc<BlobProperties>,
        name: &XattrName<'_>,
        value: Option<&str>,
    ) -> Result<()> {
        let client = self.fs.service.blob(blob);
        let condition = Precondition::IfMatch(properties.etag.clone());
        let mut changed = (*properties).clone();
        let written = match name {
            XattrName::Header(header) => {
                *header.of(&mut changed.headers) = value.map(str::to_owned);
                if changed == *properties {
                    return Ok(());
                }
                client.set_properties(&changed.headers, &condition.into()).await?
            }
            XattrName::Meta(key) => {
                match value {
                    Some(value) => changed.metadata.set(key, value),
                    None => drop(changed.metadata.remove(key)),
                }
                if changed == *properties {
                    return Ok(());
                }
                self.keep_mtime(locked.ino(), key, &mut changed)?;
                client.set_metadata(&changed.metadata, &condition.into()).await?
            }
            XattrName::Tier => {
                let known = match properties.tier.clone() {
                    None => self.ask_tier(locked.ino(), blob).await?,
                    known => known,
                };
                let Some(value) = value.filter(|value| known.as_deref() != Some(value)) else { return Ok(()) };
                if target_of(&properties).is_some_and(|target| target.eq_ignore_ascii_case(value)) {
                    return Ok(());
                }
                client.set_tier(value, None).await.map_err(|error| match error.code() {
                    "InvalidHeaderValue" => Error::fs(libc::EINVAL, format!("{value} is no access tier: {error}")),
                    _ => error,
                })?;
                // Whoever has it open stores it again with what is written next. Out of the archive it takes hours.
                if is_online(value) && known.as_deref().is_none_or(is_online) {
                    (changed.tier, changed.tier_inferred) = (Some(value.to_owned()), false);
                    self.fs.files.record_version_on(locked, &properties.etag, Arc::new(changed));
                }
                self.fs.tree.invalidate(locked.ino());
                return Ok(());
            }
            XattrName::Priority => {
                let Some(target) = target_of(&properties) else {
                    return Err(Error::fs(
                        libc::EINVAL,
                        "it is not being brought back from the archive: set its tier first",
                    ));
                };
                let Some(value) = value.filter(|value| properties.rehydrate_priority.as_deref() != Some(value)) else {
                    return Ok(());
                };
                client.set_tier(&capitalized(target), Some(value)).await?;
                self.fs.tree.invalidate(locked.ino());
                return Ok(());
            }
            XattrName::Tag(key) => return self.change_tag(locked, (blob, &properties), key, value).await,
            XattrName::Access(access) => {
                let value = value.unwrap_or_default();
                return self.set_access_of_file(locked, blob, &properties.etag, (*access, value)).await;
            }
            XattrName::Kept(name) => {
                name.change(client, &client.properties().await?, value).await?;
                self.fs.tree.invalidate(locked.ino());
                return Ok(());
            }
            XattrName::Copy(_) | XattrName::System(_) => return Ok(()),
        };
        (changed.etag, changed.last_modified) = (written.etag, written.last_modified);
        self.fs.files.record_version_on(locked, &properties.etag, Arc::new(changed));
        if matches!(name, XattrName::Meta(key) if attr::meaning_of(key).is_some()) {
            // The kernel knows its mode or owner by another way.
            self.fs.tree.kernel().expire_file(locked.ino());
        }
        Ok(())
    }

    /// Which tier a new blob or a copy has, the service does not say when it is made. A look costs less than to choose
    /// the tier that it has: that is a write, and then it is not the account's any more.
    async fn ask_tier(&self, ino: Ino, blob: &Blob) -> Result<Option<String>> {
        let asked = Instant::now();
        let found = self.fs.service.blob(blob).properties().await?;
        let tier = found.tier.clone();
        self.fs.tree.update_if_newer(ino, NodeProperties::Blob(Arc::new(found)), asked);
        Ok(tier)
    }

    /// The request that stores metadata gives the blob a new Last-Modified, but its content is as old as it was. So
    /// that is written down, unless it is, or is what is being written.
    fn keep_mtime(&self, ino: Ino, key: &str, changed: &mut BlobProperties) -> Result<()> {
        if !attr::is_mtime(key) {
            let now = self.fs.names.attr_of(&self.fs.tree.view(ino)?);
            AttrChange::default().apply_to(&now, &mut changed.metadata, &self.fs.config.defaults);
        }
        Ok(())
    }

    async fn change_tag(
        &self,
        locked: &mut Locked,
        (blob, properties): (&Blob, &Arc<BlobProperties>),
        key: &str,
        value: Option<&str>,
    ) -> Result<()> {
        locked.tags = None;
        let client = self.fs.service.blob(blob);
        let before = client.tags().await?;
        let mut tags = before.clone();
        match (tags.iter_mut().find(|(name, _)| name == key), value) {
            (Some(tag), Some(value)) => tag.1 = value.to_owned(),
            (None, Some(value)) => tags.push((key.to_owned(), value.to_owned())),
            (Some(_), None) => tags.retain(|(name, _)| name != key),
            (None, None) => return Err(Error::fs(libc::ENODATA, format!("{PREFIX}tag.{key} has no value"))),
        }
        if tags != before {
            client.set_tags(&tags).await?;
            // Whoever has it open stores them again with what is written next.
            let changed = BlobProperties { tag_count: tags.len() as _, ..(**properties).clone() };
            self.fs.files.record_version_on(locked, &properties.etag, Arc::new(changed));
            self.fs.tree.invalidate(locked.ino());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::fs::names::xattr_reads::{ONE_QUESTION, Reads};
    use crate::store::{BlobSettings, ETag, Written};

    fn seen() -> Arc<Seen> {
        let written = Written { etag: ETag::new("e"), last_modified: SystemTime::UNIX_EPOCH };
        let properties = attr::just_written(5, BlobSettings::default(), written);
        Arc::new(Seen { properties, tags: OnceCell::new() })
    }

    #[test]
    fn names_are_parsed_or_refused() {
        assert_eq!(XattrName::parse("user.blob.copy.status").unwrap(), XattrName::Copy("status"));
        assert_eq!(XattrName::parse("user.blob.owner").unwrap(), XattrName::Access(AccessName::Owner));
        assert_eq!(XattrName::parse("user.blob.meta.a.b").unwrap(), XattrName::Meta("a.b"));
        assert_eq!(XattrName::parse("user.blob.content_type").unwrap(), XattrName::Header(Header::ContentType));
        assert_eq!(XattrName::parse("user.blob.etag").unwrap(), XattrName::System("etag"));
        for other in [
            "security.capability",
            "system.posix_acl_access",
            "user.other",
            "user.blob.copy.x",
            "user.blob.meta.",
            "user.blob.nothing",
        ] {
            assert_eq!(XattrName::parse(other).unwrap_err().errno(), libc::EOPNOTSUPP, "{other}");
        }
    }

    #[test]
    fn one_look_answers_each_name_once() {
        let reads = Reads::default();
        let (ino, caller) = (Ino(5), Caller { pid: 1 });
        assert!(reads.recall(ino, caller, "a", false).is_none());
        reads.remember(ino, caller, seen());
        assert!(reads.recall(ino, caller, "a", true).is_some());
        assert!(reads.recall(ino, caller, "a", false).is_some());
        assert!(reads.recall(ino, caller, "a", true).is_none());
        assert!(reads.recall(ino, caller, "b", false).is_some());
        assert!(reads.recall(ino, Caller { pid: 2 }, "c", false).is_none());
        std::thread::sleep(ONE_QUESTION + Duration::from_millis(20));
        assert!(reads.recall(ino, caller, "c", false).is_none());
    }

    #[test]
    fn metadata_names_are_identifiers() {
        assert!(["a", "_1", "Ab_9"].iter().all(|name| is_metadata_name(name)));
        assert!(["", "1a", "a-b", "a.b", "ü"].iter().all(|name| !is_metadata_name(name)));
    }
}
