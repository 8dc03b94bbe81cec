//! Owner, group, permissions and access list of a path, where the namespace is hierarchical.
//!
//! They bind whoever asks the service with a token; who has a key may do what they forbid. Identities are GUIDs, or names
//! that only the service gives a meaning to, so they are no POSIX owners and lists: they are shown and set as they are.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::content::handle::Locked;
use crate::fs::names::access::Credentials;
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::{Blob, NodeProperties};
use crate::fs::ops::xattr::access_name::AccessName;
use crate::fs::ops::xattr::{XattrName, Xattrs, value_of};
use crate::store::{AccessControl, ETag, Precondition, Written};

/// What became of a value that was to be set.
enum Set {
    /// The path has it already.
    Already,
    /// It was set, and the path is that version now, as far as the service says so.
    Anew(Option<Written>),
}

impl Xattrs<'_> {
    /// The path of a file or directory that has an owner and a list. `None` in a flat account, and for what is no path.
    pub(super) fn path_with_access(&self, ino: Ino) -> Result<Option<Blob>> {
        let Some(blob) = self.fs.tree.place(ino)?.blob_or_marker().transpose()? else { return Ok(None) };
        Ok(self.fs.service.client(blob.account).has_directories().then_some(blob))
    }

    /// EPERM unless the caller may chmod the path, or, for owner and group, is whom the account's credentials belong to:
    /// who is who in the service, this machine does not know.
    pub(super) fn check_access_name(&self, ino: Ino, name: AccessName, who: &Credentials) -> Result<()> {
        let may = match name {
            AccessName::Owner | AccessName::Group => is_of_account(who),
            AccessName::Permissions | AccessName::Acl => self.is_of_owner(ino, who)?,
        };
        let what = "whose a path is in the service is for its owner to change";
        if may { Ok(()) } else { Err(Error::fs(libc::EPERM, what)) }
    }

    /// EPERM unless the caller is whom the account's credentials belong to. A file that is locked stays, with all that is
    /// paid for it, whatever who may write to it says later.
    pub(super) fn check_may_keep(&self, ino: Ino, who: &Credentials) -> Result<()> {
        let what = || format!("{}: that it is kept is for who mounted to say", self.name_of(ino));
        if is_of_account(who) { Ok(()) } else { Err(Error::fs(libc::EPERM, what())) }
    }

    /// EPERM unless the caller may chmod the file, or it is in that tier: nobody reads what is in the archive, and to bring
    /// it back takes hours and is paid for.
    pub(super) fn check_may_move(
        &self,
        ino: Ino,
        name: &XattrName<'_>,
        value: Option<&str>,
        who: &Credentials,
    ) -> Result<()> {
        let view = self.fs.tree.view(ino)?;
        let is_there =
            view.properties().is_some_and(|known| value.is_some() && value_of(name, known, "").as_deref() == value);
        if is_there || self.is_of_owner(ino, who)? {
            return Ok(());
        }
        Err(Error::fs(libc::EPERM, format!("{}: in which tier it is is for its owner to change", view.name)))
    }

    /// The same of a copy that is to have a tier, onto the file.
    pub(in crate::fs::ops) fn check_tier_of_copy(&self, ino: Ino, tier: &str, who: &Credentials) -> Result<()> {
        self.check_may_move(ino, &XattrName::Tier, Some(tier), who)
    }

    /// The caller may chmod the file.
    pub(super) fn is_of_owner(&self, ino: Ino, who: &Credentials) -> Result<bool> {
        Ok(is_of_account(who) || who.may_chmod(&self.fs.names.attr_of(&self.fs.tree.view(ino)?)))
    }

    fn name_of(&self, ino: Ino) -> String {
        self.fs.tree.view(ino).map(|view| view.name.to_string()).unwrap_or_default()
    }

    pub(super) async fn access_of(&self, ino: Ino, name: AccessName) -> Result<Option<String>> {
        let Some(blob) = self.path_with_access(ino)? else { return Ok(None) };
        let mut access = self.fs.service.blob(&blob).access_control().await?;
        Ok(name.of(&mut access).take())
    }

    pub(super) async fn set_access_of_directory(&self, ino: Ino, name: AccessName, value: &str) -> Result<()> {
        let Some(blob) = self.path_with_access(ino)? else { return Err(no_paths()) };
        if let Set::Anew(_) = self.set_access(&blob, name, value).await? {
            let found = self.fs.service.blob(&blob).properties().await?;
            self.fs.tree.update(ino, NodeProperties::Blob(Arc::new(found)));
            self.fs.tree.kernel().expire_file(ino);
        }
        Ok(())
    }

    /// The same of a file, whose version is `before`. Its content is not changed, and whoever has it open goes on, unless
    /// somebody else has changed that meanwhile.
    pub(super) async fn set_access_of_file(
        &self,
        locked: &mut Locked,
        blob: &Blob,
        before: &ETag,
        (name, value): (AccessName, &str),
    ) -> Result<()> {
        let Set::Anew(written) = self.set_access(blob, name, value).await? else { return Ok(()) };
        let found = self.fs.service.blob(blob).properties().await?;
        if found.etag == *before || written.is_some_and(|written| written.etag == found.etag) {
            self.fs.files.record_version_on(locked, before, Arc::new(found));
        } else {
            self.fs.tree.invalidate(locked.ino());
        }
        // Its mode may be shown.
        self.fs.tree.kernel().expire_file(locked.ino());
        Ok(())
    }

    /// A value that the path has already sends nothing.
    async fn set_access(&self, blob: &Blob, name: AccessName, value: &str) -> Result<Set> {
        if !self.fs.service.client(blob.account).has_directories() {
            return Err(no_paths());
        }
        let client = self.fs.service.blob(blob);
        let mut now = client.access_control().await?;
        if name.of(&mut now).as_deref() == Some(value) {
            return Ok(Set::Already);
        }
        let mut wanted = AccessControl::default();
        // The plus says that there is a list besides, and is nothing to be set.
        let value = if name == AccessName::Permissions { value.trim_end_matches('+') } else { value };
        *name.of(&mut wanted) = Some(value.to_owned());
        let set = client.set_access_control(&wanted, &Precondition::None).await.map(Set::Anew);
        set.map_err(|error| match error.code() {
            "InvalidHeaderValue" | "InvalidInput" => {
                Error::fs(libc::EINVAL, format!("{value} is nothing that a path can have: {error}"))
            }
            _ => error,
        })
    }
}

/// Modes do not bind the caller, or it is whom the account's credentials belong to.
fn is_of_account(who: &Credentials) -> bool {
    who.is_unbound() || who.is_who_mounted()
}

fn no_paths() -> Error {
    Error::unsupported("only paths of a hierarchical namespace have an owner and an access list in the service")
}
