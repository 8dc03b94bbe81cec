//! A copy that the service runs, from its start to each of its ends: how often it is looked at, and what is settled before anybody hears
//! that it has ended.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::blob;
use super::service::{Service, now, until};
use crate::devstore::{CopyAction, Fault};
use crate::error::{CopyFailure, Error};
use crate::fs::copies::job::{CopyJob, Progress, SLICE};
use crate::store::{AbortOptions, BlobSettings, CopyStatus, DeleteOptions, WriteOptions};

const LOOK: &str = "GetBlobProperties";
/// Longer than the first wait between two looks.
const SOON: Duration = Duration::from_millis(110);

/// The end of a copy, as soon as somebody is told of it.
async fn end_of(job: &CopyJob) -> Progress {
    let mut progress = job.progress.subscribe();
    let ended = progress.wait_for(|progress| !matches!(progress, Progress::Pending(_)));
    now("the end of a copy", ended).await.unwrap().clone()
}

fn failure_of(progress: Progress) -> CopyFailure {
    match progress {
        Progress::Failed(Error::Copy { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pending_copy_is_looked_at_the_more_rarely_the_longer_nobody_waits() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    let mut news = job.progress.subscribe();
    for wait in [100, 200, 400, 800, 1600, 6400, 10_000, 10_000] {
        service.sends_after(Duration::from_millis(wait), LOOK).await;
        now("what was seen", news.changed()).await.unwrap();
    }
    let before = service.requests(LOOK);
    let looked = until("a look for who waits now", || service.requests(LOOK) > before);
    let (progress, ()) = tokio::join!(now("what was seen", job.slice()), looked);
    assert!(matches!(progress, Progress::Pending(_)));
    service.sends_after(SLICE, LOOK).await;
}

/// C47, C52: whoever hears of the end may delete the source, and does not find a snapshot in its way.
#[tokio::test]
async fn a_success_is_told_when_the_source_is_free_and_the_backup_deleted() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("b")).await;
    let snapshots = service.asked().iter().filter(|asked| **asked == "SnapshotBlob").count();
    assert_eq!(snapshots, 1);
    service.steer(&job, CopyAction::Release);
    advance(SOON).await;
    assert!(matches!(end_of(&job).await, Progress::Success(_)));
    assert_eq!(service.asked(), [LOOK, "LeaseBlob", "DeleteBlob"]);
    assert_eq!(service.copies.leases.holder(&blob("s")), None);
    assert_eq!(service.content("b"), "source");
    assert!(!job.has_backup());
}

#[tokio::test]
async fn a_failure_is_told_when_what_was_replaced_is_back() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("b")).await;
    service.hold_copies(false);
    service.steer(&job, CopyAction::Fail { status: 404, code: "BlobNotFound".into() });
    assert_eq!(service.content("b"), "", "a pending copy takes it at its start");
    advance(SOON).await;
    let failure = failure_of(end_of(&job).await);
    assert!(matches!(&failure, CopyFailure::Failed { id, .. } if *id == job.id.to_string()), "{failure:?}");
    assert_eq!(service.content("b"), "before");
    assert_eq!(service.copies.leases.holder(&blob("s")), None);
}

/// M7 and C52: the abort has brought back what was there when its caller is told.
#[tokio::test]
async fn an_abort_is_answered_when_what_was_replaced_is_back() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("b")).await;
    service.hold_copies(false);
    // It does not wait for the next look.
    now("the answer", service.copies.abort_copy(&blob("b"), Some(&job.id))).await.unwrap();
    assert_eq!(service.content("b"), "before");
    let id = job.id.to_string();
    assert_eq!(failure_of(job.progress()), CopyFailure::Aborted { id });
    let again = service.copies.abort_copy(&blob("b"), None).await.unwrap_err();
    assert_eq!(again.errno(), libc::ENODATA);
}

/// X16, C52: nothing is brought back over what somebody else has written.
#[tokio::test]
async fn a_copy_that_another_client_wrote_over_has_failed_and_what_is_written_stays() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("b")).await;
    service.hold_copies(false);
    service.client.blob(&blob("b").path).abort_copy(&job.id, &AbortOptions::default()).await.unwrap();
    let (settings, options) = (BlobSettings::default(), WriteOptions::default());
    service.client.blob(&blob("b").path).block_blob().upload(Bytes::from("theirs"), &settings, &options).await.unwrap();
    service.asked();
    advance(SOON).await;
    let id = job.id.to_string();
    assert_eq!(failure_of(end_of(&job).await), CopyFailure::Replaced { id });
    assert_eq!(service.content("b"), "theirs");
    assert!(!service.asked().contains(&"DeleteBlob"), "the snapshot has what was there before");
}

#[tokio::test]
async fn a_copy_in_whose_place_another_one_is_pending_has_failed() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    service.steer(&job, CopyAction::Replace);
    advance(SOON).await;
    let id = job.id.to_string();
    assert_eq!(failure_of(end_of(&job).await), CopyFailure::Replaced { id });
    let there = service.properties("new").await.copy.unwrap();
    assert!(there.id != job.id && there.status == CopyStatus::Pending, "the other one is left alone");
}

#[tokio::test]
async fn a_destination_that_is_gone_has_been_replaced_by_nothing() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    service.client.blob(&blob("new").path).abort_copy(&job.id, &AbortOptions::default()).await.unwrap();
    service.client.blob(&blob("new").path).delete(&DeleteOptions::default()).await.unwrap();
    advance(SOON).await;
    assert!(matches!(failure_of(end_of(&job).await), CopyFailure::Replaced { .. }));
}

#[tokio::test]
async fn an_outage_of_thirty_seconds_ends_the_wait_and_a_shorter_one_does_not() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    let mut news = job.progress.subscribe();
    // The waits between looks, seconds. It is seen once in between, so that the outage begins anew.
    let waits = [0.1, 0.2, 0.4, 0.8, 1.6, 6.4, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0];
    for (look, wait) in waits.into_iter().enumerate() {
        let seen = look == 8;
        if !seen {
            service.store.add_fault(unavailable(500));
        }
        service.sends_after(Duration::from_secs_f64(wait), LOOK).await;
        now("what was seen", news.changed()).await.unwrap();
        let ended = !matches!(*news.borrow(), Progress::Pending(_));
        assert_eq!(ended, look + 1 == waits.len(), "look {look}");
    }
    assert!(matches!(job.progress(), Progress::Failed(error) if error.status() == 500));
}

fn unavailable(status: u16) -> Fault {
    serde_json::from_value(serde_json::json!({ "operation": LOOK, "status": status })).unwrap()
}

#[tokio::test]
async fn a_refusal_to_show_the_destination_ends_the_wait_at_once() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    service.store.add_fault(unavailable(403));
    advance(SOON).await;
    assert!(matches!(end_of(&job).await, Progress::Failed(error) if error.status() == 403));
}

#[tokio::test]
async fn a_copy_of_another_client_is_looked_at_as_long_as_somebody_here_waits_for_it() {
    let service = Service::start().await;
    let job = service.copy_onto(&blob("new")).await;
    let state = service.properties("new").await.copy.unwrap();
    service.client.blob(&blob("new").path).abort_copy(&job.id, &AbortOptions::default()).await.unwrap();
    advance(SOON).await;
    end_of(&job).await;
    let adopted = service.copies.follow_foreign(blob("new"), &state).unwrap();
    let mut news = adopted.progress.subscribe();
    service.sends_after(Duration::from_millis(100), LOOK).await;
    now("what was seen", news.changed()).await.unwrap();
    assert!(matches!(failure_of(adopted.progress()), CopyFailure::Aborted { .. }));
    let adopted = service.copies.follow_foreign(blob("new"), &state).unwrap();
    drop(adopted);
    service.settle().await;
    advance(Duration::from_secs(3600)).await;
    service.assert_nothing_comes(LOOK).await;
    assert!(service.copies.jobs.of(&blob("new")).is_none());
}

/// C40 to C47: a finite lease that lasts as long as the copies, and no longer.
#[tokio::test]
async fn the_lease_of_a_source_is_renewed_and_shared_and_ends_with_the_last_copy() {
    let service = Service::start().await;
    let first = service.copy_onto(&blob("new")).await;
    service.asked();
    let second = service.copy_onto(&blob("b")).await;
    until("the second use", || service.copies.leases.holder(&blob("s")).is_some_and(|held| held.contains("1 more")))
        .await;
    assert!(!service.asked().contains(&"LeaseBlob"), "it is there already");
    let tick = Duration::from_secs(1);
    for _ in 0..180 {
        service.store.age_leases(tick);
        advance(tick).await;
        service.settle().await;
    }
    let renewals = service.requests("LeaseBlob");
    assert!((8..=9).contains(&renewals), "{renewals} renewals in three minutes, one every twenty seconds");
    assert_eq!(service.properties("s").await.lease.state.as_deref(), Some("leased"));
    for (job, left) in [(first, Some("leased")), (second, Some("available"))] {
        service.steer(&job, CopyAction::Release);
        job.poll_now();
        end_of(&job).await;
        assert_eq!(service.properties("s").await.lease.state.as_deref(), left);
    }
}
