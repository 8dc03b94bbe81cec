//! Tables for the configuration file, and the file that they are put into.

use std::fs::{self, DirBuilder, File as Handle};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use toml::Value;

use super::super::failure::{Failure, about};
use crate::config::{File, places};

/// The beginning of a new file.
const HEADER: &str = "\
# Accounts and mounts of blobcp. 'blobcp config check' says what is wrong with it, and what can be done with it.
# It holds secrets: nobody but its owner may read it (chmod 600).
";

/// What else an account's table may say.
const OF_ACCOUNTS: &str = "\
# One of: key, sas, connection_string, credential_command = \"a program that prints a key or a SAS\", or auth with one of
# \"client-secret\", \"workload-identity\", \"managed-identity\", \"cli\", \"anonymous\" and what that needs of tenant_id,
# client_id, client_secret and federated_token_file.
# endpoint = \"https://NAME.blob.core.windows.net\" is for other clouds, private links and emulators.
";

/// What else a mount's table may say.
const OF_MOUNTS: &str = "\
# 'blobcp mount NAME' mounts this, and so does a line of /etc/fstab:
# NAME  MOUNTPOINT  blobcp  _netdev,nofail,x-systemd.automount  0 0
# Any flag of 'blobcp mount' may stand here by its name: attr-ttl = \"5s\", read-only = true, allow-other = true.
";

/// A table and the values in it, in their order.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub name: String,
    pub values: Vec<(&'static str, Value)>,
}

impl Table {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), values: Vec::new() }
    }

    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.values.retain(|(known, _)| *known != key);
        self.values.push((key, value.into()));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.iter().any(|(known, _)| *known == key)
    }

    fn text(&self, kind: &str) -> String {
        // Names that are no bare keys are quoted.
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = match self.name.chars().all(bare) {
            true => self.name.clone(),
            false => Value::from(self.name.as_str()).to_string(),
        };
        let lines = self.values.iter().map(|(key, value)| format!("{key} = {value}\n"));
        format!("[{kind}.{name}]\n{}", lines.collect::<String>())
    }
}

/// Accounts and a mount that are to be in the file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub accounts: Vec<Table>,
    pub mount: Option<Table>,
}

impl Draft {
    fn text(&self) -> String {
        let mut text = format!("\n{OF_ACCOUNTS}");
        for account in &self.accounts {
            text += &format!("{}\n", account.text("account"));
        }
        if let Some(mount) = &self.mount {
            text += &format!("{OF_MOUNTS}{}\n", mount.text("mount"));
        }
        text.trim_end().to_owned() + "\n"
    }

    /// The names of its tables, as a person calls them.
    fn names(&self) -> String {
        let accounts = self.accounts.iter().map(|table| format!("[account.{}]", table.name));
        let mount = self.mount.iter().map(|table| format!("[mount.{}]", table.name));
        accounts.chain(mount).collect::<Vec<_>>().join(", ")
    }
}

/// The file to write.
#[derive(clap::Args)]
pub(super) struct Target {
    /// File to write [default: ~/.config/blobcp/config.toml, for root /etc/blobcp/config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the file anew; what was there is kept as FILE.old.
    #[arg(long)]
    force: bool,
}

impl Target {
    pub(super) fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(places::to_write)
    }

    /// What a command is told to have this file, with a blank before it; nothing where it looks anyway.
    pub(super) fn flag(&self) -> String {
        self.config.as_ref().map_or_else(String::new, |path| format!(" --config {}", path.display()))
    }

    /// A mistake if the file is there and cannot be added to. To be called before questions are asked.
    pub(super) fn existing(&self) -> Result<Option<File>, Failure> {
        let path = self.path();
        if self.force || !path.exists() {
            return Ok(None);
        }
        Ok(Some(File::load(Some(&path))?))
    }

    /// Puts the tables into the file: behind what is there, or in place of it. Returns what to tell the user.
    pub(super) fn write(&self, draft: &Draft) -> Result<String, Failure> {
        let path = self.path();
        let mut text = HEADER.to_owned();
        if let Some(file) = self.existing()? {
            let account = |table: &&Table| file.accounts.contains_key(&table.name);
            let known = draft.accounts.iter().find(account).map(|table| format!("[account.{}]", table.name));
            let mount = draft.mount.iter().find(|table| file.mounts.contains_key(&table.name));
            if let Some(known) = known.or_else(|| mount.map(|table| format!("[mount.{}]", table.name))) {
                let what = "is there already and stays as it is; change it with an editor, or write the file anew with \
                            --force, which keeps the old one";
                return Err(Failure::new(format!("{}: {known} {what}", path.display())));
            }
            text = fs::read_to_string(&path).map_err(|error| about(&path, &error))?;
        }
        text += &draft.text();
        // Whatever was put together here is to be one that a mount reads.
        File::parse(&path, &text)?;
        replace(&path, &text, self.force).map_err(|error| about(&path, &error))?;
        let note = if self.config.is_none() { places::both_of_root() } else { None };
        let note = note.map_or_else(String::new, |note| format!("\n{note}"));
        Ok(format!("{} has {} now; nobody but its owner may read it{note}", path.display(), draft.names()))
    }
}

/// Puts a file in its place as a whole, readable by its owner only; `keep`: what was there is kept beside it.
fn replace(path: &Path, text: &str, keep: bool) -> io::Result<()> {
    // A link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = if path == Path::new(places::OF_THE_MACHINE) { 0o755 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(dir)?;
    let beside = |ending: &str| {
        let mut name = path.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let new = beside(".new");
    let _ = fs::remove_file(&new);
    let mut file = Handle::options().write(true).create_new(true).mode(0o600).open(&new)?;
    let before = fs::metadata(&path).ok();
    let mut written = || -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        if let Some(before) = &before {
            // Root may write that of somebody else.
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            if keep {
                fs::rename(&path, beside(".old"))?;
            }
        }
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    written().inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn target(path: &Path, force: bool) -> Target {
        Target { config: Some(path.to_path_buf()), force }
    }

    fn draft(account: &str) -> Draft {
        let mut table = Table::new(account);
        table.set("key", "a\"b\\c");
        let mut mount = Table::new("two words");
        mount.set("sources", vec![account.to_owned()]);
        mount.set("read-only", true);
        Draft { accounts: vec![table], mount: Some(mount) }
    }

    #[test]
    fn what_is_written_is_read_again_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        let said = target(&path, false).write(&draft("acct")).unwrap();
        assert!(said.contains("[account.acct], [mount.two words]"), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let file = File::load(Some(&path)).unwrap();
        assert_eq!(file.accounts["acct"].key.as_ref().unwrap().expose(), "a\"b\\c");
        assert_eq!(file.mounts["two words"].sources, ["acct"]);
    }

    #[test]
    fn what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "# mine\n[mount]\nuid = 7\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        target(&path, false).write(&draft("acct")).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("# mine\n[mount]\nuid = 7\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read_to_string(&path).unwrap();
        let error = target(&path, false).write(&draft("acct")).unwrap_err();
        assert!(error.message.unwrap().contains("[account.acct] is there already and stays"));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        // Another account by the same mount's name.
        assert!(target(&path, false).write(&draft("other")).is_err());
        target(&path, true).write(&draft("other")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("config.toml.old")).unwrap(), before);
        assert!(!File::load(Some(&path)).unwrap().accounts.contains_key("acct"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "[acount.x]\n").unwrap();
        assert!(target(&path, false).write(&draft("acct")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[acount.x]\n");
    }
}
