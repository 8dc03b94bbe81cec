//! Operations of the ioctls and of the commands built on them: a copy by path or URL, its state, its abort; leases.

use std::sync::Arc;

use tracing::info;

use crate::error::{Error, OptionalExtension, Result};
use crate::fs::Fs;
use crate::fs::caller::Caller;
use crate::fs::config::Config;
use crate::fs::content::handle::{Content, Fh};
use crate::fs::copies::job::Progress;
use crate::fs::copies::lease::{LeaseReport, LeaseSource};
use crate::fs::copies::method::CopyMethod;
use crate::fs::copies::spec::{CopyOptions, CopySpec, Kept};
use crate::fs::names::access::{Credentials, READ, SEARCH, WRITE};
use crate::fs::names::attr::{self, FileKind, Ino};
use crate::fs::names::ownership::CopyBy;
use crate::fs::names::tree::{Blob, NodeProperties, NodeView, Observation, Origin, Place};
use crate::fs::names::walk::{Found, Walk};
use crate::fs::ops::xattr;
use crate::fs::service::SOURCE_SAS;
use crate::secrets::is_url;
use crate::store::{
    BlobProperties, BlobType, CopyId, CopySource, CopyState, CopyStatus, ETag, LeaseId, Metadata, Precondition, Tags,
};

/// The operations past the calls of a filesystem.
pub struct Control<'a> {
    pub(in crate::fs) fs: &'a Fs,
}

/// A copy to start by the control interface (M5).
pub struct CopyOrder<'a> {
    /// Path from the root of the mount, or URL.
    pub source: &'a str,
    /// The directory of the destination, or the destination itself if `name` is empty.
    pub at: Ino,
    /// Name of the destination in `at`.
    pub name: &'a str,
    /// EEXIST if the destination exists.
    pub no_replace: bool,
    /// The answer comes when the service has accepted the copy.
    pub no_wait: bool,
    /// Whoever orders it waits for its end all the same, and aborts it if it is not wanted any more.
    pub followed: bool,
    /// Tier of the destination; an archived source needs one (X21).
    pub tier: Option<&'a str>,
    /// `NAME=VALUE` lines, instead of all of the source's; the source's if empty (X3).
    pub metadata: &'a str,
    /// Whether the destination is restored if the copy is no success (C52).
    pub keep: bool,
    /// When the source is leased; as the mount does otherwise.
    pub lease_source: Option<LeaseSource>,
    /// The way that the copy goes if the source is in another account; as the mount does otherwise.
    pub method: Option<CopyMethod>,
    /// The caller's lease of the destination (X5).
    pub lease: Option<&'a str>,
}

/// A source as Copy Blob wants it.
struct ResolvedSource {
    url: CopySource,
    /// Its properties, if it is in one of the mount's accounts.
    version: Option<Arc<BlobProperties>>,
    tags: Tags,
    /// Its place there.
    origin: Option<Origin>,
}

/// `NAME=VALUE` lines; `None` if there are none.
pub(in crate::fs) fn metadata_of(lines: &str) -> Result<Option<Metadata>> {
    let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
    let parse = |line: &&str| match line.split_once('=') {
        Some((name, value)) if xattr::is_metadata_name(name) && xattr::is_header_value(value) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(Error::fs(libc::EINVAL, format!("{line:?} is not NAME=VALUE with an identifier and printable ASCII"))),
    };
    let parsed = lines.iter().map(parse).collect::<Result<Vec<_>>>()?;
    Ok((!parsed.is_empty()).then(|| parsed.into_iter().collect()))
}

/// EACCES: whoever did not mount copies what has a path in the mount, or a URL with a SAS.
fn not_by_url() -> Error {
    Error::fs(
        libc::EACCES,
        "a URL without a SAS is for who mounted; others name what they copy by its path in the mount",
    )
}

impl CopyOrder<'_> {
    /// The directory and the name in it that are to be copied to; `at` is the node that the order is given at.
    fn destination(&self, at: &NodeView) -> Result<(Ino, String)> {
        match (at.kind, self.name) {
            (FileKind::Directory, "") => Err(Error::fs(libc::EISDIR, "a directory cannot be copied onto")),
            (FileKind::Directory, name) if name.contains('/') => {
                Err(Error::fs(libc::EINVAL, format!("{name:?} is not a name in the directory")))
            }
            (FileKind::Directory, name) => Ok((self.at, name.to_owned())),
            (_, "") => Ok((at.parent, at.name.to_string())),
            (_, _) => Err(Error::fs(libc::ENOTDIR, format!("{} is not a directory", at.name))),
        }
    }
}

impl Fs {
    /// The operations of the ioctls.
    pub fn control(&self) -> Control<'_> {
        Control { fs: self }
    }
}

impl Control<'_> {
    /// Starts a copy and, unless told not to, waits for its end. Its id, and `pending` or `success`.
    pub async fn copy(&self, order: CopyOrder<'_>, who: &Credentials, caller: Caller) -> Result<(CopyId, CopyStatus)> {
        let (parent, name) = order.destination(&self.fs.tree.view(order.at)?)?;
        let destination = self.fs.tree.directory(parent)?.blob(&name)?;
        let ResolvedSource { url: source, version, tags, origin } =
            self.source_of(order.source, &destination, who).await.map_err(Error::of_the_source)?;
        let target = self.fs.directories.resolve(parent, &name).await.optional()?;
        self.fs.names.check_target(parent, target.as_ref(), who)?;
        self.refuse_target(target.as_ref(), &order, who).await?;
        let precondition =
            if target.is_none() || order.no_replace { Precondition::IfAbsent } else { Precondition::None };
        if precondition == Precondition::IfAbsent && order.lease.is_some() {
            // X6, and the service would not heed the condition (S58).
            return Err(Error::fs(libc::ENOLCK, format!("{name}: what is not there has no lease")));
        }
        let tier = order.tier.map(str::to_owned);
        let metadata = self.metadata_of_copy(order.metadata, version.as_deref(), (parent, target.as_ref()), who)?;
        let onto_itself = origin.as_ref().is_some_and(|origin| *origin == destination.clone().into());
        let stood_on = version.as_ref().filter(|_| onto_itself).map(|version| version.etag.clone());
        let to = destination.clone();
        let lease = order.lease.map(LeaseId::new);
        let kept = target.as_ref().filter(|_| order.keep || self.fs.config.keep_on_abort);
        let kept = kept.and_then(|target| Some(Kept { ino: Some(target.ino), before: target.properties()?.clone() }));
        // On condition of what is kept, so that nothing else is replaced.
        let precondition = kept.as_ref().map_or(precondition, |kept| Precondition::IfMatch(kept.before.etag.clone()));
        let options = CopyOptions {
            source: origin.as_ref().and_then(Origin::current).filter(|_| !onto_itself),
            from: origin.as_ref().map(|origin| origin.blob.account),
            method: order.method,
            lease_source: order.lease_source,
            // Mostly it is replaced whatever it is.
            replaced: None,
            lease,
            kept,
            awaited: order.followed || !order.no_wait,
            caller: Some(caller),
        };
        // What is copied can be appended to (X23); onto itself it stays what it is.
        let seal = version.as_ref().and_then(|version| version.seal_of_copy(onto_itself && version.sealed));
        let start = CopySpec { source, version, destination: to, precondition, metadata, tier, tags, seal, options };
        let url = start.source.clone();
        let started = self.fs.copies.start_copy(start).await;
        if let Ok(job) = &started {
            job.goes_to(parent, &name);
        }
        if let (Ok(job), None) = (&started, &target) {
            self.show_copied_to(parent, &name, job).await?;
        }
        let started = match started {
            Ok(job) if order.no_wait && !job.is_fetched() => Ok((job.progress(), job)),
            Ok(job) => self.fs.copies.wait_for_copy(&job, caller).await.map(|done| (Progress::Success(done), job)),
            Err(error) => Err(error),
        };
        let (progress, job) = match started {
            Err(error) if error.code() == "InvalidBlobType" => {
                return Err(self.types_differ(&url, &destination, error).await);
            }
            Err(error) if error.code() == "InvalidHeaderValue" && order.tier.is_some() => {
                let tier = order.tier.unwrap_or_default();
                return Err(Error::fs(libc::EINVAL, format!("{tier} is no access tier: {error}")));
            }
            started => started?,
        };
        let (heard, status) = match progress {
            Progress::Success(properties) => (properties, CopyStatus::Success),
            Progress::Failed(error) => return Err(error),
            // The service knows nothing of it: a name that is there stays what it is, and a new one is here already.
            Progress::Pending(_) if job.is_in_blocks() => return Ok((job.id.clone(), CopyStatus::Pending)),
            Progress::Pending(_) => {
                let now = self.fs.service.blob(&destination).properties().await?;
                (Arc::new(now), CopyStatus::Pending)
            }
        };
        self.take_in((parent, &name), target.as_ref().zip(stood_on.as_ref()), heard).await?;
        Ok((job.id.clone(), status))
    }

    /// Takes in what a copy has made of a name; `itself`: the file, and the version of it that was copied onto itself.
    async fn take_in(
        &self,
        (parent, name): (Ino, &str),
        itself: Option<(&NodeView, &ETag)>,
        heard: Arc<BlobProperties>,
    ) -> Result<()> {
        match itself {
            // Onto itself (C17): the content is what it was, so whoever has it open may go on.
            Some((target, stood_on)) => match self.fs.handles.of_ino(target.ino) {
                Some(file) => self.fs.files.record_version_on(&mut file.lock().await, stood_on, heard),
                None => self.fs.tree.update(target.ino, NodeProperties::Blob(heard)),
            },
            None => {
                let kind = attr::kind_of(&heard);
                let known = Observation { properties: NodeProperties::Blob(heard), at: std::time::Instant::now() };
                let view = self.fs.tree.enter(parent, name, kind, known, None)?;
                self.fs.tree.kernel().collect(view.ino);
            }
        }
        Ok(())
    }

    /// What the copy is told of metadata: what is asked for, or what differs from the source's, so that the copy belongs
    /// to whoever makes it. `None`: all comes along.
    fn metadata_of_copy(
        &self,
        lines: &str,
        version: Option<&BlobProperties>,
        (parent, target): (Ino, Option<&NodeView>),
        who: &Credentials,
    ) -> Result<Option<Metadata>> {
        let names = &self.fs.names;
        let (target, dir) = (target.map(|target| names.attr_of(target)), names.attr_of(&self.fs.tree.view(parent)?));
        let Config { permissions, defaults, .. } = &*self.fs.config;
        let by = CopyBy { who, target: target.as_ref(), dir: Some(&dir), permissions: *permissions, defaults };
        match (metadata_of(lines)?, version) {
            (Some(asked), version) => {
                let made = by.with(&asked, version)?;
                Ok(attr::told_to_a_copy(made, version.map(|version| &version.metadata)))
            }
            (None, Some(version)) => {
                let made = by.of_source(&version.metadata, attr::kind_of(version))?;
                Ok(attr::told_to_a_copy(made, Some(&version.metadata)))
            }
            (None, None) if who.is_who_mounted() => Ok(None),
            // Nobody here has seen what the source says of owner and mode.
            (None, None) => {
                let made = by.of_source(&Metadata::default(), FileKind::File)?;
                Ok(attr::told_to_a_copy(made, None))
            }
        }
    }

    async fn refuse_target(&self, target: Option<&NodeView>, order: &CopyOrder<'_>, who: &Credentials) -> Result<()> {
        let Some(target) = target else { return Ok(()) };
        if order.no_replace {
            return Err(Error::fs(libc::EEXIST, format!("{} exists", target.name)));
        }
        if let Some(tier) = order.tier {
            // The copy moves it there, as its attribute does.
            self.fs.xattrs().check_tier_of_copy(target.ino, tier, who)?;
        }
        if target.kind == FileKind::Directory {
            return Err(Error::fs(libc::EISDIR, format!("{} is a directory", target.name)));
        }
        if target.is_pending() {
            return Err(Error::copy_pending(&target.name));
        }
        self.fs.copies.jobs.refuse_copied_to(&self.fs.tree.blob(target.ino)?)?;
        if let Some(file) = self.fs.handles.of_ino(target.ino)
            && !matches!(file.lock().await.content, Content::Clean)
        {
            return Err(Error::fs(libc::EBUSY, format!("{} is open for writing", target.name)));
        }
        Ok(())
    }

    /// A path is walked as the caller. A URL goes past all directories and modes, so as it stands it is for whom the
    /// credentials belong to; for all others one without a credential of its own is a path of this mount or nothing.
    async fn source_of(&self, source: &str, destination: &Blob, who: &Credentials) -> Result<ResolvedSource> {
        if !is_url(source) {
            return self.source_at(source, None, destination, who).await;
        }
        let url = CopySource::external(source)?;
        let origin = self.fs.service.located(url.expose());
        let foreign = |url| ResolvedSource { url, version: None, tags: Tags::new(), origin: None };
        match origin {
            Some(origin) if who.is_who_mounted() => {
                let Origin { blob, revision } = &origin;
                let properties = self.fs.service.blob(blob).at(revision.as_ref()).properties().await?;
                self.own_source(&origin, Arc::new(properties), destination).await
            }
            None if who.is_who_mounted() => Ok(foreign(self.external_source(source)?)),
            Some(origin) => {
                let path = self.fs.directories.path_to(&origin).ok_or_else(not_by_url)?;
                self.source_at(&path, Some(&origin), destination, who).await
            }
            None if url.is_signed() => Ok(foreign(url.on_its_own())),
            None => Err(not_by_url()),
        }
    }

    /// `meant`: what has to be at the path.
    async fn source_at(
        &self,
        path: &str,
        meant: Option<&Origin>,
        destination: &Blob,
        who: &Credentials,
    ) -> Result<ResolvedSource> {
        let node = self.fs.directories.walk_as(path, who).await?;
        let done = async {
            if node.kind == FileKind::Directory {
                return Err(Error::fs(libc::EISDIR, format!("{path} is a directory")));
            }
            self.fs.names.check_access(&node, READ, who)?;
            if let Some(file) = self.fs.handles.of_ino(node.ino) {
                let mut state = file.lock().await;
                self.fs.files.commit(&mut state).await?;
            }
            let node = self.fs.names.fresh(node.ino).await?;
            // What is copied is what is there now, with the mode that it has now.
            self.fs.names.check_access(&node, READ, who)?;
            if node.is_pending() {
                return Err(Error::fs(libc::EBUSY, format!("{path}: its content is still being copied")));
            }
            let origin = self.fs.tree.origin(node.ino)?;
            if meant.is_some_and(|meant| *meant != origin) {
                return Err(not_by_url());
            }
            let missing = || Error::not_in_the_service(path);
            self.own_source(&origin, node.properties().cloned().ok_or_else(missing)?, destination).await
        }
        .await;
        self.fs.tree.kernel().collect(node.ino);
        done
    }

    async fn own_source(&self, origin: &Origin, version: Arc<BlobProperties>, to: &Blob) -> Result<ResolvedSource> {
        if let Some(blob) = origin.current() {
            self.fs.copies.jobs.refuse_emptied(&blob)?;
        }
        let url = self.fs.service.source_url(&origin.blob, origin.revision.as_ref(), to).await?;
        let tags = self.fs.service.tags_of_origin(origin, &version).await?;
        Ok(ResolvedSource { url, version: Some(version), tags, origin: Some(origin.clone()) })
    }

    /// A URL that is no blob of ours. A file of Azure Files in one of our accounts gets leave to be read.
    fn external_source(&self, url: &str) -> Result<CopySource> {
        let clients = || self.fs.config.accounts.iter().map(|account| &account.client);
        match clients().find_map(|client| Some((client, client.file_at(url)?))) {
            Some((client, file)) => client.file_source(url, &file, SOURCE_SAS),
            None => CopySource::external(url),
        }
    }

    /// The service refused to change the type of a blob (C7, C21): which types they are.
    async fn types_differ(&self, source: &CopySource, destination: &Blob, error: Error) -> Error {
        // Files become block blobs. Of all others only the service knows what they are.
        let comes = source.is_shared_file().then_some(BlobType::Block);
        match self.fs.service.blob(destination).properties().await {
            Ok(there) => crate::fs::copies::job::types_differ(destination, there.blob_type, source, comes),
            Err(_) => error,
        }
    }

    /// The state of the last copy onto a file (M6), from the service. ENODATA if there is none.
    pub async fn copy_state(&self, ino: Ino) -> Result<CopyState> {
        let origin = self.fs.tree.origin(ino)?;
        let asked = std::time::Instant::now();
        let (found, own) = self.look_at(&origin).await;
        // A file that comes into being with the last block is only here until then.
        if let Some(state) = own {
            return Ok(state);
        }
        let (properties, blob) = (found?, &origin.blob);
        // Who hears of the end reads what the copy has brought.
        if !properties.is_pending() && self.fs.tree.view(ino).is_ok_and(|view| view.is_pending()) {
            self.fs.names.update_if_newer(ino, properties.clone(), asked)?;
        }
        properties.copy.ok_or_else(|| Error::fs(libc::ENODATA, format!("{} has no copy state", blob.path)))
    }

    /// Whether the mount by way of which the caller has a node open lets it write: an ioctl comes through whatever the
    /// options of that mount are.
    pub async fn may_be_written_through(&self, ino: Ino, caller: Caller, who: &Credentials) -> bool {
        caller.may_write_through(ino, self.fs.device.get().cloned(), who.is_user_of_mount()).await
    }

    pub fn kind(&self, ino: Ino) -> Result<FileKind> {
        Ok(self.fs.tree.view(ino)?.kind)
    }

    /// `Copies::abort` for a caller about whose right to write to the file the kernel has not asked.
    pub async fn abort_as(&self, ino: Ino, id: Option<&CopyId>, who: &Credentials) -> Result<()> {
        self.fs.names.check_access(&self.fs.tree.view(ino)?, WRITE, who)?;
        self.fs.copies.abort(ino, id).await
    }

    /// The blobs below an open directory with the state of the last copy onto each, in as many answers as it takes:
    /// each goes on where the last one ended, and `again` starts from the beginning. `take` is given one after the
    /// other until it has no room. True at the end. EXDEV for accounts, which are not one listing.
    pub async fn list_copies(
        &self,
        fh: Fh,
        again: bool,
        who: &Credentials,
        mut take: impl FnMut(&Found) -> bool + Send,
    ) -> Result<bool> {
        let handle = self.fs.handles.dir(fh)?;
        let mut walk = handle.walk.lock().await;
        if again || walk.is_none() {
            self.fs.names.check_access(&self.fs.tree.view(handle.ino)?, READ | SEARCH, who)?;
            let Place::Directory(dir) = self.fs.tree.place(handle.ino)? else {
                return Err(Error::fs(libc::EXDEV, "an account's containers are listed one by one"));
            };
            *walk = Some(Walk::new(dir, who.clone()));
        }
        let Some(walk) = walk.as_mut() else { return Ok(true) };
        while let Some(found) = self.next_copied_to(walk).await? {
            if !take(&found) {
                walk.put_back(found);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next blob of a walk, with what this mount alone knows of the copy onto it.
    async fn next_copied_to(&self, walk: &mut Walk) -> Result<Option<Found>> {
        let mut found = loop {
            match walk.next(&self.fs.names).await? {
                Some(found) => break found,
                None if walk.extend(|dir| self.made_below(dir)) => {}
                None => return Ok(None),
            }
        };
        if let Some(blob) = walk.blob(&found)
            && let Some(state) = self.fs.copies.jobs.own_state(&blob, Some(&found.properties.etag))
        {
            found.properties = Arc::new(BlobProperties { copy: Some(state), ..(*found.properties).clone() });
        }
        Ok(Some(found))
    }

    /// The lease of a file, asked from the service (C42).
    pub async fn lease(&self, ino: Ino) -> Result<LeaseReport> {
        self.fs.copies.lease_of(&self.fs.tree.blob(ino)?).await
    }

    /// Breaks whatever lease a file has, at once (C45, C48). Whoever may write to the file may do that; one of this
    /// mount's own is given up, and the copies that it protected go on.
    pub async fn break_lease(&self, ino: Ino, who: &Credentials) -> Result<()> {
        self.fs.names.check_access(&self.fs.tree.view(ino)?, WRITE, who)?;
        let blob = self.fs.tree.blob(ino)?;
        let broken = match self.fs.copies.leases.release(&blob).await {
            true => Ok(()),
            false => self.fs.service.blob(&blob).break_lease().await.map(drop),
        };
        match broken {
            Err(error) if error.code() == "LeaseNotPresentWithLeaseOperation" => {
                return Err(Error::fs(libc::ENODATA, format!("{}: it is not leased", blob.path)));
            }
            broken => broken?,
        }
        info!(blob = %blob.path, "lease broken");
        self.fs.tree.invalidate(ino);
        Ok(())
    }
}
