//! When a directory is listed for the sake of lookups, and what is forgotten when nobody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::Thread;
use crate::fs::attr::{FileKind, Ino};
use crate::fs::background::BackgroundTasks;
use crate::fs::names::dir::lookups::Lookups;
use crate::fs::names::dir::sweeper::{SHORTEST_SWEEP, Sweeper};
use crate::fs::tree::{Listed, NodeProperties, Observation, Row, Tree};
use crate::sync::interleaved::{at_once, interleave, step};

const DIR: Ino = Ino(7);
/// More lookups than an empty directory is listed after.
const MANY: usize = 20;

#[test]
fn one_of_those_who_look_up_names_lists_the_directory() {
    interleave(|| {
        let lookups = Arc::new(Lookups::new(Duration::from_secs(600)));
        let listing = Arc::new(AtomicU32::new(0));
        let user = || {
            let (lookups, listing) = (lookups.clone(), listing.clone());
            Box::new(move || {
                let turns = (0..MANY).filter(|_| {
                    let Some(turn) = lookups.ask(DIR) else { return false };
                    assert_eq!(listing.fetch_add(1, Ordering::Relaxed), 0, "two list it at once");
                    step();
                    listing.fetch_sub(1, Ordering::Relaxed);
                    turn.done(0);
                    true
                });
                turns.count()
            }) as Thread<usize>
        };
        let turns = at_once(vec![user(), user()]);
        assert!(turns.iter().sum::<usize>() > 0, "somebody lists it");
    });
}

/// A copy comes into being while somebody looks its name up, which was not there a moment ago.
#[test]
fn who_looks_a_name_up_does_not_remove_what_comes_into_being_meanwhile() {
    interleave(|| {
        let tree = Arc::new(Tree::new(super::root(), Duration::from_secs(60)));
        tree.listings().remember_absence(Ino::ROOT, "f", std::time::Instant::now());
        let (looked_up, entered) = (tree.clone(), tree.clone());
        let look_up = Box::new(move || {
            if let Listed::Absent(asked) = looked_up.listings().listed(Ino::ROOT, "f") {
                looked_up.remove_absent(Ino::ROOT, "f", asked);
            }
        }) as Thread<()>;
        let enter = Box::new(move || {
            let known = super::known("1", std::time::Instant::now());
            let ino = entered.enter(Ino::ROOT, "f", FileKind::File, known, None).unwrap().ino;
            assert!(entered.kernel().looked_up(ino));
        }) as Thread<()>;
        at_once(vec![look_up, enter]);
        assert!(tree.child(Ino::ROOT, "f").is_some(), "it is there");
    });
}

#[tokio::test(start_paused = true)]
async fn a_directory_whose_listing_did_not_help_is_left_alone_for_a_minute() {
    let lookups = Lookups::new(Duration::from_secs(3600));
    let asks = || (0..MANY).filter(|_| lookups.ask(DIR).is_some()).count();
    // A turn that is dropped is a listing that did not come to its end.
    assert_eq!(asks(), 1);
    assert_eq!(asks(), 0);
    advance(Duration::from_secs(59)).await;
    assert_eq!(asks(), 0);
    advance(Duration::from_secs(1)).await;
    assert_eq!(asks(), 1);
}

#[tokio::test(start_paused = true)]
async fn lookups_count_as_long_as_a_listing_would_be_believed_and_once_more() {
    let ttl = Duration::from_secs(10);
    let lookups = Lookups::new(ttl);
    let half = |times: usize| (0..times).filter(|_| lookups.ask(DIR).is_some()).count();
    assert_eq!(half(5), 0);
    advance(ttl).await;
    assert_eq!(half(5), 1, "those of the time before are counted as well");
    let lookups = Lookups::new(ttl);
    let half = |times: usize| (0..times).filter(|_| lookups.ask(DIR).is_some()).count();
    assert_eq!(half(5), 0);
    advance(2 * ttl).await;
    assert_eq!(half(5), 0, "but not those of long ago");
}

#[tokio::test(start_paused = true)]
async fn what_was_listed_is_forgotten_when_it_is_not_believed_any_more_and_nobody_asks() {
    let tree = Arc::new(Tree::new(super::root(), Duration::ZERO));
    let sweeper = Sweeper::default();
    let began = Instant::now();
    for round in 1..=3 {
        let asked = std::time::Instant::now();
        let known = Observation { properties: NodeProperties::Nothing, at: asked };
        tree.listings().add_page(
            Ino::ROOT,
            asked,
            vec![Row { name: "a".into(), kind: FileKind::File, observed: known }],
        );
        sweeper.wake(&tree, Duration::ZERO);
        sweeper.wake(&tree, Duration::ZERO);
        assert_eq!(tree.listings().names_remembered(), 1);
        for _ in 0..20 {
            if tree.listings().names_remembered() > 0 {
                tokio::time::sleep(SHORTEST_SWEEP / 10).await;
            }
        }
        let elapsed = began.elapsed();
        assert!(elapsed >= SHORTEST_SWEEP * round && elapsed < SHORTEST_SWEEP * (round + 1), "{elapsed:?}");
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "nothing is left to be swept");
}

#[tokio::test(start_paused = true)]
async fn an_unmount_waits_for_what_is_still_to_be_done_but_not_for_ever() {
    let background = BackgroundTasks::default();
    let second = Duration::from_secs(1);
    let began = Instant::now();
    assert!(background.done(second).await);
    // Dropping the handle does not end what is under way.
    drop(background.spawn(tokio::time::sleep(3 * second)));
    assert!(!background.done(second).await);
    assert_eq!(began.elapsed(), second);
    assert!(background.done(10 * second).await);
    assert_eq!(began.elapsed(), 3 * second);
}
