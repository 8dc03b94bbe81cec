//! List Blobs.

use crate::cli::verify_account::fact::Fact;
use crate::cli::verify_account::fact::Need::{Flat, SoftDelete, Versions};

/// Where things are in the text of a listing: `in this order`, or what is missing or elsewhere.
fn order(text: &str, parts: &[&str]) -> &'static str {
    let places: Option<Vec<usize>> = parts.iter().map(|part| text.find(part)).collect();
    match places {
        Some(places) if places.is_sorted() => "in this order",
        Some(_) => "in another order",
        None => "not all there",
    }
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S77", "S205"],
        what: "a name that XML cannot hold: how it is listed, and the slash in it",
        needs: &[Flat],
        requests: 2,
        expected: &["Encoded=\"true\", the slash is %2F"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s77/x\u{fffe}y", "a").done().await?;
                let list = lab.list("s77").done().await?.text();
                let encoded = if list.contains("Encoded=\"true\"") { "Encoded=\"true\"" } else { "no Encoded" };
                let slash = if list.contains("s77%2Fx") || list.contains("s77%2fx") { "%2F" } else { "itself" };
                Ok(format!("{encoded}, the slash is {slash}"))
            })
        },
    },
    Fact {
        ids: &["S79", "S80"],
        what: "a snapshot stands before its blob, and has no tier",
        needs: &[Flat],
        requests: 3,
        expected: &["in this order, 1 tier of 2"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s79", "a").done().await?;
                let snapshot = lab.ask("PUT", "s79").query("comp", "snapshot").done().await?;
                let list = lab.list("s79").query("include", "snapshots").done().await?.text();
                let blobs: Vec<&str> = list.split("<Blob>").skip(1).collect();
                let order =
                    order(&list, &[&format!("<Snapshot>{}", snapshot.header("x-ms-snapshot")), "</Blob><Blob>"]);
                let first = blobs.first().is_some_and(|blob| blob.contains("<Snapshot>"));
                let order = if first { order } else { "in another order" };
                let tiers = blobs.iter().filter(|blob| blob.contains("<AccessTier>")).count();
                Ok(format!("{order}, {tiers} tier of {}", blobs.len()))
            })
        },
    },
    Fact {
        ids: &["S173"],
        what: "a blob of uncommitted blocks, include=uncommittedblobs",
        needs: &[Flat],
        requests: 2,
        expected: &["listed, without Etag, without Last-Modified, with AccessTier"],
        run: |lab| {
            Box::pin(async move {
                lab.block("s173", "YWFh", "a").done().await?;
                let list = lab.list("s173").query("include", "uncommittedblobs").done().await?.text();
                let has = |element: &str| if list.contains(&format!("<{element}>")) { "with" } else { "without" };
                let listed = if list.contains("<Blob>") { "listed" } else { "not listed" };
                let (etag, date, tier) = (has("Etag"), has("Last-Modified"), has("AccessTier"));
                Ok(format!("{listed}, {etag} Etag, {date} Last-Modified, {tier} AccessTier"))
            })
        },
    },
    Fact {
        ids: &["S175"],
        what: "maxresults above 5000, a marker that is none, and a control character in prefix",
        needs: &[],
        requests: 3,
        expected: &["MaxResults 5000 / 400 InvalidQueryParameterValue / 400 InvalidQueryParameterValue"],
        run: |lab| {
            Box::pin(async move {
                let many = lab.list("s175").query("maxresults", "6000").done().await?.text();
                let many =
                    many.split("<MaxResults>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or("missing");
                let marker = lab.list("s175").query("marker", "nowhere").send().await?;
                let control = lab.list("s175\u{1}").send().await?;
                Ok(format!("MaxResults {many} / {} / {}", marker.outcome(), control.outcome()))
            })
        },
    },
    Fact {
        ids: &["S78"],
        what: "elements about its copy in the entry of a copied blob, include=copy",
        needs: &[],
        requests: 3,
        expected: &["CopyId, CopyStatus, CopySource, CopyProgress, CopyCompletionTime"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s78", "a").done().await?;
                lab.copy("s78", "s78-copy").await?.done().await?;
                let list = lab.list("s78-copy").query("include", "copy").done().await?.text();
                let elements = [
                    "CopyId",
                    "CopyStatus",
                    "CopySource",
                    "CopyProgress",
                    "CopyCompletionTime",
                    "CopyStatusDescription",
                ];
                let there = elements.iter().copied().filter(|name| list.contains(&format!("<{name}>")));
                Ok(there.collect::<Vec<_>>().join(", "))
            })
        },
    },
    Fact {
        ids: &["S81"],
        what: "the entry of a deleted blob, include=deleted",
        needs: &[Flat, SoftDelete],
        requests: 3,
        expected: &["Deleted, DeletedTime, RemainingRetentionDays, an empty LeaseStatus"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s81", "a").done().await?;
                lab.ask("DELETE", "s81").done().await?;
                let list = lab.list("s81").query("include", "deleted").done().await?.text();
                let there = ["Deleted", "DeletedTime", "RemainingRetentionDays"].into_iter();
                let mut there: Vec<&str> = there.filter(|name| list.contains(&format!("<{name}>"))).collect();
                let empty = ["<LeaseStatus />", "<LeaseStatus/>", "<LeaseStatus></LeaseStatus>"];
                let empty = empty.iter().any(|element| list.contains(element));
                there.push(if empty { "an empty LeaseStatus" } else { "no empty LeaseStatus" });
                Ok(there.join(", "))
            })
        },
    },
    Fact {
        ids: &["S82"],
        what: "the entry of a blob that comes back from Archive",
        needs: &[],
        requests: 4,
        expected: &["ArchiveStatus rehydrate-pending-to-hot, RehydratePriority Standard"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s82", "a").done().await?;
                lab.set_tier("s82", "Archive").done().await?;
                lab.set_tier("s82", "Hot").done().await?;
                let list = lab.list("s82").done().await?;
                let (status, priority) = (list.element("ArchiveStatus"), list.element("RehydratePriority"));
                Ok(format!("ArchiveStatus {status}, RehydratePriority {priority}"))
            })
        },
    },
    Fact {
        ids: &["S174"],
        what: "a name with old versions alone, and a living one, include=deletedwithversions",
        needs: &[Flat, Versions],
        requests: 5,
        expected: &["HasVersionsOnly true, Etag, and neither VersionId nor IsCurrentVersion nor Deleted; false"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s174/a", "first").done().await?;
                lab.put("s174/a", "second").done().await?;
                lab.ask("DELETE", "s174/a").done().await?;
                lab.put("s174/b", "b").done().await?;
                let list = lab.list("s174/").query("include", "deletedwithversions").done().await?.text();
                let mut entries = list.split("<Blob>").skip(1);
                let (gone, living) = (entries.next().unwrap_or_default(), entries.next().unwrap_or_default());
                let only = |entry: &str| {
                    let value = entry.split_once("<HasVersionsOnly>").map_or("missing", |(_, rest)| rest);
                    value.split('<').next().unwrap_or_default().to_owned()
                };
                let etag = if gone.contains("<Etag>") { "Etag" } else { "no Etag" };
                let others = ["VersionId", "IsCurrentVersion", "Deleted"];
                let others: Vec<_> = others.iter().filter(|name| gone.contains(&format!("<{name}>"))).collect();
                let others = match others.is_empty() {
                    true => "neither VersionId nor IsCurrentVersion nor Deleted".to_owned(),
                    false => format!("{others:?}"),
                };
                Ok(format!("HasVersionsOnly {}, {etag}, and {others}; {}", only(gone), only(living)))
            })
        },
    },
];
