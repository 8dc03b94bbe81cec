//! Called by mount(8): as its helper, or through libfuse's `mount.fuse`.
//!
//! | who calls | how |
//! |---|---|
//! | `mount -t fuse.blobcp`, with `/sbin/mount.fuse.blobcp` linked to blobcp | `mount.fuse.blobcp SOURCE DIR [-sfnv] [-N NS] [-o OPTIONS] [-t TYPE]` |
//! | the same with libfuse's `/sbin/mount.fuse` | `blobcp SOURCE DIR -o OPTIONS` |
//! | `mount -t fuse blobcp#SOURCE DIR` | as either, `blobcp#` already taken off by libfuse |
//! | `mount -t blobcp`, with `/sbin/mount.blobcp` linked to blobcp | `mount.blobcp`, as the first |
//! | `umount`, with `/sbin/umount.fuse.blobcp` linked to blobcp | `umount.fuse.blobcp DIR [-nlfvri] [-N NS] [-t TYPE]` |
//!
//! All of these become `blobcp mount --by-mount8 SOURCE DIR -o OPTIONS`, or `blobcp umount [--lazy] DIR`, which waits
//! until everything is stored.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The words of our own command line, `None` if mount(8) only wants to see whether it would work (`-f`).
pub(super) fn translate(args: Vec<OsString>, commands: &[String]) -> Result<Option<Vec<OsString>>, String> {
    let program = args.first().and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str).unwrap_or_default();
    if program.starts_with("mount.") {
        return helper(&args[1..]);
    }
    if program.starts_with("umount.") {
        return Ok(Some(umount_helper(&args[1..])));
    }
    let first = args.get(1).and_then(|word| word.to_str()).unwrap_or("-");
    let is_own = first.starts_with('-') || first == "help" || commands.iter().any(|command| command == first);
    let has_options = args.iter().skip(3).any(|word| word.as_encoded_bytes().starts_with(b"-o"));
    if is_own || !has_options {
        return Ok(Some(args));
    }
    helper(&args[1..])
}

fn helper(words: &[OsString]) -> Result<Option<Vec<OsString>>, String> {
    let mut args: Vec<OsString> = vec!["blobcp".into(), "mount".into(), "--by-mount8".into()];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            args.push(word.clone());
            continue;
        };
        match text {
            "-o" => args.extend([word.clone(), words.next().ok_or("-o needs options")?.clone()]),
            // The name space to mount in is left to mount(8), and the type is known.
            "-N" | "-t" => drop(words.next()),
            _ if text.starts_with("-o") => args.push(word.clone()),
            // Bundles of sloppy, fake, no mtab, verbose.
            _ if text.len() > 1 && text.starts_with('-') && text[1..].chars().all(|flag| "sfnv".contains(flag)) => {
                if text.contains('f') {
                    return Ok(None);
                }
            }
            _ => args.push(text.strip_prefix("blobcp#").unwrap_or(text).into()),
        }
    }
    Ok(Some(args))
}

fn umount_helper(words: &[OsString]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["blobcp".into(), "umount".into()];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_str().and_then(|text| text.strip_prefix('-')) {
            Some("N" | "t") => drop(words.next()),
            // Bundles of no mtab, lazy, force, verbose, read-only, internal: a mount that does not answer is detached.
            Some(flags) => args.extend(flags.contains(['l', 'f']).then(|| "--lazy".into())),
            None => args.push(word.clone()),
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(Into::into).collect()
    }

    #[rstest]
    #[case("/sbin/mount.fuse.blobcp acct/c /mnt -o rw,uid=5", "blobcp mount --by-mount8 acct/c /mnt -o rw,uid=5")]
    #[case("mount.fuse.blobcp blobcp#acct /mnt -sn -o ro -t fuse.blobcp", "blobcp mount --by-mount8 acct /mnt -o ro")]
    #[case("mount.fuse.blobcp acct /mnt -N ns", "blobcp mount --by-mount8 acct /mnt")]
    #[case("blobcp acct /mnt -o rw", "blobcp mount --by-mount8 acct /mnt -o rw")]
    #[case("blobcp mount acct /mnt -o rw", "blobcp mount acct /mnt -o rw")]
    #[case("mount.blobcp acct,other /mnt -o _netdev", "blobcp mount --by-mount8 acct,other /mnt -o _netdev")]
    #[case("/sbin/umount.fuse.blobcp /mnt -n -t fuse.blobcp", "blobcp umount /mnt")]
    #[case("umount.blobcp /mnt -vl -N ns", "blobcp umount /mnt --lazy")]
    // A misspelt command, not a mount.
    #[case("blobcp staus /mnt", "blobcp staus /mnt")]
    #[case("blobcp --help", "blobcp --help")]
    #[case("blobcp", "blobcp")]
    fn words_of_mount_become_ours(#[case] given: &str, #[case] expected: &str) {
        let commands = ["mount".to_owned(), "status".to_owned()];
        assert_eq!(translate(words(given), &commands), Ok(Some(words(expected))));
    }

    #[test]
    fn a_fake_mount_does_nothing() {
        assert_eq!(translate(words("mount.fuse.blobcp acct /mnt -f"), &[]), Ok(None));
    }
}
