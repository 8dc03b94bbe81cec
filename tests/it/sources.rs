//! Copy sources that are not blobs of the mount: files of Azure Files, and any other URL.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use blobcp::ioctl::{self, Copy, OrderFlags};
use blobcp::store::sas::{self, Validity};
use blobcp::store::{AccountKey, BlobSettings, BlobType, WriteOptions};
use zerocopy::FromZeros;

use crate::common::web::{Manner, Web};
use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
/// Somebody else.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";
const GIB: u64 = 1 << 30;

/// ioctl(2) COPY into a directory; the copy's id, or the errno.
fn order(directory: &Path, source: &str, name: &str, flags: u32) -> Result<String, i32> {
    let mut copy = Copy::new_zeroed();
    assert!(ioctl::set_text(&mut copy.source, source));
    assert!(ioctl::set_text(&mut copy.destination, name));
    copy.flags = OrderFlags::from_bits_retain(flags);
    let file = File::open(directory).unwrap();
    // SAFETY: the structure is the command's.
    match unsafe { libc::ioctl(file.as_raw_fd(), ioctl::COPY as libc::c_ulong, std::ptr::from_mut(&mut copy)) } {
        0 => Ok(ioctl::text(&copy.id).unwrap().to_owned()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

/// The URL of a file in the share `share` of account two, with a SAS as somebody else would hand it out.
fn shared(world: &World, path: &str) -> String {
    let key = AccountKey::parse(&world.store.account_key(TWO).unwrap()).unwrap();
    let validity = Validity::for_the_next(std::time::Duration::from_secs(3600));
    let token = sas::read_file(&key, world.client(TWO).account(), "share", path, &validity, "2025-11-05");
    // Not the host by which the mount would know its own account.
    let url = world.store.file_url(TWO, "share", path).replace(".file.localhost", ".file.core.localhost");
    format!("{url}?{}", token.expose())
}

fn put_file(world: &World, path: &str, content: impl Into<bytes::Bytes>) {
    world.store.put_file(TWO, "share", path, content.into()).unwrap();
}

#[test]
fn a_file_of_azure_files_becomes_a_block_blob() {
    // C19, C20
    let world = World::new();
    put_file(&world, "dir/f", pattern(100_000));
    world.put("old", "block blob");
    let url = shared(&world, "dir/f");
    for name in ["new", "old"] {
        let id = order(&world.here(), &url, name, 0).unwrap();
        let properties = world.properties(ONE, name).unwrap();
        assert_eq!(properties.blob_type, BlobType::Block);
        let copy = properties.copy.unwrap();
        assert_eq!((copy.id.as_str(), copy.total_bytes), (id.as_str(), 100_000));
        assert_eq!(world.stored(name), pattern(100_000));
        let source = attribute(&world.here().join(name), "copy.source").unwrap();
        assert!(source.ends_with("/share/dir/f"), "no part of the token: {source}");
    }
    assert_eq!(world.stats().requests("CopyBlob"), 2);
    assert_no_payload(&world.stats());
    world.ok("cmp new old");
}

#[test]
fn a_file_of_an_account_of_the_mount_needs_no_sas() {
    // C19, X2: the mount has the key, and signs for that file alone.
    let world = World::new();
    put_file(&world, "a b", "from a file");
    let url = world.store.file_url(TWO, "share", "a%20b");
    world.ok(&format!("{BLOBCP} cp {url} . && grep -q 'from a file' 'a b'"));
    // S3: what is from elsewhere is pending when it is ordered.
    assert_eq!(world.ok(&format!("{BLOBCP} cp --no-wait {url} c")), {
        let id = world.properties(ONE, "c").unwrap().copy.unwrap().id;
        format!("c: pending, copy id {id}\n")
    });
    // X2: one that is not there, and one in somebody else's account.
    let missing = world.store.file_url(TWO, "share", "nothing");
    assert_eq!(order(&world.here(), &missing, "d", 0), Err(libc::ENOENT));
    let unsigned = url.replace(".file.localhost", ".file.core.localhost");
    assert_eq!(order(&world.here(), &unsigned, "d", 0), Err(libc::EACCES));
    assert!(!world.is_stored("d"), "C30: no empty destination is left");
}

#[test]
fn a_pending_copy_of_a_file_is_like_any_other() {
    // C19, C2
    let world = World::with(cross_account(1));
    put_file(&world, "slow", pattern(1000));
    let copying = world.start(&format!("{BLOBCP} cp '{}' slow", shared(&world, "slow")));
    pending(&world, "slow");
    // The mount may not have heard yet what it has ordered.
    eventually("the new file", || world.here().join("slow").exists());
    assert_eq!(attribute(&world.here().join("slow"), "copy.status").as_deref(), Some("pending"));
    world.ok("setfattr -n user.blob.copy.status -v abort slow");
    let ran = copying.wait();
    assert_eq!((ran.code, ran.stderr.contains("the copy was aborted")), (Some(1), true), "{}", ran.stderr);
    assert_eq!(world.stored("slow"), "");
}

#[test]
fn a_file_changes_no_type() {
    // C21
    let world = logged();
    put_file(&world, "f", "from a file");
    world.block_on(async {
        let (client, settings) = (world.client(ONE), BlobSettings::default());
        client.blob(&path("append")).append_blob().create(&settings, &WriteOptions::default()).await.unwrap();
        client.blob(&path("page")).page_blob().create(512, &settings, &WriteOptions::default()).await.unwrap();
    });
    for (name, is) in [("append", "AppendBlob"), ("page", "PageBlob")] {
        let before = world.properties(ONE, name).unwrap();
        assert_eq!(order(&world.here(), &shared(&world, "f"), name, 0), Err(libc::EOPNOTSUPP));
        let what = format!("box/{name} is a {is} and ");
        assert_logged(&[&what, "/share/f ", "gives a BlockBlob: a copy cannot change the type"]);
        assert_eq!(world.properties(ONE, name).unwrap(), before, "untouched");
        let ran = world.sh(&format!("{BLOBCP} cp '{}' {name}", shared(&world, "f")));
        let begin = format!("blobcp: cp: {name}: Operation not supported: {what}");
        assert!(ran.stderr.starts_with(&begin) && !ran.stderr.contains("sig="), "{ran:?}");
    }
    assert_eq!(times_logged("sig="), 0);
}

#[test]
fn any_url_that_the_service_reads_is_copied() {
    // M5, X24
    let world = World::new();
    let web = Web::start(Manner::Plain("from the web"));
    let url = web.url("dir/some%20file?token=secret");
    world.ok(&format!("{BLOBCP} cp '{url}' . && grep -q 'from the web' 'some file'"));
    let properties = world.properties(ONE, "some file").unwrap();
    assert_eq!(properties.headers.content_type.as_deref(), Some("text/x-web"));
    assert!(properties.copy.is_some());
    assert_eq!((world.stats().requests("CopyBlob"), world.stats().requests("PutBlobFromURL")), (1, 0));
    // The service has asked, not we.
    assert_eq!(web.methods(), ["HEAD", "GET"]);
    assert_eq!(order(&world.here(), &web.url("x"), "some file", OrderFlags::NO_REPLACE.bits()), Err(libc::EEXIST));
}

#[test]
fn what_copy_blob_cannot_read_is_put_from_its_url() {
    // M5, X25
    let world = World::new();
    let web = Web::start(Manner::GetOnly("signed for GET"));
    world.put("old", "old");
    for name in ["new", "old"] {
        world.reset_stats();
        assert_eq!(
            order(&world.here(), &web.url("f?sig=x"), name, OrderFlags::NO_WAIT.bits()).unwrap(),
            "",
            "there is no copy state"
        );
        let stats = world.stats();
        assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlobFromURL")), (1, 1));
        assert_no_payload(&stats);
        assert_eq!(world.stored(name), "signed for GET");
        let properties = world.properties(ONE, name).unwrap();
        assert_eq!((properties.headers.content_type.as_deref(), properties.copy), (Some("text/x-web"), None));
    }
    assert_eq!(
        world.ok(&format!("{BLOBCP} cp --no-wait '{}' third && cat third", web.url("f"))),
        "third: success\nsigned for GET"
    );
    // It is the last thing that is tried, and what is refused then is refused.
    let closed = Web::start(Manner::Elsewhere(web.url("f")));
    let asked = web.asked().len();
    assert_eq!(order(&world.here(), &closed.url("f"), "fourth", 0), Err(libc::EIO));
    assert_eq!(web.asked().len(), asked, "no redirect is followed");
    assert!(!world.is_stored("fourth"));
    // C21: what is fetched is a block blob, and replaces nothing else.
    world.block_on(async {
        let client = world.client(ONE);
        client
            .blob(&path("append"))
            .append_blob()
            .create(&BlobSettings::default(), &WriteOptions::default())
            .await
            .unwrap();
    });
    assert_eq!(order(&world.here(), &web.url("f"), "append", 0), Err(libc::EOPNOTSUPP));
    assert_eq!(world.properties(ONE, "append").unwrap().blob_type, BlobType::Append);
    // Nobody was told who asks.
    let heads = [web.asked(), closed.asked()].concat().join("\n").to_lowercase();
    assert!(!heads.contains("authorization") && !heads.contains("x-ms-"), "{heads}");
}

#[test]
fn what_is_too_large_for_one_request_comes_in_blocks() {
    // X25
    let world = World::new();
    world.store.put_sparse(TWO, BOX, "huge", 10 * GIB).unwrap();
    world.block_on(async {
        let client = world.client(TWO);
        client
            .blob(&path("huge"))
            .set_metadata(&[("kept", "yes")].into_iter().collect(), &WriteOptions::default())
            .await
            .unwrap();
    });
    let key = AccountKey::parse(&world.store.account_key(TWO).unwrap()).unwrap();
    let validity = Validity::for_the_next(std::time::Duration::from_secs(3600));
    let token = sas::read_blob(&key, world.client(TWO).account(), &path("huge"), None, &validity, "2025-11-05");
    let url = format!("{}/{BOX}/huge?{}", world.store.endpoint(TWO), token.expose());
    world
        .store
        .add_fault(fault(r#"{"operation":"CopyBlob","count":2,"status":400,"code":"CopyAcrossAccountsNotSupported"}"#));
    world.put("old", "old");
    for name in ["new", "old"] {
        world.reset_stats();
        assert_eq!(order(&world.here(), &url, name, 0).unwrap(), "");
        let stats = world.stats();
        let requests =
            ["CopyBlob", "PutBlobFromURL", "PutBlockFromURL", "PutBlockList"].map(|name| stats.requests(name));
        assert_eq!(requests, [1, 0, 3, 1]);
        // One byte, to learn the size.
        assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (0, 1));
        let properties = world.properties(ONE, name).unwrap();
        assert_eq!((properties.size, properties.metadata.get("kept")), (10 * GIB, Some("yes")));
    }
}

#[test]
fn a_source_that_does_not_answer_holds_nobody() {
    let world = World::new();
    let web = Web::start(Manner::Silent);
    world.put("old", "old");
    let copying = world.start(&format!("exec {BLOBCP} cp {} old", web.url("f")));
    eventually("the service asks", || web.methods().contains(&"GET".to_owned()));
    copying.signal(libc::SIGINT);
    let ran = copying.wait();
    assert_ne!(ran.code, Some(0));
    assert!(ran.took < std::time::Duration::from_secs(20), "{:?}", ran.took);
    assert_eq!(world.stored("old"), "old");
}

#[test]
fn a_source_without_a_signature_is_denied_also_where_the_account_forbids_public_access() {
    // S47
    let world = World::answering(["public-access=forbidden-to-copies".parse().unwrap()]);
    put_file(&world, "a", "from a file");
    let unsigned = world.store.file_url(TWO, "share", "a").replace(".file.localhost", ".file.core.localhost");
    assert_eq!(order(&world.here(), &unsigned, "b", 0), Err(libc::EACCES));
}

#[test]
fn a_url_of_the_mounts_own_accounts_is_for_its_owner() {
    // M5, X2
    let setup = Setup { allow_other: true, ..Setup::default() };
    let world = World::with(setup);
    put_file(&world, "f", "from a file");
    let url = world.store.file_url(TWO, "share", "f");
    world.ok("mkdir -m 1777 d");
    let ran = world.sh(&format!("cd d; {NOBODY} {BLOBCP} cp {url} stolen"));
    let why = "a URL without a SAS is for who mounted; others name what they copy by its path in the mount";
    assert_eq!(ran.stderr, format!("blobcp: cp: {url}: Permission denied: {why}\n"));
    assert!(!world.is_stored("d/stolen"));
    world.ok(&format!("cd d; {NOBODY} {BLOBCP} cp '{}' theirs && cat theirs", shared(&world, "f")));
}

#[test]
fn what_the_service_would_take_for_another_is_neither_source_nor_destination() {
    // S203, S204, M5
    let world = World::new();
    world.put("a/b", "a/b");
    world.put("doc", "doc");
    world.put("src", "src");
    let own = |name: &str| format!("{}/{BOX}/{name}", world.store.endpoint(ONE));
    // With a credential of its own, and so not known for one of ours.
    let signed = |name: &str| format!("{}?sv=2025-11-05&sig=x", own(name));
    world.reset_stats();
    for name in ["a%5Cb", "a%5cb", r"a\b", "doc.", "doc..", "doc%2E", "a./b"] {
        for url in [own(name), signed(name)] {
            assert_eq!(order(&world.here(), &url, "x", 0), Err(libc::EINVAL), "{url}");
        }
    }
    for name in [r"a\b", "doc.", "x\u{7f}"] {
        assert_eq!(order(&world.here(), "/one/box/src", name, 0), Err(libc::EINVAL), "{name}");
        assert_eq!(order(&world.here(), &format!("/one/box/{name}"), "x", 0), Err(libc::ENOENT), "{name}");
    }
    assert_eq!(world.stats().requests("CopyBlob"), 0);
    assert!(!world.is_stored("x"));
    assert_eq!((world.stored("a/b"), world.stored("doc")), ("a/b".into(), "doc".into()));
    order(&world.here(), &own("a/b"), "x", 0).unwrap();
    assert_eq!(world.stored("x"), "a/b");
}
