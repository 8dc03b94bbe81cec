//! A copy that the service runs, as those who wait for it see it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Thread, blob};
use crate::error::CopyFailure;
use crate::fs::attr::just_written;
use crate::fs::copies::backup::{Backup, BackupKind};
use crate::fs::copies::job::{CopyJob, LONGEST_POLL, Progress, SEEN, SLICE, failure, look};
use crate::fs::copies::jobs::Jobs;
use crate::store::{BlobProperties, BlobSettings, CopyId, CopyState, CopyStatus, ETag, Written};
use crate::sync::interleaved::{at_once, interleave};

fn job(name: &str) -> Arc<CopyJob> {
    Arc::new(CopyJob::new(blob(name), CopyId::new("i"), 5, Progress::Pending(0)))
}

fn properties() -> BlobProperties {
    let written = Written { etag: ETag::new("e"), last_modified: std::time::SystemTime::UNIX_EPOCH };
    just_written(5, BlobSettings::default(), written)
}

fn success() -> Progress {
    Progress::Success(Arc::new(properties()))
}

fn aborted() -> Progress {
    Progress::Failed(failure(&blob("b"), CopyFailure::Aborted { id: "i".into() }))
}

fn backup() -> Backup {
    let before = Arc::new(properties());
    Backup { blob: blob("b"), ino: None, name: None, before, kind: BackupKind::Properties, lease: None }
}

#[test]
fn what_a_copy_replaced_comes_back_or_is_deleted_by_one_alone() {
    interleave(|| {
        let job = job("b");
        job.set_backup(Some(backup()));
        let ends = || {
            let job = job.clone();
            Box::new(move || job.take_backup().is_some()) as Thread<bool>
        };
        let looks = {
            let job = job.clone();
            Box::new(move || {
                job.has_backup();
                false
            })
        };
        let taken = at_once(vec![ends(), looks, ends()]);
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        assert!(!job.has_backup());
    });
}

#[test]
fn a_copy_is_found_by_its_destination_as_long_as_somebody_follows_it() {
    interleave(|| {
        let jobs = Arc::new(Jobs::default());
        let starts = |name: &'static str| {
            let jobs = jobs.clone();
            Box::new(move || {
                let job = job(name);
                jobs.add(&job);
                assert!(jobs.pending(&job.destination).is_some());
                job.progress.send_replace(success());
                job
            }) as Thread<Arc<CopyJob>>
        };
        let started = at_once(vec![starts("a"), starts("b")]);
        for job in &started {
            assert!(jobs.of(&job.destination).is_some_and(|found| Arc::ptr_eq(&found, job)));
            assert!(jobs.pending(&job.destination).is_none(), "it has ended");
        }
        drop(started);
        assert!(jobs.of(&blob("a")).is_none() && jobs.of(&blob("b")).is_none());
    });
}

#[test]
fn jobs_that_nobody_follows_make_room_for_others() {
    let jobs = Jobs::default();
    let followed = job("followed");
    jobs.add(&followed);
    (0..2 * crate::fs::copies::jobs::MANY).for_each(|number| jobs.add(&job(&number.to_string())));
    assert!(jobs.of(&followed.destination).is_some());
}

#[tokio::test(start_paused = true)]
async fn news_are_waited_for_no_longer_than_a_slice() {
    let job = job("b");
    let began = Instant::now();
    assert!(matches!(job.slice().await, Progress::Pending(0)));
    assert_eq!(began.elapsed(), SLICE);
    let (progress, ()) = tokio::join!(job.slice(), async {
        tokio::time::sleep(SLICE / 4).await;
        job.progress.send_replace(Progress::Pending(3));
    });
    assert!(matches!(progress, Progress::Pending(3)));
    assert_eq!(began.elapsed(), SLICE + SLICE / 4);
    job.progress.send_replace(success());
    assert!(matches!(job.slice().await, Progress::Success(_)));
    assert_eq!(began.elapsed(), SLICE + SLICE / 4, "an end is no news to wait for");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_after_a_while_wakes_the_poll_and_those_who_go_on_waiting_do_not() {
    let job = job("b");
    let woken = || futures_util::FutureExt::now_or_never(job.poll_now.notified()).is_some();
    job.slice().await;
    assert!(!woken(), "it was made just now, by somebody who waits");
    assert!(job.somebody_waits());
    tokio::time::advance(LONGEST_POLL).await;
    assert!(!job.somebody_waits());
    job.slice().await;
    assert!(woken(), "the next poll may be far off");
    job.slice().await;
    assert!(!woken());
    job.poll_now();
    assert!(woken() && job.somebody_waits());
}

#[tokio::test(start_paused = true)]
async fn an_end_is_waited_for_as_long_as_it_takes_and_the_sight_of_a_known_one_for_a_moment() {
    let job = job("b");
    let began = Instant::now();
    job.finished().await;
    assert_eq!(began.elapsed(), SEEN);
    let hour = Duration::from_secs(3600);
    tokio::join!(job.ended(), async {
        tokio::time::sleep(hour).await;
        job.progress.send_replace(aborted());
    });
    assert_eq!(began.elapsed(), SEEN + hour);
    job.finished().await;
    assert_eq!(began.elapsed(), SEEN + hour);
}

#[tokio::test(start_paused = true)]
async fn only_a_copy_that_the_service_keeps_no_state_of_can_be_stopped_here() {
    let at_service = job("b");
    at_service.stop();
    assert!(!at_service.is_local() && matches!(at_service.progress(), Progress::Pending(_)));
    for (ended, shown) in [(false, "Aborted"), (true, "Success")] {
        let job = job("b");
        let work = tokio::spawn(std::future::pending::<()>());
        job.set_work(work.abort_handle());
        assert!(job.is_local());
        if ended {
            job.progress.send_replace(success());
        }
        job.stop();
        assert!(work.await.unwrap_err().is_cancelled());
        assert!(format!("{:?}", job.progress()).contains(shown));
    }
}

/// X16: only our copy, by its id, says how our copy is.
#[test]
fn a_destination_tells_of_the_copy_by_its_id() {
    let copied = |id: &str, status| {
        let (source, bytes_copied, total_bytes, completion_time) = (None, 3, 5, None);
        let description = Some("why".to_owned());
        let id = CopyId::new(id);
        let in_blocks = false;
        let copy = CopyState { id, status, source, bytes_copied, total_bytes, completion_time, description, in_blocks };
        look(&blob("b"), &CopyId::new("i"), BlobProperties { copy: Some(copy), ..properties() })
    };
    assert!(matches!(copied("i", CopyStatus::Pending), Progress::Pending(3)));
    assert!(matches!(copied("i", CopyStatus::Success), Progress::Success(found) if found.size == 5));
    let failed = |progress| match progress {
        Progress::Failed(crate::error::Error::Copy { failure, .. }) => failure,
        other => panic!("{other:?}"),
    };
    let id = || "i".to_owned();
    assert_eq!(failed(copied("i", CopyStatus::Aborted)), CopyFailure::Aborted { id: id() });
    let description = "why".to_owned();
    assert_eq!(failed(copied("i", CopyStatus::Failed)), CopyFailure::Failed { id: id(), description });
    for status in [CopyStatus::Pending, CopyStatus::Success] {
        assert_eq!(failed(copied("other", status)), CopyFailure::Replaced { id: id() });
    }
    let none = look(&blob("b"), &CopyId::new("i"), properties());
    assert_eq!(failed(none), CopyFailure::Replaced { id: id() });
}

/// X15: how a copy in blocks ended is known as long as the destination is what it left.
#[test]
fn the_end_of_a_copy_that_only_this_mount_knows_of_is_known_of_the_version_that_it_left() {
    let (jobs, job) = (Jobs::default(), job("b"));
    let (one, two, source) = (ETag::new("1"), ETag::new("2"), ETag::new("of the source"));
    job.set_in_blocks(true);
    job.publish(Progress::Pending(3));
    let aborted = Progress::Failed(failure(&job.destination, CopyFailure::Aborted { id: job.id.to_string() }));
    for (ended, etag, status, bytes) in
        [(aborted, None, CopyStatus::Aborted, 3), (success(), Some(one.clone()), CopyStatus::Success, job.total)]
    {
        jobs.record(&job.destination, etag.clone(), Some(source.clone()), job.state(&ended));
        let known = jobs.ended(&job.destination, etag.as_ref()).unwrap();
        assert_eq!((known.status, known.bytes_copied, known.in_blocks), (status, bytes, true));
        assert!(known.completion_time.is_some());
        assert_eq!(jobs.ended(&job.destination, Some(&two)), None);
    }
    // By the service's clock, and only of a success is it known what was copied.
    let made = jobs.ended(&job.destination, Some(&one)).unwrap();
    assert_eq!(made.completion_time, Some(properties().last_modified));
    assert_eq!(jobs.copied(&job.destination, &one), Some(source));
    assert_eq!(jobs.copied(&job.destination, &two), None);
    assert_eq!(jobs.ended(&job.destination, None), None);
    assert_eq!(jobs.ended(&blob("other"), Some(&one)), None);
}
