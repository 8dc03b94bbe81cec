//! `blobcp mount`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, about, complain};
use super::mount_options::MountOptions;
use super::source_word::spelled_out;
use super::{devstore, log, mount_list};
use crate::config::{self, Environment, File, KnownAccounts, Plan, Settings, SourceText, Switch, places};
use crate::devstore::Devstore;
use crate::mount::daemon::{self, Side};
use crate::mount::patience::Patience;
use crate::mount::record::Record;
use crate::mount::{self, KernelOptions, MountError, MountPlace, credentials, fuse_device, table, unmount};
use crate::secrets;

const MORE: &str = "\
SOURCE is ACCOUNT, ACCOUNT/CONTAINER, ACCOUNT/CONTAINER/DIRECTORY, or a URL of
the same, also with a SAS. Several SOURCEs give one directory per account; one
word may have several, ACCOUNT,ACCOUNT. NAME is a [mount.NAME] table of the
configuration file.
In place of a SOURCE, - reads it from the standard input, @FILE from a file and
env:NAME from a variable: the words of a command line can be read by everybody,
for a URL with a SAS until the mount has taken it out of sight.
/dev/fd/N as MOUNTPOINT serves a descriptor of /dev/fuse that somebody else has
mounted; whoever did then runs 'blobcp first-copy' on that mount.

Examples:
  blobcp mount --dev ~/mnt
  AZURE_STORAGE_ACCOUNT=acct AZURE_STORAGE_KEY=… blobcp mount acct ~/mnt
  blobcp mount @photos.url ~/mnt
  blobcp mount -f --log debug --read-only acct/photos ~/mnt
  blobcp mount --list

In ~/.config/blobcp/config.toml, readable only by you:
  [account.acct]
  key = \"…\"
  [mount]
  attr-ttl = \"5s\"
  [mount.photos]
  sources = [\"acct/photos\", \"other\"]
  mountpoint = \"/mnt/photos\"

In /etc/fstab, with the keys in /etc/blobcp/config.toml:
  acct,other  /mnt/both    blobcp  _netdev,allow_other,attr_ttl=5s      0 0
  photos      /mnt/photos  blobcp  _netdev,nofail,x-systemd.automount  0 0";

/// Longest wait for the network in a line of fstab with `_netdev`: shorter than systemd waits for a mount.
const NETWORK_WAIT: Duration = Duration::from_secs(60);

/// Mount accounts or containers
#[derive(clap::Args)]
#[command(after_help = MORE, override_usage = "blobcp mount [OPTIONS] SOURCE... MOUNTPOINT\n       blobcp mount [OPTIONS] NAME [MOUNTPOINT]\n       blobcp mount [OPTIONS] --dev MOUNTPOINT\n       blobcp mount --list [--json]")]
pub(super) struct Arguments {
    #[arg(value_name = "SOURCE... MOUNTPOINT", hide = true)]
    words: Vec<OsString>,
    /// Mount an embedded Blob service with two accounts and sample data.
    #[arg(long)]
    dev: bool,
    /// List what is mounted, who serves it, and where the log is.
    #[arg(short, long, conflicts_with_all = ["words", "dev", "foreground", "options"])]
    list: bool,
    /// With --list: one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Stay in the foreground, log to stderr.
    #[arg(short, long)]
    foreground: bool,
    /// Configuration file [default: ~/.config/blobcp/config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Options as in fstab: flags with underscores, such as ro,attr_ttl=5s.
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// mount(8) asks: root's files are the machine's then, whatever HOME says.
    #[arg(long, hide = true)]
    by_mount8: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What is to be mounted, with all settings merged. It holds credentials, so it is gone when the mount is planned.
struct Wanted {
    sources: Vec<SourceText>,
    /// The name that it is shown by, if that is not what its sources are called: that of its table in the file, or the
    /// word of fstab, by which mount(8) knows it again.
    name: Option<String>,
    dev: bool,
    settings: Settings,
    file: File,
}

/// A mount to make, and its place.
struct MountCommand {
    wanted: Wanted,
    place: MountPlace,
    kernel: KernelOptions,
    patience: Arc<Patience>,
    /// To be left alone where nobody can be reached.
    may_fail: bool,
    /// None for a mount in the foreground that logs to stderr, and where none can be written.
    log: Option<PathBuf>,
    /// The log, open.
    log_file: Option<std::fs::File>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.list {
            return mount_list::run(self.json);
        }
        if self.json {
            return Err(Failure::usage("--json is for --list (see blobcp mount --help)"));
        }
        let options = MountOptions::parse(&self.options).map_err(Failure::usage)?;
        if let Some(of_kernel) = &options.remount {
            return remount(of_kernel, self.words.last());
        }
        let foreground = self.foreground;
        let mut command = self.command(options)?;
        let (level, log_file) = (command.wanted.settings.log.clone(), command.log_file.take());
        let (patience, may_fail) = (command.patience.clone(), command.may_fail);
        let left_alone = |failure: Failure| {
            if !(may_fail && patience.ran_out()) {
                return Err(failure);
            }
            failure.complain("mount");
            complain("mount", "not mounted; nofail says that this is no failure");
            Ok(())
        };
        if foreground {
            match log_file {
                Some(file) => log::to_file(file, level.as_deref())?,
                None => log::to_stderr(level.as_deref())?,
            }
            return command.serve(|text| say(&text)).or_else(left_alone);
        }
        let where_it_logs = match &command.log {
            Some(path) => format!("The log is {}\n", path.display()),
            None => String::new(),
        };
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
                        reporter.ready(&format!("{text}{where_it_logs}"));
                    }
                };
                let logs = log_file.map_or(Ok(()), |file| log::to_file(file, level.as_deref()));
                let result = logs.and_then(|()| command.serve(told));
                match (result, reporter) {
                    (Err(failure), Some(reporter)) => match left_alone(failure) {
                        Err(failure) => reporter.failed(failure.message.as_deref().unwrap_or_default()),
                        Ok(()) => reporter.ready(""),
                    },
                    (Err(failure), None) => tracing::error!("{}", failure.message.unwrap_or_default()),
                    (Ok(()), _) => {}
                }
                Ok(())
            }
        }
    }

    fn command(mut self, options: MountOptions) -> Result<MountCommand, Failure> {
        let named = self.config.take().or(options.config);
        let usual = || if self.by_mount8 { places::of_fstab() } else { None };
        let file = File::load(named.or_else(usual).as_deref())?;
        if file.exposed {
            complain("mount", format_args!("warning: {} holds secrets and others can read it", file.path.display()));
        }
        let dev = self.dev || options.dev;
        let of_fstab = self.words.first().filter(|_| self.by_mount8 && self.words.len() == 2 && !dev);
        let of_fstab = of_fstab.and_then(|word| word.to_str()).map(shown);
        let (sources, mountpoint) = self.sources_and_place(dev, &file)?;
        // One that has a name may have settings of its own.
        let name = sources.first().filter(|name| sources.len() == 1 && file.mounts.contains_key(*name)).cloned();
        let table = name.as_ref().and_then(|name| file.mounts.get(name).cloned()).unwrap_or_default();
        let (name, sources) = match name {
            Some(name) => (Some(name), table.sources),
            None => (of_fstab, sources),
        };
        let sources = sources.into_iter().map(spelled_out).collect::<Result<_, _>>()?;
        let settings =
            std::mem::take(&mut self.settings).or(options.settings).or(table.settings).or(file.mount.clone());
        log::check(settings.log.as_deref())?;
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
        let usual_wait = if options.net_dev { NETWORK_WAIT } else { Duration::ZERO };
        let patience = Patience::new(settings.network_wait.unwrap_or(usual_wait), |text| complain("mount", text));
        let place = match fuse_device(&mountpoint).map_err(|error| about(&mountpoint, &error))? {
            Some(device) => MountPlace::Device(device, mountpoint),
            None => MountPlace::Directory(usable_directory(&mountpoint)?),
        };
        let (log, log_file) = self.log(&settings, place.path())?;
        let (patience, may_fail) = (Arc::new(patience), self.by_mount8 && options.no_fail);
        let wanted = Wanted { sources, name, dev, settings, file };
        Ok(MountCommand { wanted, place, kernel, patience, may_fail, log, log_file })
    }

    /// The log and its path. One that nobody has named is no reason not to mount.
    fn log(&self, settings: &Settings, mountpoint: &Path) -> Result<(Option<PathBuf>, Option<std::fs::File>), Failure> {
        let opened = |path: PathBuf| {
            let path = std::path::absolute(&path).unwrap_or(path);
            log::open(&path).map(|file| (Some(path), Some(file)))
        };
        let usual = match &settings.log_file {
            Some(path) => return opened(path.clone()),
            None if self.foreground => return Ok((None, None)),
            None => log::usual_paths(mountpoint, self.by_mount8),
        };
        let mut why = None;
        for path in usual {
            match opened(path) {
                Ok(log) => return Ok(log),
                Err(failure) => why = why.or(failure.message),
            }
        }
        complain("mount", format_args!("warning: {}; mounted without a log", why.unwrap_or_default()));
        Ok((None, None))
    }

    /// The words: what is to be mounted, or the name of it, and where.
    fn sources_and_place(&mut self, dev: bool, file: &File) -> Result<(Vec<String>, PathBuf), Failure> {
        let missing = || Failure::usage("SOURCE or MOUNTPOINT is missing (see blobcp mount --help)");
        let last = self.words.pop().ok_or_else(missing)?;
        if self.words.is_empty() && !dev {
            let name = last.to_str().unwrap_or_default();
            let table = file.mounts.get(name).ok_or_else(missing)?;
            let place = table.mountpoint.clone().ok_or_else(|| {
                let file = file.path.display();
                Failure::usage(format!("{name}: [mount.{name}] in {file} says no mountpoint, and neither do you"))
            })?;
            return Ok((vec![name.to_owned()], place));
        }
        let words = std::mem::take(&mut self.words).into_iter().map(OsString::into_string).collect::<Result<_, _>>();
        let words: Vec<String> = words.map_err(|word| Failure::usage(format!("{}: not UTF-8", word.display())))?;
        Ok((words.iter().flat_map(|word| config::split_sources(word)).collect(), last.into()))
    }
}

impl MountCommand {
    /// Mounts and serves to the end.
    fn serve(self, ready: impl FnOnce(String)) -> Result<(), Failure> {
        let Self { wanted, place, kernel, patience, log, .. } = self;
        let record = Record { pid: std::process::id(), sources: wanted.shown(), log };
        let prepare = async || wanted.prepare(&place, &patience).await;
        let mut kept = None;
        let ready = |text| {
            let table = table::read().ok();
            let mount = table.as_ref().and_then(|table| table.at(place.path()));
            kept = mount.map(|mount| record.keep(mount.device));
            ready(text);
        };
        let ended = mount::serve(&place, &kernel, &patience, prepare, ready);
        drop(kept);
        Ok(ended?)
    }
}

impl Wanted {
    /// The sources without what is secret in them.
    fn shown(&self) -> Vec<String> {
        let shown = |source: &SourceText| source.text.expose().split(['?', '#']).next().unwrap_or_default().to_owned();
        self.sources.iter().map(shown).collect()
    }

    async fn prepare(
        self,
        place: &MountPlace,
        patience: &Patience,
    ) -> Result<(Plan, Option<Devstore>, String), MountError> {
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
            sources = devstore::ACCOUNTS.map(SourceText::from).to_vec();
        }
        let mut plan = config::plan(&sources, &self.settings, &known).map_err(failed)?;
        let read_only = self.settings.read_only.map(Switch::is_on);
        let limits = credentials::limits(&plan.accounts, read_only, patience).await?;
        plan.read_only = limits.read_only;
        if let Some(name) = &self.name {
            plan.name.clone_from(name);
        }
        // The labels, not the arguments: those may hold a SAS.
        let labels: Vec<&str> = plan.probes.iter().map(|probe| probe.label.as_str()).collect();
        let mut text = format!("{} is mounted on {}\n", labels.join(" and "), place.path().display());
        if let Some(store) = store.as_ref().filter(|_| self.sources.is_empty()) {
            text = devstore::welcome(store, place.path());
        }
        for line in limits.lines {
            tracing::warn!("{line}");
            text += &format!("{line}\n");
        }
        Ok((plan, store, text))
    }
}

/// `mount -o remount` of mount(8), which only the kernel has a part in.
fn remount(options: &[String], mountpoint: Option<&OsString>) -> Result<(), Failure> {
    let mut mount = Command::new("mount");
    // Without helpers: they would lead here again.
    mount.args(["-i", "-o"]).arg(options.join(",")).args(mountpoint);
    Err(about("mount", &mount.exec()))
}

/// A word that everybody may read.
fn shown(word: &str) -> String {
    secrets::cut(word).unwrap_or_else(|| word.to_owned())
}

/// On stdout. If nobody reads it, the mount works all the same.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// There is no mount point.
fn missing(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(format!("{path}: No such file or directory: the mount point has to be there (mkdir -p {path})"))
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
    let (path, is_dir) = found.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => about(path, &error),
    })?;
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
