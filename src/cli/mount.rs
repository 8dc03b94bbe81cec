//! `blobcp mount`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::{Failure, about, complain};
use super::mount_options::MountOptions;
use super::{devstore, handover, log};
use crate::config::{self, Environment, File, KnownAccounts, Plan, Settings, Switch};
use crate::devstore::Devstore;
use crate::mount::daemon::{self, Side};
use crate::mount::{self, KernelOptions, MountError, credentials, table, unmount};

const MORE: &str = "\
SOURCE is ACCOUNT, ACCOUNT/CONTAINER, ACCOUNT/CONTAINER/DIRECTORY, or a URL of
the same, also with a SAS. Several SOURCEs give one directory per account.
In place of a SOURCE, - reads it from the standard input, @FILE from a file and
env:NAME from a variable: the words of a command line can be read by everybody,
for a URL with a SAS until the mount has taken it out of sight.

Examples:
  blobcp mount --dev ~/mnt
  AZURE_STORAGE_ACCOUNT=acct AZURE_STORAGE_KEY=… blobcp mount acct ~/mnt
  blobcp mount @photos.url ~/mnt
  blobcp mount -f --log debug --read-only acct/photos ~/mnt

In ~/.config/blobcp/config.toml, readable only by you:
  [account.acct]
  key = \"…\"
  [mount]
  attr-ttl = \"5s\"

In /etc/fstab, with the keys in /etc/blobcp/config.toml:
  acct/photos /mnt/photos fuse.blobcp _netdev,allow_other,attr_ttl=5s 0 0";

/// Mount accounts or containers
#[derive(clap::Args)]
#[command(after_help = MORE, override_usage = "blobcp mount [OPTIONS] SOURCE... MOUNTPOINT\n       blobcp mount [OPTIONS] --dev MOUNTPOINT")]
pub(super) struct Arguments {
    #[arg(value_name = "SOURCE... MOUNTPOINT", hide = true)]
    words: Vec<OsString>,
    /// Mount an embedded Blob service with two accounts and sample data.
    #[arg(long)]
    dev: bool,
    /// Stay in the foreground, log to stderr.
    #[arg(short, long)]
    foreground: bool,
    /// Configuration file [default: ~/.config/blobcp/config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Options as in fstab: flags with underscores, such as ro,attr_ttl=5s.
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

/// A mount to make: all settings merged, and its place.
struct MountCommand {
    sources: Vec<String>,
    mountpoint: PathBuf,
    dev: bool,
    settings: Settings,
    file: File,
    kernel: KernelOptions,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let foreground = self.foreground;
        let command = self.command()?;
        let level = command.settings.log.clone();
        if foreground {
            match &command.settings.log_file {
                Some(path) => log::to_file(path, level.as_deref())?,
                None => log::to_stderr(level.as_deref())?,
            }
            return command.serve(|text| say(&text));
        }
        let path = command.settings.log_file.clone().unwrap_or_else(|| log::usual_path(&command.mountpoint));
        let path = std::path::absolute(&path).unwrap_or(path);
        match daemon::detach().map_err(|error| Failure::new(format!("cannot fork: {error}")))? {
            Side::Parent(Ok(text)) => {
                say(&text);
                Ok(())
            }
            Side::Parent(Err(reason)) => Err(Failure::new(reason)),
            Side::Child(reporter) => {
                // One of the two ways to report is taken, and which one is known only when it is.
                let mut reporter = Some(reporter);
                let told = |text: String| {
                    if let Some(reporter) = reporter.take() {
                        reporter.ready(&format!("{text}The log is {}\n", path.display()));
                    }
                };
                let result = log::to_file(&path, level.as_deref()).and_then(|()| command.serve(told));
                match (result, reporter) {
                    (Err(failure), Some(reporter)) => reporter.failed(failure.message.as_deref().unwrap_or_default()),
                    (Err(failure), None) => tracing::error!("{}", failure.message.unwrap_or_default()),
                    (Ok(()), _) => {}
                }
                Ok(())
            }
        }
    }

    fn command(mut self) -> Result<MountCommand, Failure> {
        let options = MountOptions::parse(&self.options).map_err(Failure::usage)?;
        let file = File::load(self.config.or(options.config).as_deref())?;
        if file.exposed {
            complain("mount", format_args!("warning: {} holds secrets and others can read it", file.path.display()));
        }
        let settings = self.settings.or(options.settings).or(file.mount.clone());
        let dev = self.dev || options.dev;
        log::check(settings.log.as_deref())?;
        let missing = || Failure::usage("SOURCE or MOUNTPOINT is missing (see blobcp mount --help)");
        let mountpoint = PathBuf::from(self.words.pop().ok_or_else(missing)?);
        if self.words.is_empty() && !dev {
            return Err(missing());
        }
        let sources = self.words.into_iter().map(OsString::into_string).collect::<Result<_, _>>();
        let sources: Vec<String> = sources.map_err(|word| Failure::usage(format!("{}: not UTF-8", word.display())))?;
        let sources = sources.into_iter().map(spelled_out).collect::<Result<_, _>>()?;
        let on = |switch: Option<Switch>| switch.is_some_and(Switch::is_on);
        let checks = on(settings.allow_other) || options.default_permissions;
        if on(settings.show_owners) && checks {
            let what = "--show-owners shows modes that bind nobody, for a key may do what they forbid; \
                        allow_other and default_permissions rest on modes: choose one of the two";
            return Err(Failure::usage(what));
        }
        let kernel = KernelOptions {
            read_only: on(settings.read_only),
            allow_other: on(settings.allow_other),
            no_exec: options.no_exec,
        };
        Ok(MountCommand { sources, mountpoint: usable_directory(&mountpoint)?, dev, settings, file, kernel })
    }
}

impl MountCommand {
    /// Mounts and serves to the end.
    fn serve(&self, ready: impl FnOnce(String)) -> Result<(), Failure> {
        let prepare = async || self.prepare().await;
        Ok(mount::serve(&self.mountpoint, &self.kernel, prepare, ready)?)
    }

    async fn prepare(&self) -> Result<(Plan, Option<Devstore>, String), MountError> {
        let failed = |error: config::Error| MountError(error.to_string());
        let environment = if self.dev { Environment::default() } else { Environment::of_process() };
        let mut known = KnownAccounts::new(&environment, &self.file).map_err(failed)?;
        let mut sources = self.sources.clone();
        let store = if self.dev {
            let started = devstore::start_for_mount().await;
            let store = started.map_err(|failure| MountError(failure.message.unwrap_or_default()))?;
            for account in devstore::ACCOUNTS {
                known.add_embedded(&store.connection_string(account).unwrap_or_default()).map_err(failed)?;
            }
            Some(store)
        } else {
            None
        };
        if sources.is_empty() {
            sources = devstore::ACCOUNTS.map(str::to_owned).to_vec();
        }
        let mut plan = config::plan(&sources, &self.settings, &known).map_err(failed)?;
        let limits = credentials::limits(&plan.accounts, self.settings.read_only.map(Switch::is_on)).await?;
        plan.read_only = limits.read_only;
        // The labels, not the arguments: those may hold a SAS.
        let labels: Vec<&str> = plan.probes.iter().map(|probe| probe.label.as_str()).collect();
        let mut text = format!("{} is mounted on {}\n", labels.join(" and "), self.mountpoint.display());
        if let Some(store) = store.as_ref().filter(|_| self.sources.is_empty()) {
            text = devstore::welcome(store, &self.mountpoint);
        }
        for line in limits.lines {
            tracing::warn!("{line}");
            text += &format!("{line}\n");
        }
        Ok((plan, store, text))
    }
}

/// A SOURCE that is said elsewhere than on the command line, which others can read: `-` is a line of the standard input,
/// `@FILE` the first line of a file, `env:NAME` a variable.
fn spelled_out(word: String) -> Result<String, Failure> {
    let first_line = |text: io::Result<String>, of: &str| match text {
        Ok(text) => Ok(text.lines().next().unwrap_or_default().trim().to_owned()),
        Err(error) => Err(about(of, &error)),
    };
    let text = match word.strip_prefix('@') {
        _ if word == "-" => {
            let mut line = String::new();
            first_line(io::stdin().read_line(&mut line).map(|_| line), "standard input")?
        }
        Some(path) => first_line(std::fs::read_to_string(path), path)?,
        None => match word.strip_prefix(handover::OF_VARIABLE) {
            Some(name) => {
                let value = Environment::secret(name);
                value.map(|value| value.expose().trim().to_owned()).unwrap_or_default()
            }
            None => return Ok(word),
        },
    };
    if text.is_empty() {
        return Err(Failure::usage(format!("{word}: there is no SOURCE in it")));
    }
    // A token alone, or a key: what is wrong with it must not be shown.
    let place = text.split('?').next().unwrap_or_default();
    if !place.contains("://") && (text.contains("sig=") || place.contains(['=', '+', '&'])) {
        return Err(Failure::usage(format!(
            "{word}: a SOURCE is expected in it, an account or a URL, not a key or a token alone"
        )));
    }
    Ok(text)
}

/// On stdout. If nobody reads it, the mount works all the same.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The mount point without symlinks. It must be a directory that no other mount of ours hides; what a process of ours
/// that was killed has left there is cleared away.
fn usable_directory(path: &Path) -> Result<PathBuf, Failure> {
    // The path of a dead mount resolves, but what is there cannot be asked.
    let resolve = || path.canonicalize().and_then(|path| path.metadata().map(|metadata| (path, metadata.is_dir())));
    let found = match resolve() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            let dead = super::umount::dead_mount(path).ok_or_else(|| about(path, &error))?;
            unmount::lazily(&dead).map_err(|error| about(&dead, &error))?;
            complain("mount", format_args!("{}: unmounted what a killed process had left there", dead.display()));
            resolve()
        }
        found => found,
    };
    let (path, is_dir) = found.map_err(|error| about(path, &error))?;
    if !is_dir {
        return Err(about(&path, &io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    let table = table::read().map_err(|error| about("/proc/self/mountinfo", &error))?;
    if let Some(mount) = table.at(&path).filter(|mount| mount.is_ours()) {
        let source = mount.source.display();
        return Err(Failure::new(format!("{}: {source} is mounted there already", path.display())));
    }
    // As fusermount does: it is allowed, and seldom meant.
    if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
        complain("mount", format_args!("warning: {} is not empty; its files are hidden meanwhile", path.display()));
    }
    Ok(path)
}
