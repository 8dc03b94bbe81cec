//! The extent map against a vector of bytes.

use proptest::prelude::*;

use crate::fs::content::extent_map::*;

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<u8>),
    Write(u64, Vec<u8>),
    Truncate(u64),
    Zero(Range<u64>),
    /// A range of the committed blob, by where it begins and how long it is, to that offset.
    Base(u64, u64, u64),
    /// A block that the service made of another blob.
    Made(u64, Vec<u8>),
    /// A range of another blob, that the service is to copy: where it goes, where it begins, and how long it is.
    Remote(u64, u64, u64),
    Stage,
    Commit,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let data = || prop::collection::vec(any::<u8>(), 0..40);
    let op = prop_oneof![
        3 => data().prop_map(Op::Append),
        4 => (0u64..120, data()).prop_map(|(at, data)| Op::Write(at, data)),
        2 => (0u64..120).prop_map(Op::Truncate),
        2 => (0u64..120, 1u64..40).prop_map(|(at, len)| Op::Zero(at..at + len)),
        2 => (0u64..120, 0u64..100, 1u64..40).prop_map(|(at, from, len)| Op::Base(at, from, len)),
        2 => (0u64..120, prop::collection::vec(any::<u8>(), 1..30)).prop_map(|(at, data)| Op::Made(at, data)),
        2 => (0u64..120, 0u64..100, 1u64..40).prop_map(|(at, from, len)| Op::Remote(at, from, len)),
        2 => Just(Op::Stage),
        1 => Just(Op::Commit),
    ];
    prop::collection::vec(op, 0..40)
}

/// An extent map, what the service has, and what a file would hold.
struct World {
    extents: ExtentMap,
    base: Vec<u8>,
    staged: BTreeMap<String, Vec<u8>>,
    ids: usize,
    model: Vec<u8>,
}

/// The byte at an offset of another blob.
fn other(source: usize, at: u64) -> u8 {
    (at * 7 + source as u64 * 101) as u8
}

impl World {
    fn id(&mut self) -> BlockId {
        self.ids += 1;
        BlockId::new(&format!("{:04}", self.ids))
    }

    fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (start, segment) in self.extents.segments() {
            assert_eq!(start, content.len() as u64, "no gaps");
            match segment {
                Segment::Base(range) => content.extend(&self.base[range.start as usize..range.end as usize]),
                Segment::Staged { id, .. } => content.extend(&self.staged[id.as_str()]),
                Segment::Buffer(buffer) => content.extend(buffer.slice(0..buffer.len()).flatten()),
                Segment::Zero(len) => content.resize(content.len() + *len as usize, 0),
                Segment::Remote { source, range } => content.extend(range.clone().map(|at| other(*source, at))),
            }
        }
        content
    }

    /// The service drops what is staged and not in the list.
    fn commit(&mut self) {
        self.base = self.content();
        self.staged.clear();
        self.extents = ExtentMap::of_base(self.base.len() as u64);
    }

    /// Does it, after a commit if need be; a refusal has changed nothing.
    fn change(&mut self, change: impl Fn(&mut ExtentMap) -> Result<(), Cut>) {
        let before = self.content();
        if change(&mut self.extents) == Err(Cut) {
            assert_eq!(self.content(), before);
            self.commit();
            change(&mut self.extents).unwrap();
        }
    }

    fn put(&mut self, at: u64, data: &[u8]) {
        let at = at as usize;
        if !data.is_empty() {
            self.model.resize(self.model.len().max(at + data.len()), 0);
            self.model[at..at + data.len()].copy_from_slice(data);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Append(data) => self.apply(Op::Write(self.model.len() as u64, data)),
            Op::Write(at, data) => {
                self.change(|extents| extents.write(at, &data.clone().into()));
                self.put(at, &data);
            }
            Op::Truncate(len) => {
                self.change(|extents| extents.truncate(len));
                self.model.resize(len as usize, 0);
            }
            Op::Zero(range) => {
                let len = range.end - range.start;
                self.change(|extents| extents.splice(range.start, Segment::Zero(len)));
                self.put(range.start, &vec![0; len as usize]);
            }
            Op::Base(at, from, len) => {
                // What a commit makes of the base is not what the range names.
                if self.extents.staged_blocks() > 0 {
                    self.commit();
                }
                let size = self.base.len() as u64;
                let range = from.min(size)..(from + len).min(size);
                if range.is_empty() {
                    return;
                }
                self.change(|extents| extents.splice(at, Segment::Base(range.clone())));
                let data = self.base[range.start as usize..range.end as usize].to_vec();
                self.put(at, &data);
            }
            Op::Remote(at, from, len) => {
                let (source, range) = (from as usize % 2, from..from + len);
                self.change(|extents| extents.splice(at, Segment::Remote { source, range: range.clone() }));
                self.put(at, &range.map(|at| other(source, at)).collect::<Vec<_>>());
            }
            Op::Made(at, data) => {
                let (id, len) = (self.id(), data.len() as u64);
                if self.extents.may_replace(at..at + len) == Err(Cut) {
                    self.commit();
                }
                self.staged.insert(id.as_str().to_owned(), data.clone());
                assert_eq!(self.extents.splice(at, Segment::Staged { id, len }), Ok(()));
                self.put(at, &data);
            }
            Op::Stage => {
                if let Some(start) = self.extents.full(0) {
                    let id = self.id();
                    let bytes = self.extents.stage(start, id.clone(), 16);
                    self.staged.insert(id.as_str().to_owned(), bytes.pieces().concat());
                }
            }
            Op::Commit => self.commit(),
        }
    }
}

proptest! {
    #[test]
    fn a_rope_is_a_vector_of_bytes(base in prop::collection::vec(any::<u8>(), 0..100), ops in ops(), from in 0u64..100) {
        let extents = ExtentMap::of_base(base.len() as u64);
        let mut world = World { extents, model: base.clone(), base, staged: BTreeMap::new(), ids: 0 };
        for op in ops {
            world.apply(op);
            let (extents, model) = (&world.extents, &world.model);
            prop_assert_eq!(extents.len(), model.len() as u64);
            prop_assert_eq!(&world.content(), model);
            let buffers = extents.segments().filter(|(_, s)| matches!(s, Segment::Buffer(_)));
            prop_assert_eq!(extents.buffered(), buffers.map(|(_, s)| s.len()).sum::<u64>());
            let staged = extents.segments().filter(|(_, s)| matches!(s, Segment::Staged { .. }));
            prop_assert_eq!(extents.staged_blocks(), staged.count());
            if let Some(bytes) = extents.bytes() {
                prop_assert_eq!(&bytes.pieces().concat(), model);
            }
            if let Some(hole) = extents.seek(from, true) {
                prop_assert_eq!(model[hole as usize], 0);
            }
        }
        world.commit();
        let range = from..from + 30;
        let mut read = Vec::new();
        for piece in world.extents.read(range.clone()) {
            match piece {
                Piece::Base(range) => read.extend(&world.base[range.start as usize..range.end as usize]),
                Piece::Bytes(bytes) => read.extend(&bytes[..]),
                Piece::Zero(len) => read.resize(read.len() + len as usize, 0),
                Piece::Staged => panic!("nothing is staged after a commit"),
            }
        }
        let end = world.model.len();
        prop_assert_eq!(&read[..], &world.model[(from as usize).min(end)..(range.end as usize).min(end)]);
    }
}

#[test]
fn writes_that_follow_each_other_are_one_buffer() {
    let mut extents = ExtentMap::of_base(10);
    for at in [10, 13, 16, 11] {
        extents.write(at, &Bytes::from_static(b"abc")).unwrap();
    }
    assert_eq!(extents.count(), 2);
    assert_eq!(extents.read(9..30), [Piece::Base(9..10), Piece::Bytes(Bytes::from_static(b"aabcbcabc"))]);
}

#[test]
fn a_buffer_is_staged_from_its_front_and_not_cut_afterwards() {
    let mut extents = ExtentMap::default();
    extents.write(0, &Bytes::from_static(&[7; 25])).unwrap();
    assert_eq!(extents.full(25), None);
    assert_eq!(extents.stage(extents.full(10).unwrap(), BlockId::new("a"), 10).len(), 10);
    assert_eq!(extents.stage(extents.full(10).unwrap(), BlockId::new("b"), 10).len(), 10);
    assert_eq!((extents.buffered(), extents.len(), extents.staged_blocks()), (5, 25, 2));
    assert_eq!(extents.read(0..25), [Piece::Staged, Piece::Staged, Piece::Bytes(Bytes::from_static(&[7; 5]))]);
    assert_eq!((extents.write(5, &Bytes::from_static(b"x")), extents.truncate(15)), (Err(Cut), Err(Cut)));
    // As a whole it can go.
    extents.write(0, &Bytes::from_static(&[8; 20])).unwrap();
    assert_eq!((extents.staged_blocks(), extents.buffered()), (0, 25));
}

#[test]
fn holes_are_where_zeros_are() {
    let mut extents = ExtentMap::of_base(10);
    extents.truncate(20).unwrap();
    extents.write(30, &Bytes::from_static(b"x")).unwrap();
    assert_eq!([0, 10, 15, 30].map(|at| extents.seek(at, true)), [Some(10), Some(10), Some(15), None]);
    assert_eq!([0, 10, 29, 30, 31].map(|at| extents.seek(at, false)), [Some(0), Some(30), Some(30), Some(30), None]);
}
