//! List Blobs.

use crate::cli::verify_account::fact::{Fact, Of};

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
        id: "S77",
        what: "a name that XML cannot hold: how it is listed, and the slash in it (also S205)",
        of: Of::Flat,
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
        id: "S79",
        what: "a snapshot stands before its blob, and has no tier (also S80)",
        of: Of::Flat,
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
        id: "S173",
        what: "a blob of uncommitted blocks, include=uncommittedblobs",
        of: Of::Flat,
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
        id: "S175",
        what: "maxresults above 5000, a marker that is none, and a control character in prefix",
        of: Of::Any,
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
];
