//! `blobcp mkdir`: mkdir(1) on a mount, with the reason when a name cannot be.
//!
//! At the top of an account a directory is a container, whose names have rules of their own; mkdir(1) has nothing but a
//! number for that.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::failure::{Failure, about, each};
use super::on_mount::{self, MountPath};
use crate::config::Mode;
use crate::path::ContainerName;

const MORE: &str = "\
At the top of an account a directory is a container: 3 to 63 characters from a-z,
0-9 and single dashes, with a letter or digit at both ends.

Examples:
  blobcp mkdir ~/mnt/acct/photos
  blobcp mkdir -p ~/mnt/acct/photos/2026/summer";

/// Make directories, and containers, on a mount
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[arg(value_name = "DIRECTORY", required = true)]
    paths: Vec<PathBuf>,
    /// Make those above it as well; what is there already is no mistake.
    #[arg(short, long)]
    parents: bool,
    /// Mode of the directory [default: 777 without the umask].
    #[arg(short, long, value_name = "MODE")]
    mode: Option<Mode>,
    /// Print what is made.
    #[arg(short, long)]
    verbose: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        each("mkdir", &self.paths, |path| make_all(&self, path))
    }
}

fn make_all(wanted: &Arguments, path: &Path) -> Result<(), Failure> {
    if wanted.parents {
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        let missing = above.into_iter().take_while(|above| above.symlink_metadata().is_err());
        for above in missing.collect::<Vec<_>>().into_iter().rev() {
            make(above, None, wanted.verbose)?;
        }
        if path.is_dir() {
            return Ok(());
        }
    }
    make(path, wanted.mode, wanted.verbose)
}

fn make(path: &Path, mode: Option<Mode>, verbose: bool) -> Result<(), Failure> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let at_top = is_top_of_account(&MountPath::of(above)?);
    let directory = on_mount::open(above)?;
    match DirBuilder::new().mode(mode.map_or(0o777, Mode::bits)).create(path) {
        Ok(()) if verbose => println!("{}", path.display()),
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(about(path, &error)),
        Err(error) => {
            let mut failure = on_mount::refused(path, &directory, &error);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_about_the_name = at_top && error.raw_os_error() == Some(libc::EINVAL);
            if let Some(usable) = usable_name(name).filter(|_| is_about_the_name) {
                failure.message = failure.message.map(|message| format!("{message}; {usable} would be one"));
            }
            return Err(failure);
        }
    }
    // It makes a difference only where the umask takes something away.
    match mode {
        Some(mode) => {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode.bits());
            std::fs::set_permissions(path, permissions).map_err(|error| about(path, &error))
        }
        None => Ok(()),
    }
}

/// As far as that can be seen from outside: not in a directory of a container.
fn is_top_of_account(above: &MountPath) -> bool {
    above.inside.components().count() <= 2
}

/// A name for a container that is nearly the one that was typed, if that is none.
fn usable_name(name: &str) -> Option<String> {
    if ContainerName::parse(name).is_ok() {
        return None;
    }
    let dashed = name.to_lowercase().replace(['_', '.', ' ', '-'], "-");
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let near = words.join("-");
    ContainerName::parse(&near).ok().map(|_| near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_a_name_that_can_be() {
        for (typed, usable) in [
            ("Photos", Some("photos")),
            ("my_holiday photos", Some("my-holiday-photos")),
            ("a--b", Some("a-b")),
            ("-2026-", Some("2026")),
            ("photos", None),
            ("Ab", None),
            ("фото", None),
        ] {
            assert_eq!(usable_name(typed).as_deref(), usable, "{typed}");
        }
    }
}
