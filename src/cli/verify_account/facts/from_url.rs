//! Put Block, Append Block, Put Page and Put Blob From URL, and Copy Blob From URL.

use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, Of, together};
use crate::cli::verify_account::lab::{Ask, Lab, Seen};
use crate::error::Result;

const MATCH: &str = "x-ms-source-if-match";
const NONE_MATCH: &str = "x-ms-source-if-none-match";
const MODIFIED: &str = "x-ms-source-if-modified-since";
const UNMODIFIED: &str = "x-ms-source-if-unmodified-since";

/// A value with which a condition on `source` is not met.
fn unmet<'a>(condition: &str, source: &'a Seen) -> &'a str {
    match condition {
        MATCH => NO_ETAG,
        NONE_MATCH => source.header("etag"),
        MODIFIED => source.header("last-modified"),
        _ => LONG_AGO,
    }
}

/// A From-URL operation with a source that can be read.
type Operation = for<'a> fn(&'a Lab, &str, &str) -> Ask<'a>;

fn put_block<'a>(lab: &'a Lab, name: &str, url: &str) -> Ask<'a> {
    lab.ask("PUT", name).query("comp", "block").query("blockid", "YQ==").header("x-ms-copy-source", url)
}

fn append_block<'a>(lab: &'a Lab, name: &str, url: &str) -> Ask<'a> {
    lab.ask("PUT", name).query("comp", "appendblock").header("x-ms-copy-source", url)
}

fn put_page<'a>(lab: &'a Lab, name: &str, url: &str) -> Ask<'a> {
    let ask = lab.ask("PUT", name).query("comp", "page").header("x-ms-copy-source", url);
    ask.header("x-ms-page-write", "update")
        .header("x-ms-range", "bytes=0-511")
        .header("x-ms-source-range", "bytes=0-511")
}

fn put_blob<'a>(lab: &'a Lab, name: &str, url: &str) -> Ask<'a> {
    lab.ask("PUT", name).header("x-ms-blob-type", "BlockBlob").header("x-ms-copy-source", url)
}

fn copy_blob<'a>(lab: &'a Lab, name: &str, url: &str) -> Ask<'a> {
    lab.ask("PUT", name).header("x-ms-requires-sync", "true").header("x-ms-copy-source", url)
}

/// The answers to `operation` when each of `conditions` on its source, a new block blob of 512 bytes, is not met: one
/// request for the source, and one for each.
async fn refused(lab: &Lab, name: &str, operation: Operation, conditions: &[&str]) -> Result<String> {
    let content = "x".repeat(512);
    let source = format!("{name}-source");
    let put = lab.put(&source, &content).done().await?;
    let url = lab.readable_url(&source).await?;
    let mut seen = Vec::new();
    for condition in conditions {
        seen.push(operation(lab, name, &url).header(condition, unmet(condition, &put)).send().await?.outcome());
    }
    Ok(together(&seen))
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        id: "S36",
        what: "Append Block From URL and Put Page From URL, source-if-match or -if-unmodified-since unmet",
        of: Of::Flat,
        requests: 8,
        expected: &["412 CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s36").done().await?;
                lab.put_pages("s36-pages", 512).done().await?;
                let append = refused(lab, "s36", append_block, &[MATCH, UNMODIFIED]).await?;
                let page = refused(lab, "s36-pages", put_page, &[MATCH, UNMODIFIED]).await?;
                Ok(together(&[append, page]))
            })
        },
    },
    Fact {
        id: "S37",
        what: "the same, source-if-none-match or -if-modified-since unmet",
        of: Of::Flat,
        requests: 8,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                lab.put_append("s37").done().await?;
                lab.put_pages("s37-pages", 512).done().await?;
                let append = refused(lab, "s37", append_block, &[NONE_MATCH, MODIFIED]).await?;
                let page = refused(lab, "s37-pages", put_page, &[NONE_MATCH, MODIFIED]).await?;
                Ok(together(&[append, page]))
            })
        },
    },
    Fact {
        id: "S38",
        what: "Put Block From URL, source-if-modified-since unmet",
        of: Of::Any,
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s38", put_block, &[MODIFIED])),
    },
    Fact {
        id: "S158",
        what: "Put Block From URL, source-if-match unmet",
        of: Of::Any,
        requests: 2,
        expected: &["412 SourceConditionNotMet"],
        run: |lab| Box::pin(refused(lab, "s158", put_block, &[MATCH])),
    },
    Fact {
        id: "S159",
        what: "Put Block From URL, source-if-none-match unmet",
        of: Of::Any,
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s159", put_block, &[NONE_MATCH])),
    },
    Fact {
        id: "S160",
        what: "Put Blob From URL, source-if-match, -modified-since, -unmodified-since, -none-match unmet",
        of: Of::Any,
        requests: 5,
        expected: &[
            "412 SourceConditionNotMet / 304 CannotVerifyCopySource / 412 CannotVerifyCopySource / 304 CannotVerifyCopySource",
        ],
        run: |lab| Box::pin(refused(lab, "s160", put_blob, &[MATCH, MODIFIED, UNMODIFIED, NONE_MATCH])),
    },
    Fact {
        id: "S40",
        what: "Copy Blob From URL, source-if-none-match unmet",
        of: Of::Any,
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s40", copy_blob, &[NONE_MATCH])),
    },
    Fact {
        id: "S161",
        what: "Copy Blob From URL, source-if-match unmet",
        of: Of::Any,
        requests: 2,
        expected: &["412 SourceConditionNotMet"],
        run: |lab| Box::pin(refused(lab, "s161", copy_blob, &[MATCH])),
    },
    Fact {
        id: "S162",
        what: "Put Blob From URL, match, modified-since, unmodified-since and none-match * on the destination unmet",
        of: Of::Any,
        requests: 6,
        expected: &["412 TargetConditionNotMet / 412 ConditionNotMet / 412 ConditionNotMet / 409 BlobAlreadyExists"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s162", "a").done().await?;
                let to = lab.put("s162-to", "b").done().await?;
                let url = lab.readable_url("s162").await?;
                let mut seen = Vec::new();
                for (condition, value) in [
                    ("if-match", NO_ETAG),
                    ("if-modified-since", to.header("last-modified")),
                    ("if-unmodified-since", LONG_AGO),
                    ("if-none-match", "*"),
                ] {
                    seen.push(put_blob(lab, "s162-to", &url).header(condition, value).send().await?.outcome());
                }
                Ok(seen.join(" / "))
            })
        },
    },
    Fact {
        id: "S43",
        what: "Put Blob From URL with If-None-Match: * to a free name",
        of: Of::Any,
        requests: 2,
        expected: &["201"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s43", "a").done().await?;
                let url = lab.readable_url("s43").await?;
                Ok(put_blob(lab, "s43-to", &url).header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S44",
        what: "Put Blob From URL with If-None-Match: * onto a blob, and the source is not there",
        of: Of::Any,
        requests: 2,
        expected: &["404 CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s44-to", "b").done().await?;
                let url = lab.readable_url("s44").await?;
                Ok(put_blob(lab, "s44-to", &url).header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S45",
        what: "Put Blob From URL that sends neither metadata nor properties",
        of: Of::Any,
        requests: 3,
        expected: &["the source's metadata, the source's content type; x-ms-content-crc64 without content-md5"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s45", "a").header("x-ms-meta-fromSource", "1");
                put.header("x-ms-blob-content-type", "text/x-source").done().await?;
                let url = lab.readable_url("s45").await?;
                let answer = put_blob(lab, "s45-to", &url).done().await?;
                let head = lab.head("s45-to").done().await?;
                let metadata = if head.has("x-ms-meta-fromsource") { "the source's" } else { "no" };
                let known = head.header("content-type") == "text/x-source";
                let content_type = if known { "the source's" } else { "another" };
                let crc64 =
                    if answer.has("x-ms-content-crc64") { "x-ms-content-crc64" } else { "no x-ms-content-crc64" };
                let md5 = if answer.has("content-md5") { "with" } else { "without" };
                Ok(format!("{metadata} metadata, {content_type} content type; {crc64} {md5} content-md5"))
            })
        },
    },
    Fact {
        id: "S46",
        what: "Put Blob From URL with x-ms-copy-source-blob-properties: false and a content type",
        of: Of::Any,
        requests: 3,
        expected: &["text/x-sent"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s46", "a").header("x-ms-blob-content-type", "text/x-source").done().await?;
                let url = lab.readable_url("s46").await?;
                let put = put_blob(lab, "s46-to", &url).header("x-ms-copy-source-blob-properties", "false");
                put.header("x-ms-blob-content-type", "text/x-sent").done().await?;
                Ok(lab.head("s46-to").done().await?.header("content-type").to_owned())
            })
        },
    },
    Fact {
        id: "S46",
        what: "the same with metadata at the source and none sent: open",
        of: Of::Any,
        requests: 3,
        expected: &["no x-ms-meta-a", "x-ms-meta-a: 1"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s46-meta", "a").header("x-ms-meta-a", "1").done().await?;
                let url = lab.readable_url("s46-meta").await?;
                let put = put_blob(lab, "s46-meta-to", &url).header("x-ms-copy-source-blob-properties", "false");
                put.header("x-ms-blob-content-type", "text/x-sent").done().await?;
                Ok(lab.head("s46-meta-to").done().await?.shown("x-ms-meta-a"))
            })
        },
    },
    Fact {
        id: "S49",
        what: "Put Block From URL of a private blob of the account without a SAS (also S47, S48)",
        of: Of::Any,
        requests: 2,
        expected: &[
            "401 CannotVerifyCopySource, source 401 NoAuthenticationInformation",
            "409 CannotVerifyCopySource, source 409 PublicAccessNotPermitted",
        ],
        run: |lab| {
            Box::pin(async move {
                lab.put("s49", "a").done().await?;
                Ok(put_block(lab, "s49-to", &lab.url("s49")?).send().await?.outcome_with_source())
            })
        },
    },
    Fact {
        id: "S163",
        what: "Copy Blob From URL of a private blob of the account without a SAS",
        of: Of::Any,
        requests: 2,
        expected: &["CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s163", "a").done().await?;
                Ok(copy_blob(lab, "s163-to", &lab.url("s163")?).send().await?.code())
            })
        },
    },
    Fact {
        id: "S53",
        what: "Copy Blob From URL of a page blob",
        of: Of::Flat,
        requests: 2,
        expected: &["CannotVerifyCopySource"],
        run: |lab| {
            Box::pin(async move {
                lab.put_pages("s53", 512).done().await?;
                let url = lab.readable_url("s53").await?;
                Ok(copy_blob(lab, "s53-to", &url).send().await?.code())
            })
        },
    },
    Fact {
        id: "S54",
        what: "answer to Copy Blob From URL",
        of: Of::Any,
        requests: 2,
        expected: &["202 success, with x-ms-content-crc64"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s54", "a").done().await?;
                let url = lab.readable_url("s54").await?;
                let seen = copy_blob(lab, "s54-to", &url).send().await?;
                let crc64 = if seen.has("x-ms-content-crc64") { "with" } else { "without" };
                Ok(format!("{} {}, {crc64} x-ms-content-crc64", seen.outcome(), seen.header("x-ms-copy-status")))
            })
        },
    },
    Fact {
        id: "S165",
        what: "Copy Blob From URL with tag option COPY of a blob without tags onto one that has some",
        of: Of::FlatKey,
        requests: 4,
        expected: &["no x-ms-tag-count"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s165", "a").done().await?;
                lab.put("s165-to", "b").header("x-ms-tags", "a=1").done().await?;
                // Tags are copied by who may read them.
                let url = lab.url_with_sas("s165", "rt")?;
                let copy = copy_blob(lab, "s165-to", &url).header("x-ms-copy-source-tag-option", "COPY").send().await?;
                let head = lab.head("s165-to").done().await?;
                Ok(match copy.status() {
                    202 => head.shown("x-ms-tag-count"),
                    _ => copy.outcome(),
                })
            })
        },
    },
    Fact {
        id: "S166",
        what: "Put Block From URL with a block id that is too long",
        of: Of::Any,
        requests: 2,
        expected: &["400 OutOfRangeInput"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s166", "a").done().await?;
                let url = lab.readable_url("s166").await?;
                // 72 bytes.
                let id = "YWFh".repeat(24);
                let put = lab.ask("PUT", "s166-to").query("comp", "block").query("blockid", &id);
                Ok(put.header("x-ms-copy-source", &url).send().await?.outcome())
            })
        },
    },
];
