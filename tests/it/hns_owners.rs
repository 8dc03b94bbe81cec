//! Owners, permissions and access lists of hierarchical namespaces: as attributes, and as users and groups of this machine.

use std::process::Command;
use std::time::Duration;

use blobcp::devstore::{AccountConfig, Config};
use blobcp::fs::{Identities, Permissions};
use blobcp::store::{AccessControl, Precondition};

use crate::common::*;

const ANN: &str = "11111111-2222-3333-4444-555555555555";

fn world(hns: bool, shown: Option<Identities>) -> World {
    let setup = Setup::default();
    let devstore = Config { hns, ..setup.devstore.clone() };
    let permissions = if shown.is_some() { Permissions::Fixed } else { setup.permissions };
    World::with(Setup { devstore, shown, permissions, attr_ttl: Duration::from_secs(600), ..setup })
}

/// Owner, group, permissions and list of a path, as the service has them.
fn access(world: &World, name: &str) -> [String; 4] {
    let AccessControl { owner, group, permissions, acl } =
        world.block_on(world.client(ONE).blob(&path(name)).access_control()).unwrap();
    [owner, group, permissions, acl].map(Option::unwrap_or_default)
}

fn give(world: &World, name: &str, owner: &str, group: &str, permissions: &str) {
    let [owner, group, permissions] = [owner, group, permissions].map(|text| Some(text.to_owned()));
    let access = AccessControl { owner, group, permissions, acl: None };
    world.block_on(world.client(ONE).blob(&path(name)).set_access_control(&access, &Precondition::None)).unwrap();
}

#[test]
fn they_are_attributes_of_files_and_directories() {
    // S134
    let world = world(true, None);
    world.put("d/f", "text");
    world.ok("ls -l . d");
    for name in ["d/f", "d"] {
        let get = |attribute: &str| world.ok(&format!("getfattr --only-values -n user.blob.{attribute} {name}"));
        let bits = if name == "d" { "rwxr-x---" } else { "rw-r-----" };
        assert_eq!(
            (get("owner"), get("group"), get("permissions")),
            ("$superuser".into(), "$superuser".into(), bits.into())
        );
        let listed = world.ok(&format!("getfattr {name}"));
        for attribute in ["owner", "group", "permissions", "acl"] {
            assert!(listed.contains(&format!("user.blob.{attribute}\n")), "{listed}");
        }
        let list = "user::rwx,user:bob:r--,group::r-x,mask::r-x,other::---";
        world.ok(&format!("setfattr -n user.blob.owner -v {ANN} {name}; setfattr -n user.blob.group -v staff {name}"));
        world.ok(&format!("setfattr -n user.blob.acl -v {list} {name}"));
        assert_eq!((get("owner"), get("group"), get("permissions")), (ANN.into(), "staff".into(), "rwxr-x---+".into()));
        let [owner, group, _, acl] = access(&world, name);
        assert_eq!(
            (owner.as_str(), group.as_str(), acl.contains("user:bob:r--"), get("acl")),
            (ANN, "staff", true, acl.clone())
        );
        world.ok(&format!("setfattr -n user.blob.permissions -v 0700 {name}"));
        assert!(get("permissions").starts_with("rwx------"));
        // What it has already is not set again.
        world.reset_stats();
        world.ok(&format!("setfattr -n user.blob.owner -v {ANN} {name}"));
        assert_eq!(world.stats().requests("SetAccessControl"), 0);
        for wrong in ["setfattr -n user.blob.permissions -v rwx", "setfattr -n user.blob.acl -v user::rwx"] {
            let ran = world.sh(&format!("{wrong} {name}"));
            assert!(ran.stderr.contains("Invalid argument"), "{ran:?}");
        }
        let ran = world.sh(&format!("setfattr -x user.blob.owner {name}"));
        assert!(ran.code == Some(1), "{ran:?}");
    }
    // The content is what it was, and the mount knows it still.
    world.ok("echo more >> d/f; cat d/f");
    assert_eq!(world.stored("d/f"), "textmore\n");
}

#[test]
fn a_flat_account_has_none() {
    let world = world(false, None);
    world.put("d/f", "text");
    world.ok("ls -l . d");
    for name in ["d/f", "d"] {
        for attribute in ["owner", "group", "permissions", "acl"] {
            let ran = world.sh(&format!("getfattr --only-values -n user.blob.{attribute} {name}"));
            assert!(ran.stderr.contains("No such attribute"), "{ran:?}");
            let ran = world.sh(&format!("setfattr -n user.blob.{attribute} -v x {name}"));
            assert!(ran.stderr.contains("Operation not supported"), "{ran:?}");
        }
        assert!(!world.ok(&format!("getfattr {name}")).contains("user.blob.owner"));
    }
    assert_eq!(world.stats().requests("GetPathProperties") + world.stats().requests("SetAccessControl"), 0);
}

#[test]
fn ls_shows_them_as_users_and_groups() {
    // S134, S171
    let ids: Identities =
        [(ANN.to_owned(), 4242), ("staff".to_owned(), 4343), ("$superuser".to_owned(), 7)].into_iter().collect();
    let world = world(true, Some(ids));
    for name in ["a", "b", "d/f"] {
        world.put(name, "text");
    }
    give(&world, "a", ANN, "staff", "0751");
    give(&world, "d", "somebody", "staff", "0700");
    // Of what kind the account is, shows at the latest now.
    world.ok("ls d");
    world.reset_stats();
    let shown = world.ok("ls -ln | awk 'NR>1 {print $1, $3, $4, $9}'");
    assert_eq!(shown, "-rwxr-x--x 4242 4343 a\n-rw-r----- 7 7 b\ndrwx------ 65534 4343 d\n");
    // With the listing come the owners of files; for each directory there is a question.
    assert_eq!(world.stats().requests("GetBlobProperties"), 1, "{:#?}", world.store.requests());
    assert_eq!(world.ok("stat -c '%a %u %g' a d d/f"), "751 4242 4343\n700 65534 4343\n640 7 7\n");
    // They bind nobody here, whoever it is: the service decides.
    give(&world, "b", ANN, "staff", "0000");
    world.expire(&["b"]);
    world.ok("cat b; echo more >> b; cat d/f");
    assert_eq!(
        (world.stored("b"), world.ok("stat -c %u b; ls d")),
        ("textmore\n".into(), world.ok("stat -c %u b; ls d"))
    );
    // Nor are they what chmod changes.
    let ran = world.sh("chmod 600 a");
    assert!(ran.stderr.contains("Operation not permitted"), "{ran:?}");
    world.ok("setfattr -n user.blob.permissions -v 0600 a; setfattr -n user.blob.permissions -v 0711 d");
    // The kernel is told at once, by a thread of its own.
    eventually("the new modes", || world.ok("stat -c %a a d") == "600\n711\n");
}

#[test]
fn what_is_shown_is_never_what_the_kernel_checks() {
    let runtime = runtime();
    let config = Config { accounts: vec![AccountConfig::named(ONE)], hns: true, ..Config::default() };
    let store = runtime.block_on(blobcp::devstore::Devstore::start(config)).unwrap();
    store.create_container(ONE, BOX).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for options in [&["--allow-other"][..], &["-o", "default_permissions"], &["-o", "allow_other,show_owners"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blobcp"));
        command.args(["mount", "--show-owners"]).args(options).arg(format!("{ONE}/{BOX}")).arg(dir.path());
        command.env("AZURE_STORAGE_CONNECTION_STRING", store.connection_string(ONE).unwrap());
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains("choose one of the two"), "{options:?}: {said}");
    }
    runtime.block_on(store.stop());
}
