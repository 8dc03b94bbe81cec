//! `blobcp verify`: reads files to their end, and compares them with the hashes that their writers left.
//!
//! The service keeps what a writer says of a blob as a whole, its `Content-MD5`, and never looks at it again. So what is
//! read is hashed here. That a file cannot be read is a failure, too: what a mount reads is checked on its way.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use md5::{Digest, Md5};
use rustix::fs::{Advice, OFlags, fadvise, fgetxattr};
use rustix::io::Errno;

use super::failure::{Failure, about, each};
use super::on_mount::MountPath;

const MORE: &str = "\
Writers that make one pass leave such a hash if the mount has --content-md5;
the service makes one of a blob that is written by one request.

The exit status is 0 if all could be read and nothing differs from its hash, 1
if something is wrong; with --require-hash it is 3 if nothing is wrong and files
have no hash that they could be compared with.

Examples:
  blobcp verify backup.tar
  blobcp verify --require-hash ~/mnt/photos";

/// Exit status where nothing is wrong, and something could not be compared.
const NO_HASH: u8 = 3;

/// Read files, and compare them with the MD5 that is stored with them
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    /// Files, and directories with all that is below them.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Fail, with exit status 3, where a file has no hash.
    #[arg(long)]
    require_hash: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let bare = Cell::new(0_u64);
        each("verify", &self.paths, |path| {
            MountPath::of(path)?;
            // A symlink that is named means what it points at.
            let kind = fs::metadata(path).map_err(|error| about(path, &error))?.file_type();
            match (kind.is_dir(), kind.is_file()) {
                (true, _) => verify_below(path, &bare),
                (false, true) => verify(path, OFlags::empty(), &bare),
                (false, false) => Err(Failure::new(format!("{}: is neither a file nor a directory", path.display()))),
            }
        })?;
        match bare.get() {
            count @ 1.. if self.require_hash => {
                let what = if count == 1 { "one file has".to_owned() } else { format!("{count} files have") };
                Err(Failure { message: Some(format!("{what} no hash to be compared with")), status: NO_HASH })
            }
            _ => Ok(()),
        }
    }
}

/// All files below a directory; what is wrong with one, or with a directory, does not keep it from the others. `bare` counts
/// those that have no hash.
fn verify_below(top: &Path, bare: &Cell<u64>) -> Result<(), Failure> {
    let mut directories = vec![top.to_owned()];
    let mut good = true;
    while let Some(directory) = directories.pop() {
        let mut entries = Vec::new();
        let mut failed = |error: &io::Error| {
            about(&directory, error).complain("verify");
            good = false;
        };
        match fs::read_dir(&directory) {
            Ok(listing) => listing.for_each(|entry| match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => failed(&error),
            }),
            Err(error) => failed(&error),
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        let mut files = Vec::new();
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => below.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                // Links and devices have no content of their own.
                Ok(_) => {}
                Err(error) => {
                    about(entry.path(), &error).complain("verify");
                    good = false;
                }
            }
        }
        // By now it may be a link that leads elsewhere.
        good &= each("verify", &files, |path| verify(path, OFlags::NOFOLLOW, bare)).is_ok();
        directories.extend(below.into_iter().rev());
    }
    Failure::unless(good)
}

fn verify(path: &Path, flags: OFlags, bare: &Cell<u64>) -> Result<(), Failure> {
    let failed = |error: io::Error| about(path, &error);
    let mut file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?;
    let version = attribute(&file, "etag").map_err(failed)?;
    let stored = attribute(&file, "content_md5").map_err(failed)?;
    // What the kernel has of it was looked at when it came.
    fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| failed(error.into()))?;
    let found = hash(&mut file).map_err(failed)?;
    if attribute(&file, "etag").map_err(failed)? != version {
        return Err(Failure::new(format!("{}: it was changed meanwhile", path.display())));
    }
    match stored {
        None => {
            bare.set(bare.get() + 1);
            println!("{}: readable; there is no hash to compare it with", path.display());
        }
        Some(stored) if stored == found => println!("{}: as it was written", path.display()),
        Some(stored) => {
            let what = format!("{}: it is not what was written: its MD5 is {found}, and not {stored}", path.display());
            return Err(Failure::new(what));
        }
    }
    Ok(())
}

/// MD5 of what is left of a file, Base64.
fn hash(file: &mut File) -> io::Result<String> {
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(BASE64_STANDARD.encode(md5.finalize())),
            read => md5.update(&buffer[..read]),
        }
    }
}

/// What the service says of a blob, if it says it.
fn attribute(file: &File, name: &str) -> io::Result<Option<String>> {
    let mut value = [0_u8; 256];
    match fgetxattr(file, format!("user.blob.{name}"), &mut value) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length]).into_owned())),
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
