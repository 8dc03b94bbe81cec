//! Copy Blob from a second account, and Abort Copy Blob.
//!
//! Such a copy is pending for a while that nobody can tell before. What is to be seen of a pending one is therefore
//! asked in such a way that the answer tells when the copy was over: that is no difference, and the row says so.

use crate::cli::verify_account::fact::Need::{Containers, Flat, FlatSecond, Second, Versions};
use crate::cli::verify_account::fact::{Fact, NO_LEASE, together};
use crate::cli::verify_account::lab::{Lab, Seen};
use crate::error::Result;

/// Instead of what a pending copy does.
const OVER: &str = "the copy was over before it could be seen";
/// Instead of what a copy does that has ended.
const PENDING: &str = "the copy was pending for longer than this waits";

/// Content of small sources.
const CONTENT: &str = "12345678";
/// Bytes of a source whose copy takes a moment.
const LARGE: usize = 4 << 20;

fn large() -> String {
    "x".repeat(LARGE)
}

/// Copy Blob of a new blob of the second account: two requests.
async fn copied(lab: &Lab, name: &str, content: impl Into<String>) -> Result<Seen> {
    let second = lab.second()?;
    second.put(name, &content.into()).done().await?;
    lab.copy_from(&second.readable_by(name, &lab.client).await?, name).done().await
}

/// Ends a copy, if it has not ended, and the lease of its destination, which could not be removed with both: two
/// requests.
async fn end(lab: &Lab, name: &str, copy: &Seen, lease: &Seen) -> Result<()> {
    let abort = lab.abort(name, copy.header("x-ms-copy-id"));
    abort.header("x-ms-lease-id", lease.header("x-ms-lease-id")).send().await?;
    lab.lease(name, "break").header("x-ms-lease-break-period", "0").send().await?;
    Ok(())
}

fn is_pending(head: &Seen) -> bool {
    head.header("x-ms-copy-status") == "pending"
}

/// Date headers that say the same, but for the time that an answer takes.
fn same_moment(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (httpdate::parse_http_date(one), httpdate::parse_http_date(other)) else { return false };
    let apart = one.duration_since(other).or_else(|_| other.duration_since(one));
    apart.is_ok_and(|apart| apart.as_secs() <= 1)
}

/// Length and progress of a copy from [`large`] content.
fn length_and_progress(head: &Seen) -> String {
    let progress = head.header("x-ms-copy-progress").replace(&LARGE.to_string(), "all");
    format!("{} bytes, {progress}", head.header("content-length"))
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S3"],
        what: "Copy Blob from the second account",
        needs: &[Second],
        requests: 2,
        expected: &["202 pending", "202 success"],
        run: |lab| {
            Box::pin(async move {
                let seen = copied(lab, "s3", CONTENT).await?;
                Ok(format!("{} {}", seen.status(), seen.header("x-ms-copy-status")))
            })
        },
    },
    Fact {
        ids: &["S4"],
        what: "HEAD while it is pending, and ETag in the end",
        needs: &[Second],
        requests: 4,
        expected: &[
            "0 bytes, 0/8, the same etag, no x-ms-copy-completion-time; 8/8, another etag",
            "0 bytes, 0/8, the same etag, no x-ms-copy-completion-time; the copy was pending for longer than this waits",
            OVER,
        ],
        run: |lab| {
            Box::pin(async move {
                let answer = copied(lab, "s4", CONTENT).await?;
                let head = lab.head("s4").done().await?;
                lab.tick().await;
                let end = lab.head("s4").done().await?;
                if !is_pending(&head) {
                    return Ok(OVER.to_owned());
                }
                let (length, progress) = (head.header("content-length"), head.header("x-ms-copy-progress"));
                let (etag, time) = (answer.compared(&head, "etag"), head.shown("x-ms-copy-completion-time"));
                let end = match is_pending(&end) {
                    true => PENDING.to_owned(),
                    false => format!("{}, {}", end.header("x-ms-copy-progress"), head.compared(&end, "etag")),
                };
                Ok(format!("{length} bytes, {progress}, {etag}, {time}; {end}"))
            })
        },
    },
    Fact {
        ids: &["S5", "S19"],
        what: "pending onto a blob with an infinite lease: Content-MD5, content type, tier, creation time, lease",
        needs: &[Second],
        requests: 7,
        expected: &["202 pending; the same content-md5, text/x-source, all three, locked leased infinite", OVER],
        run: |lab| {
            Box::pin(async move {
                let second = lab.second()?;
                let source = second.put("s5", CONTENT).header("x-ms-blob-content-type", "text/x-source");
                let source = source.done().await?;
                lab.put("s5", "b").done().await?;
                let lease = lab.lease("s5", "acquire").header("x-ms-lease-duration", "-1").done().await?;
                let url = second.readable_by("s5", &lab.client).await?;
                let copy = lab.copy_from(&url, "s5").header("x-ms-lease-id", lease.header("x-ms-lease-id"));
                let copy = copy.send().await?;
                let head = lab.head("s5").done().await?;
                end(lab, "s5", &copy, &lease).await?;
                if copy.status() == 202 && !is_pending(&head) {
                    return Ok(OVER.to_owned());
                }
                let three = ["x-ms-access-tier", "x-ms-creation-time", "last-modified"].iter();
                let three = if three.clone().all(|name| head.has(name)) { "all three" } else { "not all three" };
                let lease = ["x-ms-lease-status", "x-ms-lease-state", "x-ms-lease-duration"];
                Ok(format!(
                    "{} {}; {}, {}, {three}, {}",
                    copy.outcome(),
                    copy.header("x-ms-copy-status"),
                    source.compared(&head, "content-md5"),
                    head.header("content-type"),
                    lease.map(|name| head.header(name)).join(" ")
                ))
            })
        },
    },
    Fact {
        ids: &["S8", "S9", "S10", "S11"],
        what: "from the second account: sealed without x-ms-seal-blob, with false; unsealed with true, without it",
        needs: &[Flat, Second, FlatSecond],
        requests: 15,
        expected: &["sealed / not sealed / sealed / not sealed", PENDING],
        run: |lab| {
            Box::pin(async move {
                let second = lab.second()?;
                second.put_append("s8-far").done().await?;
                second.put_append("s8-far-sealed").done().await?;
                second.ask("PUT", "s8-far-sealed").query("comp", "seal").done().await?;
                let copies = [
                    ("s8-far-1", "s8-far-sealed", None),
                    ("s8-far-2", "s8-far-sealed", Some("false")),
                    ("s8-far-3", "s8-far", Some("true")),
                    ("s8-far-4", "s8-far", None),
                ];
                for (name, source, seal) in copies {
                    let copy = lab.copy_from(&second.readable_by(source, &lab.client).await?, name);
                    match seal {
                        Some(seal) => copy.header("x-ms-seal-blob", seal).done().await?,
                        None => copy.done().await?,
                    };
                    lab.head(name).done().await?;
                }
                lab.tick().await;
                let mut seen = Vec::new();
                for (name, ..) in copies {
                    let head = lab.head(name).done().await?;
                    if is_pending(&head) {
                        return Ok(PENDING.to_owned());
                    }
                    let sealed = head.header("x-ms-blob-sealed") == "true";
                    seen.push(if sealed { "sealed" } else { "not sealed" });
                }
                Ok(seen.join(" / "))
            })
        },
    },
    Fact {
        ids: &["S18"],
        what: "Copy Blob of a private blob of the second account without a SAS",
        needs: &[Second],
        requests: 2,
        expected: &["401 CannotVerifyCopySource", "409 CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                let second = lab.second()?;
                second.put("s18", CONTENT).done().await?;
                Ok(lab.copy_from(&second.url("s18")?, "s18").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S21"],
        what: "Put Blob and another Copy Blob while a copy is pending",
        needs: &[Second],
        requests: 4,
        expected: &["409 PendingCopyOperation", OVER],
        run: |lab| {
            Box::pin(async move {
                let copy = copied(lab, "s21", large()).await?;
                // The ETag of a pending copy is another one than that of the blob in the end (S4).
                let etag = copy.header("etag");
                let url = lab.second()?.readable_by("s21", &lab.client).await?;
                let put = lab.put("s21", "b").header("if-match", etag).send().await?;
                let again = lab.copy_from(&url, "s21").header("if-match", etag).send().await?;
                if put.status() == 412 || again.status() == 412 {
                    return Ok(OVER.to_owned());
                }
                Ok(together(&[put.outcome(), again.outcome()]))
            })
        },
    },
    Fact {
        ids: &["S22"],
        what: "Get Page Ranges while a copy is pending",
        needs: &[Flat, Second, FlatSecond],
        requests: 3,
        expected: &["409 PendingCopyOperation", OVER],
        run: |lab| {
            Box::pin(async move {
                let second = lab.second()?;
                second.put_pages("s22", LARGE as u64).done().await?;
                let copy = lab.copy_from(&second.readable_by("s22", &lab.client).await?, "s22").done().await?;
                let pages = lab.get("s22").query("comp", "pagelist").header("if-match", copy.header("etag"));
                let pages = pages.send().await?;
                Ok(if pages.status() == 412 { OVER.to_owned() } else { pages.outcome() })
            })
        },
    },
    Fact {
        ids: &["S23"],
        what: "Delete Container while a copy into it is pending",
        needs: &[Containers, Second],
        requests: 4,
        expected: &["202"],
        run: |lab| {
            Box::pin(async move {
                let own = lab.new_container("s23").await?;
                let second = lab.second()?;
                second.put("s23", &large()).done().await?;
                own.copy_from(&second.readable_by("s23", &lab.client).await?, "s23").done().await?;
                Ok(own.delete_container().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S24", "S25", "S26"],
        what: "a source that changes while it is copied",
        needs: &[Second],
        requests: 4,
        expected: &[
            "failed, 412 ConditionNotMet \"Copy failed when reading the source.\"; 0 bytes, 0/all",
            OVER,
            PENDING,
        ],
        run: |lab| {
            Box::pin(async move {
                copied(lab, "s24", large()).await?;
                lab.second()?.put("s24", CONTENT).done().await?;
                lab.tick().await;
                let head = lab.head("s24").done().await?;
                Ok(match head.header("x-ms-copy-status") {
                    "success" => OVER.to_owned(),
                    "pending" => PENDING.to_owned(),
                    status => {
                        let why = head.header("x-ms-copy-status-description");
                        format!("{status}, {why}; {}", length_and_progress(&head))
                    }
                })
            })
        },
    },
    Fact {
        ids: &["S30"],
        what: "version id of a pending copy, and of the blob when it was aborted",
        needs: &[Versions, Second],
        requests: 4,
        expected: &["a version id, which stays", OVER],
        run: |lab| {
            Box::pin(async move {
                let copy = copied(lab, "s30", large()).await?;
                let abort = lab.abort("s30", copy.header("x-ms-copy-id")).send().await?;
                let head = lab.head("s30").done().await?;
                if abort.code() == "NoPendingCopyOperation" {
                    return Ok(OVER.to_owned());
                }
                Ok(match copy.compared(&head, "x-ms-version-id").as_str() {
                    "the same x-ms-version-id" => "a version id, which stays".to_owned(),
                    other => other.to_owned(),
                })
            })
        },
    },
    Fact {
        ids: &["S31", "S32"],
        what: "Abort Copy Blob: ETag of the answer; HEAD then",
        needs: &[Second],
        requests: 4,
        expected: &[
            "204, no etag; aborted, 0 bytes, 0/all, another etag, modified and completed then, created with the copy",
            OVER,
        ],
        run: |lab| {
            Box::pin(async move {
                let copy = copied(lab, "s31", large()).await?;
                let abort = lab.abort("s31", copy.header("x-ms-copy-id")).send().await?;
                let head = lab.head("s31").done().await?;
                if abort.code() == "NoPendingCopyOperation" {
                    return Ok(OVER.to_owned());
                }
                let now = abort.header("date");
                let then = [head.header("last-modified"), head.header("x-ms-copy-completion-time")];
                let then = match then.iter().all(|moment| same_moment(moment, now)) {
                    true => "modified and completed then",
                    false => "modified and completed at other times",
                };
                let created = match same_moment(head.header("x-ms-creation-time"), copy.header("last-modified")) {
                    true => "created with the copy",
                    false => "created at another time",
                };
                Ok(format!(
                    "{}, {}; {}, {}, {}, {then}, {created}",
                    abort.outcome(),
                    abort.shown("etag"),
                    head.header("x-ms-copy-status"),
                    length_and_progress(&head),
                    copy.compared(&head, "etag"),
                ))
            })
        },
    },
    Fact {
        ids: &["S35"],
        what: "Abort Copy Blob onto a leased blob with another lease id",
        needs: &[Second],
        requests: 7,
        expected: &["412 LeaseIdMismatchWithBlobOperation", OVER],
        run: |lab| {
            Box::pin(async move {
                let second = lab.second()?;
                second.put("s35", &large()).done().await?;
                lab.put("s35", "b").done().await?;
                let lease = lab.lease("s35", "acquire").header("x-ms-lease-duration", "-1").done().await?;
                let url = second.readable_by("s35", &lab.client).await?;
                let copy = lab.copy_from(&url, "s35").header("x-ms-lease-id", lease.header("x-ms-lease-id"));
                let copy = copy.done().await?;
                let abort = lab.abort("s35", copy.header("x-ms-copy-id")).header("x-ms-lease-id", NO_LEASE);
                let abort = abort.send().await?;
                end(lab, "s35", &copy, &lease).await?;
                Ok(if abort.code() == "NoPendingCopyOperation" { OVER.to_owned() } else { abort.outcome() })
            })
        },
    },
];
