//! `blobcp cp` of many files: orders the trees, shows what the mount tells of them, counts.
//!
//! The mount does the work; this asks it five times a second at most what has become of each file. Ctrl-C has the mount
//! begin nothing new and abort what is pending, and that is waited for; a second one leaves at once, and the mount does
//! the same without an audience.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::bulk_output::{Output, Summary};
use super::failure::{Failure, INTERRUPTED, about};
use super::naming::{Habits, Naming, ends_in_slash};
use super::on_mount::{self, MountPath};
use super::resume::own_name;
use super::signals::{self, Signals};
use crate::ioctl::{self, OrderFlags, ReportFlags};
use crate::secrets::is_url;

/// An order to copy many files, as it was typed.
pub(super) struct BulkCopy<'a> {
    pub sources: &'a [PathBuf],
    pub destination: &'a Path,
    pub habits: &'a Habits,
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
        let naming = Naming { directory: target.path.clone(), name: target.name.clone() };
        let is_dry = self.flags.contains(OrderFlags::DRY_RUN);
        let resumable = (!is_dry).then(|| naming.resumable(self.sources, self.habits));
        let done = signals::runtime()?.block_on(self.copy(&target, &names));
        if let Some(resumable) = resumable {
            resumable.ended(&done);
        }
        done
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
                if self.habits.verbose && [ioctl::SUCCESS, ioctl::ACCEPTED].contains(&entry.status) {
                    output.line(&copied(names, &entry.path, &path));
                }
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
        let Naming { directory: path, name } = Naming::of(self.sources, self.destination, self.habits)?;
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
            .map_err(|error| on_mount::refused(source, &target.directory, &error))
    }

    /// Finds a source on its mount. Like cp, -r copies a symlink and not what it points at, unless there is a slash
    /// behind it.
    fn located(&self, source: &Path) -> Result<MountPath, Failure> {
        let is_link = source.symlink_metadata().map_err(|error| about(source, &error))?.is_symlink();
        if self.habits.recursive
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

/// The line of a file that was copied, as cp -v has it. `entry` is its path from the destination.
fn copied(names: &[(String, &PathBuf)], entry: &str, path: &Path) -> String {
    let of = |(name, source): &&(String, &PathBuf)| match name.as_str() {
        "" => Some(source.join(entry)),
        _ if entry == name => Some(source.to_path_buf()),
        _ => entry.strip_prefix(name.as_str())?.strip_prefix('/').map(|rest| source.join(rest)),
    };
    match names.iter().find_map(|one| of(&one)) {
        Some(source) => format!("'{}' -> '{}'", source.display(), path.display()),
        None => format!("'{}'", path.display()),
    }
}
