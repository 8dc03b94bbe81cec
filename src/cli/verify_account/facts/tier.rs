//! Access tiers. What is archived here is a few bytes.

use crate::cli::verify_account::fact::{Fact, Of, together};
use crate::cli::verify_account::lab::{Ask, Lab};

fn set_tier<'a>(lab: &'a Lab, name: &str, tier: &str) -> Ask<'a> {
    lab.ask("PUT", name).query("comp", "tier").header("x-ms-access-tier", tier)
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        id: "S99",
        what: "Set Blob Tier from Archive: answer, and tier, archive status and ETag then",
        of: Of::Any,
        requests: 5,
        expected: &["202; x-ms-access-tier: Archive, x-ms-archive-status: rehydrate-pending-to-hot, the same etag"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s99", "a").done().await?;
                set_tier(lab, "s99", "Archive").done().await?;
                let before = lab.head("s99").done().await?;
                let set = set_tier(lab, "s99", "Hot").send().await?;
                let after = lab.head("s99").done().await?;
                let (tier, status) = (after.shown("x-ms-access-tier"), after.shown("x-ms-archive-status"));
                Ok(format!("{}; {tier}, {status}, {}", set.outcome(), before.compared(&after, "etag")))
            })
        },
    },
    Fact {
        id: "S100",
        what: "Set Blob Tier to another tier while it comes back from Archive: open (also S182)",
        of: Of::Any,
        requests: 4,
        expected: &["409 BlobBeingRehydrated", "200", "202"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s100", "a").done().await?;
                set_tier(lab, "s100", "Archive").done().await?;
                set_tier(lab, "s100", "Hot").done().await?;
                Ok(set_tier(lab, "s100", "Cool").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S101",
        what: "Copy Blob with tier Archive",
        of: Of::Any,
        requests: 3,
        expected: &["202 success; x-ms-access-tier: Archive, no x-ms-archive-status"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s101", "a").done().await?;
                let copied = lab.copy("s101", "s101-copy")?.header("x-ms-access-tier", "Archive").send().await?;
                let head = lab.head("s101-copy").done().await?;
                let (tier, status) = (head.shown("x-ms-access-tier"), head.shown("x-ms-archive-status"));
                Ok(format!("{} {}; {tier}, {status}", copied.status(), copied.header("x-ms-copy-status")))
            })
        },
    },
    Fact {
        id: "S102",
        what: "Put Blob without tier over a blob whose tier was chosen",
        of: Of::Any,
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
        id: "S103",
        what: "Copy Blob without tier over a blob whose tier was chosen",
        of: Of::Any,
        requests: 4,
        expected: &["x-ms-access-tier: Cool, no x-ms-access-tier-inferred"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s103", "a").done().await?;
                lab.put("s103-to", "b").header("x-ms-access-tier", "Cool").done().await?;
                lab.copy("s103", "s103-to")?.done().await?;
                let head = lab.head("s103-to").done().await?;
                Ok(format!("{}, {}", head.shown("x-ms-access-tier"), head.shown("x-ms-access-tier-inferred")))
            })
        },
    },
    Fact {
        id: "S104",
        what: "a tier that there is not",
        of: Of::Any,
        requests: 2,
        expected: &["400 InvalidHeaderValue"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s104", "a").done().await?;
                Ok(set_tier(lab, "s104", "Lukewarm").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S105",
        what: "archived blob: Put Block, Put Blob and Copy Blob onto itself",
        of: Of::Any,
        requests: 5,
        expected: &["409 BlobArchived"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s105", "a").done().await?;
                set_tier(lab, "s105", "Archive").done().await?;
                let mut seen = Vec::new();
                for ask in [lab.block("s105", "YWFh", "b"), lab.put("s105", "b"), lab.copy("s105", "s105")?] {
                    seen.push(ask.send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        id: "S106",
        what: "archived blob: Set Blob Metadata is refused; the code is open",
        of: Of::Any,
        requests: 3,
        expected: &["refused"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s106", "a").done().await?;
                set_tier(lab, "s106", "Archive").done().await?;
                let set = lab.ask("PUT", "s106").query("comp", "metadata").header("x-ms-meta-a", "1").send().await?;
                Ok(if (400..500).contains(&set.status()) { "refused".to_owned() } else { set.outcome() })
            })
        },
    },
];
