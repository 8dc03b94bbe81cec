//! What is typed again after it was interrupted, and the commands for trees and directories.

use super::*;

#[test]
fn a_tree_copy_that_was_interrupted_goes_on_and_does_not_nest() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box"), format!("m/{TWO}/backup/new"));
    let mut child = desk.command(&["cp", "-r", "--json", &source, &target]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.filter(|line| line.contains("\"copied\"")).take(2).count(), 2, "the small ones");
    eventually("the large one", || desk.store.copies().iter().any(|copy| copy.status == "pending"));
    send(child.id() as i32, libc::SIGINT);
    assert_eq!(finish(child).status, 130);

    fs::remove_file(desk.path(&source).join("big.img")).unwrap();
    eventually("that the destination is seen", || desk.path(&target).is_dir());
    let again = desk.run(&["cp", "-r", &source, &target]);
    let going_on = format!("blobcp: cp: {target}: going on with the copy that did not come to its end\n");
    assert_eq!((again.status, again.err), (0, going_on), "{}", again.out);
    assert!(!again.out.contains("failed"), "{}", again.out);
    assert_eq!(&desk.store.content(TWO, "backup", "new/hello.txt").unwrap()[..], b"hello");
    assert!(!desk.path(&target).join("box").exists());

    // It has come to its end, and now the words mean what they mean to cp.
    let nested = desk.run(&["cp", "-r", &source, &target]);
    assert_eq!((nested.status, nested.err.as_str()), (0, ""));
    assert!(desk.path(&target).join("box/hello.txt").exists());
}

#[test]
fn a_copy_that_was_killed_goes_on_too_but_not_into_what_others_filled() {
    let desk = Desk::new();
    desk.mount_both();
    let (source, target) = (format!("m/{ONE}/box"), format!("m/{TWO}/backup/new"));
    let child = desk.command(&["cp", "-r", &source, &target]).spawn().unwrap();
    eventually("the large one", || desk.store.copies().iter().any(|copy| copy.status == "pending"));
    send(child.id() as i32, libc::SIGKILL);
    finish(child);
    fs::remove_file(desk.path(&source).join("big.img")).unwrap();
    // Somebody has copied the directory into it meanwhile.
    desk.store.put_blob(TWO, "backup", "new/box/other.txt", "x".into(), "text/plain").unwrap();
    eventually("a look at it", || desk.path(&target).join("box/other.txt").exists());
    let nested = desk.run(&["cp", "-r", &source, &target]);
    assert_eq!((nested.status, nested.err.as_str()), (0, ""));
    assert!(desk.path(&target).join("box/hello.txt").exists());
}

#[test]
fn snapshots_of_a_tree_are_one_of_each_file() {
    let desk = Desk::new();
    desk.mount_both();
    let top = format!("m/{ONE}/box");
    symlink("hello.txt", desk.path(&top).join("link")).unwrap();
    let ended = desk.run(&["snapshot", "-r", &top]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let mut taken: Vec<&str> = ended.out.lines().collect();
    taken.sort_unstable();
    assert_eq!(taken.len(), 3, "{taken:?}");
    for (path, name) in taken.iter().zip([".snapshots/big.img/", ".snapshots/hello.txt/", "dir/.snapshots/deep.txt/"]) {
        assert!(path.starts_with(&format!("{top}/{name}")), "{path}");
        assert!(desk.path(path).exists(), "{path}");
    }
    let ended = desk.run(&["snapshot", &top]);
    let expected = format!("blobcp: snapshot: {top}: is a directory; -r takes one of each file in it\n");
    assert_eq!((ended.status, ended.err), (1, expected));
}

#[test]
fn mkdir_makes_containers_and_directories_and_knows_the_rules_of_names() {
    let desk = Desk::new();
    desk.mount_both();
    assert_eq!(desk.run(&["mkdir", &format!("m/{ONE}/photos")]).status, 0);
    let deep = format!("m/{ONE}/photos/2026/summer");
    let ended = desk.run(&["mkdir", "-pv", &deep]);
    assert_eq!((ended.status, ended.out), (0, format!("m/{ONE}/photos/2026\n{deep}\n")));
    assert_eq!(desk.run(&["mkdir", "-p", &deep]).status, 0, "what is there is no mistake");
    assert_eq!(desk.run(&["mkdir", "-m", "750", &format!("m/{ONE}/photos/own")]).status, 0);
    assert_eq!(fs::metadata(desk.m().join(ONE).join("photos/own")).unwrap().mode() & 0o7777, 0o750);
    let rules =
        "must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit";
    for (path, expected) in [
        (
            format!("m/{ONE}/My_Photos"),
            format!("Invalid argument: container name \"My_Photos\" {rules}; my-photos would be one"),
        ),
        ("m/new".into(), "Operation not permitted: accounts cannot be made here".into()),
        ("m/Photos".into(), "Operation not permitted: accounts cannot be made here".into()),
        (format!("m/{ONE}/photos"), "File exists".into()),
        (format!("m/{ONE}/box/hello.txt/x"), "Not a directory".into()),
    ] {
        let ended = desk.run(&["mkdir", &path]);
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: mkdir: {path}: {expected}\n")));
    }
    let ended = desk.run(&["mkdir", "local"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: mkdir: .: not on a mount of blobcp\n"));
    // mkdir(1) has a number only, and the log the rules.
    assert!(fs::create_dir(desk.m().join(ONE).join("Photos")).is_err());
    let listed = desk.run(&["mount", "--list", "--json"]).out;
    let own = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let own = own.into_iter().find(|mount| mount["mountpoint"] == desk.m().to_str().unwrap()).unwrap();
    let log = fs::read_to_string(own["log"].as_str().unwrap()).unwrap();
    assert!(log.contains(&format!("container name \"Photos\" {rules}")), "{log}");
}
