//! cp, cat and their relatives run inside the service.

mod common;
use common::*;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn cp_onto_a_new_name_is_one_copy_blob_and_no_payload() {
    // C1, C15
    let world = World::new();
    world.put("a", pattern(64 * MIB));
    world.ok("cp a b");
    let stats = world.stats();
    assert_eq!(stats.requests("CopyBlob"), 1, "{stats:?}");
    assert_no_payload(&stats);
    assert!(stats.total <= 6, "{:#?}", world.store.requests());
    assert_eq!(world.stored("b"), world.stored("a"));
    let (a, b) = (world.properties(ONE, "a").unwrap(), world.properties(ONE, "b").unwrap());
    assert_eq!((a.headers, a.metadata, a.size), (b.headers, b.metadata, b.size));
}
