//! While the service is away nobody waits for it, and it is asked by one short probe at a time.

use blobcp::devstore::Fault;

use super::*;

/// The time in which it is seen that the service is back: 2 s for a probe that goes on, and the rest for a machine with
/// much else to do. A long probe takes 10 s.
const RECOVERED: Duration = Duration::from_secs(6);

/// Names that the mount has not heard of, each of which costs a request.
fn stats(names: std::ops::Range<u32>) -> String {
    format!("for i in {{{}..{}}}; do stat $m/none$i; done 2>&1 | grep -c 'No such' ; true", names.start, names.end - 1)
}

#[test]
fn calls_fail_at_once_and_go_on_when_it_is_back() {
    let cut = Cut::new(Duration::from_secs(60));
    cut.world.put("f", "content");
    assert_eq!(cut.warnings(), "");
    cut.line.becomes(Line::Refused);
    let first = cut.start("cat $m/f").wait();
    assert!(first.stderr.contains("Input/output error"), "{first:?}");
    // It was 12 s for each request.
    assert!(first.took < Duration::from_secs(10), "{first:?}");
    cut.noticed();
    assert!(cut.warnings().contains("refused"), "{}", cut.warnings());
    let ran = cut.start(&stats(0..30)).wait();
    assert_eq!(ran.stdout.trim(), "0", "nothing is known of a name: {ran:?}");
    assert!(ran.took < Duration::from_secs(20), "{ran:?}");
    println!("refused: the first call took {:?}, 30 more {:?}", first.took, ran.took);
    cut.line.becomes(Line::Whole);
    let back = Instant::now();
    eventually("the service", || cut.start("cat $m/f").wait().stdout == "content");
    println!("refused: back after {:?}", back.elapsed());
    assert!(back.elapsed() < RECOVERED, "{:?}", back.elapsed());
    assert_eq!(cut.warnings(), "");
    assert_eq!((times_logged("is away: calls fail"), times_logged("answers again")), (1, 1));
}

#[test]
fn silence_is_asked_by_short_probes_and_a_long_one_keeps_nobody_waiting() {
    let cut = Cut::new(TIMEOUT);
    cut.world.put("f", "content");
    cut.line.becomes(Line::Silent);
    assert_ne!(cut.start("cat $m/f").wait().code, Some(0));
    cut.noticed();
    // Of all the calls that fail now, none is sent.
    let others = || cut.line.seen().lines.iter().filter(|line| !line.starts_with("HEAD / ")).count();
    let before = others();
    let ran = cut.start(&stats(0..50)).wait();
    assert!(ran.took < Duration::from_secs(20), "{ran:?}");
    let probes = || cut.line.seen().probes.len();
    // With the fifth of them a long one has begun.
    eventually("more probes", || probes() >= 6);
    assert_eq!(others(), before, "{:?}", cut.line.seen().lines);
    // One that nobody answers takes 2 s, and the next one begins after it; but a long one may begin beside it.
    let begun = cut.line.seen().probes;
    assert!(begun.windows(3).all(|three| three[2] - three[0] > Duration::from_millis(1900)), "{begun:?}");
    println!("silent: 50 calls took {:?}, {before} requests of calls, {} probes", ran.took, probes());
    // What was asked before is never answered.
    cut.line.heals();
    let back = Instant::now();
    eventually("the service", || cut.start("cat $m/f").wait().stdout == "content");
    println!("silent: back after {:?}", back.elapsed());
    assert!(back.elapsed() < RECOVERED, "{:?}", back.elapsed());
    cut.line.becomes(Line::Silent);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(cut.line.seen().lines, [""; 0], "nobody asks any more");
}

#[test]
fn one_slow_request_shuts_nobody_out() {
    let mut setup = Setup { attr_ttl: Duration::from_millis(1), ..Setup::default() };
    setup.http.timeout = Duration::from_secs(6);
    let world = logged_with(setup);
    world.put("slow", "content");
    world.put("f", "content");
    world.store.add_fault(Fault {
        delay_ms: 600_000,
        count: 100,
        blob_prefix: Some("slow".into()),
        ..Fault::on("GetBlob")
    });
    let slow = world.start("cat slow");
    let mut others = 0;
    let mut slow = Some(slow);
    while slow.as_mut().is_some_and(|slow| !slow.has_ended()) {
        world.ok("getfattr --only-values -n user.blob.copy.status f; cat f");
        others += 1;
    }
    let slow = slow.take().unwrap().wait();
    assert!(slow.stderr.contains("timed out"), "{slow:?}");
    assert!(others > 2, "{others}");
    world.ok("cat f");
    assert_eq!(times_logged("is away"), 0);
    println!("one slow request: {others} others were answered meanwhile");
}
