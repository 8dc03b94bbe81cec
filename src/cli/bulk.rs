//! `blobcp cp` of many files: orders the trees, shows what the mount tells of them, counts.
//!
//! The mount does the work; this asks it five times a second at most what has become of each file. Ctrl-C has the mount
//! begin nothing new and abort what is pending, and that is waited for; a second one leaves at once, and the mount does
//! the same without an audience.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::bulk_output::{Output, Summary};
use super::failure::{Failure, about};
use super::on_mount::{self, MountPath};
use super::signals::{self, Signals};
use crate::ioctl::{self, OrderFlags, ReportFlags};
use crate::secrets::is_url;

/// 128 + SIGINT, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// An order to copy many files, as it was typed.
pub(super) struct BulkCopy<'a> {
    pub sources: &'a [PathBuf],
    pub destination: &'a Path,
    pub recursive: bool,
    /// Flags of [`ioctl::Tree`].
    pub flags: OrderFlags,
    pub jobs: u32,
    pub json: bool,
}

/// The destination: an open directory, and for each source its name there.
struct Target {
    path: PathBuf,
    located: MountPath,
    directory: Arc<File>,
    /// The name that a single source gets; otherwise each keeps its own.
    name: Option<String>,
}

impl BulkCopy<'_> {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let target = self.target()?;
        let names: Vec<(String, &PathBuf)> = self
            .sources
            .iter()
            .map(|source| (target.name.clone().unwrap_or_else(|| own_name(source)), source))
            .collect();
        signals::runtime()?.block_on(self.copy(&target, &names))
    }

    async fn copy(&self, target: &Target, names: &[(String, &PathBuf)]) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        let mut output = Output::new(self.json, self.flags);
        let mut refused = 0;
        let mut added = false;
        for (index, (name, source)) in names.iter().enumerate() {
            let twice = !name.is_empty() && names[..index].iter().any(|(earlier, _)| earlier == name);
            let ordered = if twice {
                let other = target.path.join(name);
                Err(Failure::new(format!("{}: would replace {}, just copied", source.display(), other.display())))
            } else {
                self.order(target, name, source)
            };
            match ordered {
                Ok(()) => added = true,
                Err(failure) => {
                    refused += 1;
                    output.refused(&source.display().to_string(), failure.message.as_deref().unwrap_or_default());
                }
            }
        }
        let began = Instant::now();
        let news = if added { Some(self.follow(target, names, &mut output, &mut signals, began).await?) } else { None };
        let summary = Summary::new(news.as_deref(), refused, began.elapsed(), signals.came);
        output.end(&summary);
        match (signals.came, summary.failed) {
            (true, _) => Err(Failure { message: None, status: INTERRUPTED }),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::said()),
        }
    }

    /// Shows what the mount tells until there is no more.
    async fn follow(
        &self,
        target: &Target,
        names: &[(String, &PathBuf)],
        output: &mut Output,
        signals: &mut Signals,
        began: Instant,
    ) -> Result<Box<ioctl::News>, Failure> {
        loop {
            let directory = target.directory.clone();
            let mut asked = tokio::task::spawn_blocking(move || on_mount::progress(&directory));
            let (news, entries) = loop {
                tokio::select! {
                    answer = &mut asked => {
                        let answer = answer.map_err(|error| Failure::new(error.to_string()))?;
                        break answer.map_err(|error| about(&target.path, &error))?;
                    }
                    () = signals.next() => self.stop(target, output)?,
                }
            };
            for entry in &entries {
                // What failed as a whole is called what the user called it.
                let ordered = |name: &str| name == entry.path || (name.is_empty() && entry.path == ".");
                let source = names.iter().find(|(name, _)| ordered(name)).filter(|_| entry.status == ioctl::FAILED);
                let path = source.map_or_else(|| target.path.join(&entry.path), |(_, source)| source.to_path_buf());
                match entry.status {
                    ioctl::PENDING => output.pending(entry),
                    _ => output.entry(&path.display().to_string(), entry),
                }
            }
            output.progress(&news, began.elapsed());
            if news.flags.contains(ReportFlags::DONE) {
                return Ok(news);
            }
        }
    }

    /// Ctrl-C, for the first or the second time.
    fn stop(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        if output.stopping {
            let message = "left at once; the mount aborts what is pending".to_owned();
            return Err(Failure { message: Some(message), status: INTERRUPTED });
        }
        output.stopping = true;
        output.say("stopping: aborting what is pending; Ctrl-C again leaves at once");
        on_mount::abort(&target.directory, None).map_err(|error| about(&target.path, &error))
    }

    fn target(&self) -> Result<Target, Failure> {
        let destination = self.destination;
        let (path, name) = if destination.is_dir() {
            (destination.to_path_buf(), None)
        } else {
            let exists = destination.symlink_metadata().is_ok();
            let missing = || about(destination, &io::Error::from_raw_os_error(libc::ENOENT));
            if self.sources.len() > 1 {
                let errno = if exists { libc::ENOTDIR } else { libc::ENOENT };
                return Err(about(destination, &io::Error::from_raw_os_error(errno)));
            }
            if ends_in_slash(destination) && !(self.recursive && self.sources[0].is_dir()) {
                return Err(missing());
            }
            let name = destination.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
            // Without a directory in its name it is here, and is shown as it was typed.
            (destination.parent().unwrap_or(Path::new("")).to_path_buf(), Some(name.to_owned()))
        };
        let opened = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
        let located = MountPath::of(opened)?;
        let directory = Arc::new(on_mount::open(opened)?);
        Ok(Target { path, located, directory, name })
    }

    fn order(&self, target: &Target, name: &str, source: &Path) -> Result<(), Failure> {
        let shown = source.display();
        if source.to_str().is_some_and(is_url) {
            return Err(Failure::new(format!("{shown}: a URL is copied alone, and without -r")));
        }
        let inside = self.located(source)?.beside(&target.located, source, "")?;
        on_mount::add_tree(&target.directory, &inside, name, self.flags, self.jobs)
            .map_err(|error| about(source, &error))
    }

    /// Finds a source on its mount. Like cp, -r copies a symlink and not what it points at, unless there is a slash
    /// behind it.
    fn located(&self, source: &Path) -> Result<MountPath, Failure> {
        let is_link = source.symlink_metadata().map_err(|error| about(source, &error))?.is_symlink();
        if self.recursive
            && is_link
            && !ends_in_slash(source)
            && let Some(name) = source.file_name()
        {
            let parent = source.parent().filter(|parent| !parent.as_os_str().is_empty());
            let mut found = MountPath::of(parent.unwrap_or(Path::new(".")))?;
            found.inside.push(name);
            return Ok(found);
        }
        MountPath::of(source)
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The name of a source in the directory that it is copied into. Empty if it ends in `.` or `..`: then what is in it
/// goes there.
fn own_name(source: &Path) -> String {
    let text = source.as_os_str().to_string_lossy();
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if matches!(last, "." | "..") { String::new() } else { last.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_keeps_its_name_unless_it_ends_in_dots() {
        for (source, name) in
            [("a", "a"), ("a/b", "b"), ("a/b/", "b"), ("a/.", ""), (".", ""), ("a/..", ""), ("..", ""), ("./a//", "a")]
        {
            assert_eq!(own_name(Path::new(source)), name, "{source}");
        }
    }
}
