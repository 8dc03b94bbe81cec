//! Access tiers. What is archived here is a few bytes.

use crate::cli::verify_account::fact::{Fact, NO_LEASE, together};

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S99"],
        what: "Set Blob Tier from Archive: answer, and tier, archive status and ETag then",
        needs: &[],
        requests: 5,
        expected: &["202; x-ms-access-tier: Archive, x-ms-archive-status: rehydrate-pending-to-hot, the same etag"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s99", "a").done().await?;
                lab.set_tier("s99", "Archive").done().await?;
                let before = lab.head("s99").done().await?;
                let set = lab.set_tier("s99", "Hot").send().await?;
                let after = lab.head("s99").done().await?;
                let (tier, status) = (after.shown("x-ms-access-tier"), after.shown("x-ms-archive-status"));
                Ok(format!("{}; {tier}, {status}, {}", set.outcome(), before.compared(&after, "etag")))
            })
        },
    },
    Fact {
        ids: &["S100", "S182"],
        what: "Set Blob Tier to another tier while it comes back from Archive: open",
        needs: &[],
        requests: 4,
        expected: &["409 BlobBeingRehydrated", "200", "202"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s100", "a").done().await?;
                lab.set_tier("s100", "Archive").done().await?;
                lab.set_tier("s100", "Hot").done().await?;
                Ok(lab.set_tier("s100", "Cool").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S101"],
        what: "Copy Blob with tier Archive",
        needs: &[],
        requests: 3,
        expected: &["202 success; x-ms-access-tier: Archive, no x-ms-archive-status"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s101", "a").done().await?;
                let copied = lab.copy("s101", "s101-copy").await?.header("x-ms-access-tier", "Archive").send().await?;
                let head = lab.head("s101-copy").done().await?;
                let (tier, status) = (head.shown("x-ms-access-tier"), head.shown("x-ms-archive-status"));
                Ok(format!("{} {}; {tier}, {status}", copied.status(), copied.header("x-ms-copy-status")))
            })
        },
    },
    Fact {
        ids: &["S102"],
        what: "Put Blob without tier over a blob whose tier was chosen",
        needs: &[],
        requests: 3,
        expected: &["x-ms-access-tier: Cool, no x-ms-access-tier-inferred"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s102", "a").header("x-ms-access-tier", "Cool").done().await?;
                lab.put("s102", "b").done().await?;
                let head = lab.head("s102").done().await?;
                Ok(format!("{}, {}", head.shown("x-ms-access-tier"), head.shown("x-ms-access-tier-inferred")))
            })
        },
    },
    Fact {
        ids: &["S103"],
        what: "Copy Blob without tier over a blob whose tier was chosen",
        needs: &[],
        requests: 4,
        expected: &["x-ms-access-tier: Cool, no x-ms-access-tier-inferred"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s103", "a").done().await?;
                lab.put("s103-to", "b").header("x-ms-access-tier", "Cool").done().await?;
                lab.copy("s103", "s103-to").await?.done().await?;
                let head = lab.head("s103-to").done().await?;
                Ok(format!("{}, {}", head.shown("x-ms-access-tier"), head.shown("x-ms-access-tier-inferred")))
            })
        },
    },
    Fact {
        ids: &["S104"],
        what: "a tier that there is not",
        needs: &[],
        requests: 2,
        expected: &["400 InvalidHeaderValue"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s104", "a").done().await?;
                Ok(lab.set_tier("s104", "Lukewarm").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S105"],
        what: "archived blob: Put Block, Put Blob and Copy Blob onto itself",
        needs: &[],
        requests: 5,
        expected: &["409 BlobArchived"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s105", "a").done().await?;
                lab.set_tier("s105", "Archive").done().await?;
                let mut seen = Vec::new();
                for ask in [lab.block("s105", "YWFh", "b"), lab.put("s105", "b"), lab.copy("s105", "s105").await?] {
                    seen.push(ask.send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S106"],
        what: "archived blob: Set Blob Metadata is refused; the code is open",
        needs: &[],
        requests: 3,
        expected: &["refused"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s106", "a").done().await?;
                lab.set_tier("s106", "Archive").done().await?;
                let set = lab.set_metadata("s106").send().await?;
                Ok(if (400..500).contains(&set.status()) { "refused".to_owned() } else { set.outcome() })
            })
        },
    },
    Fact {
        ids: &["S107"],
        what: "Copy Blob of an archived blob to tier Cold: refused, or taken by now",
        needs: &[],
        requests: 4,
        expected: &["400", "202"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s107", "a").done().await?;
                lab.set_tier("s107", "Archive").done().await?;
                let copy = lab.copy("s107", "s107-copy").await?.header("x-ms-access-tier", "Cold").send().await?;
                // It would be pending for hours.
                let id = if copy.has("x-ms-copy-id") { copy.header("x-ms-copy-id") } else { NO_LEASE };
                lab.abort("s107-copy", id).send().await?;
                Ok(copy.status().to_string())
            })
        },
    },
    Fact {
        ids: &["S183"],
        what: "archive status on the way from Archive to Cold",
        needs: &[],
        requests: 4,
        expected: &["x-ms-archive-status: rehydrate-pending-to-cold"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s183", "a").done().await?;
                lab.set_tier("s183", "Archive").done().await?;
                lab.set_tier("s183", "Cold").done().await?;
                Ok(lab.head("s183").done().await?.shown("x-ms-archive-status"))
            })
        },
    },
];
