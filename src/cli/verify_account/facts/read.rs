//! Get Blob and Get Blob Properties.

use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, Of};

const MALFORMED_SNAPSHOT: &str = "not-a-moment";

pub(super) const FACTS: &[Fact] = &[
    Fact {
        id: "S69",
        what: "access tier in HEAD and GET (versions before 2026-10-06)",
        of: Of::Any,
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
        id: "S70",
        what: "a range of an empty blob",
        of: Of::Any,
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
        id: "S71",
        what: "Get Blob, If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since unmet",
        of: Of::Any,
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
        id: "S72",
        what: "malformed snapshot id: GET, and HEAD, which tells no code",
        of: Of::Flat,
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
        id: "S73",
        what: "HEAD of a blob that is not there",
        of: Of::Any,
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
        id: "S75",
        what: "version headers of a current version",
        of: Of::Versions,
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
        id: "S170",
        what: "If-Match without quotes: the right ETag, and a wrong one",
        of: Of::Any,
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
];
