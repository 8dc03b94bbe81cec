//! Names that the service changes or refuses.

use crate::cli::verify_account::fact::Need::Flat;
use crate::cli::verify_account::fact::{Fact, together};

/// Longest name of a blob in UTF-16 units, and most segments of one (S205).
const LONGEST: usize = 1024;
const MOST_SEGMENTS: usize = 255;

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S203"],
        what: "a backslash in a name",
        needs: &[],
        requests: 2,
        expected: &["is a slash"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s203\\x", "a").done().await?;
                let found = lab.head("s203/x").send().await?;
                Ok(if found.status() == 200 {
                    "is a slash".to_owned()
                } else {
                    format!("is kept: {}", found.outcome())
                })
            })
        },
    },
    Fact {
        ids: &["S204", "S156"],
        what: "a dot at the end of a segment, in the middle and at the end",
        needs: &[],
        requests: 4,
        expected: &["is dropped"],
        run: |lab| {
            Box::pin(async move {
                let mut seen = Vec::new();
                for (sent, kept) in [("s204./x", "s204/x"), ("s204-end.", "s204-end")] {
                    lab.put(sent, "a").done().await?;
                    let found = lab.head(kept).send().await?;
                    seen.push(if found.status() == 200 {
                        "is dropped".to_owned()
                    } else {
                        format!("is kept: {}", found.outcome())
                    });
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S205"],
        what: "U+007F, U+0001, a name too long by one UTF-16 unit, and the longest one",
        needs: &[Flat],
        requests: 4,
        expected: &["400 / 400 / 400 / 201"],
        run: |lab| {
            Box::pin(async move {
                let name = |length: usize| "s".repeat(length - lab.prefix.len());
                let mut seen = Vec::new();
                for name in ["s205\u{7f}".to_owned(), "s205\u{1}".to_owned(), name(LONGEST + 1), name(LONGEST)] {
                    seen.push(lab.put(&name, "a").send().await?.status().to_string());
                }
                Ok(seen.join(" / "))
            })
        },
    },
    Fact {
        ids: &["S205"],
        what: "255 segments, and 256",
        needs: &[Flat],
        requests: 2,
        expected: &["201 / 400"],
        run: |lab| {
            Box::pin(async move {
                let before = lab.prefix.matches('/').count();
                let name = |segments: usize| format!("s205{}", "/x".repeat(segments - 1 - before));
                let most = lab.put(&name(MOST_SEGMENTS), "a").send().await?;
                let more = lab.put(&name(MOST_SEGMENTS + 1), "a").send().await?;
                Ok(format!("{} / {}", most.status(), more.status()))
            })
        },
    },
];
