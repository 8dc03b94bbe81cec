//! Leases of sources and destinations, and what a copy replaces kept until its end.
//!
//! Nothing here waits for a lease to end: the embedded service lets them age.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blobcp::devstore::{CopyAction, Devstore, PolicyChange};
use blobcp::fs::LeaseSource;
use blobcp::ioctl::OrderFlags;
use blobcp::store::{AbortOptions, BlobSettings, CopyStatus, DeleteOptions, LeaseOptions, Precondition, WriteOptions};

use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const MIB: usize = 1 << 20;

/// State and duration of a lease, as another client sees them.
fn lease(world: &World, name: &str) -> (String, Option<String>) {
    let lease = world.properties(ONE, name).unwrap().lease;
    (lease.state.unwrap(), lease.duration)
}

fn is_leased(world: &World, name: &str) -> bool {
    lease(world, name).0 == "leased"
}

/// Another client writes to a blob: the service's answer.
fn write_to(world: &World, name: &str) -> Result<(), String> {
    let (settings, always) = (BlobSettings::default(), WriteOptions::default());
    let written =
        world.block_on(world.client(ONE).blob(&path(name)).block_blob().upload("changed", &settings, &always));
    written.map(drop).map_err(|error| error.code().to_owned())
}

/// A pending copy of `a` to `b`, and `a` leased.
fn leased(world: &World) -> Running {
    world.put("a", pattern(MIB));
    world.hold_copies();
    let cp = world.start("exec cp a b");
    pending(world, "b");
    eventually("the lease", || is_leased(world, "a"));
    cp
}

#[test]
fn the_source_is_leased_while_its_copy_is_pending() {
    // C40 to C44, C46
    let world = World::with(Setup { attr_ttl: Duration::ZERO, ..Default::default() });
    let cp = leased(&world);
    // C41: for a while, and renewed; a mount that is killed leaves nothing behind.
    assert_eq!(lease(&world, "a"), ("leased".into(), Some("fixed".into())));
    // C42
    let a = world.here().join("a");
    let shown = |name: &str| attribute(&a, name);
    assert_eq!((shown("lease_state").as_deref(), shown("lease_status").as_deref()), (Some("leased"), Some("locked")));
    let said = world.ok(&format!("{BLOBCP} lease show a"));
    let id = world.properties(ONE, "b").unwrap().copy.unwrap().id;
    for words in ["a: leased", "by this mount", "box/a to box/b", id.as_str(), &format!("process {}", cp.pid())] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // C43
    assert_eq!(write_to(&world, "a"), Err("LeaseIdMissing".into()));
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    // C44: when cp has ended, so has the lease.
    assert_eq!(lease(&world, "a"), ("available".into(), None));
    assert_eq!(shown("lease_state").as_deref(), Some("available"));
    assert_eq!(world.ok(&format!("{BLOBCP} lease show a")), "a: available\n");
    assert_eq!(world.stats().requests("LeaseBlob"), 2);
    // C46
    assert_eq!(write_to(&world, "a"), Ok(()));
    assert_eq!(world.stored("b"), pattern(MIB));
}

#[test]
fn a_copy_that_is_done_at_once_costs_no_lease() {
    // C1
    let world = World::new();
    world.put("a", pattern(MIB));
    world.ok("cp a b; mv a c; cp c b");
    assert_eq!(world.stats().requests("LeaseBlob"), 0);
}

#[test]
fn the_lease_ends_on_every_way_out() {
    // C47
    type End = fn(&World, &Running);
    let ends: [(&str, End); 9] = [
        ("success", |world, _| steer(world, CopyAction::Release)),
        ("failure", |world, _| steer(world, fail(500, "OperationCancelled"))),
        ("abort", |world, _| drop(world.ok("setfattr -n user.blob.copy.status -v abort b"))),
        ("abort by another client", |world, _| {
            let id = world.properties(ONE, "b").unwrap().copy.unwrap().id;
            world.block_on(world.client(ONE).blob(&path("b")).abort_copy(&id, &AbortOptions::default())).unwrap();
        }),
        ("interruption", |_, cp| cp.signal(libc::SIGINT)),
        ("the end of its process", |_, cp| cp.signal(libc::SIGKILL)),
        ("no sight of the destination", |world, _| {
            world.store.add_fault(fault(
                r#"{"operation":"GetBlobProperties","status":403,"code":"AuthorizationFailure","blob_prefix":"b","count":4}"#,
            ));
        }),
        ("another copy", |world, _| steer(world, CopyAction::Replace)),
        ("deletion", |world, _| {
            let (client, b) = (world.client(ONE), path("b"));
            let id = world.properties(ONE, "b").unwrap().copy.unwrap().id;
            world.block_on(client.blob(&b).abort_copy(&id, &AbortOptions::default())).unwrap();
            world.block_on(client.blob(&b).delete(&DeleteOptions::default())).unwrap();
        }),
    ];
    for (what, end) in ends {
        let world = World::new();
        let cp = leased(&world);
        end(&world, &cp);
        let ran = cp.wait();
        assert_eq!(ran.code == Some(0), what == "success", "{what}: {ran:?}");
        eventually(what, || !is_leased(&world, "a"));
        assert_eq!(lease(&world, "a").0, "available", "{what}: given back");
        assert_eq!(write_to(&world, "a"), Ok(()), "{what}");
    }
}

#[test]
fn copies_of_one_source_share_its_lease() {
    // C11
    let world = World::new();
    let first = leased(&world);
    let second = world.start("exec cp a c");
    pending(&world, "c");
    let third = world.start(&format!("exec {BLOBCP} cp --no-wait a d"));
    assert_eq!(third.wait().code, Some(0));
    eventually("all three", || world.ok(&format!("{BLOBCP} lease show a")).contains("and 2 more"));
    for cp in [first, second] {
        assert!(is_leased(&world, "a"));
        cp.signal(libc::SIGINT);
        cp.wait();
    }
    assert!(is_leased(&world, "a"), "one is pending");
    assert_eq!(world.stats().requests("LeaseBlob"), 1);
    world.ok("setfattr -n user.blob.copy.status -v abort d");
    eventually("the end of the lease", || !is_leased(&world, "a"));
    assert_eq!(world.stats().requests("LeaseBlob"), 2);
}

#[test]
fn the_lease_is_renewed_while_the_copy_is_pending() {
    // C41: as good as one without end.
    let world = World::new();
    let cp = leased(&world);
    world.store.age_leases(Duration::from_secs(35));
    eventually("the renewal", || world.stats().requests("LeaseBlob") == 2);
    world.store.age_leases(Duration::from_secs(35));
    assert!(is_leased(&world, "a"));
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert!(!is_leased(&world, "a"));
}

#[test]
fn a_source_that_another_client_has_leased_is_copied_all_the_same() {
    // C43
    let world = logged();
    world.put("theirs", pattern(MIB));
    let id = world.block_on(world.client(ONE).blob(&path("theirs")).acquire_lease(&LeaseOptions::default())).unwrap();
    world.hold_copies();
    let cp = world.start("exec cp theirs b");
    eventually("the words", || times_logged("leased by another client: copied without a lease of our own") > 0);
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.stored("b"), pattern(MIB));
    // It is still theirs.
    world.block_on(world.client(ONE).blob(&path("theirs")).renew_lease(&id)).unwrap();
}

#[test]
fn a_source_that_may_not_be_leased_is_copied_all_the_same() {
    let world = logged();
    world.put("a", pattern(MIB));
    world.store.add_fault(fault(r#"{"operation":"LeaseBlob","status":403,"code":"AuthorizationPermissionMismatch"}"#));
    world.hold_copies();
    let cp = world.start("exec cp a b");
    eventually("the words", || times_logged("it may not be leased: copied without") > 0);
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.stored("b"), pattern(MIB));
    assert_eq!(world.stats().requests("LeaseBlob"), 1);
}

#[test]
fn when_a_source_is_leased_can_be_said() {
    // C40: before the start, as the vendor's samples have it; or not at all.
    let world = World::with(Setup { lease_source: LeaseSource::Never, ..Default::default() });
    world.put("a", pattern(MIB));
    let leases = |command: &str| {
        world.reset_stats();
        world.ok(command);
        world.stats().requests("LeaseBlob")
    };
    assert_eq!(leases("cp a b"), 0);
    assert_eq!(leases(&format!("{BLOBCP} cp --lease-source always a c")), 2);
    assert_eq!(leases(&format!("{BLOBCP} cp --lease-source pending a d")), 0);
    assert_eq!(leases(&format!("mkdir t; {BLOBCP} cp --lease-source always -j 2 a b t")), 4);
    assert!(!is_leased(&world, "a"));
    world.hold_copies();
    world.ok(&format!("{BLOBCP} cp --no-wait a e"));
    world.ok(&format!("{BLOBCP} cp --no-wait --lease-source pending a f"));
    eventually("the lease", || is_leased(&world, "a"));
    world.ok("rm e f");
    eventually("its end", || !is_leased(&world, "a"));
    let mixed = OrderFlags::LEASE_SOURCE | OrderFlags::NO_LEASE;
    assert_eq!(order(&world, "a", "g", mixed), Err(libc::EINVAL));
}

/// A copy by ioctl that is not waited for; the errno if it was refused.
fn order(world: &World, source: &str, name: &str, flags: OrderFlags) -> Result<(), i32> {
    use blobcp::ioctl;
    use std::os::fd::AsRawFd;
    use zerocopy::FromZeros;
    let mut copy = ioctl::Copy::new_zeroed();
    copy.flags = OrderFlags::NO_WAIT | flags;
    ioctl::set_text(&mut copy.source, &format!("/{ONE}/{BOX}/{source}"));
    ioctl::set_text(&mut copy.destination, name);
    let directory = std::fs::File::open(world.here()).unwrap();
    // SAFETY: the payload is the one of this command.
    match unsafe { libc::ioctl(directory.as_raw_fd(), ioctl::COPY as libc::c_ulong, std::ptr::from_mut(&mut copy)) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

#[test]
fn our_own_lease_is_in_nobodys_way_here() {
    // Written to, moved, removed, copied onto: the copy fails (X8), and whoever started it hears of that.
    for change in ["echo x >> a", "rm a", "mv a c", "cp other a", "setfattr -n user.blob.meta.k -v v a", "mv other a"] {
        let world = World::new();
        world.put("other", "other");
        let cp = leased(&world);
        world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
        world.ok(change);
        // The service may have seen it by now.
        if world.store.copies().iter().any(|copy| copy.status == "pending") {
            steer(&world, CopyAction::Release);
        }
        assert_eq!(cp.wait().code, Some(1), "{change}");
        if world.is_stored("a") {
            eventually(change, || !is_leased(&world, "a"));
            assert_eq!(write_to(&world, "a"), Ok(()), "{change}");
        }
    }
}

#[test]
fn mv_between_accounts_deletes_a_source_that_was_leased() {
    let world = World::with(cross_account(4 * MIB as u64));
    world.put("a", pattern(MIB));
    world.ok(&format!("mv a {}/b", world.there().display()));
    assert!(!world.is_stored("a"));
    assert_eq!(world.store.content(TWO, BOX, "b").unwrap(), pattern(MIB));
    assert_eq!(world.stats().requests("LeaseBlob"), 2);
}

/// `blobcp mount -f` of `one/box`, as a process of its own.
struct Process {
    process: Child,
    dir: tempfile::TempDir,
    /// What it writes down meanwhile.
    _state: tempfile::TempDir,
}

impl Process {
    fn new(store: &Devstore) -> Self {
        let dir = tempfile::Builder::new().prefix("blobcp-leases-").tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let process = Command::new(BLOBCP)
            .args(["mount", "-f", &format!("{ONE}/{BOX}")])
            .arg(dir.path())
            .env("AZURE_STORAGE_CONNECTION_STRING", store.connection_string(ONE).unwrap())
            .env("HOME", dir.path().parent().unwrap())
            .env("STATE_DIRECTORY", state_directory(state.path()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        eventually("the mount", || mounts().contains(dir.path().to_str().unwrap()));
        Self { process, dir, _state: state }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Sends a signal and waits for the end; what was in the log.
    fn end(mut self, signal: i32) -> String {
        // SAFETY: kill(2) takes numbers only.
        unsafe { libc::kill(self.process.id() as i32, signal) };
        eventually("the end of the mount", || self.process.try_wait().unwrap().is_some());
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.process.stderr.take().unwrap(), &mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn at_unmount_the_lease_is_given_back_with_a_warning() {
    // M9
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mount = Process::new(&world.store);
    assert_eq!(start_in(mount.path(), &format!("{BLOBCP} cp --no-wait a b")).wait().code, Some(0));
    eventually("the lease", || is_leased(&world, "a"));
    let log = mount.end(libc::SIGTERM);
    assert!(log.contains("its source is not leased any more"), "{log}");
    assert_eq!((lease(&world, "a").0.as_str(), status(&world, "b")), ("available", Some(CopyStatus::Pending)));
}

#[test]
fn a_mount_that_is_killed_leaves_a_lease_that_ends() {
    // C48
    let world = World::new();
    world.put("a", pattern(MIB));
    world.hold_copies();
    let mount = Process::new(&world.store);
    assert_eq!(start_in(mount.path(), &format!("{BLOBCP} cp --no-wait a b")).wait().code, Some(0));
    eventually("the lease", || is_leased(&world, "a"));
    mount.end(libc::SIGKILL);
    assert_eq!(lease(&world, "a"), ("leased".into(), Some("fixed".into())));
    assert_eq!(write_to(&world, "a"), Err("LeaseIdMissing".into()));
    world.store.age_leases(Duration::from_secs(60));
    assert_eq!(lease(&world, "a").0, "expired");
    assert_eq!(write_to(&world, "a"), Ok(()));
}

#[test]
fn a_lease_that_was_left_behind_can_be_broken() {
    // C45, C46, C48
    let world = World::with(Setup { attr_ttl: Duration::ZERO, ..Default::default() });
    world.put("a", "text");
    world.block_on(world.client(ONE).blob(&path("a")).acquire_lease(&LeaseOptions::default())).unwrap();
    let refused = world.sh("echo x | dd of=a oflag=append conv=notrunc status=none");
    assert!(refused.code == Some(1) && refused.stderr.contains("busy"), "{refused:?}");
    assert_eq!(world.ok(&format!("{BLOBCP} lease show a")), "a: leased without end, by another client\n");
    assert_eq!(world.ok(&format!("{BLOBCP} lease break a")), "a: broken\n");
    world.ok("echo x >> a");
    assert_eq!(world.stored("a"), "textx\n");
    let nothing = world.sh(&format!("{BLOBCP} lease break a"));
    assert!(nothing.code == Some(1) && nothing.stderr.contains("a: it is not leased"), "{nothing:?}");
    // One of the mount's own.
    let cp = leased(&world);
    assert_eq!(world.ok(&format!("{BLOBCP} lease break a")), "a: available\n");
    steer(&world, CopyAction::Release);
    assert_eq!(cp.wait().code, Some(0));
}

#[test]
fn a_leased_destination_needs_the_id_of_an_infinite_lease() {
    // X5, X6
    let world = logged();
    world.put("a", "new");
    world.put("b", "old");
    let client = world.client(ONE);
    let id = world.block_on(client.blob(&path("b")).acquire_lease(&LeaseOptions::default())).unwrap();
    let refused = world.sh("cp a b");
    assert!(refused.code == Some(1) && refused.stderr.contains("busy"), "{refused:?}");
    assert_logged(&["b: another client holds a lease of it"]);
    let refused = world.sh(&format!("{BLOBCP} cp a b"));
    assert!(
        refused.stderr.contains("b: Device or resource busy: leased without end, by another client"),
        "{refused:?}"
    );
    assert_logged(&["not copied onto it, for its lease", "box/b", "leased, infinite, by another client"]);
    let wrong = world.sh(&format!("{BLOBCP} cp --lease-id 7d4c1a6e-7c77-4be6-9f0c-111111111111 a b"));
    assert!(wrong.stderr.contains("not with that lease id: leased without end"), "{wrong:?}");
    assert_eq!(world.stored("b"), "old");
    world.ok(&format!("{BLOBCP} cp --lease-id {id} a b"));
    assert_eq!(world.stored("b"), "new");
    // Also to abort it.
    world.hold_copies();
    world.ok(&format!("{BLOBCP} cp --no-wait --lease-id {id} a b"));
    world.ok(&format!("{BLOBCP} abort b"));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Aborted));
    world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    world.block_on(client.blob(&path("b")).release_lease(&id)).unwrap();
    // X6: of what is not leased, and of what is not there.
    let unleased = world.sh(&format!("{BLOBCP} cp --lease-id {id} a b"));
    assert!(
        unleased.stderr.contains("b: No locks available: the lease id is of no lease of it: available"),
        "{unleased:?}"
    );
    assert_logged(&["LeaseNotPresentWithBlobOperation", "box/b"]);
    let missing = world.sh(&format!("{BLOBCP} cp --lease-id {id} a missing"));
    assert!(missing.code == Some(1) && missing.stderr.contains("there is no such file"), "{missing:?}");
    assert!(!world.is_stored("missing"));
    // X5: a lease that ends is not enough.
    let finite = world
        .block_on(
            client
                .blob(&path("b"))
                .acquire_lease(&LeaseOptions { duration: Some(Duration::from_secs(60)), ..Default::default() }),
        )
        .unwrap();
    let finite = world.sh(&format!("{BLOBCP} cp --lease-id {finite} a b"));
    assert!(finite.stderr.contains("leased for a minute at most"), "{finite:?}");
    assert_logged(&["InfiniteLeaseDurationRequired", "box/b"]);
}

#[test]
fn who_has_a_lease_replaces_nothing_where_nothing_is_to_be() {
    // S58: sent with the lease's id, the condition that there is to be nothing would not be heeded.
    for answer in ["finite-put-blob", "put-blob", "every-write"] {
        let world = World::answering([format!("lease-overrules-if-none-match={answer}").parse().unwrap()]);
        world.put("a", "new");
        world.put("b", "old");
        let leased = |name: &str| {
            world.block_on(world.client(ONE).blob(&path(name)).acquire_lease(&LeaseOptions::default())).unwrap()
        };
        let id = leased("b");
        world.ok("ls -l");
        let kept = world.sh(&format!("{BLOBCP} cp --no-clobber --lease-id {id} a b"));
        assert_eq!(world.stored("b"), "old", "{answer}: {kept:?}");
        // Free when the mount looked, taken and leased by now.
        world.put("c", "theirs");
        let id = leased("c");
        let late = world.sh(&format!("{BLOBCP} cp --lease-id {id} a c"));
        assert!(late.code == Some(1) && !late.stderr.is_empty(), "{answer}: {late:?}");
        assert_eq!((world.stored("c"), world.stats().requests("CopyBlob")), ("theirs".into(), 0), "{answer}");
        // And by a program that makes the file: without blocks, and with.
        for (name, mebibytes) in [("d", 1), ("e", 20)] {
            world.put(name, "theirs");
            leased(name);
            let late = python(
                &world,
                &format!(
                    "f = os.open('{name}', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
try:
    for i in range({mebibytes}): os.write(f, bytes(1 << 20))
    os.close(f)
except OSError as error: print('refused' if error.errno in (errno.EEXIST, errno.EBUSY) else error)"
                ),
            );
            assert_eq!((late.trim(), world.stored(name)), ("refused", "theirs".into()), "{answer}: {name}");
        }
    }
}

#[test]
fn what_a_copy_replaces_comes_back_if_asked_for() {
    // C52: by option of cp and of the mount, alone and in a tree.
    let settings = BlobSettings { metadata: [("color", "blue")].into_iter().collect(), ..Default::default() };
    for (mount_keeps, command) in [
        (false, format!("exec {BLOBCP} cp --keep-on-abort a b")),
        (true, format!("exec {BLOBCP} cp a b")),
        (true, "exec cp a b".to_owned()),
        (false, format!("exec {BLOBCP} cp --keep-on-abort -j 2 d/b .")),
    ] {
        let ends: [fn(&World, &Running); 3] = [
            |_, cp| cp.signal(libc::SIGINT),
            |world, _| drop(world.ok("setfattr -n user.blob.copy.status -v abort b")),
            |world, _| steer(world, fail(500, "OperationCancelled")),
        ];
        for (which, end) in ends.into_iter().enumerate() {
            let world = World::with(Setup { keep_on_abort: mount_keeps, ..Default::default() });
            world.put("a", pattern(MIB));
            world.put("d/b", pattern(MIB));
            world
                .block_on(world.client(ONE).blob(&path("b")).block_blob().upload(
                    "old",
                    &settings,
                    &WriteOptions::default(),
                ))
                .unwrap();
            world.hold_copies();
            let cp = world.start(&command);
            pending(&world, "b");
            world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
            end(&world, &cp);
            let ran = cp.wait();
            assert_ne!(ran.code, Some(0), "{command} {which}: {ran:?}");
            eventually("the old content", || world.stored("b") == "old");
            eventually("the end of the snapshot", || snapshots(&world, "b") == 0);
            assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("color"), Some("blue"));
            assert_eq!(world.ok("cat b"), "old", "{command} {which}");
        }
    }
}

#[test]
fn keeping_costs_two_requests_where_something_is_replaced_and_none_elsewhere() {
    // C52
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    world.put("a", "new");
    world.put("b", "old");
    world.put("empty", "");
    world.ok("ls -l");
    for (name, expected) in [("b", (1, 1)), ("empty", (0, 0)), ("fresh", (0, 0))] {
        world.reset_stats();
        world.ok(&format!("{BLOBCP} cp --keep-on-abort a {name}"));
        let stats = world.stats();
        assert_eq!((stats.requests("SnapshotBlob"), stats.requests("DeleteBlob")), expected, "{name}: {stats:?}");
        assert_eq!((world.stored(name), snapshots(&world, name)), ("new".into(), 0));
    }
}

#[test]
fn what_a_killed_mount_had_kept_is_brought_back_by_hand() {
    // C52, C22: the snapshot is in `.snapshots`.
    let world = World::new();
    world.put("a", pattern(MIB));
    world.put("b", "old");
    world.hold_copies();
    let mount = Process::new(&world.store);
    let started = start_in(mount.path(), &format!("{BLOBCP} cp --no-wait --keep-on-abort a b")).wait();
    assert_eq!(started.code, Some(0), "{started:?}");
    mount.end(libc::SIGKILL);
    world.store.change_policy(PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    world.ok(&format!("{BLOBCP} abort b; cp .snapshots/b/* b; rm .snapshots/b/*"));
    assert_eq!((world.stored("b"), snapshots(&world, "b")), ("old".into(), 0));
}

#[test]
fn rm_of_a_pending_destination_aborts_the_copy() {
    // X13; also what was kept goes, and the lease.
    for (name, rm) in [("b", "rm b"), ("d/b", "rm -r d")] {
        let world = World::new();
        world.put("a", pattern(MIB));
        world.put(name, "old");
        world.hold_copies();
        world.ok(&format!("{BLOBCP} cp --no-wait --keep-on-abort a {name}"));
        eventually("the lease", || is_leased(&world, "a"));
        world.ok(rm);
        assert!(!world.is_stored(name));
        assert_eq!((snapshots(&world, name), world.stats().requests("AbortCopyBlob")), (0, 1));
        eventually("the end of the lease", || !is_leased(&world, "a"));
        // The same of a copy that another client started.
        let url = world.client(ONE).blob(&path("a")).url();
        let request = blobcp::store::CopyRequest {
            source: blobcp::store::CopySource::new(url),
            source_if_match: None,
            precondition: Precondition::None,
            metadata: None,
            tier: None,
            tags: Vec::new(),
            seal: None,
            lease: None,
        };
        world.block_on(world.client(ONE).blob(&path("c")).start_copy(&request)).unwrap();
        world.ok("rm c");
        assert!(!world.is_stored("c") && world.is_stored("a"));
    }
}

#[test]
fn a_page_blob_that_could_not_be_stored_is_not_left_leased() {
    // The lease of a commit that failed is kept for the next try, and given back with the draft.
    let world = World::new();
    let client = world.client(ONE);
    let size = 64 << 20;
    let (settings, always) = (BlobSettings::default(), WriteOptions::default());
    world.block_on(client.blob(&path("disk")).page_blob().create(size, &settings, &always)).unwrap();
    world.store.add_fault(fault(r#"{"operation":"PutPage","status":403,"code":"AuthorizationFailure","count":100}"#));
    let ran = world.sh("python3 -I -c 'import os\nf = os.open(\"disk\", os.O_RDWR)\n\
         for i in range(40): os.pwrite(f, bytes([i + 1]) * 700, i << 20)\nos.close(f)'");
    assert!(ran.stderr.contains("Permission denied"), "{ran:?}");
    assert!(world.stats().requests("LeaseBlob") > 0);
    eventually("the end of the lease", || !is_leased(&world, "disk"));
    world.store.clear_faults();
    world.ok("printf y | dd of=disk conv=notrunc status=none");
    assert_eq!(&world.stored("disk")[..1], b"y");
}

#[test]
fn what_others_lease_is_not_opened_for_writing() {
    // LeaseIdMissing, before anything is written and not at close: echo does not look at what close says.
    let world = World::new();
    world.put("a", "theirs");
    let id = world.block_on(world.client(ONE).blob(&path("a")).acquire_lease(&LeaseOptions::default())).unwrap();
    world.ok("ls -l");
    world.reset_stats();
    for command in ["echo more >> a", "echo new > a", "exec 3<>a"] {
        let ran = world.sh(command);
        assert!(ran.code != Some(0) && ran.stderr.contains("Device or resource busy"), "{command}: {ran:?}");
    }
    let stats = world.stats();
    let written = ["PutBlob", "PutBlock", "PutBlockList", "AppendBlock"].map(|operation| stats.requests(operation));
    assert_eq!((world.stored("a"), written), ("theirs".into(), [0; 4]));
    // Section 9 of the design: one look each.
    assert_eq!(stats.requests("GetBlobProperties"), 3, "{stats:?}");
    assert_eq!(world.ok("cat a"), "theirs");
    // It has ended, which nothing has told the mount.
    world.block_on(world.client(ONE).blob(&path("a")).release_lease(&id)).unwrap();
    world.ok("echo ' and mine' >> a");
    assert_eq!(world.stored("a"), "theirs and mine\n");
}
