//! `-o` options as mount(8) and fstab have them.
//!
//! Each flag of `blobcp mount` is an option of the same name with underscores: `-o attr_ttl=5s,allow_other`. They go
//! through the same parser as the flags, so there is nothing that one can say and the other cannot. Beside them stand
//! the options that mount(8) hands to every helper: those that mean something here are obeyed, those that mean
//! something to mount(8) or to nobody are accepted, and a name that nobody knows is an error.

use std::path::PathBuf;

use clap::Parser;

use crate::config::{Settings, Switch};

/// A list of options, parsed.
#[derive(Debug, Default)]
pub(super) struct MountOptions {
    pub settings: Settings,
    pub config: Option<PathBuf>,
    pub dev: bool,
    pub no_exec: bool,
    /// The network may not be up yet.
    pub net_dev: bool,
    /// It is no failure if there is nothing to mount.
    pub no_fail: bool,
    /// Options of what is mounted already are to change: those that the kernel has a part in.
    pub remount: Option<Vec<String>>,
    /// The kernel is to check modes, which it does anyway unless what is shown binds nobody.
    pub default_permissions: bool,
}

/// Options of mount(8) that change nothing here: its own, those that are always so (`nodev`, `nosuid`), and those about
/// access times, which reading a blob does not change.
const ACCEPTED: &str = "\
    rw dev nodev suid nosuid exec auto noauto user nouser users owner group defaults async sync dirsync \
    atime noatime relatime norelatime diratime nodiratime strictatime nostrictatime lazytime nolazytime \
    nonempty silent loud mand nomand";

/// Options that the kernel takes for what is mounted already.
const OF_KERNEL: &str = "remount ro rw dev nodev suid nosuid exec noexec sync async dirsync atime noatime relatime \
    norelatime diratime nodiratime strictatime nostrictatime lazytime nolazytime silent loud mand nomand";

/// The same with a value, or a family of names.
const ACCEPTED_PREFIXES: &[&str] =
    &["x-", "X-", "comment=", "user=", "fsname=", "subtype=", "helper=", "uhelper=", "context=", "rootcontext="];

/// The settings as a command line of their own.
#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true, disable_help_flag = true)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long)]
    devstore: bool,
}

impl MountOptions {
    /// Reads lists separated by commas; later ones win.
    pub(super) fn parse(lists: &[String]) -> Result<Self, String> {
        let mut parsed = Self::default();
        let (mut flags, mut of_kernel, mut remount) = (Vec::new(), Vec::new(), false);
        for option in lists.iter().flat_map(|list| list.split(',')).filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            if OF_KERNEL.split(' ').any(|known| known == option) {
                of_kernel.push(option.to_owned());
            }
            match name {
                "ro" => parsed.settings.read_only = Some(Switch::YES),
                "_netdev" => parsed.net_dev = true,
                "nofail" => parsed.no_fail = true,
                "remount" => remount = true,
                "noexec" => parsed.no_exec = true,
                "default_permissions" => parsed.default_permissions = true,
                "exec" => parsed.no_exec = false,
                _ if ACCEPTED.split(' ').any(|accepted| accepted == option) => {}
                _ if ACCEPTED_PREFIXES.iter().any(|prefix| option.starts_with(prefix)) => {}
                _ => {
                    let flag = format!("--{}", name.replace('_', "-"));
                    flags.push(value.map_or(flag.clone(), |value| format!("{flag}={value}")));
                    // Each for itself first, so that an error is about this option and no other.
                    Flags::try_parse_from(flags.last()).map_err(|error| complaint(option, name, &error))?;
                }
            }
        }
        let read_only = parsed.settings.read_only;
        let flags = Flags::try_parse_from(flags).map_err(|error| super::failure::one_line(&error))?;
        parsed.settings = flags.settings.or(Settings { read_only, ..Settings::default() });
        parsed.config = flags.config;
        parsed.dev = flags.devstore;
        parsed.remount = remount.then_some(of_kernel);
        Ok(parsed)
    }
}

fn complaint(option: &str, name: &str, error: &clap::Error) -> String {
    match error.kind() {
        clap::error::ErrorKind::UnknownArgument => {
            let unknown = format!("-o {name}: there is no such option");
            let spelled = |flag: String| flag.trim_start_matches('-').replace('-', "_");
            match of_other_filesystems(option).or_else(|| {
                let meant = spelled(super::failure::suggested(error)?);
                Some(format!("did you mean {meant}?"))
            }) {
                Some(hint) => format!("{unknown}; {hint}"),
                None => unknown,
            }
        }
        _ => {
            let text = super::failure::one_line(error);
            // clap repeats value and flag; what it says about the value comes last.
            let why = text.rsplit_once(">': ").map_or(text.as_str(), |(_, why)| why);
            format!("-o {option}: {why}")
        }
    }
}

/// What says the same here as an option that other filesystems have.
fn of_other_filesystems(option: &str) -> Option<String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let mask = u32::from_str_radix(value, 8).ok().filter(|mask| *mask <= 0o777);
    let mode = |all: u32| mask.map(|mask| format!("{:o}", all & !mask));
    match name {
        "umask" => Some(match (mode(0o666), mode(0o777)) {
            (Some(files), Some(dirs)) => format!("file_mode={files},dir_mode={dirs} says the same"),
            _ => "file_mode=MODE,dir_mode=MODE says what is left of all rights".to_owned(),
        }),
        "fmask" => Some(format!("file_mode={} says the same", mode(0o777).unwrap_or_else(|| "MODE".to_owned()))),
        "dmask" => Some(format!("dir_mode={} says the same", mode(0o777).unwrap_or_else(|| "MODE".to_owned()))),
        "readonly" => Some("did you mean ro?".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Duration;

    fn parse(list: &str) -> Result<MountOptions, String> {
        MountOptions::parse(&[list.to_owned()])
    }

    #[test]
    fn flags_are_options_with_underscores() {
        let parsed =
            parse("attr_ttl=5s,timeout=20,allow_other,copy_wait=no,copy_method=blocks,recognise_copies=off,file_mode=600,uid=7,config=/etc/b.toml,ro,noexec")
                .unwrap();
        assert_eq!(parsed.settings.attr_ttl, Some(Duration::from_secs(5)));
        assert_eq!(parsed.settings.timeout, Some(Duration::from_secs(20)));
        assert_eq!(parsed.settings.uid, Some(7));
        assert!(parsed.settings.allow_other.unwrap().is_on());
        assert!(parsed.settings.read_only.unwrap().is_on());
        assert!(!parsed.settings.copy_wait.unwrap().is_on());
        assert!(!parsed.settings.recognise_copies.unwrap().is_on());
        assert_eq!(parsed.settings.copy_method, Some(crate::fs::CopyMethod::Blocks));
        assert_eq!(parsed.config, Some("/etc/b.toml".into()));
        assert!(parsed.no_exec);
    }

    #[test]
    fn what_mount_adds_is_accepted() {
        let usual =
            "rw,dev,suid,exec,noauto,user,_netdev,nofail,x-systemd.automount,x-gvfs-show,noatime,comment=x,fsname=a";
        let parsed = parse(usual).unwrap();
        assert!(!parsed.no_exec && parsed.settings.read_only.is_none());
        assert!(parsed.net_dev && parsed.no_fail && parsed.remount.is_none());
    }

    #[rstest]
    #[case("rw,atr_ttl=5s", "-o atr_ttl: there is no such option; did you mean attr_ttl?")]
    #[case("umask=027", "-o umask: there is no such option; file_mode=640,dir_mode=750 says the same")]
    #[case("umask", "-o umask: there is no such option; file_mode=MODE,dir_mode=MODE says what is left of all rights")]
    #[case("fmask=0133", "-o fmask: there is no such option; file_mode=644 says the same")]
    #[case("readonly", "-o readonly: there is no such option; did you mean ro?")]
    #[case("quux", "-o quux: there is no such option")]
    #[case("attr_ttl=soon", "-o attr_ttl=soon: must be a time such as 500ms, 1s or 2m")]
    #[case("timeout=0", "-o timeout=0: must be a time from 1s to 1h")]
    #[case("copy_wait=maybe", "-o copy_wait=maybe: must be yes or no, or on or off")]
    fn mistakes_are_named(#[case] list: &str, #[case] expected: &str) {
        assert_eq!(parse(list).unwrap_err(), expected);
    }

    #[test]
    fn a_remount_is_for_the_kernel_which_knows_none_of_our_options() {
        let parsed = parse("rw,_netdev,attr_ttl=5s,allow_other,noatime,remount,ro").unwrap();
        assert_eq!(parsed.remount.unwrap(), ["rw", "noatime", "remount", "ro"]);
    }

    #[test]
    fn the_last_of_two_wins() {
        assert_eq!(MountOptions::parse(&["uid=1".into(), "uid=2".into()]).unwrap().settings.uid, Some(2));
    }
}
