//! A mount from its first check to its last byte: runtime, session, signals, unmount.
//!
//! [`serve`] is the life of one mount, in one process, which `daemon` may have put into the background before:
//!
//! 1. The runtime starts, and with it the listeners for signals: a SIGTERM that comes while mounting must not leave a
//!    mount behind.
//! 2. `probe` asks the service one cheap question per SOURCE. Whatever is wrong with names, keys or the network is said
//!    now, in seconds, and nothing is mounted.
//! 3. The kernel mounts; `table` finds the mount in `/proc/self/mountinfo`. From here on [`Mounted`] guards it: on
//!    every path it is unmounted before the process ends, because a mount whose process is gone answers "Transport
//!    endpoint is not connected" to everybody.
//! 4. The caller of `blobcp mount` is told that the mount works, and so is a service manager (`notify`).
//! 5. The session serves until it is unmounted from outside or a signal asks for the end; a SIGHUP does not, but has
//!    `credentials` read the configuration again. Then what is not stored yet is stored, the mount is detached, requests
//!    that are still running get [`JOIN_BOUND`], and what is left to do at the service is done. All that ends within 5 s
//!    (`ending`), unless what is stored takes longer and moves. A second signal ends the process at once, still without
//!    leaving the mount behind.
//! 6. `exit_report` tells a waiting `blobcp umount` how it ended.
//!
//! Unmounting is done here and not by fuser: its session, when dropped after an unmount from outside, unmounts the path
//! once more, and takes away whatever is mounted there by then. So its handle is never dropped.

pub(crate) mod credentials;
pub(crate) mod daemon;
mod ending;
mod error;
pub(crate) mod exit_report;
mod notify;
pub(crate) mod patience;
mod probe;
pub(crate) mod record;
pub(crate) mod runtime_dir;
pub mod table;
pub mod unmount;

use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, MountOption, SessionACL};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use ending::Ending;
pub(crate) use error::MountError;

use crate::config::Plan;
use crate::fs::Fs;
use crate::fs::attr::Ino;
use crate::fuse;
use crate::mount::exit_report::ExitReporter;
use crate::mount::patience::Patience;

pub(crate) use crate::fuse::make_first_copy;

/// Longest time that the mount waits for what it asks ahead. Without an answer the first program that wants to know it
/// asks.
const ROOT_BOUND: Duration = Duration::from_secs(2);

/// Longest time that requests may run on after the mount is detached, and programs keep files open.
const JOIN_BOUND: Duration = Duration::from_secs(1);

/// Longest wait of the runtime at the very end for what nobody waits for any more.
const STRAGGLER_BOUND: Duration = Duration::from_millis(500);

/// The time between two looks whether the session has ended: `umount` returns that much later at most, and an idle
/// mount does not notice.
const SESSION_POLL: Duration = Duration::from_millis(100);

/// Threads that read requests from the kernel. They only decode and spawn, so two saturate what the service can answer.
const DISPATCH_THREADS: usize = 2;

/// Read-ahead as root, in KiB. Sequential reads through the kernel's 128 KiB take twice as long (design, kernel fact
/// 12).
const READ_AHEAD_KIB: &str = "4096";

/// Bytes of a worker's stack: an operation that stores a file for which others have to be stored first goes deep. What is
/// not used costs nothing.
const STACK: usize = 8 << 20;

/// Where a mount is to be.
#[derive(Debug)]
pub(crate) enum MountPlace {
    /// On this directory, by ourselves.
    Directory(PathBuf),
    /// Wherever somebody else has mounted this descriptor of `/dev/fuse`, as those do who give a mount to a container
    /// that may not mount. Whoever mounted it unmounts it and makes its first copy ([`make_first_copy`]), and has
    /// chosen the kernel's options. The path is what the user called it.
    Device(OwnedFd, PathBuf),
}

impl MountPlace {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Device(_, path) => path,
        }
    }
}

/// Major and minor number of `/dev/fuse`.
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// The descriptor that `/dev/fd/N` names, taken for good; `None` if that is not what `path` is. What is started from
/// here on does not inherit it.
///
/// To be called once, as nobody else may use the descriptor.
pub(crate) fn fuse_device(path: &Path) -> std::io::Result<Option<OwnedFd>> {
    let number = ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|dir| path.to_str()?.strip_prefix(dir)?.parse().ok());
    let Some(number) = number.filter(|number: &i32| *number > 2) else { return Ok(None) };
    let is_fuse = std::fs::metadata(path).is_ok_and(|found| {
        let device = found.rdev();
        found.file_type().is_char_device() && (libc::major(device), libc::minor(device)) == FUSE_DEVICE
    });
    if !is_fuse {
        return Err(std::io::Error::other("not a descriptor of /dev/fuse that this process was given"));
    }
    // SAFETY: it is open, as the look at it has shown, and was given to this process to be served.
    let device = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::CLOEXEC)?;
    Ok(Some(device))
}

/// Options of the kernel for a mount.
#[derive(Debug, Clone, Default)]
pub(crate) struct KernelOptions {
    pub(crate) read_only: bool,
    pub(crate) allow_other: bool,
    pub(crate) no_exec: bool,
}

/// Mounts what `prepare` plans at `place` and serves it to its end. `prepare` runs inside the runtime and may
/// return something that has to live as long as the mount, and a text for the user; `ready` is given that text when the
/// mount works. Who is asked before and cannot be reached is asked again as long as `patience` lasts.
pub(crate) fn serve<K>(
    place: &MountPlace,
    options: &KernelOptions,
    patience: &Patience,
    prepare: impl AsyncFnOnce() -> Result<(Plan, K, String), MountError>,
    ready: impl FnOnce(String),
) -> Result<(), MountError> {
    let runtime = Builder::new_multi_thread()
        .thread_name("blobcp")
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|error| MountError(format!("cannot start threads: {error}")))?;
    let outcome = serve_on(&runtime, place, options, patience, prepare, ready);
    // Not dropped, which would wait for a name server that does not answer.
    runtime.shutdown_timeout(STRAGGLER_BOUND);
    outcome
}

fn serve_on<K>(
    runtime: &Runtime,
    place: &MountPlace,
    options: &KernelOptions,
    patience: &Patience,
    prepare: impl AsyncFnOnce() -> Result<(Plan, K, String), MountError>,
    ready: impl FnOnce(String),
) -> Result<(), MountError> {
    let (mut signals, mut hangup) = (Signals::listen(runtime)?, listen(runtime, SignalKind::hangup())?);
    let prepared = async {
        let (plan, keep, text) = prepare().await?;
        let lines = probe::all(&plan.probes, patience).await?;
        lines.iter().for_each(|line| warn!("{line}"));
        Ok((plan, keep, text + &lines.iter().map(|line| format!("{line}\n")).collect::<String>()))
    };
    let (plan, _keep, text) = runtime.block_on(async {
        tokio::select! {
            prepared = prepared => prepared,
            name = signals.next() => Err(MountError(format!("stopped by {name} before anything was mounted"))),
            _ = hangup.recv() => Err(MountError("stopped by SIGHUP before anything was mounted".into())),
        }
    })?;
    let options = &KernelOptions { read_only: options.read_only || plan.read_only, ..options.clone() };
    let fs = Fs::new(plan.fs);
    let text = text + &left_behind(&fs, place.path());
    // Mode and owner of what is mounted, and how a rename is to be done: asked for now, so that no program has to wait
    // for them.
    let first_questions = async {
        let namespaces = async {
            if !options.read_only {
                fs.ask_namespaces().await;
            }
        };
        tokio::join!(fs.getattr(Ino::ROOT), namespaces)
    };
    let _ = runtime.block_on(async { timeout(ROOT_BOUND, first_questions).await });
    let mountpoint = place.path();
    let mounted = Mounted::mount(runtime, fs.clone(), place, &plan.name, options)?;
    let reporter = ExitReporter::begin(mounted.device);
    // Ends with the runtime.
    drop(runtime.spawn(credentials::watch(plan.accounts, hangup)));
    notify::ready(&text);
    ready(text);
    info!(mountpoint = %mountpoint.display(), source = plan.name, "mounted");

    let lost = runtime.block_on(run_to_the_end(&mounted, &fs, &mut signals, &reporter));
    let outcome = ending::report(&lost).map_or(Ok(()), |lost| Err(MountError(lost)));
    fs.control().close_journal();
    let recognised = ending::recognised(fs.ending().recognised());
    if let Some(recognised) = &recognised {
        info!("{recognised}");
    }
    reporter.send(&match &outcome {
        Ok(()) => recognised.as_deref().map_or_else(String::new, exit_report::note),
        Err(failed) => failed.0.clone(),
    });
    info!(mountpoint = %mountpoint.display(), "unmounted");
    outcome
}

/// Begins to write down what is under way, and looks what others have written who were killed: a line for the user if
/// there is something.
fn left_behind(fs: &Fs, mountpoint: &Path) -> String {
    if let Err(error) = fs.control().keep_journal(&runtime_dir::journal_homes()) {
        info!(%error, "what is under way is not written down; after a crash nobody is told of it");
        return String::new();
    }
    let point = mountpoint.display();
    let count = match fs.control().left_behind() {
        0 => return String::new(),
        1 => "something was".to_owned(),
        many => format!("{many} things were"),
    };
    let line = format!("{count} left unfinished when a mount ended: see blobcp status --leftovers {point}");
    warn!("{line}");
    line + "\n"
}

/// Waits for the end, whoever wants it, and takes it in order. Returns the names of files that could not be stored.
async fn run_to_the_end(
    mounted: &Mounted,
    fs: &Arc<Fs>,
    signals: &mut Signals,
    reporter: &ExitReporter,
) -> Vec<String> {
    let from_outside = tokio::select! {
        () = mounted.ended() => true,
        name = signals.next() => {
            info!("{name}: unmounting");
            false
        }
    };
    if from_outside {
        info!("unmounted from outside");
    }
    notify::stopping();
    let mut ending = Ending::begin();
    reporter.note(&ending::interim_report(&fs.ending().unsaved()));
    // Whoever unmounts from outside has sent no signal yet.
    let mut is_asked = !from_outside;
    let mut flushed = flush(&mut ending, fs, signals, &mut is_asked).await;
    if !from_outside && !flushed.at_once {
        mounted.detach();
        tokio::select! {
            () = mounted.ended() => {}
            () = sleep(JOIN_BOUND.min(ending.left())) => warn!("files are still open; they end with this process"),
            _ = signals.next() => {}
        }
        // Whatever was written between the first flush and the end.
        if ending.is_over() {
            flushed.lost.extend(given_up(fs, "there is no time left"));
        } else {
            let again = flush(&mut ending, fs, signals, &mut is_asked).await;
            flushed.lost.extend(again.lost);
            flushed.at_once = again.at_once;
        }
    }
    fs.ending().end();
    let mut lost = flushed.lost;
    match flushed.at_once {
        true => mounted.detach(),
        false => fs.ending().shut_down(ending.left()).await,
    }
    lost.sort();
    lost.dedup();
    lost
}

/// How storing what was not stored has ended.
struct Flushed {
    /// Names of the files for which it failed.
    lost: Vec<String>,
    /// Nobody wants to wait for anything any more.
    at_once: bool,
}

/// Stores what is not stored yet, as far as that moves. `is_asked`: a signal has asked for the end, so that another one
/// wants it at once. After an unmount from outside none has.
async fn flush(ending: &mut Ending, fs: &Arc<Fs>, signals: &mut Signals, is_asked: &mut bool) -> Flushed {
    let end = fs.ending();
    let is_there = async |bound| end.is_anybody_there(bound).await;
    let mut storing = pin!(end.flush_all());
    let at_once = loop {
        tokio::select! {
            lost = &mut storing => {
                ending.note_stored();
                return Flushed { lost, at_once: false };
            }
            () = ending.over(&is_there) => break false,
            name = signals.next() => {
                if std::mem::replace(is_asked, true) {
                    error!("{name} again: leaving at once");
                    break true;
                }
                warn!("{name}: it is unmounted, and what was written is being stored; {name} again gives that up");
            }
        }
    };
    let why =
        if at_once { "nobody waits for it to be stored" } else { "the service does not take what was written to it" };
    Flushed { lost: given_up(fs, why), at_once }
}

/// The names of what is not stored, which the log has, too.
fn given_up(fs: &Fs, why: &str) -> Vec<String> {
    let lost = fs.ending().unsaved();
    for name in &lost {
        error!(%name, "given up: {why}");
    }
    lost
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen(runtime: &Runtime) -> Result<Self, MountError> {
        Ok(Self {
            terminate: listen(runtime, SignalKind::terminate())?,
            interrupt: listen(runtime, SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn listen(runtime: &Runtime, kind: SignalKind) -> Result<Signal, MountError> {
    let _inside = runtime.enter();
    signal(kind).map_err(|error| MountError(format!("cannot listen for signals: {error}")))
}

/// A mount of this process. It is detached when this is dropped, unless it is gone already.
struct Mounted {
    mountpoint: PathBuf,
    /// Major and minor number of the superblock: tells this mount from another at the same path.
    device: (u32, u32),
    session: ManuallyDrop<BackgroundSession>,
}

impl Mounted {
    fn mount(
        runtime: &Runtime,
        fs: Arc<Fs>,
        place: &MountPlace,
        name: &str,
        options: &KernelOptions,
    ) -> Result<Self, MountError> {
        let mountpoint = match place {
            MountPlace::Directory(path) => path.as_path(),
            MountPlace::Device(device, path) => return Self::on_device(runtime, fs, device, path, options),
        };
        let mut config = fuser::Config::default();
        // As a plain option, because fuser keeps its `Subtype` from the kernel when it mounts without fusermount.
        let subtype = MountOption::CUSTOM(format!("subtype={}", table::SUBTYPE));
        config.mount_options = vec![MountOption::FSName(as_option(name)), subtype];
        config.mount_options.extend(fs.modes_bind().then_some(MountOption::DefaultPermissions));
        config.mount_options.extend(options.read_only.then_some(MountOption::RO));
        config.mount_options.extend(options.no_exec.then_some(MountOption::NoExec));
        config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(DISPATCH_THREADS);
        config.clone_fd = true;
        let failed = |error: std::io::Error| MountError(explain(mountpoint, &error));
        let session = fuse::mount(fs, runtime.handle().clone(), options.read_only, mountpoint, &config);
        // Dropping the session in an error case from here on unmounts.
        let session = ManuallyDrop::new(session.map_err(failed)?);
        let device = table::read().ok().and_then(|table| Some(table.at(mountpoint)?.device)).unwrap_or_default();
        raise_read_ahead(device);
        if let Err(error) = make_first_copy(mountpoint) {
            debug!(%error, "no first copy");
        }
        Ok(Self { mountpoint: mountpoint.to_path_buf(), device, session })
    }

    /// Serves what somebody else has mounted, and unmounts. Who may use it and how is said by the options of that
    /// mount, so that all who get through the kernel are let in.
    fn on_device(
        runtime: &Runtime,
        fs: Arc<Fs>,
        device: &OwnedFd,
        name: &Path,
        options: &KernelOptions,
    ) -> Result<Self, MountError> {
        let mut config = fuser::Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(DISPATCH_THREADS);
        // A descriptor for each thread would be opened anew, and `/dev/fuse` is not there or not for this user.
        config.clone_fd = false;
        let device = device.try_clone();
        let serve = |device| fuse::serve_device(fs, runtime.handle().clone(), options.read_only, device, config);
        let session = device.and_then(serve);
        let failed = |error: std::io::Error| {
            MountError(format!("{}: {}; it has to be mounted before", name.display(), one_line(&error.to_string())))
        };
        let session = ManuallyDrop::new(session.map_err(failed)?);
        Ok(Self { mountpoint: name.to_path_buf(), device: (0, 0), session })
    }

    async fn ended(&self) {
        while !self.session.guard.is_finished() {
            sleep(SESSION_POLL).await;
        }
    }

    /// Takes the mount out of the tree of files. What is open in it stays until it is closed.
    fn detach(&self) {
        let ours = table::read()
            .ok()
            .and_then(|table| Some(table.at(&self.mountpoint)?.device == self.device))
            .unwrap_or(false);
        if ours && let Err(error) = unmount::lazily(&self.mountpoint) {
            error!(%error, "cannot unmount");
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.session.guard.is_finished() {
            self.detach();
        }
    }
}

/// A name as it has to be written in the options: fusermount splits them at commas, the kernel is given the name apart
/// from them.
fn as_option(name: &str) -> String {
    let directly = rustix::process::geteuid().is_root();
    if directly { name.to_owned() } else { name.replace('\\', "\\\\").replace(',', "\\,") }
}

/// Sets the read-ahead, as root only; who may not is content with the kernel's default.
fn raise_read_ahead((major, minor): (u32, u32)) {
    let _ = std::fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), READ_AHEAD_KIB);
}

/// The error of fuser or fusermount, in one line.
fn explain(mountpoint: &Path, error: &std::io::Error) -> String {
    let text = error.to_string();
    let point = mountpoint.display();
    if text.contains("user_allow_other") {
        return "--allow-other needs the line user_allow_other in /etc/fuse.conf".into();
    }
    match error.kind() {
        std::io::ErrorKind::NotFound if !Path::new("/dev/fuse").exists() => {
            "/dev/fuse is missing: load the kernel module (modprobe fuse) or give the container that device".into()
        }
        std::io::ErrorKind::NotFound => "fusermount3 is missing: install the package fuse3, or mount as root".into(),
        std::io::ErrorKind::PermissionDenied if std::fs::File::open("/dev/fuse").is_err() => {
            "/dev/fuse: you may not open it; usually everybody may (chmod 666 /dev/fuse)".into()
        }
        std::io::ErrorKind::PermissionDenied => format!("{point}: not allowed to mount there ({})", one_line(&text)),
        _ => format!("{point}: {}", one_line(&text)),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
