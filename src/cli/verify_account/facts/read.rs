//! Get Blob and Get Blob Properties.

use crate::cli::verify_account::fact::Need::{Flat, Versions};
use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, together};

const MALFORMED_SNAPSHOT: &str = "not-a-moment";

/// Base64 of a key that keeps nothing secret, and of its SHA-256.
const CUSTOMER_KEY: &str = "YmxvYmNwIGFza3Mgd2l0aCBhIGN1c3RvbWVyIGtleS4=";
const HASH_OF_CUSTOMER_KEY: &str = "t5z4az65Aami80TwafGYvGZnjADbjIfg65vezb6Ci7w=";

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S69"],
        what: "access tier in HEAD and GET (versions before 2026-10-06)",
        needs: &[],
        requests: 3,
        expected: &[
            "HEAD x-ms-access-tier: Hot, GET no x-ms-access-tier",
            "HEAD x-ms-access-tier: Cool, GET no x-ms-access-tier",
        ],
        run: |lab| {
            Box::pin(async move {
                lab.put("s69", "a").done().await?;
                let (head, get) = (lab.head("s69").done().await?, lab.get("s69").done().await?);
                Ok(format!("HEAD {}, GET {}", head.shown("x-ms-access-tier"), get.shown("x-ms-access-tier")))
            })
        },
    },
    Fact {
        ids: &["S70"],
        what: "a range of an empty blob",
        needs: &[],
        requests: 2,
        expected: &["416 InvalidRange, content-range: bytes */0"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s70", "").done().await?;
                let get = lab.get("s70").header("x-ms-range", "bytes=0-9").send().await?;
                Ok(format!("{}, {}", get.outcome(), get.shown("content-range")))
            })
        },
    },
    Fact {
        ids: &["S71"],
        what: "Get Blob, If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since unmet",
        needs: &[],
        requests: 5,
        expected: &["304 ConditionNotMet / 304 ConditionNotMet / 412 ConditionNotMet / 412 ConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s71", "a").done().await?;
                let mut seen = Vec::new();
                for (condition, value) in [
                    ("if-none-match", put.header("etag")),
                    ("if-modified-since", put.header("last-modified")),
                    ("if-match", NO_ETAG),
                    ("if-unmodified-since", LONG_AGO),
                ] {
                    seen.push(lab.get("s71").header(condition, value).send().await?.outcome());
                }
                Ok(seen.join(" / "))
            })
        },
    },
    Fact {
        ids: &["S72"],
        what: "malformed snapshot id: GET, and HEAD, which tells no code",
        needs: &[Flat],
        requests: 3,
        expected: &["GET 400 InvalidQueryParameterValue, HEAD 400"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s72", "a").done().await?;
                let get = lab.get("s72").query("snapshot", MALFORMED_SNAPSHOT).send().await?;
                let head = lab.head("s72").query("snapshot", MALFORMED_SNAPSHOT).send().await?;
                Ok(format!("GET {}, HEAD {}", get.outcome(), head.outcome()))
            })
        },
    },
    Fact {
        ids: &["S73"],
        what: "HEAD of a blob that is not there",
        needs: &[],
        requests: 1,
        expected: &["404, x-ms-error-code: BlobNotFound"],
        run: |lab| {
            Box::pin(async move {
                let head = lab.head("s73").send().await?;
                Ok(format!("{}, {}", head.status(), head.shown("x-ms-error-code")))
            })
        },
    },
    Fact {
        ids: &["S75"],
        what: "version headers of a current version",
        needs: &[Flat, Versions],
        requests: 2,
        expected: &["x-ms-is-current-version: true, with a version id"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s75", "a").done().await?;
                let head = lab.head("s75").done().await?;
                let id = if head.has("x-ms-version-id") { "with a" } else { "without" };
                Ok(format!("{}, {id} version id", head.shown("x-ms-is-current-version")))
            })
        },
    },
    Fact {
        ids: &["S170"],
        what: "If-Match without quotes: the right ETag, and a wrong one",
        needs: &[],
        requests: 3,
        expected: &["200 / 412 ConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s170", "a").done().await?;
                let right = lab.get("s170").header("if-match", put.header("etag").trim_matches('"')).send().await?;
                let wrong = lab.get("s170").header("if-match", NO_ETAG.trim_matches('"')).send().await?;
                Ok(format!("{} / {}", right.outcome(), wrong.outcome()))
            })
        },
    },
    Fact {
        ids: &["S74"],
        what: "x-ms-last-access-time and LastAccessTime, as the account has it",
        needs: &[],
        requests: 4,
        expected: &["nowhere", "in GET, HEAD and lists"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s74", "a").done().await?;
                let (get, head) = (lab.get("s74").done().await?, lab.head("s74").done().await?);
                let list = lab.list("s74").done().await?;
                let time = "x-ms-last-access-time";
                let there = [get.has(time), head.has(time), list.text().contains("<LastAccessTime>")];
                Ok(match there {
                    [false, false, false] => "nowhere".to_owned(),
                    [true, true, true] => "in GET, HEAD and lists".to_owned(),
                    _ => format!("in GET, HEAD, lists: {there:?}"),
                })
            })
        },
    },
    Fact {
        ids: &["S76"],
        what: "without its key: GET, HEAD, Set Blob Metadata, Snapshot Blob, Put Block List of a blob with a customer's key",
        needs: &[Flat],
        requests: 6,
        expected: &["409 BlobUsesCustomerSpecifiedEncryption"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s76", "a").header("x-ms-encryption-algorithm", "AES256");
                let put = put.header("x-ms-encryption-key", CUSTOMER_KEY);
                put.header("x-ms-encryption-key-sha256", HASH_OF_CUSTOMER_KEY).done().await?;
                let mut seen = Vec::new();
                for ask in [
                    lab.get("s76"),
                    lab.head("s76"),
                    lab.set_metadata("s76"),
                    lab.ask("PUT", "s76").query("comp", "snapshot"),
                    lab.commit("s76", &[]),
                ] {
                    seen.push(ask.send().await?.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
];
