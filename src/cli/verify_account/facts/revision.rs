//! Snapshots, versions, and what is deleted.

use crate::cli::verify_account::fact::Fact;
use crate::cli::verify_account::fact::Need::{Flat, Forgets, SoftDelete, Versions};
use crate::cli::verify_account::lab::{Lab, Seen};
use crate::error::Result;

/// The version ids of two versions of a new blob: two requests.
async fn two_versions(lab: &Lab, name: &str) -> Result<(String, String)> {
    let first = lab.put(name, "first").done().await?;
    let second = lab.put(name, "second").done().await?;
    Ok((first.header("x-ms-version-id").to_owned(), second.header("x-ms-version-id").to_owned()))
}

fn id(seen: &Seen) -> &str {
    seen.header("x-ms-version-id")
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S84"],
        what: "Delete Blob of a blob with a snapshot",
        needs: &[Flat],
        requests: 3,
        expected: &["409 SnapshotsPresent"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s84", "a").done().await?;
                lab.ask("PUT", "s84").query("comp", "snapshot").done().await?;
                Ok(lab.ask("DELETE", "s84").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S85"],
        what: "Snapshot Blob: version id of the answer and of the blob after it, ETag",
        needs: &[Flat, Versions],
        requests: 4,
        expected: &["a new version id, which the blob has then, the same etag"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s85", "a").done().await?;
                let before = lab.head("s85").done().await?;
                let snapshot = lab.ask("PUT", "s85").query("comp", "snapshot").done().await?;
                let after = lab.head("s85").done().await?;
                let new = if id(&snapshot).is_empty() || id(&snapshot) == id(&before) { "no new" } else { "a new" };
                let has = if id(&after) == id(&snapshot) { "has" } else { "does not have" };
                Ok(format!("{new} version id, which the blob {has} then, {}", before.compared(&after, "etag")))
            })
        },
    },
    Fact {
        ids: &["S86"],
        what: "Delete Blob where nothing is kept",
        needs: &[Flat, Forgets],
        requests: 2,
        expected: &["202, x-ms-delete-type-permanent: true"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s86", "a").done().await?;
                let delete = lab.ask("DELETE", "s86").send().await?;
                Ok(format!("{}, {}", delete.outcome(), delete.shown("x-ms-delete-type-permanent")))
            })
        },
    },
    Fact {
        ids: &["S86"],
        what: "Delete Blob with soft delete",
        needs: &[Flat, SoftDelete],
        requests: 2,
        expected: &["202, x-ms-delete-type-permanent: false"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s86-soft", "a").done().await?;
                let delete = lab.ask("DELETE", "s86-soft").send().await?;
                Ok(format!("{}, {}", delete.outcome(), delete.shown("x-ms-delete-type-permanent")))
            })
        },
    },
    Fact {
        ids: &["S89"],
        what: "Undelete Blob: ETag, Last-Modified and creation time; HEAD before it",
        needs: &[Flat, SoftDelete],
        requests: 6,
        expected: &["404 BlobNotFound; 200, the same etag, the same last-modified, the same x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s89", "a").done().await?;
                let before = lab.head("s89").done().await?;
                lab.ask("DELETE", "s89").done().await?;
                let gone = lab.head("s89").send().await?;
                let undelete = lab.ask("PUT", "s89").query("comp", "undelete").send().await?;
                let after = lab.head("s89").send().await?;
                let kept = ["etag", "last-modified", "x-ms-creation-time"].map(|name| before.compared(&after, name));
                Ok(format!("{}; {}, {}", gone.outcome(), undelete.outcome(), kept.join(", ")))
            })
        },
    },
    Fact {
        ids: &["S89"],
        what: "Undelete Blob of a blob that never was",
        needs: &[Flat, SoftDelete],
        requests: 1,
        expected: &["404 BlobNotFound"],
        run: |lab| {
            Box::pin(async move { Ok(lab.ask("PUT", "s89-never").query("comp", "undelete").send().await?.outcome()) })
        },
    },
    Fact {
        ids: &["S87"],
        what: "Delete Blob of a blob with versions; HEAD of the blob and of its version",
        needs: &[Flat, Versions],
        requests: 5,
        expected: &["202, x-ms-delete-type-permanent: false; 404 BlobNotFound; 200"],
        run: |lab| {
            Box::pin(async move {
                let (_, current) = two_versions(lab, "s87").await?;
                let delete = lab.ask("DELETE", "s87").send().await?;
                let blob = lab.head("s87").send().await?;
                let version = lab.head("s87").query("versionid", &current).send().await?;
                let permanent = delete.shown("x-ms-delete-type-permanent");
                Ok(format!("{}, {permanent}; {}; {}", delete.outcome(), blob.outcome(), version.outcome()))
            })
        },
    },
    Fact {
        ids: &["S88"],
        what: "Delete Blob of the current version by its id",
        needs: &[Flat, Versions],
        requests: 3,
        expected: &["403 OperationNotAllowedOnRootBlob"],
        run: |lab| {
            Box::pin(async move {
                let (_, current) = two_versions(lab, "s88").await?;
                Ok(lab.ask("DELETE", "s88").query("versionid", &current).send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S90"],
        what: "HEAD of an old version: lease, is-current-version and tier",
        needs: &[Flat, Versions],
        requests: 3,
        expected: &["no x-ms-lease-state, no x-ms-is-current-version, a tier"],
        run: |lab| {
            Box::pin(async move {
                let (old, _) = two_versions(lab, "s90").await?;
                let head = lab.head("s90").query("versionid", &old).done().await?;
                let (lease, current) = (head.shown("x-ms-lease-state"), head.shown("x-ms-is-current-version"));
                let tier = if head.has("x-ms-access-tier") { "a tier" } else { "no tier" };
                Ok(format!("{lease}, {current}, {tier}"))
            })
        },
    },
    Fact {
        ids: &["S91"],
        what: "version id in the answers to Set Blob Metadata and Set Blob Tier",
        needs: &[Flat, Versions],
        requests: 4,
        expected: &["a new one / none, the version stays"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s91", "a").done().await?;
                let set = lab.set_metadata("s91").done().await?;
                let new = if id(&set).is_empty() || id(&set) == id(&put) { "no new one" } else { "a new one" };
                let tier = lab.set_tier("s91", "Cool").done().await?;
                let told = if id(&tier).is_empty() { "none" } else { "one" };
                let stays = if id(&lab.head("s91").done().await?) == id(&set) { "stays" } else { "changes" };
                Ok(format!("{new} / {told}, the version {stays}"))
            })
        },
    },
    Fact {
        ids: &["S92", "S7"],
        what: "Copy Blob of a blob's own old version onto it; x-ms-copy-source then",
        needs: &[Flat, Versions],
        requests: 4,
        expected: &["202 success, a new version id; a source with plain colons"],
        run: |lab| {
            Box::pin(async move {
                let (old, current) = two_versions(lab, "s92").await?;
                let copied = lab.copy_from(&lab.url_of_version("s92", &old).await?, "s92").send().await?;
                let new = if id(&copied).is_empty() || id(&copied) == current { "no new" } else { "a new" };
                let head = lab.head("s92").done().await?;
                let plain = head.header("x-ms-copy-source").contains(&format!("?versionid={old}"));
                let colons = if plain { "plain colons" } else { "something else" };
                Ok(format!(
                    "{} {}, {new} version id; a source with {colons}",
                    copied.status(),
                    copied.header("x-ms-copy-status")
                ))
            })
        },
    },
    Fact {
        ids: &["S176"],
        what: "Set Blob Tier of an old version: its ETag, and the current one's tier",
        needs: &[Flat, Versions],
        requests: 6,
        expected: &["200, the same etag, Cool; the current one another"],
        run: |lab| {
            Box::pin(async move {
                let (old, _) = two_versions(lab, "s176").await?;
                let before = lab.head("s176").query("versionid", &old).done().await?;
                let set = lab.set_tier("s176", "Cool").query("versionid", &old).send().await?;
                let after = lab.head("s176").query("versionid", &old).done().await?;
                let tier = after.header("x-ms-access-tier");
                let current = lab.head("s176").done().await?;
                let other = if current.header("x-ms-access-tier") == tier { "the same" } else { "another" };
                Ok(format!("{}, {}, {tier}; the current one {other}", set.outcome(), before.compared(&after, "etag")))
            })
        },
    },
    Fact {
        ids: &["S177"],
        what: "Set Blob Metadata of a snapshot: refused",
        needs: &[Flat],
        requests: 3,
        expected: &["refused"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s177", "a").done().await?;
                let snapshot = lab.ask("PUT", "s177").query("comp", "snapshot").done().await?;
                let set = lab.set_metadata("s177").query("snapshot", snapshot.header("x-ms-snapshot")).send().await?;
                Ok(if (400..500).contains(&set.status()) { "refused".to_owned() } else { set.outcome() })
            })
        },
    },
];
