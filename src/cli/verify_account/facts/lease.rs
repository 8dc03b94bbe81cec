//! Lease Blob.

use crate::cli::verify_account::fact::Need::Flat;
use crate::cli::verify_account::fact::{Fact, NO_LEASE};
use crate::cli::verify_account::lab::{Ask, Lab};

/// For as short a time as there is.
fn acquire<'a>(lab: &'a Lab, name: &str) -> Ask<'a> {
    lab.lease(name, "acquire").header("x-ms-lease-duration", "15")
}

fn break_at_once<'a>(lab: &'a Lab, name: &str) -> Ask<'a> {
    lab.lease(name, "break").header("x-ms-lease-break-period", "0")
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S93"],
        what: "acquire a lease: ETag; once more with another id",
        needs: &[],
        requests: 4,
        expected: &["201, the same etag / 409 LeaseAlreadyPresent"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s93", "a").done().await?;
                let first = acquire(lab, "s93").send().await?;
                let second = acquire(lab, "s93").header("x-ms-proposed-lease-id", NO_LEASE).send().await?;
                break_at_once(lab, "s93").done().await?;
                Ok(format!("{}, {} / {}", first.outcome(), put.compared(&first, "etag"), second.outcome()))
            })
        },
    },
    Fact {
        ids: &["S94"],
        what: "break a lease, and a write with its id while it breaks",
        needs: &[],
        requests: 5,
        expected: &["202 with a time, 201"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s94", "a").done().await?;
                let acquired = acquire(lab, "s94").done().await?;
                let broken = lab.lease("s94", "break").header("x-ms-lease-break-period", "10").send().await?;
                let time = if broken.header("x-ms-lease-time").parse::<u32>().is_ok() { "with a" } else { "without" };
                let put = lab.put("s94", "b").header("x-ms-lease-id", acquired.header("x-ms-lease-id")).send().await?;
                break_at_once(lab, "s94").done().await?;
                Ok(format!("{} {time} time, {}", broken.outcome(), put.outcome()))
            })
        },
    },
    Fact {
        ids: &["S95"],
        what: "a write with the id of a lease that was broken",
        needs: &[],
        requests: 4,
        expected: &["412 LeaseLost"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s95", "a").done().await?;
                let acquired = acquire(lab, "s95").done().await?;
                break_at_once(lab, "s95").done().await?;
                let put = lab.put("s95", "b").header("x-ms-lease-id", acquired.header("x-ms-lease-id"));
                Ok(put.send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S96"],
        what: "a malformed lease id",
        needs: &[],
        requests: 2,
        expected: &["400 InvalidHeaderValue"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s96", "a").done().await?;
                Ok(lab.put("s96", "b").header("x-ms-lease-id", "not-an-id").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S97"],
        what: "leased blob: Set Blob Tags without id, Get Blob Tags with a wrong one, Set Blob Tags with it",
        needs: &[Flat],
        requests: 6,
        expected: &["412 LeaseIdMissing / 412 LeaseIdMismatchWithBlobOperation / 204"],
        run: |lab| {
            Box::pin(async move {
                let tags = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Tags><TagSet><Tag><Key>a</Key><Value>1</Value></Tag>\
                            </TagSet></Tags>";
                lab.put("s97", "a").done().await?;
                let acquired = acquire(lab, "s97").done().await?;
                let set =
                    || lab.ask("PUT", "s97").query("comp", "tags").header("content-type", "application/xml").body(tags);
                let without = set().send().await?;
                let wrong = lab.get("s97").query("comp", "tags").header("x-ms-lease-id", NO_LEASE).send().await?;
                let with = set().header("x-ms-lease-id", acquired.header("x-ms-lease-id")).send().await?;
                break_at_once(lab, "s97").done().await?;
                Ok(format!("{} / {} / {}", without.outcome(), wrong.outcome(), with.outcome()))
            })
        },
    },
    Fact {
        ids: &["S180"],
        what: "renew with another id; break where there is no lease",
        needs: &[],
        requests: 5,
        expected: &["409 LeaseIdMismatchWithLeaseOperation / 409 LeaseNotPresentWithLeaseOperation"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s180", "a").done().await?;
                let nothing = lab.lease("s180", "break").send().await?;
                acquire(lab, "s180").done().await?;
                let renew = lab.lease("s180", "renew").header("x-ms-lease-id", NO_LEASE).send().await?;
                break_at_once(lab, "s180").done().await?;
                Ok(format!("{} / {}", renew.outcome(), nothing.outcome()))
            })
        },
    },
    Fact {
        ids: &["S181"],
        what: "renew, change, release, acquire again: status, and ETag and Last-Modified at the end",
        needs: &[],
        requests: 8,
        expected: &["200 / 200 / 200 / 201, the same etag, the same last-modified"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s181", "a").done().await?;
                let acquired = acquire(lab, "s181").done().await?;
                let id = acquired.header("x-ms-lease-id");
                let renew = lab.lease("s181", "renew").header("x-ms-lease-id", id).send().await?;
                let change = lab.lease("s181", "change").header("x-ms-lease-id", id);
                let change = change.header("x-ms-proposed-lease-id", NO_LEASE).send().await?;
                let release = lab.lease("s181", "release").header("x-ms-lease-id", NO_LEASE).send().await?;
                let again = acquire(lab, "s181").send().await?;
                let head = lab.head("s181").done().await?;
                break_at_once(lab, "s181").done().await?;
                let outcomes = [renew, change, release, again].map(|seen| seen.outcome());
                let kept = [put.compared(&head, "etag"), put.compared(&head, "last-modified")];
                Ok(format!("{}, {}", outcomes.join(" / "), kept.join(", ")))
            })
        },
    },
];
