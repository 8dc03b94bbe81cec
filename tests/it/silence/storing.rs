//! What was written while the service was there is stored when it comes back, if that is soon.

use super::*;

/// A program that writes, and closes the file after the line is cut.
fn writer(cut: &Cut, name: &str, bytes: usize) -> Gated {
    let program = format!(
        "f = open('{name}', 'wb', buffering=0)
for i in range(0, {bytes}, 1 << 20): f.write(b'x' * min({bytes}, 1 << 20))
gate()
try:
    f.close()
    print('stored')
except OSError as e: print(errno.errorcode[e.errno])"
    );
    let mut writer = Gated::start_in(&cut.mount.here(), &program);
    writer.reached();
    writer
}

#[test]
fn what_is_closed_in_an_outage_is_stored_when_it_is_over() {
    let cut = Cut::with(Duration::from_secs(600), Duration::from_secs(600));
    let writers = [("small", 10), ("large", 20 << 20)].map(|(name, bytes)| (name, bytes, writer(&cut, name, bytes)));
    cut.line.becomes(Line::Refused);
    writers.iter().for_each(|(_, _, writer)| writer.let_go());
    cut.noticed();
    // Whoever only asks is told at once meanwhile.
    assert_ne!(cut.start("stat $m/none").wait().code, Some(0));
    assert!(!cut.world.is_stored("small") && !cut.world.is_stored("large"));
    cut.line.becomes(Line::Whole);
    for (name, bytes, writer) in writers {
        let ran = writer.wait();
        assert_eq!(ran.stdout, "stored\n", "{name}: {ran:?}");
        assert!(cut.world.stored(name).iter().all(|byte| *byte == b'x'));
        assert_eq!(cut.world.stored(name).len(), bytes, "{name}");
    }
    assert_eq!(cut.world.stats().requests("PutBlob"), 1);
}

#[test]
fn an_outage_that_is_too_long_is_an_error_and_fsync_stores_it_later() {
    for line in [Line::Refused, Line::Silent, Line::Lost] {
        let cut = Cut::with(TIMEOUT, Duration::from_secs(600));
        let begun = tempfile::tempdir().unwrap();
        let program = format!(
            "f = open('f', 'wb', buffering=0)
f.write(b'content')
open('{0}/written', 'w').close()
while not os.path.exists('{0}/cut'): time.sleep(0.01)
try:
    os.fsync(f.fileno())
    print('stored too early')
except OSError as e: print(errno.errorcode[e.errno], flush=True)
gate()
os.fsync(f.fileno())
f.close()
print('stored')",
            begun.path().display()
        );
        let mut writer = Gated::start_in(&cut.mount.here(), &program);
        eventually("the writing", || begun.path().join("written").exists());
        cut.line.becomes(line);
        std::fs::write(begun.path().join("cut"), "").unwrap();
        let began = Instant::now();
        writer.reached();
        println!("{line:?}: fsync failed after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(45), "{line:?}: {:?}", began.elapsed());
        assert!(!cut.world.is_stored("f"));
        cut.line.becomes(Line::Whole);
        eventually("the service", || cut.start("stat $m").wait().code == Some(0) && cut.warnings().is_empty());
        let ran = writer.open();
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(matches!(lines[..], ["EIO" | "ETIMEDOUT", "stored"]), "{line:?}: {ran:?}");
        assert_eq!(cut.world.stored("f"), "content");
    }
}

/// What a socket takes has not moved anywhere: with each try it would begin anew, and so would its time.
#[test]
fn what_nobody_reads_is_given_up_when_its_time_is_over() {
    let cut = Cut::with(Duration::from_secs(8), Duration::from_secs(600));
    // More than the buffers of a connection hold, and as much as one request takes.
    let program = "f = open('f', 'wb', buffering=0)
for i in range(8): f.write(b'x' * 1048576)
gate()
try:
    os.fsync(f.fileno())
    print('stored too early')
except OSError as e: print(errno.errorcode[e.errno], flush=True)
open('/proc/self/comm', 'w').write('given up')
time.sleep(1000)";
    let mut writer = Gated::start_in(&cut.mount.here(), program);
    writer.reached();
    cut.line.becomes(Line::Unread);
    writer.let_go();
    let comm = format!("/proc/{}/comm", writer.pid());
    eventually("the error", || std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "given up"));
    let tries = cut.line.seen().lines.iter().filter(|line| line.starts_with("PUT ")).count();
    println!("nobody reads: given up after {tries} tries");
    // A connection that nobody reads from is given up after a quarter of the time-out, and storing has half of it.
    assert!((1..=2).contains(&tries), "{:?}", cut.line.seen().lines);
    writer.signal(libc::SIGKILL);
    let ran = writer.wait();
    assert!(["EIO\n", "ETIMEDOUT\n"].contains(&ran.stdout.as_str()), "{ran:?}");
    cut.line.becomes(Line::Whole);
    // What is left is stored behind it.
    eventually("the file", || cut.world.is_stored("f") && cut.world.stored("f").len() == 8 << 20);
}
