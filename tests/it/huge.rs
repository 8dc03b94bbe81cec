//! A copy of 1 TiB: nothing about it grows with the size.

use blobcp::devstore::CopyAction;

use crate::common::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// More resident memory than this is not noise.
const NOISE: u64 = 8 * MIB;

#[test]
fn a_copy_of_1_tib_across_accounts_is_followed_aborted_and_begun_again_in_the_memory_of_a_small_one() {
    // C2, C33-C36, C49, C54; 128 GiB/s, so that it is pending for seconds.
    let world = World::with(cross_account(128 * GIB));
    world.put_sparse("small", MIB);
    world.store.put_sparse_blocks(ONE, BOX, "huge", TIB, 32 * MIB).unwrap();
    world.hold_copies();
    let mut mount = MountProcess::new(&world.store, &[ONE, TWO], &[ONE, TWO]);
    let there = mount.path().join(TWO).join(BOX);
    world.reset_stats();

    // The same with a small one first, so that whatever a first copy needs is there.
    let mut resident = Vec::new();
    for (name, size, more) in [("small", MIB, 1), ("huge", TIB, GIB)] {
        let b = there.join(name);
        let cp = mount.start(&format!("exec cp {ONE}/{BOX}/{name} {TWO}/{BOX}/{name}"));
        let mut held = Held::default();
        if size == TIB {
            for _ in 0..3 {
                held.go_on_a_little(&world.store, more);
                assert_eq!(attribute(&b, "copy.progress").unwrap(), format!("{}/{size}", held.at));
                eventually("cp to be where the copy is", || position(cp.pid(), &b) == Some(held.at));
            }
        }
        eventually("a pending copy", || attribute(&b, "copy.status").as_deref() == Some("pending"));
        assert_eq!(
            mount.start(&format!("setfattr -n user.blob.copy.status -v abort {}", b.display())).wait().code,
            Some(0)
        );
        let ran = cp.wait();
        assert!(ran.code == Some(1) && ran.stderr.contains("Operation canceled"), "{ran:?}");
        assert_eq!(attribute(&b, "copy.status").unwrap(), "aborted");
        assert_eq!(b.metadata().unwrap().len(), 0);

        let cp = mount.start(&format!("exec cp {ONE}/{BOX}/{name} {TWO}/{BOX}/{name}"));
        eventually("a pending copy", || attribute(&b, "copy.status").as_deref() == Some("pending"));
        steer(&world, CopyAction::Release);
        let ran = cp.wait();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(attribute(&b, "copy.progress").unwrap(), format!("{size}/{size}"));
        assert_eq!((attribute(&b, "copy.status").unwrap(), b.metadata().unwrap().len()), ("success".to_owned(), size));
        resident.push(mount.most_resident());
    }
    assert!(resident[1] < resident[0] + NOISE, "{resident:?} bytes");
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("AbortCopyBlob")), (4, 2), "{stats:?}");
    assert_no_payload(&stats);
    mount.terminate();
}
