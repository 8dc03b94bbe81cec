//! Copy Blob and Abort Copy Blob.

use crate::cli::verify_account::fact::Need::{Flat, Key, Sharing};
use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, NO_LEASE, together};
use crate::cli::verify_account::lab::Lab;
use crate::error::Result;

/// `there` if the blob has a copy state, else `gone`. Ids differ each time.
async fn copy_state(lab: &Lab, name: &str) -> Result<String> {
    Ok(if lab.head(name).done().await?.has("x-ms-copy-id") { "there" } else { "gone" }.to_owned())
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S1"],
        what: "Copy Blob within the account",
        needs: &[],
        requests: 3,
        expected: &["202 success; HEAD: the same etag, the same last-modified"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s1", "12345").done().await?;
                let copied = lab.copy("s1", "s1-copy").await?.send().await?;
                let head = lab.head("s1-copy").send().await?;
                let (etag, date) = (copied.compared(&head, "etag"), copied.compared(&head, "last-modified"));
                Ok(format!("{} {}; HEAD: {etag}, {date}", copied.status(), copied.header("x-ms-copy-status")))
            })
        },
    },
    Fact {
        ids: &["S2"],
        what: "progress and completion time of a finished copy, also of an empty blob",
        needs: &[],
        requests: 6,
        expected: &["5/5 with a completion time / 0/0 with a completion time"],
        run: |lab| {
            Box::pin(async move {
                let mut seen = Vec::new();
                for (name, content) in [("s2", "12345"), ("s2-empty", "")] {
                    lab.put(name, content).done().await?;
                    let copy = format!("{name}-copy");
                    lab.copy(name, &copy).await?.done().await?;
                    let head = lab.head(&copy).done().await?;
                    let timed = httpdate::parse_http_date(head.header("x-ms-copy-completion-time")).is_ok();
                    let time = if timed { "with" } else { "without" };
                    seen.push(format!("{} {time} a completion time", head.header("x-ms-copy-progress")));
                }
                Ok(seen.join(" / "))
            })
        },
    },
    Fact {
        ids: &["S8"],
        what: "Copy Blob of a sealed append blob, no x-ms-seal-blob",
        needs: &[Flat],
        requests: 5,
        expected: &["x-ms-blob-sealed: true, append 409 BlobIsSealed"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s8").done().await?;
                lab.ask("PUT", "s8").query("comp", "seal").done().await?;
                lab.copy("s8", "s8-copy").await?.done().await?;
                let head = lab.head("s8-copy").done().await?;
                let append = lab.ask("PUT", "s8-copy").query("comp", "appendblock").body("x").send().await?;
                Ok(format!("{}, append {}", head.shown("x-ms-blob-sealed"), append.outcome()))
            })
        },
    },
    Fact {
        ids: &["S9"],
        what: "the same with x-ms-seal-blob: false",
        needs: &[Flat],
        requests: 5,
        expected: &["no x-ms-blob-sealed, append 201"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s9").done().await?;
                lab.ask("PUT", "s9").query("comp", "seal").done().await?;
                lab.copy("s9", "s9-copy").await?.header("x-ms-seal-blob", "false").done().await?;
                let head = lab.head("s9-copy").done().await?;
                let append = lab.ask("PUT", "s9-copy").query("comp", "appendblock").body("x").send().await?;
                Ok(format!("{}, append {}", head.shown("x-ms-blob-sealed"), append.outcome()))
            })
        },
    },
    Fact {
        ids: &["S10"],
        what: "Copy Blob of an unsealed append blob with x-ms-seal-blob: true",
        needs: &[Flat],
        requests: 3,
        expected: &["x-ms-blob-sealed: true"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s10").done().await?;
                lab.copy("s10", "s10-copy").await?.header("x-ms-seal-blob", "true").done().await?;
                Ok(lab.head("s10-copy").done().await?.shown("x-ms-blob-sealed"))
            })
        },
    },
    Fact {
        ids: &["S11"],
        what: "Copy Blob of an unsealed append blob, no x-ms-seal-blob",
        needs: &[Flat],
        requests: 3,
        expected: &["no x-ms-blob-sealed"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s11").done().await?;
                lab.copy("s11", "s11-copy").await?.done().await?;
                Ok(lab.head("s11-copy").done().await?.shown("x-ms-blob-sealed"))
            })
        },
    },
    Fact {
        ids: &["S12"],
        what: "Copy Blob, unmet condition on the destination",
        needs: &[],
        requests: 3,
        expected: &["412 TargetConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s12", "a").done().await?;
                lab.put("s12-to", "b").done().await?;
                Ok(lab.copy("s12", "s12-to").await?.header("if-match", NO_ETAG).send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S14"],
        what: "Copy Blob with If-None-Match: * onto a blob",
        needs: &[],
        requests: 3,
        expected: &["409 BlobAlreadyExists", "412 TargetConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s14", "a").done().await?;
                lab.put("s14-to", "b").done().await?;
                Ok(lab.copy("s14", "s14-to").await?.header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S15"],
        what: "Copy Blob, each of the four conditions on the source unmet",
        needs: &[],
        requests: 5,
        expected: &["412 SourceConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s15", "a").done().await?;
                let mut seen = Vec::new();
                for (condition, value) in [
                    ("x-ms-source-if-match", NO_ETAG),
                    ("x-ms-source-if-none-match", put.header("etag")),
                    ("x-ms-source-if-modified-since", put.header("last-modified")),
                    ("x-ms-source-if-unmodified-since", LONG_AGO),
                ] {
                    seen.push(lab.copy("s15", "s15-to").await?.header(condition, value).send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S16"],
        what: "Copy Blob of a blob of the account that is not there",
        needs: &[Key],
        requests: 1,
        expected: &["404 BlobNotFound"],
        run: |lab| Box::pin(async move { Ok(lab.copy("s16", "s16-to").await?.send().await?.outcome()) }),
    },
    Fact {
        ids: &["S17"],
        what: "the same, named with a SAS",
        needs: &[Sharing],
        requests: 1,
        expected: &["404 CannotVerifyCopySource, source 404"],
        run: |lab| {
            Box::pin(async move {
                let url = lab.readable_url("s17").await?;
                let seen = lab.copy_from(&url, "s17-to").send().await?;
                let source = seen.header("x-ms-copy-source-status-code");
                Ok(format!("{}, source {source}", seen.outcome()))
            })
        },
    },
    Fact {
        ids: &["S20"],
        what: "Copy Blob with a lease id onto a blob without lease",
        needs: &[],
        requests: 3,
        expected: &["412 LeaseNotPresentWithBlobOperation"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s20", "a").done().await?;
                lab.put("s20-to", "b").done().await?;
                Ok(lab.copy("s20", "s20-to").await?.header("x-ms-lease-id", NO_LEASE).send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S27"],
        what: "Copy Blob onto a blob of another type",
        needs: &[Flat],
        requests: 3,
        expected: &["409 InvalidBlobType"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s27").done().await?;
                lab.put("s27-to", "b").done().await?;
                Ok(lab.copy("s27", "s27-to").await?.send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S28"],
        what: "Set Blob Tier after a copy",
        needs: &[],
        requests: 5,
        expected: &["x-ms-copy-status: success, the same etag"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s28", "a").done().await?;
                lab.copy("s28", "s28-copy").await?.done().await?;
                let before = lab.head("s28-copy").done().await?;
                lab.set_tier("s28-copy", "Cool").done().await?;
                let after = lab.head("s28-copy").done().await?;
                Ok(format!("{}, {}", after.shown("x-ms-copy-status"), before.compared(&after, "etag")))
            })
        },
    },
    Fact {
        ids: &["S29"],
        what: "creation time of a block blob that Copy Blob overwrites",
        needs: &[],
        requests: 5,
        expected: &["another x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s29", "a").done().await?;
                lab.put("s29-to", "b").done().await?;
                let before = lab.head("s29-to").done().await?;
                lab.tick().await;
                lab.copy("s29", "s29-to").await?.done().await?;
                Ok(before.compared(&lab.head("s29-to").done().await?, "x-ms-creation-time"))
            })
        },
    },
    Fact {
        ids: &["S29"],
        what: "the same of an append blob: open",
        needs: &[Flat],
        requests: 5,
        expected: &["another x-ms-creation-time", "the same x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s29-append").done().await?;
                lab.put_append("s29-append-to").done().await?;
                let before = lab.head("s29-append-to").done().await?;
                lab.tick().await;
                lab.copy("s29-append", "s29-append-to").await?.done().await?;
                Ok(before.compared(&lab.head("s29-append-to").done().await?, "x-ms-creation-time"))
            })
        },
    },
    Fact {
        ids: &["S33"],
        what: "Abort Copy Blob of a finished copy, and of a blob that never was copied",
        needs: &[],
        requests: 4,
        expected: &["409 NoPendingCopyOperation"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s33", "a").done().await?;
                let copied = lab.copy("s33", "s33-copy").await?.done().await?;
                let mut seen = Vec::new();
                for (name, id) in [("s33-copy", copied.header("x-ms-copy-id")), ("s33", NO_LEASE)] {
                    seen.push(lab.abort(name, id).send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S34"],
        what: "Abort Copy Blob of a blob that is not there",
        needs: &[],
        requests: 1,
        expected: &["404 BlobNotFound"],
        run: |lab| Box::pin(async move { Ok(lab.abort("s34", NO_LEASE).send().await?.outcome()) }),
    },
    Fact {
        ids: &["S157"],
        what: "copy state after Set Blob Properties, Put Blob and Put Block List",
        needs: &[],
        requests: 11,
        expected: &["gone"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s157", "a").done().await?;
                let mut seen = Vec::new();
                lab.copy("s157", "s157-copy").await?.done().await?;
                lab.ask("PUT", "s157-copy").query("comp", "properties").done().await?;
                seen.push(copy_state(lab, "s157-copy").await?);
                lab.copy("s157", "s157-copy").await?.done().await?;
                lab.put("s157-copy", "b").done().await?;
                seen.push(copy_state(lab, "s157-copy").await?);
                lab.copy("s157", "s157-copy").await?.done().await?;
                lab.block("s157-copy", "YQ==", "c").done().await?;
                lab.commit("s157-copy", &["YQ=="]).done().await?;
                seen.push(copy_state(lab, "s157-copy").await?);
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S157"],
        what: "copy state after Set Blob Metadata: open",
        needs: &[],
        requests: 4,
        expected: &["no x-ms-copy-status", "x-ms-copy-status: success"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s157-meta", "a").done().await?;
                lab.copy("s157-meta", "s157-meta-copy").await?.done().await?;
                lab.set_metadata("s157-meta-copy").done().await?;
                Ok(lab.head("s157-meta-copy").done().await?.shown("x-ms-copy-status"))
            })
        },
    },
    Fact {
        ids: &["S6"],
        what: "a source with a SAS in x-ms-copy-source, after Copy Blob and after Copy Blob From URL: open",
        needs: &[Sharing],
        requests: 5,
        expected: &["without sig / with sig", "without sig / without sig", "with sig / with sig"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s6", "a").done().await?;
                let url = lab.readable_url("s6").await?;
                lab.copy_from(&url, "s6-copy").done().await?;
                lab.copy_from(&url, "s6-sync").header("x-ms-requires-sync", "true").done().await?;
                let mut seen = Vec::new();
                for name in ["s6-copy", "s6-sync"] {
                    let head = lab.head(name).done().await?;
                    seen.push(match head.header("x-ms-copy-source") {
                        "" => "not shown",
                        source if source.contains("sig=") => "with sig",
                        _ => "without sig",
                    });
                }
                Ok(seen.join(" / "))
            })
        },
    },
];
