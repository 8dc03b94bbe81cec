//! What is seen of a copy between accounts by whoever looks at its destination meanwhile, and what is set there when all is
//! granted: the end of the copy is the end of one file, whoever made it.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use blobcp::devstore::CopyAction;

use super::overtaken::{SIZE, assert_emptied, assert_whole, count, slow};
use super::*;

/// A program that waits until a descriptor is ready.
const POLLS: [libc::c_long; 2] = [libc::SYS_poll, libc::SYS_ppoll];

/// The service has the new version before the mount hears of it, and somebody looks.
#[test]
fn who_waits_for_a_copy_hears_of_its_end_though_the_file_was_looked_at() {
    let world = slow();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    let mut wait = world.start(&format!("exec {BLOBCP} wait ../../two/box/b"));
    eventually("a waiter", || wait.has_ended_or_is_in(&POLLS));
    let list = world.stop_answer(Fault::on("PutBlockList"));
    block.let_go();
    list.reached();
    world.expire(&[]);
    assert_eq!(world.ok("stat -c %s ../../two/box/b"), format!("{SIZE}\n"));
    list.let_go();
    for ran in [cp.wait(), wait.wait()] {
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_whole(&world, "b");
}

#[test]
fn a_file_that_was_seen_empty_on_the_way_is_the_same_file_afterwards() {
    let world = slow();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    assert_eq!(world.ok("stat -c %s ../../two/box/b"), "0\n");
    let open = File::open(there(&world, "b")).unwrap();
    let before = open.metadata().unwrap().ino();
    assert_eq!(open.read_at(&mut [0], 0).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    block.let_go();
    assert_eq!(cp.wait().code, Some(0));
    world.reset_stats();
    let now = open.metadata().unwrap();
    assert_eq!((now.len(), now.ino()), (SIZE, before));
    let mut end = [0; 4];
    open.read_exact_at(&mut end, SIZE - 4).unwrap();
    assert_eq!(&end, b"end.");
    assert_eq!(world.ok("stat -c %s ../../two/box/b"), format!("{SIZE}\n"));
    assert_eq!(count(&world, "GetBlobProperties"), 0, "what was made is known");
}

/// Nothing of what was seen on the way passes for the content.
#[test]
fn a_file_that_was_opened_empty_and_is_another_one_now_is_not_read_as_empty() {
    let world = slow();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    let open = File::open(there(&world, "b")).unwrap();
    let list = world.stop_answer(Fault::on("PutBlockList"));
    block.let_go();
    list.reached();
    world.expire(&[]);
    assert_eq!(world.ok("stat -c %s ../../two/box/b"), format!("{SIZE}\n"));
    list.let_go();
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(open.read_at(&mut [0], 0).unwrap_err().raw_os_error(), Some(libc::ESTALE));
}

/// An abort leaves an empty file, and that can be read.
#[test]
fn what_an_abort_has_left_empty_is_read_as_empty() {
    let world = slow();
    let block = stop_a_block(&world);
    let cp = world.start(&format!("exec {BLOBCP} cp a ../../two/box/b"));
    block.reached();
    let open = File::open(there(&world, "b")).unwrap();
    world.ok(&format!("{BLOBCP} abort ../../two/box/b"));
    assert_eq!(cp.wait().code, Some(1));
    block.let_go();
    assert_emptied(&world, "b");
    assert_eq!(open.read_at(&mut [0], 0).unwrap(), 0);
}

/// Of a plain Copy Blob, too, whoever it is that sees it end.
#[test]
fn a_file_that_was_seen_while_its_copy_was_pending_is_read_whole_at_its_end() {
    let world = World::new();
    world.put("a", pattern(MIB as usize));
    world.hold_copies();
    for (name, first) in [("b", "wait"), ("c", "status"), ("d", "wait")] {
        world.ok(&format!("{BLOBCP} cp --no-wait a ../../two/box/{name}"));
        assert_eq!(world.ok(&format!("stat -c %s ../../two/box/{name}; ls -l ../../two/box > /dev/null")), "0\n");
        let end = || steer(&world, CopyAction::Release);
        let command = format!("exec {BLOBCP} {first} ../../two/box/{name}");
        if name == "b" {
            let mut wait = world.start(&command);
            eventually("a waiter", || wait.has_ended_or_is_in(&POLLS));
            end();
            assert_eq!(wait.wait().code, Some(0));
        } else {
            end();
            world.ok(&command);
        }
        assert_eq!(
            world.ok(&format!("cat ../../two/box/{name} | cmp - a; stat -c %s ../../two/box/{name}")),
            "1048576\n"
        );
    }
}

/// The last byte is granted before the end, and what cp asks for next is of the copy.
#[test]
fn what_cp_sets_while_the_block_list_is_on_its_way_comes_along() {
    let world = in_blocks();
    world.put("a", pattern(9 * MIB as usize));
    for (name, value) in [("tier", "Cool"), ("meta.color", "blue"), ("cache_control", "no-store"), ("tag.team", "x")] {
        world.ok(&format!("setfattr -n user.blob.{name} -v {value} a"));
    }
    world.ok("chmod 640 a; touch -d '2020-02-02 02:02:02 UTC' a; cp -a a keep");
    world.store.put_blob(TWO, BOX, "old", "something else".into(), "text/plain").unwrap();
    for name in ["old", "new"] {
        for after in [false, true] {
            let fault = Fault::on("PutBlockList");
            let list = if after { world.stop_answer(fault) } else { world.stop(fault) };
            let mut cp = world.start(&format!("exec cp -a a ../../two/box/{name}"));
            list.reached();
            eventually("attributes", || cp.has_ended_or_is_in(&[libc::SYS_fsetxattr, libc::SYS_close]));
            list.let_go();
            let ran = cp.wait();
            assert!(ran.code == Some(0) && ran.stderr.is_empty(), "{ran:?}");
            assert_eq!(carried(&world, name).chosen_tier.as_deref(), Some("Cool"), "{name}");
            assert_eq!(carried(&world, name).metadata.get("color"), Some("blue"), "{name}");
            let shown = world.ok(&format!("stat -c '%a %Y' ../../two/box/{name} keep | sort -u"));
            assert_eq!(shown.lines().count(), 1, "{name}: {shown}");
        }
    }
}

/// The copy has ended, and its copier has not noticed.
#[test]
fn what_is_set_between_the_end_of_a_copy_and_the_close_is_set() {
    let world = in_blocks();
    world.put("a", pattern(9 * MIB as usize));
    world.store.put_blob(TWO, BOX, "old", "something else".into(), "text/plain").unwrap();
    for name in ["old", "new"] {
        let list = world.stop(Fault::on("PutBlockList"));
        let copier = world.start(&format!(
            r#"exec python3 -c '
import os, time
source, copy = os.open("a", os.O_RDONLY), os.open("../../two/box/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
left = os.fstat(source).st_size
while left:
    left -= os.copy_file_range(source, copy, left)
open("granted", "w").close()
while not os.path.exists("ended"):
    time.sleep(0.01)
os.setxattr(copy, "user.blob.tier", b"Cool")
os.setxattr(copy, "user.blob.meta.color", b"blue")
os.fchmod(copy, 0o640)
os.close(copy)
'"#
        ));
        list.reached();
        eventually("all is granted", || world.here().join("granted").exists());
        list.let_go();
        eventually("its end", || shown(&world, name, "status").as_deref() == Some("success"));
        world.ok("touch ended");
        let ran = copier.wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let found = carried(&world, name);
        assert_eq!((found.chosen_tier.as_deref(), found.metadata.get("color")), (Some("Cool"), Some("blue")), "{name}");
        assert_eq!(world.ok(&format!("stat -c %a ../../two/box/{name}")), "640\n");
        world.ok("rm granted ended");
    }
}
