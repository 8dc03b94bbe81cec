//! Put Blob, Put Block, Put Block List, and what append and page blobs take.

use crate::cli::verify_account::fact::Need::Flat;
use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, together};

/// Base64 of three ids of one length, the first two in one order with and without Base64; and of one that is longer.
const ID: [&str; 3] = ["YWFh", "YmJi", "Y2Nj"];
const LONGER_ID: &str = "YWFhYWFh";

/// Base64 of an MD5 that is nobody's.
const WRONG_MD5: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S57"],
        what: "Put Block, and Put Block with a wrong MD5",
        needs: &[],
        requests: 2,
        expected: &["201 with no etag / 400 Md5Mismatch"],
        run: |lab| {
            Box::pin(async move {
                let good = lab.block("s57", ID[0], "a").send().await?;
                let etag = if good.has("etag") { "an etag" } else { "no etag" };
                let wrong = lab.block("s57", ID[0], "a").header("content-md5", WRONG_MD5).send().await?;
                Ok(format!("{} with {etag} / {}", good.outcome(), wrong.outcome()))
            })
        },
    },
    Fact {
        ids: &["S58"],
        what: "Put Blob with If-None-Match: * and the lease id of a leased blob: the guard has no effect",
        needs: &[],
        requests: 4,
        expected: &["201"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s58", "a").done().await?;
                let lease = lab.lease("s58", "acquire");
                let lease = lease.header("x-ms-lease-duration", "15").done().await?;
                let id = lease.header("x-ms-lease-id");
                let put = lab.put("s58", "b").header("if-none-match", "*").header("x-ms-lease-id", id).send().await?;
                let release = lab.lease("s58", "release");
                release.header("x-ms-lease-id", id).done().await?;
                Ok(put.outcome())
            })
        },
    },
    Fact {
        ids: &["S58"],
        what: "the same with an infinite lease, and with Put Block List: open",
        needs: &[],
        requests: 6,
        expected: &[
            "201 / 201",
            "409 BlobAlreadyExists / 409 BlobAlreadyExists",
            "201 / 409 BlobAlreadyExists",
            "409 BlobAlreadyExists / 201",
        ],
        run: |lab| {
            Box::pin(async move {
                lab.put("s58-infinite", "a").done().await?;
                let lease = lab.lease("s58-infinite", "acquire");
                let lease = lease.header("x-ms-lease-duration", "-1").done().await?;
                let id = lease.header("x-ms-lease-id");
                let put = lab.put("s58-infinite", "b").header("if-none-match", "*").header("x-ms-lease-id", id);
                let put = put.send().await?;
                lab.block("s58-infinite", ID[0], "c").header("x-ms-lease-id", id).done().await?;
                let commit = lab.commit("s58-infinite", &ID[..1]).header("if-none-match", "*");
                let commit = commit.header("x-ms-lease-id", id).send().await?;
                let release = lab.lease("s58-infinite", "release");
                release.header("x-ms-lease-id", id).done().await?;
                Ok(format!("{} / {}", put.outcome(), commit.outcome()))
            })
        },
    },
    Fact {
        ids: &["S59"],
        what: "Put Blob with If-None-Match: * onto a blob",
        needs: &[],
        requests: 2,
        expected: &["409 BlobAlreadyExists"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s59", "a").done().await?;
                Ok(lab.put("s59", "b").header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S60"],
        what: "the same with a wrong MD5",
        needs: &[],
        requests: 2,
        expected: &["400 Md5Mismatch"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s60", "a").done().await?;
                let put = lab.put("s60", "b").header("if-none-match", "*").header("content-md5", WRONG_MD5);
                Ok(put.send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S61"],
        what: "creation time of a blob that Put Blob overwrites",
        needs: &[],
        requests: 4,
        expected: &["another x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s61", "a").done().await?;
                let before = lab.head("s61").done().await?;
                lab.tick().await;
                lab.put("s61", "b").done().await?;
                Ok(before.compared(&lab.head("s61").done().await?, "x-ms-creation-time"))
            })
        },
    },
    Fact {
        ids: &["S62"],
        what: "Put Block without content",
        needs: &[],
        requests: 1,
        expected: &["400 InvalidHeaderValue"],
        run: |lab| Box::pin(async move { Ok(lab.block("s62", ID[0], "").send().await?.outcome()) }),
    },
    Fact {
        ids: &["S63"],
        what: "Put Block List, If-Match, If-None-Match of its ETag, If-Unmodified-Since unmet",
        needs: &[],
        requests: 5,
        expected: &["412 ConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s63", "a").done().await?;
                lab.block("s63", ID[0], "b").done().await?;
                let mut seen = Vec::new();
                for (condition, value) in
                    [("if-match", NO_ETAG), ("if-none-match", put.header("etag")), ("if-unmodified-since", LONG_AGO)]
                {
                    seen.push(lab.commit("s63", &ID[..1]).header(condition, value).send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S64"],
        what: "Put Block List of an id that nobody staged",
        needs: &[],
        requests: 2,
        expected: &["400 InvalidBlockList"],
        run: |lab| {
            Box::pin(async move {
                lab.block("s64", ID[0], "a").done().await?;
                Ok(lab.commit("s64", &ID[1..2]).send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S65", "S169"],
        what: "Get Block List of a blob that was never committed",
        needs: &[],
        requests: 2,
        expected: &["200, no x-ms-blob-content-length, no etag"],
        run: |lab| {
            Box::pin(async move {
                lab.block("s65", ID[0], "a").done().await?;
                let list = lab.get("s65").query("comp", "blocklist").query("blocklisttype", "all").send().await?;
                let length = list.shown("x-ms-blob-content-length");
                let etag = if list.has("etag") { "an etag" } else { "no etag" };
                Ok(format!("{}, {length}, {etag}", list.outcome()))
            })
        },
    },
    Fact {
        ids: &["S167"],
        what: "Put Block List with If-None-Match: * onto a blob",
        needs: &[],
        requests: 3,
        expected: &["409 BlobAlreadyExists"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s167", "a").done().await?;
                lab.block("s167", ID[0], "b").done().await?;
                Ok(lab.commit("s167", &ID[..1]).header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S168"],
        what: "Put Block with an id of another length than those staged before",
        needs: &[],
        requests: 2,
        expected: &["400 InvalidBlobOrBlock"],
        run: |lab| {
            Box::pin(async move {
                lab.block("s168", ID[0], "a").done().await?;
                Ok(lab.block("s168", LONGER_ID, "b").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S169"],
        what: "Put Block List that names nothing; order of staged blocks; what Put Blob leaves of them",
        needs: &[],
        requests: 8,
        expected: &["201 of 0 bytes; in the order of ids; none; 404 BlobNotFound"],
        run: |lab| {
            Box::pin(async move {
                let empty = lab.commit("s169-empty", &[]).send().await?;
                let head = lab.head("s169-empty").send().await?;
                for id in [ID[1], ID[0]] {
                    lab.block("s169", id, "a").done().await?;
                }
                let list =
                    async |name| lab.get(name).query("comp", "blocklist").query("blocklisttype", "all").send().await;
                let staged = list("s169").await?.text();
                let order = match (staged.find(ID[0]), staged.find(ID[1])) {
                    (Some(first), Some(second)) if first < second => "in the order of ids",
                    (Some(_), Some(_)) => "in another order",
                    _ => "not listed",
                };
                lab.put("s169", "b").done().await?;
                let left = if list("s169").await?.text().contains(ID[0]) { "some" } else { "none" };
                let nothing = list("s169-nothing").await?.outcome();
                Ok(format!(
                    "{} of {} bytes; {order}; {left}; {nothing}",
                    empty.outcome(),
                    head.header("content-length")
                ))
            })
        },
    },
    Fact {
        ids: &["S66"],
        what: "Append Block to a sealed blob",
        needs: &[Flat],
        requests: 3,
        expected: &["409 BlobIsSealed"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s66").done().await?;
                lab.ask("PUT", "s66").query("comp", "seal").done().await?;
                Ok(lab.ask("PUT", "s66").query("comp", "appendblock").body("x").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S67"],
        what: "Append Block with a wrong position, and over the size that is allowed",
        needs: &[Flat],
        requests: 3,
        expected: &["412 AppendPositionConditionNotMet / 412 MaxBlobSizeConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s67").done().await?;
                let append = || lab.ask("PUT", "s67").query("comp", "appendblock").body("abc");
                let position = append().header("x-ms-blob-condition-appendpos", "7").send().await?;
                let size = append().header("x-ms-blob-condition-maxsize", "2").send().await?;
                Ok(format!("{} / {}", position.outcome(), size.outcome()))
            })
        },
    },
    Fact {
        ids: &["S68"],
        what: "Put Blob of a page blob of more than 8 TiB",
        needs: &[Flat],
        requests: 1,
        expected: &["400 InvalidHeaderValue"],
        run: |lab| Box::pin(async move { Ok(lab.put_pages("s68", (8 << 40) + 512).send().await?.outcome()) }),
    },
    Fact {
        ids: &["S108"],
        what: "Set Blob Metadata, Set Blob Properties, Lease Blob and Delete Blob with an unmet condition",
        needs: &[],
        requests: 5,
        expected: &["412 ConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s108", "a").done().await?;
                let lease = lab.lease("s108", "acquire");
                let mut seen = Vec::new();
                for ask in [
                    lab.ask("PUT", "s108").query("comp", "metadata"),
                    lab.ask("PUT", "s108").query("comp", "properties"),
                    lease.header("x-ms-lease-duration", "15"),
                    lab.ask("DELETE", "s108"),
                ] {
                    seen.push(ask.header("if-match", NO_ETAG).send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
];
