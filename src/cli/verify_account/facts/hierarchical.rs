//! Accounts with a hierarchical namespace, over the Blob and the DFS endpoint.

use crate::cli::verify_account::fact::{Fact, NO_ETAG, NO_LEASE, Of, together};
use crate::cli::verify_account::lab::{Ask, Lab};
use crate::error::Result;

/// Create Path of a directory.
fn create_directory<'a>(lab: &'a Lab, name: &str) -> Ask<'a> {
    lab.ask("PUT", name).over_dfs().query("resource", "directory")
}

/// Create Path as a rename; `mode` is `legacy` or `posix`.
fn rename<'a>(lab: &'a Lab, from: &str, to: &str, mode: &str) -> Ask<'a> {
    let source = format!("/{}/{}{from}", lab.container, lab.prefix);
    lab.ask("PUT", to).over_dfs().query("mode", mode).header("x-ms-rename-source", &source)
}

/// A file of three bytes, made over DFS: three requests.
async fn create_file(lab: &Lab, name: &str) -> Result<()> {
    lab.ask("PUT", name).over_dfs().query("resource", "file").done().await?;
    let append = lab.ask("PATCH", name).over_dfs().query("action", "append").query("position", "0");
    append.body("abc").done().await?;
    lab.ask("PATCH", name).over_dfs().query("action", "flush").query("position", "3").done().await?;
    Ok(())
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        id: "S116",
        what: "rename of a file and of a directory: ETag, Last-Modified, creation time",
        of: Of::Hierarchical,
        requests: 8,
        expected: &["the same etag, the same last-modified, the same x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s116-file", "a").done().await?;
                create_directory(lab, "s116-dir").done().await?;
                let mut seen = Vec::new();
                let before = [lab.head("s116-file").done().await?, lab.head("s116-dir").done().await?];
                lab.tick().await;
                for (before, name) in before.iter().zip(["s116-file", "s116-dir"]) {
                    let to = format!("{name}-to");
                    rename(lab, name, &to, "legacy").done().await?;
                    let after = lab.head(&to).done().await?;
                    let kept =
                        ["etag", "last-modified", "x-ms-creation-time"].map(|name| before.compared(&after, name));
                    seen.push(kept.join(", "));
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        id: "S117",
        what: "ETag and Last-Modified in the answer to a rename",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["both", "neither"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s117", "a").done().await?;
                let renamed = rename(lab, "s117", "s117-to", "legacy").done().await?;
                Ok(match (renamed.has("etag"), renamed.has("last-modified")) {
                    (true, true) => "both",
                    (false, false) => "neither",
                    _ => "one of them",
                }
                .to_owned())
            })
        },
    },
    Fact {
        id: "S118",
        what: "rename of a directory onto a directory, mode posix (also S196)",
        of: Of::Hierarchical,
        requests: 5,
        expected: &["inside of it"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s118/file", "a").done().await?;
                create_directory(lab, "s118-to").done().await?;
                rename(lab, "s118", "s118-to", "posix").done().await?;
                let inside = lab.head("s118-to/s118/file").send().await?.status() == 200;
                let instead = lab.head("s118-to/file").send().await?.status() == 200;
                Ok(match (inside, instead) {
                    (true, false) => "inside of it",
                    (false, true) => "instead of it",
                    _ => "neither inside nor instead of it",
                }
                .to_owned())
            })
        },
    },
    Fact {
        id: "S119",
        what: "the same, mode legacy, onto an empty one",
        of: Of::Hierarchical,
        requests: 4,
        expected: &["201, instead of it"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s119/file", "a").done().await?;
                create_directory(lab, "s119-to").done().await?;
                let renamed = rename(lab, "s119", "s119-to", "legacy").send().await?;
                let instead = lab.head("s119-to/file").send().await?.status() == 200;
                Ok(format!("{}, {}", renamed.outcome(), if instead { "instead of it" } else { "not instead of it" }))
            })
        },
    },
    Fact {
        id: "S120",
        what: "the same, mode legacy, onto one that is not empty",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["409 DirectoryNotEmpty"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s120/file", "a").done().await?;
                lab.put("s120-to/file", "b").done().await?;
                Ok(rename(lab, "s120", "s120-to", "legacy").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S121",
        what: "rename with If-None-Match: * onto a file",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["409 PathAlreadyExists"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s121", "a").done().await?;
                lab.put("s121-to", "b").done().await?;
                Ok(rename(lab, "s121", "s121-to", "legacy").header("if-none-match", "*").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S122",
        what: "rename to a name whose parent is not there (also S197)",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["404 RenameDestinationParentPathNotFound"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s122", "a").done().await?;
                Ok(rename(lab, "s122", "s122-nowhere/to", "legacy").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S125",
        what: "rename of what is not there",
        of: Of::Hierarchical,
        requests: 1,
        expected: &["404 SourcePathNotFound"],
        run: |lab| Box::pin(async move { Ok(rename(lab, "s125", "s125-to", "legacy").send().await?.outcome()) }),
    },
    Fact {
        id: "S126",
        what: "rename, unmet condition on the source, and on the new path",
        of: Of::Hierarchical,
        requests: 4,
        expected: &["412 SourceConditionNotMet / 412 ConditionNotMet"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s126", "a").done().await?;
                lab.put("s126-to", "b").done().await?;
                let source =
                    rename(lab, "s126", "s126-to", "legacy").header("x-ms-source-if-match", NO_ETAG).send().await?;
                let target = rename(lab, "s126", "s126-to", "legacy").header("if-match", NO_ETAG).send().await?;
                Ok(format!("{} / {}", source.outcome(), target.outcome()))
            })
        },
    },
    Fact {
        id: "S127",
        what: "rename with a lease id, and nothing is leased",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["412 LeaseNotPresent"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s127", "a").done().await?;
                lab.put("s127-to", "b").done().await?;
                let renamed = rename(lab, "s127", "s127-to", "legacy").header("x-ms-lease-id", NO_LEASE).send().await?;
                Ok(renamed.outcome())
            })
        },
    },
    Fact {
        id: "S129",
        what: "DFS delete of what is not there; flush at a wrong position",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["404 PathNotFound / 400 InvalidFlushPosition"],
        run: |lab| {
            Box::pin(async move {
                let delete = lab.ask("DELETE", "s129-nothing").over_dfs().query("recursive", "false").send().await?;
                lab.ask("PUT", "s129").over_dfs().query("resource", "file").done().await?;
                let flush =
                    lab.ask("PATCH", "s129").over_dfs().query("action", "flush").query("position", "7").send().await?;
                Ok(format!("{} / {}", delete.outcome(), flush.outcome()))
            })
        },
    },
    Fact {
        id: "S131",
        what: "a file written over DFS: Put Block and Put Block List, then Put Blob",
        of: Of::Hierarchical,
        requests: 6,
        expected: &["409 BlobOperationNotSupported / 409 BlobOperationNotSupported / 201"],
        run: |lab| {
            Box::pin(async move {
                create_file(lab, "s131").await?;
                let block = lab.block("s131", "YWFh", "x").send().await?;
                let list = lab.commit("s131", &[]).send().await?;
                let put = lab.put("s131", "x").send().await?;
                Ok(format!("{} / {} / {}", block.outcome(), list.outcome(), put.outcome()))
            })
        },
    },
    Fact {
        id: "S132",
        what: "Delete Blob of a directory that is not empty",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["409 DirectoryIsNotEmpty"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s132/file", "a").done().await?;
                Ok(lab.ask("DELETE", "s132").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S133",
        what: "Delete Blob of a directory with x-ms-delete-snapshots",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["400 OperationNotSupportedOnDirectory"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s133").done().await?;
                let delete = lab.ask("DELETE", "s133").header("x-ms-delete-snapshots", "include");
                Ok(delete.send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S134",
        what: "HEAD of a directory: resource type, hdi_isfolder, owner, group and permissions",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["x-ms-resource-type: directory, x-ms-meta-hdi_isfolder: true, all three"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s134").done().await?;
                let head = lab.head("s134").done().await?;
                let three = ["x-ms-owner", "x-ms-group", "x-ms-permissions"].iter().all(|name| head.has(name));
                let (kind, marker) = (head.shown("x-ms-resource-type"), head.shown("x-ms-meta-hdi_isfolder"));
                Ok(format!("{kind}, {marker}, {}", if three { "all three" } else { "not all three" }))
            })
        },
    },
    Fact {
        id: "S136",
        what: "Set Blob Metadata of a directory with hdi_isfolder: refused",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["refused"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s136").done().await?;
                let set = lab.ask("PUT", "s136").query("comp", "metadata").header("x-ms-meta-hdi_isfolder", "true");
                let set = set.send().await?;
                Ok(if (400..500).contains(&set.status()) { "refused".to_owned() } else { set.outcome() })
            })
        },
    },
    Fact {
        id: "S137",
        what: "Set Blob Metadata of a directory without it",
        of: Of::Hierarchical,
        requests: 4,
        expected: &["200, x-ms-meta-hdi_isfolder: true, another etag, the same x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s137").done().await?;
                let before = lab.head("s137").done().await?;
                let set = lab.ask("PUT", "s137").query("comp", "metadata").header("x-ms-meta-a", "1").send().await?;
                let after = lab.head("s137").done().await?;
                let (etag, created) = (before.compared(&after, "etag"), before.compared(&after, "x-ms-creation-time"));
                Ok(format!("{}, {}, {etag}, {created}", set.outcome(), after.shown("x-ms-meta-hdi_isfolder")))
            })
        },
    },
    Fact {
        id: "S138",
        what: "ETag and Last-Modified of a directory when a child is made and deleted",
        of: Of::Hierarchical,
        requests: 5,
        expected: &["the same etag, the same last-modified"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s138").done().await?;
                let before = lab.head("s138").done().await?;
                lab.tick().await;
                lab.put("s138/file", "a").done().await?;
                lab.ask("DELETE", "s138/file").done().await?;
                let after = lab.head("s138").done().await?;
                Ok(format!("{}, {}", before.compared(&after, "etag"), before.compared(&after, "last-modified")))
            })
        },
    },
    Fact {
        id: "S139",
        what: "DFS create of a file over a file: creation time; parents are made",
        of: Of::Hierarchical,
        requests: 5,
        expected: &["another x-ms-creation-time, the parent is there"],
        run: |lab| {
            Box::pin(async move {
                let create = || lab.ask("PUT", "s139/file").over_dfs().query("resource", "file");
                create().done().await?;
                let before = lab.head("s139/file").done().await?;
                lab.tick().await;
                create().done().await?;
                let after = lab.head("s139/file").done().await?;
                let parent = lab.head("s139").send().await?.status() == 200;
                let parent = if parent { "the parent is there" } else { "no parent" };
                Ok(format!("{}, {parent}", before.compared(&after, "x-ms-creation-time")))
            })
        },
    },
    Fact {
        id: "S141",
        what: "Put Blob below a file, and onto a directory: refused",
        of: Of::Hierarchical,
        requests: 4,
        expected: &["409 / 409"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s141-file", "a").done().await?;
                create_directory(lab, "s141-dir").done().await?;
                let below = lab.put("s141-file/below", "b").send().await?;
                let onto = lab.put("s141-dir", "b").send().await?;
                Ok(format!("{} / {}", below.status(), onto.status()))
            })
        },
    },
    Fact {
        id: "S171",
        what: "listing with a delimiter: what a prefix has, and ResourceType",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["properties and ResourceType directory"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s171/inner").done().await?;
                let list = lab.list("s171/").query("delimiter", "/").done().await?.text();
                let prefix = list.split("<BlobPrefix>").nth(1).unwrap_or_default();
                let properties = if prefix.contains("<Etag>") { "properties" } else { "no properties" };
                let kind = if prefix.contains("<ResourceType>directory") {
                    "ResourceType directory"
                } else {
                    "no ResourceType"
                };
                Ok(format!("{properties} and {kind}"))
            })
        },
    },
    Fact {
        id: "S172",
        what: "listing without a delimiter: a directory is an entry of its own",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["an entry without a last slash"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s172").done().await?;
                let list = lab.list("s172").done().await?.text();
                Ok(match (list.contains("s172</Name>"), list.contains("s172/</Name>")) {
                    (true, false) => "an entry without a last slash",
                    (_, true) => "an entry with a last slash",
                    _ => "no entry",
                }
                .to_owned())
            })
        },
    },
    Fact {
        id: "S192",
        what: "Snapshot Blob",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["409 FeatureNotYetSupportedForHierarchicalNamespaceAccounts"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s192", "a").done().await?;
                Ok(lab.ask("PUT", "s192").query("comp", "snapshot").send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S193",
        what: "Get Blob Tags, and Put Blob with tags",
        of: Of::Hierarchical,
        requests: 3,
        expected: &[
            "400 InvalidQueryParameterValue / 409 FeatureNotYetSupportedForHierarchicalNamespaceAccounts",
            "200 / 201",
        ],
        run: |lab| {
            Box::pin(async move {
                lab.put("s193", "a").done().await?;
                let get = lab.get("s193").query("comp", "tags").send().await?;
                let put = lab.put("s193-tags", "a").header("x-ms-tags", "a=1").send().await?;
                Ok(format!("{} / {}", get.outcome(), put.outcome()))
            })
        },
    },
    Fact {
        id: "S194",
        what: "Set Blob Tier: open",
        of: Of::Hierarchical,
        requests: 2,
        expected: &["200", "400 InvalidQueryParameterValue"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s194", "a").done().await?;
                let set = lab.ask("PUT", "s194").query("comp", "tier").header("x-ms-access-tier", "Cool");
                Ok(set.send().await?.outcome())
            })
        },
    },
    Fact {
        id: "S195",
        what: "an empty segment in a name, and 62 segments",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["is removed / 400"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s195//x", "a").done().await?;
                let folded = lab.head("s195/x").send().await?.status() == 200;
                let before = lab.prefix.matches('/').count();
                let deep = lab.put(&format!("s195{}", "/x".repeat(61 - before)), "a").send().await?;
                Ok(format!("{} / {}", if folded { "is removed" } else { "is kept" }, deep.status()))
            })
        },
    },
    Fact {
        id: "S198",
        what: "rename of a file onto a file, mode posix",
        of: Of::Hierarchical,
        requests: 3,
        expected: &["201"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s198", "a").done().await?;
                lab.put("s198-to", "b").done().await?;
                Ok(rename(lab, "s198", "s198-to", "posix").send().await?.outcome())
            })
        },
    },
];
