//! Extended attributes: what getfattr shows is what the service says, what setfattr writes is in the service.

use std::time::Duration;

use blobcp::store::CopyStatus;

use crate::common::*;

#[test]
fn copy_attributes_are_absent_without_copy_state() {
    // M6, C36
    let world = World::new();
    world.put("a", "text");
    for name in
        ["status", "id", "source", "progress", "bytes_copied", "total_bytes", "completion_time", "status_description"]
    {
        let ran = world.sh(&format!("getfattr -n user.blob.copy.{name} a"));
        assert!(ran.stderr.contains("No such attribute"), "{name}: {ran:?}");
    }
    assert!(!world.ok("getfattr -d a").contains("user.blob.copy."));
}

#[test]
fn copy_attributes_say_what_the_service_says() {
    // C33-C38, X24
    let world = World::new();
    world.put("a", "text");
    world.ok("cp a b");
    let state = world.properties(ONE, "b").unwrap().copy.unwrap();
    let b = world.here().join("b");
    assert_eq!(attribute(&b, "copy.status").unwrap(), "success");
    assert_eq!(attribute(&b, "copy.id").unwrap(), state.id.as_str());
    assert_eq!(attribute(&b, "copy.progress").unwrap(), "4/4");
    assert_eq!(attribute(&b, "copy.bytes_copied").unwrap(), "4");
    assert_eq!(attribute(&b, "copy.total_bytes").unwrap(), "4");
    assert_eq!(attribute(&b, "copy.source").unwrap(), format!("{}/box/a", world.store.endpoint(ONE)));
    let completed = httpdate::fmt_http_date(state.completion_time.unwrap());
    assert_eq!(attribute(&b, "copy.completion_time").unwrap(), completed);
    assert_eq!(attribute(&b, "copy.status_description"), None);
}

#[test]
fn copy_state_is_one_head_and_never_cached() {
    // Design §9; C32. However long anything else is believed.
    let world = World::with(Setup { attr_ttl: std::time::Duration::from_secs(600), ..Default::default() });
    world.put("a", "text");
    world.ok("cp a b; ls -l");
    // getfattr asks for the length of a value and then for the value; a machine so busy that a moment passes between the two makes it
    // two questions, and another try. Never is it none.
    let requests_of = |command: &str| {
        world.reset_stats();
        world.ok(command);
        let stats = world.stats();
        assert!(stats.requests("GetBlobProperties") >= 1, "{command}: {:#?}", world.store.requests());
        (stats.requests("GetBlobProperties"), stats.total)
    };
    for _ in 0..2 {
        eventually("one HEAD", || requests_of("getfattr -n user.blob.copy.status b") == (1, 1));
    }
    eventually("one HEAD for all", || requests_of("getfattr -d b").0 == 1);
    // One process that asks again gets a new answer each time.
    world.reset_stats();
    world.ok("python3 -c 'import os\nfor i in range(3): os.getxattr(\"b\", \"user.blob.copy.progress\")'");
    assert_eq!(world.stats().requests("GetBlobProperties"), 3, "{:#?}", world.store.requests());
}

#[test]
fn copy_state_vanishes_with_a_write() {
    // X15
    let world = World::new();
    world.put("a", "text");
    world.ok("cp a b && echo new > b");
    assert_eq!(attribute(&world.here().join("b"), "copy.status"), None);
}

#[test]
fn system_properties_are_shown_and_a_write_back_is_ignored() {
    let world = World::new();
    world.put("a", "text");
    let a = world.here().join("a");
    let properties = world.properties(ONE, "a").unwrap();
    assert_eq!(attribute(&a, "type").unwrap(), "BlockBlob");
    assert_eq!(attribute(&a, "etag").unwrap(), properties.etag.as_str());
    assert_eq!(attribute(&a, "url").unwrap(), format!("{}/box/a", world.store.endpoint(ONE)));
    assert_eq!(attribute(&a, "lease_state").unwrap(), "available");
    assert_eq!(attribute(&a, "content_md5"), properties.headers.content_md5);
    assert!(attribute(&a, "creation_time").unwrap().ends_with("GMT"));
    world.reset_stats();
    for name in ["etag", "type", "url", "content_md5", "copy.id", "copy.progress"] {
        world.ok(&format!("setfattr -n user.blob.{name} -v whatever a"));
    }
    let writes = ["SetBlobMetadata", "SetBlobProperties", "SetBlobTier", "SetBlobTags"];
    assert!(writes.iter().all(|write| world.stats().requests(write) == 0), "{:?}", world.stats());
    assert_eq!(world.properties(ONE, "a").unwrap().etag, properties.etag);
}

#[test]
fn properties_are_written_and_the_others_kept() {
    // §10: what is not sent is cleared, so all are sent.
    let world = World::new();
    world.put("a", "text");
    let values = [
        ("content_type", "image/png"),
        ("cache_control", "max-age=60"),
        ("content_encoding", "gzip"),
        ("content_language", "de, en"),
        ("content_disposition", "attachment; filename=x.png"),
    ];
    for (name, value) in values {
        world.ok(&format!("setfattr -n user.blob.{name} -v '{value}' a"));
    }
    let headers = world.properties(ONE, "a").unwrap().headers;
    assert_eq!(headers.content_type.as_deref(), Some("image/png"));
    assert_eq!(headers.cache_control.as_deref(), Some("max-age=60"));
    assert_eq!(headers.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(headers.content_language.as_deref(), Some("de, en"));
    assert_eq!(headers.content_disposition.as_deref(), Some("attachment; filename=x.png"));
    assert!(headers.content_md5.is_some());
    world.ok("setfattr -x user.blob.content_encoding a");
    let headers = world.properties(ONE, "a").unwrap().headers;
    assert_eq!((headers.content_encoding, headers.cache_control.as_deref()), (None, Some("max-age=60")));
    assert_eq!(world.stored("a"), "text");
}

#[test]
fn metadata_are_set_replaced_and_removed_one_by_one() {
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.meta.Shape -v 'very round' a");
    world.ok("setfattr -n user.blob.meta.color -v red a");
    let metadata = world.properties(ONE, "a").unwrap().metadata;
    assert_eq!((metadata.get("color"), metadata.get("shape")), (Some("red"), Some("very round")));
    assert!(world.ok("getfattr -d a").contains("user.blob.meta.Shape=\"very round\""));
    world.ok("setfattr -x user.blob.meta.color a");
    let metadata = world.properties(ONE, "a").unwrap().metadata;
    assert_eq!((metadata.get("color"), metadata.get("shape")), (None, Some("very round")));
    assert!(world.sh("setfattr -x user.blob.meta.color a").stderr.contains("No such attribute"));
}

#[test]
fn metadata_and_tags_leave_the_time_of_the_content_alone() {
    // setxattr(2) changes the ctime only.
    let world = World::with(Setup { attr_ttl: USUAL_TTL, ..Default::default() });
    world.put("a", "text");
    let times = || world.ok("stat -c '%.9Y' a; stat -c '%.9Z' a");
    let before = times();
    let (mtime, ctime) = before.split_once('\n').unwrap();
    let later = || {
        let now = times();
        let (now_mtime, now_ctime) = now.split_once('\n').unwrap();
        assert_eq!(now_mtime, mtime);
        now_ctime > ctime
    };
    // Last-Modified has whole seconds.
    eventually("another second", || {
        world.ok("setfattr -n user.blob.meta.color -v $(date +%N) a");
        later()
    });
    world.ok("setfattr -x user.blob.meta.color a; setfattr -n user.blob.tag.project -v x a");
    assert!(later());
    // It is kept as other tools read it, and as theirs it can be set.
    let kept = world.properties(ONE, "a").unwrap().metadata.get("mtime").unwrap().to_owned();
    world.ok("setfattr -n user.blob.meta.mtime -v 2001-02-03T04:05:06Z a");
    eventually("the new time", || world.ok("stat -c %Y a") == "981173106\n");
    world.ok(&format!("setfattr -n user.blob.meta.mtime -v {kept} a"));
    eventually("the old time", || world.ok("stat -c %.9Y a") == format!("{mtime}\n"));
    world.ok("setfattr -x user.blob.meta.mtime a");
    assert_eq!(world.properties(ONE, "a").unwrap().metadata.get("mtime"), None);
}

#[test]
fn tags_and_tier_are_written() {
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.tag.project -v 'x y' a; setfattr -n user.blob.tag.owner -v me a");
    let tags = world.block_on(world.client(ONE).blob(&path("a")).tags()).unwrap();
    assert_eq!(tags.len(), 2);
    assert!(world.ok("getfattr -d a").contains("user.blob.tag.project=\"x y\""));
    world.ok("setfattr -x user.blob.tag.owner a");
    assert_eq!(
        world.block_on(world.client(ONE).blob(&path("a")).tags()).unwrap(),
        [("project".to_owned(), "x y".to_owned())]
    );
    world.ok("setfattr -n user.blob.tier -v Cool a");
    assert_eq!(world.properties(ONE, "a").unwrap().tier.as_deref(), Some("Cool"));
    assert_eq!(attribute(&world.here().join("a"), "tier").unwrap(), "Cool");
    assert!(world.sh("setfattr -n user.blob.tier -v Lukewarm a").stderr.contains("Invalid argument"));
}

#[test]
fn writing_what_is_there_already_sends_no_write() {
    let world = World::new();
    world.put("a", "text");
    world.ok("setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.tag.t -v v a");
    world.reset_stats();
    world.ok("setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.tag.t -v v a; setfattr -n user.blob.content_type -v text/plain a");
    for write in ["SetBlobMetadata", "SetBlobProperties", "SetBlobTags"] {
        assert_eq!(world.stats().requests(write), 0, "{write}");
    }
}

#[test]
fn tools_that_copy_attributes_keep_working() {
    // cp -a writes every attribute of the source to the destination, copy state included; tags are not copied by the service.
    let world = World::new();
    world.put("first", "text");
    world.ok("cp first a; setfattr -n user.blob.meta.color -v blue a; setfattr -n user.blob.tag.project -v x a");
    world.ok("cp a plain; cp -a a b; tar --xattrs --xattrs-include='*' -cf - a | (mkdir out; tar --xattrs --xattrs-include='*' -xf - -C out)");
    for copy in ["b", "out/a"] {
        assert_eq!(world.stored(copy), "text");
        assert_eq!(world.properties(ONE, copy).unwrap().metadata.get("color"), Some("blue"), "{copy}");
        assert_eq!(world.block_on(world.client(ONE).blob(&path(copy)).tags()).unwrap().len(), 1, "{copy}");
    }
}

#[test]
fn bad_names_and_values() {
    let world = World::new();
    world.put("a", "text");
    let refused = [
        ("user.blob.copy.status", "stop", "Invalid argument"),
        ("user.blob.copy.status", "abort:", "Invalid argument"),
        ("user.blob.meta.a-b", "x", "Invalid argument"),
        ("user.blob.meta.1a", "x", "Invalid argument"),
        ("user.blob.meta.a", "ü", "Invalid argument"),
        ("user.blob.content_type", "a\u{7f}", "Invalid argument"),
        ("user.blob.nonsense", "x", "not supported"),
        ("user.other", "x", "not supported"),
        ("trusted.x", "x", "not supported"),
    ];
    for (name, value, why) in refused {
        let ran = world.sh(&format!("setfattr -n {name} -v '{value}' a"));
        assert!(ran.code == Some(1) && ran.stderr.contains(why), "{name}={value}: {ran:?}");
    }
    let big = world.sh("setfattr -n user.blob.meta.big -v $(head -c 9000 /dev/zero | tr '\\0' x) a");
    assert!(big.stderr.contains("No space left"), "{big:?}");
    // The four states are accepted and do nothing.
    for state in ["pending", "success", "aborted", "failed"] {
        world.ok(&format!("setfattr -n user.blob.copy.status -v {state} a"));
    }
    assert!(world.sh("setfattr -n user.blob.copy.status -v abort a").stderr.contains("No such attribute"));
    assert_eq!(world.stats().requests("AbortCopyBlob"), 0, "C57");
    let created =
        world.sh("python3 -c 'import os; os.setxattr(\"a\", \"user.blob.meta.n\", b\"1\", os.XATTR_REPLACE)'");
    assert!(created.stderr.contains("No data available"), "{created:?}");
    world.ok("setfattr -n user.blob.meta.n -v 1 a");
    let replaced =
        world.sh("python3 -c 'import os; os.setxattr(\"a\", \"user.blob.meta.n\", b\"2\", os.XATTR_CREATE)'");
    assert!(replaced.stderr.contains("File exists"), "{replaced:?}");
}

#[test]
fn directories_have_none_and_refuse_none_silently() {
    let world = World::new();
    world.ok("mkdir d");
    assert_eq!(world.ok("getfattr -d d"), "");
    assert!(world.sh("setfattr -n user.blob.meta.x -v 1 d").stderr.contains("not supported"));
    assert!(world.sh("getfattr -n user.blob.etag d").stderr.contains("No such attribute"));
}

#[test]
fn an_abort_names_its_copy_or_aborts_none() {
    // C55, X11: an explicit id that is another's is refused without asking.
    let world = World::new();
    world.put("a", "text");
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    let other = world.sh("setfattr -n user.blob.copy.status -v abort:00000000-0000-0000-0000-000000000000 b");
    assert!(other.stderr.contains("Stale file handle"), "{other:?}");
    assert_eq!((status(&world, "b"), world.stats().requests("AbortCopyBlob")), (Some(CopyStatus::Pending), 0));
    let id = attribute(&world.here().join("b"), "copy.id").unwrap();
    world.ok(&format!("setfattr -n user.blob.copy.status -v abort:{id} b"));
    assert_eq!(status(&world, "b"), Some(CopyStatus::Aborted));
    assert_eq!(cp.wait().code, Some(1));
}

#[test]
fn an_abort_that_loses_the_race_is_told_the_truth() {
    // X12: the copy completes between the look and the abort.
    let world = World::new();
    world.put("a", "text");
    world.hold_copies();
    let cp = world.start("cp a b");
    pending(&world, "b");
    let asked = world.stop(fault(r#"{"operation":"AbortCopyBlob"}"#));
    let abort = world.start("setfattr -n user.blob.copy.status -v abort b");
    asked.reached();
    steer(&world, blobcp::devstore::CopyAction::Release);
    asked.let_go();
    let ran = abort.wait();
    assert!(ran.stderr.contains("No such attribute"), "{ran:?}");
    assert_eq!(cp.wait().code, Some(0));
    assert_eq!(world.stored("b"), "text");
}

#[test]
fn cp_a_chooses_no_tier_that_the_copy_has() {
    // cp -a writes the attributes of the source to the copy, the tier among them.
    let world = World::new();
    for name in ["a", "chosen", "old", "old_chosen", "same_chosen"] {
        world.put(name, name);
    }
    world.ok("setfattr -n user.blob.tier -v Cool chosen old_chosen same_chosen");
    let there = world.there().display().to_string();
    let tier = |account: &str, name: &str| {
        let properties = world.properties(account, name).unwrap();
        (properties.chosen_tier(), properties.tier.unwrap())
    };
    let hot = (None, "Hot".to_owned());
    let cool = (Some("Cool".to_owned()), "Cool".to_owned());
    // Source, destination, how often a tier has to be chosen, and what it is then.
    let copies = [
        ("a", "new", 0, &hot),
        ("a", "old", 0, &hot),
        ("chosen", "new2", 1, &cool),
        ("chosen", "same_chosen", 0, &cool),
        // S103: what was chosen for the destination stays, unless it is to be another.
        ("a", "old_chosen", 1, &(Some("Hot".to_owned()), "Hot".to_owned())),
    ];
    for (source, destination, times, expected) in copies {
        world.ok("ls -l > /dev/null");
        world.reset_stats();
        world.ok(&format!("cp -a {source} {destination}"));
        let stats = world.stats();
        assert_eq!(stats.requests("SetBlobTier"), times, "{source} to {destination}: {:#?}", world.store.requests());
        assert_eq!(&tier(ONE, destination), expected, "{source} to {destination}");
    }
    // The tier that the other account gives is not known here, and looked up.
    world.reset_stats();
    world.ok(&format!("cp -a a {there}/b; cp -a chosen {there}/c"));
    assert_eq!(world.stats().requests("SetBlobTier"), 1, "{:#?}", world.store.requests());
    assert_eq!((tier(TWO, "b"), tier(TWO, "c")), (hot, cool));
}

#[test]
fn a_tier_that_was_chosen_stays_whatever_replaces_the_content() {
    // S102, S103: it stays in the service, in accounts with versions or by being named, and this mount knows it.
    let world = World::with(Setup { attr_ttl: Duration::from_secs(600), ..Default::default() });
    for name in ["a", "copied", "written"] {
        world.put(name, name);
    }
    world.ok("ls -l; setfattr -n user.blob.tier -v Cool copied written; ls -l");
    world.ok("cp a copied; echo new > written; echo more >> copied");
    for name in ["copied", "written"] {
        assert_eq!(world.properties(ONE, name).unwrap().chosen_tier().as_deref(), Some("Cool"), "{name}");
        assert_eq!(attribute(&world.here().join(name), "tier").as_deref(), Some("Cool"), "{name}");
    }
    // Written back, it is no request.
    world.reset_stats();
    world.ok("cp a copied; setfattr -n user.blob.tier -v Cool copied; setfattr -n user.blob.tier -v Cool written");
    let stats = world.stats();
    assert_eq!((stats.requests("SetBlobTier"), stats.requests("GetBlobProperties")), (0, 0), "{stats:?}");
}

#[test]
fn a_mount_tells_what_it_holds() {
    let world = World::new();
    world.put("f", "text");
    let usage = || world.ok("getfattr --only-values -n user.blob.usage .");
    let number = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = usage();
    let writer = Gated::between(
        &world,
        "f = os.open('n', os.O_WRONLY | os.O_CREAT)\nos.write(f, bytes(1 << 20))",
        "os.close(f)",
    );
    let during = usage();
    assert!(number(&during, "inodes") > number(&before, "inodes"), "{before} {during}");
    assert!(number(&during, "open") > number(&before, "open"), "{before} {during}");
    assert!(number(&during, "held") >= 1 << 20, "{during}");
    writer.finish();
    eventually("what was held is given back", || number(&usage(), "held") == 0);
    // It is in no list, so that no copy takes it along, and nobody sets it.
    assert!(!world.ok("getfattr -d f").contains("usage"));
    let ran = world.sh("setfattr -n user.blob.usage -v x f");
    assert!(ran.code == Some(1) && ran.stderr.contains("Operation not supported"), "{ran:?}");
}

#[test]
fn what_was_read_of_a_file_is_kept_as_long_as_there_is_the_file() {
    let world = World::new();
    let kept = || {
        let usage = world.ok("getfattr --only-values -n user.blob.usage .");
        usage.lines().find_map(|line| line.strip_prefix("kept ")).unwrap().parse::<u64>().unwrap()
    };
    world.put("a", vec![1; 300_000]);
    world.put("b", vec![2; 300_000]);
    world.ok("for f in a b; do dd if=$f of=/dev/null bs=4k skip=30 count=1 status=none; done");
    assert_eq!(kept(), 600_000);
    world.ok("rm a");
    eventually("what was read of it is dropped", || kept() == 300_000);
    world.put("c", "new");
    world.ok("mv c b");
    eventually("what it has replaced is dropped", || kept() == 0);
}
