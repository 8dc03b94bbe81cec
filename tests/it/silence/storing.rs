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
