//! Credentials that end, are replaced or do not allow everything, while a mount lives on.

use blobcp::path::AccountName;
use blobcp::store::{AccountKey, DEFAULT_API_VERSION, sas};

use super::*;
use crate::common::Gated;

const ALL: &str = "racwdltx";

/// A SAS of the account `TWO`, signed with the key that it has now, that ends so many seconds from now.
fn signed(desk: &Desk, letters: &str, seconds: u64) -> String {
    let key = AccountKey::parse(&desk.store.account_key(TWO).unwrap()).unwrap();
    let validity = sas::Validity::for_the_next(Duration::from_secs(seconds));
    let name = AccountName::parse(TWO).unwrap();
    sas::account(&key, &name, letters, "sco", &validity, DEFAULT_API_VERSION).expose().to_owned()
}

/// The configuration says this of the account `TWO`, and the file is replaced as a whole, as editors do.
fn configure(desk: &Desk, line: &str) {
    let endpoint = desk.store.endpoint(TWO);
    fs::write(desk.path("new.toml"), format!("[account.{TWO}]\nendpoint = '{endpoint}'\n{line}\n")).unwrap();
    fs::set_permissions(desk.path("new.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(desk.path("new.toml"), desk.path("config.toml")).unwrap();
}

/// A mount of `TWO/backup` by that configuration.
fn mount(desk: &Desk) -> Ended {
    let source = format!("{TWO}/backup");
    desk.run(&["mount", "--config", "config.toml", "--log", "info", "--log-file", "log", &source, "m"])
}

fn log(desk: &Desk) -> String {
    fs::read_to_string(desk.path("log")).unwrap()
}

fn put(desk: &Desk, name: &str, content: &'static [u8]) {
    desk.store.put_blob(TWO, "backup", name, Bytes::from_static(content), "text/plain").unwrap();
}

/// Requests that were refused since the last reset.
fn refused(desk: &Desk) -> usize {
    desk.store.requests().iter().filter(|request| [401, 403].contains(&request.status)).count()
}

#[test]
fn what_is_open_is_stored_with_the_sas_that_the_configuration_has_by_then() {
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    assert_eq!(mount(&desk).status, 0);
    put(&desk, "read.txt", b"read");
    // Not a file of this process: it is flushed whenever another test starts a program.
    let mut writer = Gated::start_in(
        &desk.m(),
        "f = os.open('open.txt', os.O_WRONLY | os.O_CREAT)
os.write(f, b'kept')
gate()
try:
    os.fsync(f)
    print('stored')
except OSError as error:
    print(errno.errorcode[error.errno])
gate()
os.fsync(f)",
    );
    writer.reached();
    desk.store.replace_key(TWO);
    // Nobody has a new one yet: what is written stays, and is stored later.
    writer.go_on();
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    desk.store.reset_stats();
    let ran = writer.open();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "EACCES\n"), "{}", ran.stderr);
    assert_eq!(&desk.store.content(TWO, "backup", "open.txt").unwrap()[..], b"kept");
    assert!(refused(&desk) >= 1);
    // One who waits brings it for all.
    desk.store.reset_stats();
    assert_eq!(fs::read(desk.m().join("read.txt")).unwrap(), b"read");
    assert_eq!(refused(&desk), 0);
    assert!(log(&desk).contains("another credential is in use: SAS, until 20"), "{}", log(&desk));
    assert!(!log(&desk).contains("sig="), "{}", log(&desk));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_renamed_file_is_named_with_the_new_sas_too() {
    // The source within the account carries the SAS in a header, and the request its own in the URL.
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    assert_eq!(mount(&desk).status, 0);
    put(&desk, "a.txt", b"text");
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    desk.store.replace_key(TWO);
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    fs::rename(desk.m().join("a.txt"), desk.m().join("b.txt")).unwrap();
    assert_eq!(&desk.store.content(TWO, "backup", "b.txt").unwrap()[..], b"text");
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_revoked_key_is_replaced_by_the_one_of_the_configuration() {
    let desk = Desk::new();
    let key = || format!("key = '{}'", desk.store.account_key(TWO).unwrap());
    configure(&desk, &key());
    assert_eq!(mount(&desk).status, 0);
    put(&desk, "a.txt", b"text");
    desk.store.replace_key(TWO);
    let error = fs::read(desk.m().join("a.txt")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    configure(&desk, &key());
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    assert!(desk.is_mounted());
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_hangup_has_the_configuration_read_again_and_unmounts_nothing() {
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    assert_eq!(mount(&desk).status, 0);
    put(&desk, "a.txt", b"text");
    let mut open = fs::File::create(desk.m().join("open.txt")).unwrap();
    open.write_all(b"not closed").unwrap();
    let hang_up = || desk.processes().into_iter().for_each(|pid| send(pid, libc::SIGHUP));
    // What cannot be read changes nothing.
    configure(&desk, "sas = ");
    hang_up();
    eventually("the complaint", || log(&desk).contains("SIGHUP: the credential stays as it is: "));
    assert!(log(&desk).contains("config.toml:3: "), "{}", log(&desk));
    desk.store.replace_key(TWO);
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    hang_up();
    eventually("the new SAS", || log(&desk).contains("another credential is in use"));
    desk.store.reset_stats();
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    drop(open);
    assert_eq!(&desk.store.content(TWO, "backup", "open.txt").unwrap()[..], b"not closed");
    assert_eq!(refused(&desk), 0);
    hang_up();
    eventually("that there is nothing new", || {
        log(&desk).contains("SIGHUP: the configuration has no other credential")
    });
    assert!(desk.is_mounted());
    assert_eq!(desk.umount().status, 0);
}

/// A program that prints what is in the file `secret`, and notes each time that it is asked.
fn print_secret(desk: &Desk) {
    let home = desk.home.path().display().to_string();
    let script = format!("#!/bin/sh\necho \"$1\" >> '{home}/asked'\ncat '{home}/secret'\n");
    fs::write(desk.path("print"), script).unwrap();
    fs::set_permissions(desk.path("print"), fs::Permissions::from_mode(0o700)).unwrap();
    configure(desk, &format!("credential_command = \"{home}/print 'two words'\""));
}

fn asked(desk: &Desk) -> usize {
    let asked = fs::read_to_string(desk.path("asked")).unwrap_or_default();
    assert!(asked.lines().all(|line| line == "two words"), "{asked}");
    asked.lines().count()
}

#[test]
fn a_command_prints_the_credential_and_is_asked_again_when_that_is_refused() {
    let desk = Desk::new();
    print_secret(&desk);
    fs::write(desk.path("secret"), signed(&desk, ALL, 86_400)).unwrap();
    let mounted = mount(&desk);
    assert_eq!((mounted.status, asked(&desk)), (0, 1), "{mounted:?}");
    put(&desk, "a.txt", b"text");
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    assert_eq!(asked(&desk), 1);
    desk.store.replace_key(TWO);
    fs::write(desk.path("secret"), desk.store.account_key(TWO).unwrap()).unwrap();
    put(&desk, "b.txt", b"more");
    assert_eq!(fs::read(desk.m().join("b.txt")).unwrap(), b"more");
    assert_eq!(asked(&desk), 2);
    assert!(log(&desk).contains("another credential is in use: key, without an end"), "{}", log(&desk));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_command_that_fails_says_why_before_anything_is_mounted() {
    let desk = Desk::new();
    let script = "#!/bin/sh\necho half a SeCrEt\necho the vault is sealed >&2\nexit 3\n";
    fs::write(desk.path("print"), script).unwrap();
    fs::set_permissions(desk.path("print"), fs::Permissions::from_mode(0o700)).unwrap();
    let print = desk.path("print").display().to_string();
    configure(&desk, &format!("credential_command = '{print}'"));
    let ended = mount(&desk);
    let expected =
        format!("blobcp: mount: account {TWO}: no credential: {print}: exit status: 3: the vault is sealed\n");
    assert_eq!((ended.status, ended.err.as_str()), (1, expected.as_str()));
    assert!(!desk.is_mounted() && !log(&desk).contains("SeCrEt"));
}

#[test]
fn a_sas_that_ends_soon_is_spoken_of() {
    let desk = Desk::new();
    let shown = || desk.run(&["status", "m"]);
    for (seconds, expected) in [(1_790, "ends in 29 min, at 20"), (230, "ends in 3 min, at 20")] {
        configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, seconds)));
        assert_eq!(mount(&desk).status, 0);
        let expected = format!("the SAS of {TWO} {expected}");
        eventually("the warning", || log(&desk).contains(&expected));
        let status = shown();
        assert_eq!(status.status, 0, "{status:?}");
        assert!(status.out.starts_with(&format!("m: {expected}")), "{status:?}");
        // Beside what is asked for.
        put(&desk, "a.txt", b"text");
        let status = desk.run(&["status", "m/a.txt"]);
        assert!(status.err.starts_with(&format!("blobcp: status: warning: {expected}")), "{status:?}");
        assert_eq!(desk.umount().status, 0);
        fs::remove_file(desk.path("log")).unwrap();
    }
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
    assert_eq!(mount(&desk).status, 0);
    let status = shown();
    assert_eq!((status.out.as_str(), status.err.as_str()), ("m: mounted, nothing to warn of\n", ""));
    assert!(!log(&desk).contains("ends in"), "{}", log(&desk));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_sas_that_does_not_allow_to_write_makes_a_mount_read_only() {
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, "rlt", 86_400)));
    put(&desk, "a.txt", b"text");
    let ended = mount(&desk);
    let line = format!("the SAS of {TWO} does not allow to write: mounted read-only (sp=rlt)\n");
    assert!(ended.status == 0 && ended.out.contains(&line), "{ended:?}");
    assert!(log(&desk).contains(line.trim()), "{}", log(&desk));
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    let errno = |error: std::io::Error| error.raw_os_error();
    assert_eq!(fs::write(desk.m().join("b.txt"), "x").map_err(errno), Err(Some(libc::EROFS)));
    assert_eq!(fs::remove_file(desk.m().join("a.txt")).map_err(errno), Err(Some(libc::EROFS)));
    assert_eq!(desk.umount().status, 0);
    // Somebody may know better.
    let source = format!("{TWO}/backup");
    let ended = desk.run(&["mount", "--config", "config.toml", "--read-only=no", &source, "m"]);
    assert!(ended.out.contains("does not allow to write: every change will be refused (sp=rlt)"), "{ended:?}");
    assert_eq!(fs::remove_file(desk.m().join("a.txt")).map_err(errno), Err(Some(libc::EACCES)));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn what_a_sas_does_not_allow_is_said_at_mount() {
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, "racwl", 86_400)));
    let ended = mount(&desk);
    for what in ["delete: rm and mv will be refused", "use index tags: "] {
        assert!(ended.out.contains(&format!("the SAS of {TWO} does not allow to {what}")), "{ended:?}");
    }
    fs::write(desk.m().join("b.txt"), "x").unwrap();
    assert_eq!(&desk.store.content(TWO, "backup", "b.txt").unwrap()[..], b"x");
    let error = fs::remove_file(desk.m().join("b.txt")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_copy_from_another_account_goes_on_with_the_sas_that_this_has_by_then() {
    let desk = Desk::new();
    let configure = || {
        configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400)));
        let two = fs::read_to_string(desk.path("config.toml")).unwrap();
        let (endpoint, key) = (desk.store.endpoint(ONE), desk.store.account_key(ONE).unwrap());
        let one = format!("[account.{ONE}]\nendpoint = '{endpoint}'\nkey = '{key}'\n");
        fs::write(desk.path("config.toml"), one + &two).unwrap();
        fs::set_permissions(desk.path("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    configure();
    let options = ["--config", "config.toml", "--attr-ttl", "1h", "--log", "info", "--log-file", "log"];
    let mounted = desk.run(&[&["mount"][..], &options, &[ONE, TWO, "m"]].concat());
    assert_eq!(mounted.status, 0, "{mounted:?}");
    let (source, target) = (desk.m().join(TWO).join("backup"), desk.m().join(ONE).join("other"));
    for name in ["a.txt", "b.txt"] {
        put(&desk, name, b"text");
    }
    assert_eq!((source.read_dir().unwrap().count(), target.read_dir().unwrap().count()), (2, 0));
    desk.store.replace_key(TWO);
    configure();
    desk.store.reset_stats();
    let copy = |name: &str| desk.run(&["cp", &source.join(name).to_string_lossy(), &target.to_string_lossy()]);
    for name in ["a.txt", "b.txt"] {
        let copied = copy(name);
        assert_eq!(copied.status, 0, "{copied:?} {}", log(&desk));
        assert_eq!(&desk.store.content(ONE, "other", name).unwrap()[..], b"text");
    }
    // One refusal brings the new SAS for all: the first thing that the source's account was asked by is the copy.
    let refused: Vec<_> = desk.store.requests().into_iter().filter(|request| request.status >= 400).collect();
    let first = refused.iter().find(|request| request.status != 404).map(|request| request.operation);
    assert_eq!(first, Some("CopyBlob"), "{refused:?}");
    assert_eq!(refused.iter().filter(|request| [401, 403].contains(&request.status)).count(), 1, "{refused:?}");
    assert!(!log(&desk).contains("sig="), "{}", log(&desk));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn the_tool_of_a_vault_signs_in_as_the_identity_of_the_environment_and_sees_no_key() {
    let desk = Desk::new();
    let home = desk.home.path().display().to_string();
    let script = format!("#!/bin/sh\nenv > '{home}/environment'\ncat '{home}/secret'\n");
    fs::write(desk.path("print"), script).unwrap();
    fs::set_permissions(desk.path("print"), fs::Permissions::from_mode(0o700)).unwrap();
    configure(&desk, &format!("credential_command = '{home}/print'"));
    fs::write(desk.path("secret"), signed(&desk, ALL, 86_400)).unwrap();
    let source = format!("{TWO}/backup");
    let mut command = desk.command(&["mount", "--config", "config.toml", &source, "m"]);
    let identity = [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_CLIENT_SECRET", "SeCrEt")];
    command.envs(identity).env("AZURE_STORAGE_KEY", "a2V5").env("VAULT_ADDR", "https://vault");
    let mounted = finish(command.spawn().unwrap());
    assert_eq!(mounted.status, 0, "{mounted:?}");
    let seen = || fs::read_to_string(desk.path("environment")).unwrap_or_default();
    let check = || {
        for (name, value) in identity.iter().chain(&[("VAULT_ADDR", "https://vault"), ("HOME", &home)]) {
            assert!(seen().lines().any(|line| line == format!("{name}={value}")), "{name}: {}", seen());
        }
        for name in ["AZURE_STORAGE", "BLOBCP_"] {
            assert!(!seen().contains(name), "{name}: {}", seen());
        }
    };
    check();
    // The daemon, which has the secret in its environment no more, gives it along as well.
    fs::remove_file(desk.path("environment")).unwrap();
    desk.processes().into_iter().for_each(|pid| send(pid, libc::SIGHUP));
    eventually("the command", || seen().contains("HOME="));
    check();
    for pid in desk.processes() {
        assert!(!fs::read_to_string(format!("/proc/{pid}/environ")).unwrap().contains("SeCrEt"));
    }
    assert_eq!(desk.umount().status, 0);
}

fn hang_up(desk: &Desk) {
    desk.processes().into_iter().for_each(|pid| send(pid, libc::SIGHUP));
}

#[test]
fn a_sas_in_a_file_is_read_again_when_it_is_another() {
    let desk = Desk::new();
    let say = |account: &str, container: &str, sas: &str| {
        let url = format!("{}/{container}?{sas}\n", desk.store.endpoint(account));
        fs::write(desk.path("new.url"), url).unwrap();
        fs::rename(desk.path("new.url"), desk.path("photos.url")).unwrap();
    };
    let renew = || say(TWO, "backup", &signed(&desk, ALL, 86_400));
    let taken = || log(&desk).matches("another credential is in use: SAS, until 20").count();
    renew();
    let mounted = desk.run(&["mount", "--log", "info", "--log-file", "log", "@photos.url", "m"]);
    assert_eq!(mounted.status, 0, "{mounted:?}");
    put(&desk, "a.txt", b"text");
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    // When a request is refused.
    desk.store.replace_key(TWO);
    renew();
    put(&desk, "b.txt", b"more");
    assert_eq!((fs::read(desk.m().join("b.txt")).unwrap(), taken()), (b"more".to_vec(), 1));
    // When somebody says so.
    desk.store.replace_key(TWO);
    renew();
    hang_up(&desk);
    eventually("the new SAS", || taken() == 2);
    desk.store.reset_stats();
    put(&desk, "c.txt", b"most");
    assert_eq!((fs::read(desk.m().join("c.txt")).unwrap(), refused(&desk)), (b"most".to_vec(), 0));
    // It is sent nowhere else.
    say(ONE, "box", &signed(&desk, ALL, 86_400));
    hang_up(&desk);
    eventually("the complaint", || log(&desk).contains("which takes a new mount"));
    put(&desk, "d.txt", b"last");
    assert_eq!(fs::read(desk.m().join("d.txt")).unwrap(), b"last");
    assert!(!log(&desk).contains("sig="), "{}", log(&desk));
    assert_eq!(desk.umount().status, 0);
}

/// How often a text is in the memory of a process.
fn times_in_memory(pid: i32, wanted: &str) -> usize {
    const PART: usize = 1 << 20;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut part = vec![0; PART + wanted.len() - 1];
    let mut times = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        for at in (from..to).step_by(PART) {
            let len = part.len().min((to - at) as usize);
            // What was given back meanwhile is not there.
            let read = std::os::unix::fs::FileExt::read_at(&memory, &mut part[..len], at).unwrap_or(0);
            // SAFETY: both are slices that live as long as the call.
            let found = unsafe { libc::memmem(part.as_ptr().cast(), read, wanted.as_ptr().cast(), wanted.len()) };
            times += usize::from(!found.is_null());
        }
    }
    times
}

#[test]
fn no_key_stays_in_memory_as_it_was_written() {
    let desk = Desk::new();
    let configure = || {
        let key = desk.store.account_key(TWO).unwrap();
        configure(&desk, &format!("key = '{key}'"));
        key
    };
    let old = configure();
    assert_eq!(mount(&desk).status, 0);
    put(&desk, "a.txt", b"text");
    assert_eq!(fs::read(desk.m().join("a.txt")).unwrap(), b"text");
    let [pid] = desk.processes()[..] else { panic!("one process serves") };
    assert!(times_in_memory(pid, desk.path("config.toml").to_str().unwrap()) > 0, "what is there is found");
    assert_eq!(times_in_memory(pid, &old), 0);
    desk.store.replace_key(TWO);
    let new = configure();
    hang_up(&desk);
    eventually("the new key", || log(&desk).contains("another credential is in use: key"));
    put(&desk, "b.txt", b"more");
    assert_eq!(fs::read(desk.m().join("b.txt")).unwrap(), b"more");
    assert_eq!((times_in_memory(pid, &old), times_in_memory(pid, &new)), (0, 0));
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_sas_that_is_not_for_blobs_is_refused_with_its_reason() {
    let desk = Desk::new();
    configure(&desk, &format!("sas = '{}'", signed(&desk, ALL, 86_400).replace("ss=b", "ss=f")));
    let ended = mount(&desk);
    let expected = format!("blobcp: mount: account {TWO}: the SAS is not for blobs: ss=f has no b\n");
    assert_eq!((ended.status, ended.err), (1, expected));
    assert!(!desk.is_mounted() && desk.store.requests().is_empty());
}
