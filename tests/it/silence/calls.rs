//! Every kind of call ends, whatever the service does: at the same time, so that none of them finds the breaker open.

use rstest::rstest;

use super::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

/// Time in which a call has to end: one that has two requests and looks for what became of them has 5 s, and the rest is for a busy
/// machine. Without a bound each took minutes.
const BOUND: Duration = Duration::from_secs(45);

/// Name of a directory of its own, the call in it, and whether it needs the service.
const CALLS: [(&str, &str, bool); 18] = [
    ("stat", "stat f", true),
    ("absent", "stat none", true),
    ("ls", "ls -l .", true),
    ("cat", "cat f", true),
    ("create", "echo new > new", true),
    ("overwrite", "echo new > f", true),
    ("append", "echo more >> f", true),
    ("cp", "cp f g", true),
    ("mv", "mv f g", true),
    ("rm", "rm f", true),
    ("mkdir", "mkdir d", true),
    ("rmdir", "rmdir e", true),
    ("setfattr", "setfattr -n user.blob.meta.a -v b f", true),
    ("getfattr", "getfattr --only-values -n user.blob.copy.status f", true),
    ("symlink", "ln -s f l", true),
    ("blobcp-cp", "BLOBCP cp f g", true),
    ("blobcp-status", "BLOBCP status f", true),
    ("statfs", "stat -f -c %T .", false),
];

#[rstest]
#[case::refused(Line::Refused)]
#[case::silent(Line::Silent)]
#[case::trickling(Line::Trickling)]
#[case::lost(Line::Lost)]
fn every_call_ends(#[case] line: Line) {
    let cut = Cut::new(TIMEOUT);
    for (name, ..) in CALLS {
        cut.world.put(&format!("{name}/f"), "content");
        cut.world.put(&format!("{name}/e/.keep"), "");
    }
    // Each call starts in its directory, and goes on when the line is cut.
    let gate = tempfile::tempdir().unwrap();
    let started: Vec<(&str, bool, Running)> = CALLS
        .iter()
        .map(|(name, call, needs_it)| {
            let (here, call) = (gate.path().display(), call.replace("BLOBCP", BLOBCP));
            let wait = format!("touch {here}/{name}; while [ ! -e {here}/open ]; do sleep 0.05; done");
            (*name, *needs_it, cut.start(&format!("cd $m/{name} && ls > /dev/null && {wait}; {call}")))
        })
        .collect();
    eventually("the calls", || CALLS.iter().all(|(name, ..)| gate.path().join(name).exists()));
    cut.line.becomes(line);
    std::fs::write(gate.path().join("open"), "").unwrap();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for (name, needs_it, call) in started {
        let ran = call.wait();
        longest = longest.max(began.elapsed());
        assert!(began.elapsed() < BOUND, "{name}: {:?} {ran:?}", began.elapsed());
        assert_eq!(ran.code != Some(0), needs_it, "{name}: {ran:?}");
    }
    println!("{line:?}: all {} calls ended within {longest:?}", CALLS.len());
    cut.line.becomes(Line::Whole);
    let back = Instant::now();
    eventually("the service", || cut.start("cat $m/stat/f").wait().stdout == "content");
    assert!(back.elapsed() < BOUND, "{:?}", back.elapsed());
    println!("{line:?}: back after {:?}", back.elapsed());
    // What failed has left everything as it was, or was done.
    assert_eq!(cut.world.stored("rm/f"), "content");
    assert!(["content", "new\n"].contains(&std::str::from_utf8(&cut.world.stored("overwrite/f")).unwrap()));
    assert!(cut.world.is_stored("mv/f") || cut.world.stored("mv/g") == "content");
}

/// The option is the one that counts, on the command line.
#[test]
fn the_time_is_an_option() {
    let world = World::new();
    world.put("f", "content");
    let source = format!("{ONE}/{BOX}");
    let mount = MountProcess::new(&world.store, &[ONE], &["--timeout", "2s", &source]);
    mount.start("cat f").wait();
    let silent =
        blobcp::devstore::Fault { delay_ms: 600_000, count: 1000, ..blobcp::devstore::Fault::on("GetBlobProperties") };
    world.store.add_fault(silent);
    let ran = mount.start("getfattr --only-values -n user.blob.copy.status f").wait();
    assert!(ran.stderr.contains("timed out"), "{ran:?}");
    // With the usual 60 s it would take a minute.
    assert!(ran.took < Duration::from_secs(30), "{ran:?}");
    assert!(world.store.faults_fired() >= 2, "tried again over another connection");
}
