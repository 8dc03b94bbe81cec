//! The ioctl interface: copy, state, abort, and everything that is none of them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use blobcp::devstore::CopyAction;
use blobcp::ioctl::{self, Abort, Copy, OrderFlags, Status};
use blobcp::store::CopyStatus;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::common::*;

/// ioctl(2); the errno if it failed.
fn call<T: FromBytes + IntoBytes>(path: &Path, command: u32, payload: &mut T) -> Result<(), i32> {
    let file = File::open(path).unwrap();
    // SAFETY: the payload is as large as the command says, or larger.
    match unsafe { libc::ioctl(file.as_raw_fd(), command as libc::c_ulong, std::ptr::from_mut(payload)) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

fn copy(source: &str, name: &str, flags: u32) -> Copy {
    let mut copy = Copy::new_zeroed();
    ioctl::set_text(&mut copy.source, source);
    ioctl::set_text(&mut copy.destination, name);
    copy.flags = OrderFlags::from_bits_retain(flags);
    copy
}

#[test]
fn copy_by_path_into_a_directory() {
    // M5, C24, C25
    let world = World::new();
    world.put("a", pattern(1 << 20));
    let mut order = copy("/one/box/a", "b", 0);
    call(&world.here(), ioctl::COPY, &mut order).unwrap();
    assert_eq!(order.status, ioctl::SUCCESS);
    let state = world.properties(ONE, "b").unwrap().copy.unwrap();
    assert_eq!(ioctl::text(&order.id).unwrap(), state.id.as_str());
    assert_eq!(world.stored("b"), world.stored("a"));
    assert_no_payload(&world.stats());
    assert_eq!(world.ok("cmp a b && ls"), "a\nb\n");
}

#[test]
fn copy_onto_an_open_file_and_across_accounts() {
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    call(&world.here().join("b"), ioctl::COPY, &mut copy("one/box/a", "", 0)).unwrap();
    assert_eq!(world.stored("b"), "new");
    call(&world.there(), ioctl::COPY, &mut copy("/one/box/a", "x", 0)).unwrap();
    assert_eq!(world.store.content(TWO, BOX, "x").unwrap(), "new");
}

#[test]
fn copy_by_url() {
    let world = World::new();
    world.put("a b", "text");
    // A URL of one of the mount's accounts needs no credential of its own.
    let own = format!("{}/box/a%20b", world.store.endpoint(ONE));
    call(&world.there(), ioctl::COPY, &mut copy(&own, "c", 0)).unwrap();
    assert_eq!(world.store.content(TWO, BOX, "c").unwrap(), "text");
    // One that cannot be read is refused as what it is.
    let missing = format!("{}/box/nothing", world.store.endpoint(ONE));
    assert_eq!(call(&world.here(), ioctl::COPY, &mut copy(&missing, "d", 0)), Err(libc::ENOENT));
    let private = format!("{}/box/a%20b?x=1", world.store.endpoint(TWO));
    assert_eq!(call(&world.here(), ioctl::COPY, &mut copy(&private, "d", 0)), Err(libc::EACCES));
    assert!(!world.is_stored("d"), "C30: no empty destination is left");
}

#[test]
fn no_replace_and_no_wait() {
    // C8
    let world = World::new();
    world.put("a", "new");
    world.put("b", "old");
    assert_eq!(
        call(&world.here(), ioctl::COPY, &mut copy("/one/box/a", "b", OrderFlags::NO_REPLACE.bits())),
        Err(libc::EEXIST)
    );
    assert_eq!(world.stored("b"), "old");
    world.hold_copies();
    let mut order = copy("/one/box/a", "c", OrderFlags::NO_WAIT.bits());
    call(&world.here(), ioctl::COPY, &mut order).unwrap();
    assert_eq!(order.status, ioctl::PENDING);
    assert_eq!(status(&world, "c"), Some(CopyStatus::Pending));
}

#[test]
fn status_of_every_end() {
    let world = World::new();
    world.put("a", "text");
    let b = world.here().join("b");
    let mut status = Status::new_zeroed();
    assert_eq!(call(&world.here().join("a"), ioctl::STATUS, &mut status), Err(libc::ENODATA));
    world.hold_copies();
    call(&world.here(), ioctl::COPY, &mut copy("/one/box/a", "b", OrderFlags::NO_WAIT.bits())).unwrap();
    call(&b, ioctl::STATUS, &mut status).unwrap();
    assert_eq!(
        (status.status, status.bytes_copied, status.total_bytes, status.completion_time),
        (ioctl::PENDING, 0, 4, 0)
    );
    steer(&world, fail(403, "AuthenticationFailed"));
    call(&b, ioctl::STATUS, &mut status).unwrap();
    assert_eq!(status.status, ioctl::FAILED);
    assert!(status.completion_time > 0);
    assert!(ioctl::text(&status.description).unwrap().starts_with("403 AuthenticationFailed"));
    call(&world.here(), ioctl::COPY, &mut copy("/one/box/a", "c", OrderFlags::NO_WAIT.bits())).unwrap();
    steer(&world, CopyAction::Release);
    call(&world.here().join("c"), ioctl::STATUS, &mut status).unwrap();
    assert_eq!((status.status, status.bytes_copied, status.total_bytes), (ioctl::SUCCESS, 4, 4));
    assert!(ioctl::text(&status.source).unwrap().ends_with("/box/a"));
}

#[test]
fn abort_of_any_or_of_one() {
    // C49, C55, X11
    let world = World::new();
    world.put("a", "text");
    let b = world.here().join("b");
    let mut abort = Abort::new_zeroed();
    assert_eq!(call(&world.here().join("a"), ioctl::ABORT, &mut abort), Err(libc::ENODATA));
    world.hold_copies();
    call(&world.here(), ioctl::COPY, &mut copy("/one/box/a", "b", OrderFlags::NO_WAIT.bits())).unwrap();
    ioctl::set_text(&mut abort.id, "00000000-0000-0000-0000-000000000000");
    assert_eq!(call(&b, ioctl::ABORT, &mut abort), Err(libc::ESTALE));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Pending));
    call(&b, ioctl::ABORT, &mut Abort::new_zeroed()).unwrap();
    assert_eq!(status(&world, "b"), Some(CopyStatus::Aborted));
    assert_eq!(call(&b, ioctl::ABORT, &mut Abort::new_zeroed()), Err(libc::ENODATA));
}

#[test]
fn everything_that_is_refused() {
    let world = World::new();
    world.put("a", "text");
    let a = world.here().join("a");
    let mut copy_of_nothing = copy("/one/box/nothing", "b", 0);
    let mut status = Status::new_zeroed();
    // Unknown command, another type, and the right command with a wrong size.
    let unknown = ioctl::STATUS & !0xff | 0x7f;
    assert_eq!(call(&a, unknown, &mut status), Err(libc::ENOTTY));
    assert_eq!(call(&a, 0x8004_5401, &mut status), Err(libc::ENOTTY));
    let short = ioctl::STATUS & !0x3fff_0000 | 8 << 16;
    assert_eq!(call(&a, short, &mut status), Err(libc::EINVAL));
    let short = ioctl::COPY & !0x3fff_0000 | 8 << 16;
    assert_eq!(call(&a, short, &mut copy_of_nothing), Err(libc::EINVAL));
    let here = world.here();
    assert_eq!(call(&here, ioctl::COPY, &mut copy_of_nothing), Err(libc::ENOENT));
    assert_eq!(call(&here, ioctl::COPY, &mut copy("/one/box/a", "", 0)), Err(libc::EISDIR));
    assert_eq!(call(&here, ioctl::COPY, &mut copy("/one/box", "b", 0)), Err(libc::EISDIR));
    assert_eq!(call(&a, ioctl::COPY, &mut copy("/one/box/a", "b", 0)), Err(libc::ENOTDIR));
    assert_eq!(call(&here, ioctl::COPY, &mut copy("/one/box/a", "b", 0x8000)), Err(libc::EINVAL));
    assert_eq!(call(world.root(), ioctl::COPY, &mut copy("/one/box/a", "b", 0)), Err(libc::EPERM));
    let mut endless = copy("/one/box/a", "b", 0);
    endless.source.fill(b'a');
    assert_eq!(call(&here, ioctl::COPY, &mut endless), Err(libc::EINVAL));
    assert_eq!(call(&here, ioctl::STATUS, &mut status), Err(libc::EISDIR));
    assert!(!world.is_stored("b"));
}

#[test]
fn a_read_only_mount_lets_no_ioctl_write() {
    let world = World::with(Setup { read_only: true, ..Setup::default() });
    world.put("a", "text");
    let here = world.here();
    assert_eq!(call(&here, ioctl::COPY, &mut copy("/one/box/a", "b", 0)), Err(libc::EROFS));
    let mut tree = ioctl::Tree::new_zeroed();
    assert_eq!(call(&here, ioctl::TREE, &mut tree), Err(libc::EROFS));
    assert_eq!(call(&here.join("a"), ioctl::ABORT, &mut Abort::new_zeroed()), Err(libc::EROFS));
    let mut status = Status::new_zeroed();
    assert_eq!(call(&here.join("a"), ioctl::STATUS, &mut status), Err(libc::ENODATA));
    assert!(!world.is_stored("b"));
}
