//! The payloads of ioctls, for fuzzing ([`crate::fuzz`]).

use crate::fuse::ioctl::payload;
use crate::ioctl::{self, ABORT, COPIES, COPY, Entry, LEASE, Records, TREE};
use zerocopy::FromZeros;

/// The first byte says which command it is; a structure that is too short ends with zeros.
pub(crate) fn ioctls(data: &[u8]) {
    let Some((&command, data)) = data.split_first() else { return };
    let command = [COPY, ABORT, TREE, COPIES, LEASE][usize::from(command) % 5];
    let size = (command >> 16 & 0x3fff) as usize;
    let mut input = data[..data.len().min(size)].to_vec();
    input.resize(size, 0);
    let _ = payload(command, &input);
    assert!(payload(command, &input[1..]).is_err(), "a structure of another size is refused");
    // What a mount answers is read by programs, and may have come from elsewhere.
    let texts: Vec<_> = ioctl::records(u32::from(data.first().copied().unwrap_or(0)), data).collect();
    let mut records = Records::default();
    for (_, texts) in &texts {
        if !records.push(Entry::new_zeroed(), *texts) {
            break;
        }
    }
    let (count, bytes) = records.finish();
    let again: Vec<_> = ioctl::records(count, bytes).map(|(_, texts)| texts).collect();
    assert_eq!(again.len(), count as usize, "what was written is read");
    // Fields have a longest text each.
    for (again, texts) in again.iter().zip(&texts) {
        assert!(again.iter().zip(&texts.1).all(|(again, text)| text.starts_with(again)), "{again:?} of {:?}", texts.1);
    }
}
