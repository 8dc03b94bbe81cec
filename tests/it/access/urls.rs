//! URLs as sources of copies: past directories and modes they lead nobody who did not mount.

use blobcp::fs::{AccountId, BlobDir, Place};
use blobcp::path::ContainerName;

use super::*;

/// One container is mounted, and beside it there is another.
fn world() -> World {
    let container = ContainerName::parse(BOX).unwrap();
    let root = Place::Directory(BlobDir { account: AccountId(0), container, prefix: String::new() });
    let world = World::with(Setup { allow_other: true, root, ..Setup::default() });
    world.store.put_blob(ONE, "other", "open", "not mounted".into(), "text/plain").unwrap();
    for name in ["secret", "open", "closed/inside"] {
        world.put(name, name.to_owned());
    }
    world.ok("chmod 600 secret; mkdir -m 1777 d; chmod 700 closed");
    world
}

/// URLs by which `box/NAME` of the account `one` can be meant, and that a program may write.
fn spellings(port: u16, name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(1);
    let encoded = format!("%{:02x}{rest}", first.as_bytes()[0]);
    let hosts = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "LOCALHOST", "LocalHost.", "[::1]"];
    let mut urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/one/box/{name}")).collect();
    urls.extend(["HTTP", "hTTp"].map(|scheme| format!("{scheme}://127.0.0.1:{port}/one/box/{name}")));
    urls.extend(["one.blob", "ONE.blob", "one.dfs", "one-secondary.blob", "one.privatelink.blob"].map(|host| {
        let host = format!("{host}.localhost");
        format!("http://{host}:{port}/box/{name}")
    }));
    let paths = ["one/box", "%6fne/box", "one/%62ox", "one-secondary/box"];
    urls.extend(paths.map(|path| format!("http://127.0.0.1:{port}/{path}/{name}")));
    let base = format!("http://127.0.0.1:{port}/one/box");
    urls.extend([format!("{base}/{encoded}"), format!("{base}/{name}?"), format!("{base}/{name}#end")]);
    urls
}

/// The same, but of which the service may make another name than was written.
fn odd_spellings(port: u16, name: &str) -> Vec<String> {
    let base = format!("http://127.0.0.1:{port}");
    let paths = [
        "one//box/NAME",
        "//one/box/NAME",
        "one/box//NAME",
        "one/./box/NAME",
        "one/box/x/../NAME",
        "one/x/%2e%2e/box/NAME",
        "one/box%2FNAME",
        "one%2Fbox/NAME",
        "one/box/NAME.",
        "one/box/NAME%2E",
        "one\\box\\NAME",
        "one/box/NAME?x=1",
        "one/box/NAME?timeout=30",
        "one/box/NAME?snapshot=",
        "one/box/NAME?sig=",
        "one/box/NAME?sig=x",
        "one/box/NAME?SIG=x",
        "one/box/NAME?%73ig=x&sv=2025-11-05",
        "one/box/NAME?sv=2025-11-05&sr=b&sig=x",
    ];
    let at = |path: &str| format!("{base}/{}", path.replace("NAME", name));
    let user = format!("http://me@127.0.0.1:{port}/one/box/{name}");
    paths.iter().map(|path| at(path)).chain([user]).collect()
}

/// How a copy from each URL into `d` ends for that user.
fn copies(world: &World, user: User, urls: &[String]) -> Vec<String> {
    let program = format!("for url in {urls:?}: print(errno_of(ioctl.copy, url, 'd', 'copy', 0))");
    as_user(world, user, &program).lines().map(str::to_owned).collect()
}

#[test]
fn no_url_leads_past_modes_directories_or_what_is_mounted() {
    // M5
    let world = world();
    let port = world.store.address().port();
    let moment = world.block_on(world.client(ONE).blob(&path("secret")).create_snapshot()).unwrap();
    let moment = moment.moment().to_string();
    let mut urls = Vec::new();
    for name in ["secret", "closed/inside"] {
        urls.extend(spellings(port, name));
        urls.extend(odd_spellings(port, name));
    }
    for url in spellings(port, "open") {
        // The same account, another container; and another account, which is not mounted.
        urls.extend(url.contains("/box/").then(|| url.replace("/box/", "/other/")));
    }
    for url in spellings(port, "secret").iter().filter(|url| !url.contains(['?', '#'])) {
        urls.extend(["snapshot", "SNAPSHOT", "versionid"].map(|name| format!("{url}?{name}={moment}")));
    }
    world.reset_stats();
    let found = copies(&world, STRANGER, &urls);
    assert_eq!(found.len(), urls.len());
    for (url, errno) in urls.iter().zip(&found) {
        // There are no versions here.
        let is_refused =
            ["EACCES", "EINVAL"].contains(&errno.as_str()) || url.contains("versionid") && errno == "ENOENT";
        assert!(is_refused, "{url}: {errno}");
    }
    // Not even where the URL claims to have a signature: Copy Blob might believe the mount's own.
    assert_eq!(world.stats().requests("CopyBlob"), 0, "{:?}", world.stats());
    assert!(!world.is_stored("d/copy"));
}

#[test]
fn whatever_an_account_is_called_a_url_of_it_is_a_path() {
    // M5
    let world = world();
    let port = world.store.address().port();
    let moment = world.block_on(world.client(ONE).blob(&path("open")).create_snapshot()).unwrap();
    let mut urls = spellings(port, "open");
    urls.push(format!("http://127.0.0.1:{port}/one/box/open?snapshot={}", moment.moment()));
    assert_eq!(copies(&world, STRANGER, &urls), vec!["-"; urls.len()], "{urls:#?}");
    assert_eq!(world.stored("d/copy"), "open");
    // Who mounted is led everywhere.
    let urls = spellings(port, "secret");
    assert_eq!(copies(&world, ROOT, &urls), vec!["-"; urls.len()], "{urls:#?}");
    assert_eq!(world.stored("d/copy"), "secret");
    assert_no_payload(&world.stats());
}

#[test]
fn a_url_with_a_sas_is_for_everybody() {
    // M5, S49
    let world = world();
    for account in [ONE, TWO] {
        world.store.put_blob(account, BOX, "signed", "by somebody".into(), "text/plain").unwrap();
        let url = format!("{}/{BOX}/signed?{}", world.store.endpoint(account), signature(&world, account, "signed"));
        assert_eq!(copies(&world, STRANGER, std::slice::from_ref(&url)), ["-"], "{account}");
        assert_eq!(world.stored("d/copy"), "by somebody");
        assert_eq!(metadata(&world, "d/copy", "owner").as_deref(), Some("10003"));
    }
}
