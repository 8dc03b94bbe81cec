//! Put Block, Append Block, Put Page and Put Blob From URL, and Copy Blob From URL.

use std::time::Duration;

use crate::cli::verify_account::fact::Need::{Flat, Key, Sharing};
use crate::cli::verify_account::fact::{Fact, LONG_AGO, NO_ETAG, together};
use crate::cli::verify_account::lab::{Ask, Lab, Seen};
use crate::error::Result;
use crate::store::sas::Validity;

const HOUR: Duration = Duration::from_secs(3600);

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

/// The URL of a blob with an account SAS of these permissions.
fn url_with_sas(lab: &Lab, name: &str, permissions: &str) -> Result<String> {
    let token = lab.sas(permissions, &Validity::for_the_next(HOUR))?;
    Ok(format!("{}?{}", lab.url(name)?, token.expose()))
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
        ids: &["S36"],
        what: "Append Block From URL and Put Page From URL, source-if-match or -if-unmodified-since unmet",
        needs: &[Flat, Sharing],
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
        ids: &["S37"],
        what: "the same, source-if-none-match or -if-modified-since unmet",
        needs: &[Flat, Sharing],
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
        ids: &["S38"],
        what: "Put Block From URL, source-if-modified-since unmet",
        needs: &[Sharing],
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s38", put_block, &[MODIFIED])),
    },
    Fact {
        ids: &["S158", "S39"],
        what: "Put Block From URL, source-if-match unmet",
        needs: &[Sharing],
        requests: 2,
        expected: &["412 SourceConditionNotMet"],
        run: |lab| Box::pin(refused(lab, "s158", put_block, &[MATCH])),
    },
    Fact {
        ids: &["S159"],
        what: "Put Block From URL, source-if-none-match unmet",
        needs: &[Sharing],
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s159", put_block, &[NONE_MATCH])),
    },
    Fact {
        ids: &["S160", "S41"],
        what: "Put Blob From URL, source-if-match, -modified-since, -unmodified-since, -none-match unmet",
        needs: &[Sharing],
        requests: 5,
        expected: &[
            "412 SourceConditionNotMet / 304 CannotVerifyCopySource / 412 CannotVerifyCopySource / 304 CannotVerifyCopySource",
        ],
        run: |lab| Box::pin(refused(lab, "s160", put_blob, &[MATCH, MODIFIED, UNMODIFIED, NONE_MATCH])),
    },
    Fact {
        ids: &["S40"],
        what: "Copy Blob From URL, source-if-none-match unmet",
        needs: &[Sharing],
        requests: 2,
        expected: &["304 CannotVerifyCopySource"],
        run: |lab| Box::pin(refused(lab, "s40", copy_blob, &[NONE_MATCH])),
    },
    Fact {
        ids: &["S161"],
        what: "Copy Blob From URL, source-if-match unmet",
        needs: &[Sharing],
        requests: 2,
        expected: &["412 SourceConditionNotMet"],
        run: |lab| Box::pin(refused(lab, "s161", copy_blob, &[MATCH])),
    },
    Fact {
        ids: &["S162", "S42"],
        what: "Put Blob From URL, match, modified-since, unmodified-since and none-match * on the destination unmet",
        needs: &[Sharing],
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
        ids: &["S43"],
        what: "Put Blob From URL with If-None-Match: * to a free name",
        needs: &[Sharing],
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
        ids: &["S44"],
        what: "Put Blob From URL with If-None-Match: * onto a blob, and the source is not there",
        needs: &[Sharing],
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
        ids: &["S45"],
        what: "Put Blob From URL that sends neither metadata nor properties",
        needs: &[Sharing],
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
        ids: &["S46"],
        what: "Put Blob From URL with x-ms-copy-source-blob-properties: false and a content type",
        needs: &[Sharing],
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
        ids: &["S46"],
        what: "the same with metadata at the source and none sent: open",
        needs: &[Sharing],
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
        ids: &["S49", "S47", "S48"],
        what: "Put Block From URL of a private blob of the account without a SAS",
        needs: &[],
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
        ids: &["S163"],
        what: "Copy Blob From URL of a private blob of the account without a SAS",
        needs: &[],
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
        ids: &["S53"],
        what: "Copy Blob From URL of a page blob",
        needs: &[Flat, Sharing],
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
        ids: &["S54"],
        what: "answer to Copy Blob From URL",
        needs: &[Sharing],
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
        ids: &["S165"],
        what: "Copy Blob From URL with tag option COPY of a blob without tags onto one that has some",
        needs: &[Flat, Key],
        requests: 4,
        expected: &["no x-ms-tag-count"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s165", "a").done().await?;
                lab.put("s165-to", "b").header("x-ms-tags", "a=1").done().await?;
                // Tags are copied by who may read them.
                let url = url_with_sas(lab, "s165", "rt")?;
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
        ids: &["S166"],
        what: "Put Block From URL with a block id that is too long",
        needs: &[Sharing],
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
    Fact {
        ids: &["S50"],
        what: "message where a source is not there, and where it is named without a SAS",
        needs: &[Sharing],
        requests: 3,
        expected: &["the source's / a general one", "the source's / the source's"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s50", "a").done().await?;
                let missing = put_blob(lab, "s50-to", &lab.readable_url("s50-nothing").await?).send().await?;
                let private = put_blob(lab, "s50-to", &lab.url("s50")?).send().await?;
                let whose = [&missing, &private].map(|seen| {
                    let (outer, inner) = (seen.element("Message"), seen.element("CopySourceErrorMessage"));
                    match outer.lines().next() {
                        None => "none",
                        Some(first) if inner.starts_with(first) => "the source's",
                        Some(_) => "a general one",
                    }
                });
                Ok(whose.join(" / "))
            })
        },
    },
    Fact {
        ids: &["S52"],
        what: "Put Blob From URL of an archived blob; the code is open",
        needs: &[Sharing],
        requests: 3,
        expected: &["409"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s52", "a").done().await?;
                lab.set_tier("s52", "Archive").done().await?;
                let put = put_blob(lab, "s52-to", &lab.readable_url("s52").await?).send().await?;
                Ok(put.status().to_string())
            })
        },
    },
    Fact {
        ids: &["S55"],
        what: "Copy Blob From URL with tag option COPY",
        needs: &[Flat, Key],
        requests: 3,
        expected: &["202, x-ms-tag-count: 1"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s55", "a").header("x-ms-tags", "a=1").done().await?;
                let url = url_with_sas(lab, "s55", "rt")?;
                let copy = copy_blob(lab, "s55-to", &url).header("x-ms-copy-source-tag-option", "COPY").send().await?;
                let head = lab.head("s55-to").send().await?;
                Ok(format!("{}, {}", copy.outcome(), head.shown("x-ms-tag-count")))
            })
        },
    },
];
