//! What cp(1) means by its words: its flags, and which name a copy gets.
//!
//! People type `blobcp cp` as they type `cp`, whether the service copies or this machine does.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::failure::{Failure, about, complain};
use super::resume::{Begun, Resumable, own_name};

/// Flags of cp(1), which people type without thinking.
#[derive(clap::Args, Clone, Default)]
pub(super) struct Habits {
    /// Directories with all that is in them.
    #[arg(short, long, visible_short_alias = 'R')]
    pub recursive: bool,
    /// The same as -r -p.
    #[arg(short, long)]
    pub archive: bool,
    /// Keep the owner of what is uploaded or downloaded; mode and time are always kept.
    #[arg(short, long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    preserve: Option<String>,
    /// Replace nothing: skip what exists.
    #[arg(short, long)]
    pub no_clobber: bool,
    /// Skip what is at DST already and not older than at SRC.
    #[arg(short, long)]
    pub update: bool,
    /// Replace what is downloaded onto also where it may not be written.
    #[arg(short, long)]
    pub force: bool,
    /// Print what is copied.
    #[arg(short, long)]
    pub verbose: bool,
    /// DST is the name of the copy, also if it is a directory.
    #[arg(short = 'T', long)]
    pub no_target_directory: bool,
    /// Copy into this directory.
    #[arg(short, long, value_name = "DIRECTORY", conflicts_with = "no_target_directory")]
    pub target_directory: Option<PathBuf>,
    /// Of directories, symlinks are copied as they are; always so.
    #[arg(short = 'P', long, short_alias = 'd', hide = true)]
    no_dereference: bool,
}

impl Habits {
    /// Owners are to be kept.
    pub(super) fn keeps_owner(&self) -> bool {
        self.archive || self.preserve.is_some()
    }

    /// Whether DST is what is copied into, or the copy, has been said whatever is there.
    fn says_which(&self) -> bool {
        self.target_directory.is_some() || self.no_target_directory
    }
}

/// What copies are called, by the rules of cp(1).
pub(super) struct Naming {
    /// The directory that they are made in; empty if that is the one where the command is run, so that what is shown is
    /// what was typed.
    pub directory: PathBuf,
    /// The name that a single source gets there, empty if what is in it goes into the directory itself. `None`: each
    /// source keeps its own.
    pub name: Option<String>,
}

impl Naming {
    pub(super) fn of(sources: &[PathBuf], destination: &Path, habits: &Habits) -> Result<Self, Failure> {
        let may_go_on = habits.recursive && !habits.says_which();
        let begun = if may_go_on { Begun::of(sources, destination) } else { Begun::Nothing };
        if let Begun::Unfinished = begun {
            let message = format!("{}: going on with the copy that did not come to its end", destination.display());
            complain("cp", message);
        } else if destination.is_dir() {
            if let Begun::Other(other) = begun {
                let (shown, other) = (destination.display(), other.display());
                complain("cp", format!("{shown}: copied into it: {other} is not of the copy that was begun there"));
            }
            return Ok(Self { directory: destination.to_path_buf(), name: name_in(sources, destination, habits)? });
        }
        let exists = destination.symlink_metadata().is_ok();
        let missing = || no_directory(destination);
        if sources.len() > 1 {
            let not_one = || about(destination, &io::Error::from_raw_os_error(libc::ENOTDIR));
            return Err(if exists { not_one() } else { missing() });
        }
        if ends_in_slash(destination) && !(habits.recursive && sources[0].is_dir()) {
            return Err(missing());
        }
        let name = destination.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
        Ok(Self { directory: destination.parent().unwrap_or(Path::new("")).to_path_buf(), name: Some(name.to_owned()) })
    }

    /// The path of the copy of a source.
    pub(super) fn path_of(&self, source: &Path) -> PathBuf {
        match self.name_of(source) {
            name if name.is_empty() => self.directory.clone(),
            name => self.directory.join(name),
        }
    }

    /// What is written down of a copy that begins.
    pub(super) fn resumable(&self, sources: &[PathBuf], habits: &Habits) -> Resumable {
        if habits.says_which() {
            return Resumable::without_record(sources, |source| self.path_of(source));
        }
        let has_own = self.name.as_ref().is_some_and(|name| !name.is_empty());
        let named = sources.first().filter(|_| has_own).map(|source| self.path_of(source));
        Resumable::begin(sources, named.as_deref())
    }

    fn name_of(&self, source: &Path) -> String {
        self.name.clone().unwrap_or_else(|| own_name(source))
    }
}

/// The name in a destination that is a directory. With -T the source is what the directory is to be, so that what is in
/// the one goes into the other.
fn name_in(sources: &[PathBuf], destination: &Path, habits: &Habits) -> Result<Option<String>, Failure> {
    if !habits.no_target_directory {
        return Ok(None);
    }
    match sources {
        [source] if source.is_dir() => Ok(Some(String::new())),
        [source] => {
            let (destination, source) = (destination.display(), source.display());
            Err(Failure::new(format!("{destination}: is a directory, and {source} is none (-T)")))
        }
        _ => Err(Failure::usage("-T is for one SRC")),
    }
}

/// What was to be copied into is not there.
pub(super) fn no_directory(path: &Path) -> Failure {
    let what = "No such file or directory; blobcp mkdir -p makes one";
    Failure::new(format!("{}: {what}", path.display()))
}

/// Whether a source was modified after what is at its destination.
pub(super) fn is_newer(source: &Metadata, there: &Metadata) -> bool {
    (source.mtime(), source.mtime_nsec()) > (there.mtime(), there.mtime_nsec())
}

/// A URL without what may be a secret.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

pub(super) fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}
