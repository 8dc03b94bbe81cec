//! What is asked or done between a request of this mount and its answer, and what is not another client's although it looks so.

use std::os::unix::fs::MetadataExt;

use blobcp::devstore::{Config, Fault};

use super::*;

const MIB: usize = 1 << 20;
/// Longer than the steps between take.
const LATE: u64 = 2000;

/// The service answers such a request late, when all is done.
fn late_answer(operation: &str) -> Fault {
    Fault { answer_delay_ms: LATE, ..Fault::on(operation) }
}

/// Asks whenever it is asked.
fn doubting() -> World {
    World::with(Setup { attr_ttl: Duration::ZERO, ..Default::default() })
}

/// Does `slow` in a thread, stops at the gate while the answer is on its way, then does `meanwhile` and prints what came of it.
fn between(first: &str, slow: &str, meanwhile: &str, last: &str) -> String {
    format!(
        "import threading\ndef told(what, call):\n try: print(what, call())\n except OSError as e: print(what, errno.errorcode[e.errno])\n\
         {first}\nt = threading.Thread(target=lambda: told('slow', lambda: {slow}))\nt.start()\ngate()\n{meanwhile}\nt.join()\n{last}"
    )
}

/// Runs it and lets it go on when the request has been carried out and not been answered yet.
fn run(world: &World, program: &str, fault: Fault, done: impl Fn() -> bool) -> String {
    world.store.add_fault(fault);
    let ran = Gated::run(world, program, || eventually("the request", &done));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout
}

#[test]
fn a_look_at_an_open_file_while_it_is_renamed_or_removed_does_not_cut_it_off() {
    for (slow, last) in [
        ("os.rename('a', 'b')", "told('wrote', lambda: os.pwrite(fd, b'x', 0)); os.close(fd)"),
        ("os.unlink('a')", "told('wrote', lambda: os.pwrite(fd, b'x', 0)); os.close(fd)"),
    ] {
        let world = doubting();
        world.put("a", "content");
        let program = between("fd = os.open('a', os.O_RDWR)", slow, "told('size', lambda: os.fstat(fd).st_size)", last);
        let printed = run(&world, &program, late_answer("DeleteBlob"), || !world.is_stored("a"));
        assert_eq!(printed, "size 7\nslow None\nwrote 1\n", "{slow}");
        assert_eq!(world.is_stored("b").then(|| world.stored("b")), slow.contains("rename").then(|| "xontent".into()));
    }
}

#[test]
fn a_look_at_a_page_blob_while_a_range_is_copied_into_it_finds_the_same_file() {
    let world = doubting();
    let client = world.client(ONE);
    for name in ["from", "to"] {
        let (name, plain) = (path(name), BlobSettings::default());
        world.block_on(client.blob(&name).page_blob().create(MIB as u64, &plain, &WriteOptions::default())).unwrap();
    }
    let before = world.properties(ONE, "to").unwrap().etag;
    let program = between(
        "i, o = os.open('from', os.O_RDONLY), os.open('to', os.O_RDWR)",
        "os.copy_file_range(i, o, 4096, 4096, 8192)",
        "import subprocess\nsubprocess.run(['stat', 'to'], check=True, stdout=subprocess.DEVNULL)",
        "told('wrote', lambda: os.pwrite(o, b'x' * 512, 0)); os.close(o)",
    );
    let printed =
        run(&world, &program, late_answer("PutPageFromURL"), || world.properties(ONE, "to").unwrap().etag != before);
    assert_eq!(printed, "slow 4096\nwrote 512\n");
}

/// The request went to the old path, and the service has renamed what is above it before it came there.
#[test]
fn a_read_that_comes_too_late_for_a_rename_of_its_directory_is_repeated() {
    let setup = Setup::default();
    let world =
        World::with(Setup { devstore: Config { hns: true, ..setup.devstore.clone() }, attr_ttl: A_DAY, ..setup });
    world.put("d/big", pattern(64 * MIB));
    let program = between(
        "fd = os.open('d/big', os.O_RDWR)\nos.pread(fd, 10, 50 << 20)",
        "len(os.pread(fd, 10, 30 << 20))",
        "os.rename('d', 'e')",
        "told('wrote', lambda: os.pwrite(fd, b'x', 0)); os.close(fd)",
    );
    // The GET of the first read passes; the next stands still before it is looked at.
    let reads = || world.store.requests().iter().filter(|request| request.operation == "GetBlob").count();
    let fault = Fault { delay_ms: LATE, skip: 1, ..Fault::on("GetBlob") };
    let printed = run(&world, &program, fault, || reads() >= 1);
    assert_eq!(printed, "slow 10\nwrote 1\n");
}

/// What this mount has of the old version is not put over a new one because that is as long.
#[test]
fn what_is_appended_to_a_file_comes_behind_another_one_of_equal_length() {
    let world = doubting();
    let gated = Gated::between(
        &world,
        "fd = os.open('f', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\nos.write(fd, b'aaaa'); os.fsync(fd)",
        "os.write(fd, b'x'); os.close(fd)",
    );
    world.rest_put("f", "bbbb");
    world.mount().fs.tree().invalidate_all();
    assert_eq!(std::fs::metadata(world.here().join("f")).unwrap().size(), 4);
    gated.finish();
    assert_eq!(world.stored("f"), "bbbbx");
}

/// Half of it is in the blob that is no more: the rest of it is no file.
#[test]
fn a_log_that_is_written_anew_and_replaced_half_way_is_refused() {
    let world = trusting();
    let client = world.client(ONE);
    let put = |content: &'static str| {
        world.block_on(async {
            client
                .blob(&path("log"))
                .append_blob()
                .create(&BlobSettings::default(), &WriteOptions::default())
                .await
                .unwrap();
            client
                .blob(&path("log"))
                .append_blob()
                .append_block(0, content.into(), &WriteOptions::default())
                .await
                .unwrap();
        });
    };
    put("old");
    let gated = Gated::between(
        &world,
        "fd = os.open('log', os.O_WRONLY | os.O_TRUNC)\nos.write(fd, b'a' * (9 << 20))",
        "try:\n os.write(fd, b'b' * (9 << 20))\n os.close(fd)\nexcept OSError as e: print(errno.errorcode[e.errno])",
    );
    put("theirs");
    assert_eq!(gated.open().stdout, "ESTALE\n");
    assert_eq!(world.stored("log"), "theirs");
}

/// A large file that one request wrote has no blocks: what is appended to it makes blocks of the file itself, and that
/// the file is another one by then is no error of a source.
#[test]
fn what_is_appended_to_a_large_file_comes_behind_another_one() {
    let world = doubting();
    world.rest_put("f", pattern(20 * MIB));
    let gated =
        Gated::between(&world, "fd = os.open('f', os.O_WRONLY | os.O_APPEND)\nos.write(fd, b'mine')", "os.close(fd)");
    let other = vec![b'o'; 20 * MIB];
    world.rest_put("f", other.clone());
    gated.finish();
    assert_eq!(world.stored("f"), [&other[..], b"mine"].concat());
}

#[test]
fn who_only_looks_does_not_make_an_appender_lose_what_he_wrote() {
    let world = doubting();
    world.put("f", "first ");
    let gated =
        Gated::between(&world, "fd = os.open('f', os.O_WRONLY | os.O_APPEND)\nos.write(fd, b'mine')", "os.close(fd)");
    world.rest_put("f", "another ");
    world.sh("cat f");
    gated.finish();
    assert_eq!(world.stored("f"), "another mine");
}

#[test]
fn a_destination_that_is_gone_says_nothing_of_the_source_and_a_changed_source_nothing_of_the_destination() {
    let told = "def told(what, call):\n try: print(what, call())\n except OSError as e: print(what, errno.errorcode[e.errno])\n";
    let world = trusting();
    world.put("src", pattern(20 * MIB));
    world.put("dst", pattern(MIB));
    world.ok("ls -l");
    let gated = Gated::between(
        &world,
        &format!("{told}src, dst = os.open('src', os.O_RDWR), os.open('dst', os.O_WRONLY)"),
        "told('copied', lambda: os.copy_file_range(src, dst, 100, 0, 10))\ntold('size', lambda: os.stat('src').st_size)\n\
         told('read', lambda: len(os.pread(src, 10, 10 << 20)))\ntold('wrote', lambda: os.pwrite(src, b'x', 0))\nos.close(src)\n\
         told('stored', lambda: os.fsync(dst))",
    );
    world.rest_delete("dst");
    assert_eq!(gated.open().stdout, "copied 100\nsize 20971520\nread 10\nwrote 1\nstored ESTALE\n");

    let world = World::new();
    world.put("src", pattern(MIB));
    let gated = Gated::between(
        &world,
        &format!(
            "{told}src, dst = os.open('src', os.O_RDONLY), os.open('dst', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\nos.write(dst, b'x')"
        ),
        "told('copied', lambda: os.copy_file_range(src, dst, 100, 0, 1))\ntold('wrote', lambda: os.pwrite(dst, b'y', 1))\n\
         told('stored', lambda: os.fsync(dst))\nos.close(dst)",
    );
    world.put("src", "other");
    // A server that cannot copy ranges: they are read.
    let (status, code) = (Some(501), Some("NotImplemented".to_owned()));
    world.store.add_fault(Fault { status, code, count: 9, ..Fault::on("PutBlockFromURL") });
    assert_eq!(gated.open().stdout, "copied 100\nwrote 1\nstored ESTALE\n");
    assert_eq!(world.stored("dst"), "", "nothing that is part of the old and part of the new");
}

/// The inode stays, and so does who reads it, whoever else opens it.
#[test]
fn who_reads_goes_on_when_only_the_metadata_were_changed() {
    let world = doubting();
    world.rest_put("f", pattern(20 * MIB));
    let md5 =
        blobcp::store::ContentHeaders { content_md5: Some("1B2M2Y8AsgTpgAmY7PhCfg==".into()), ..Default::default() };
    let client = world.client(ONE);
    world.block_on(client.blob(&path("f")).set_properties(&md5, &WriteOptions::default())).unwrap();
    let gated = Gated::between(
        &world,
        "fd = os.open('f', os.O_RDONLY)\nos.pread(fd, 10, 50)",
        "g = os.open('f', os.O_RDONLY)\nassert os.fstat(fd).st_ino == os.fstat(g).st_ino\nassert len(os.pread(fd, 10, 10 << 20)) == 10",
    );
    let metadata = [("k", "v")].into_iter().collect();
    world.block_on(client.blob(&path("f")).set_metadata(&metadata, &WriteOptions::default())).unwrap();
    gated.finish();
}

/// Who looks while a copy is pending finds another file than before; what comes back when the copy is aborted is shown all the same.
#[test]
fn what_comes_back_after_a_copy_is_shown_to_who_looked_meanwhile() {
    let world = World::with(Setup { attr_ttl: A_DAY, keep_on_abort: true, ..Default::default() });
    world.put("a", pattern(MIB));
    world.put("b", "old");
    world.ok("cat b");
    world.hold_copies();
    let copy = world.start(&format!("exec {} cp a b", env!("CARGO_BIN_EXE_blobcp")));
    pending(&world, "b");
    world.mount().expire(&world.here(), &["b"], &[]);
    assert_eq!(std::fs::metadata(world.here().join("b")).unwrap().size(), 0);
    world.store.change_policy(blobcp::devstore::PolicyChange { hold_new_copies: Some(false), ..Default::default() });
    steer(&world, fail(500, "OperationCancelled"));
    assert_ne!(copy.wait().code, Some(0));
    eventually("the old content", || world.sh("cat b").stdout == "old");
}
