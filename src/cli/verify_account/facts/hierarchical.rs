//! Accounts with a hierarchical namespace, over the Blob and the DFS endpoint.

use percent_encoding::utf8_percent_encode;

use crate::cli::verify_account::fact::Need::{Hierarchical, SoftDelete};
use crate::cli::verify_account::fact::{Fact, NO_ETAG, NO_LEASE, together};
use crate::cli::verify_account::lab::{Ask, Lab};
use crate::error::Result;
use crate::path::PATH;
use crate::store::Credential;

/// Create Path of a directory.
fn create_directory<'a>(lab: &'a Lab, name: &str) -> Ask<'a> {
    lab.ask("PUT", name).over_dfs().query("resource", "directory")
}

/// Create Path as a rename; `mode` is `legacy` or `posix`. A SAS has to open the source as well.
fn rename<'a>(lab: &'a Lab, from: &str, to: &str, mode: &str) -> Ask<'a> {
    let path = format!("/{}/{}{from}", lab.container, lab.prefix);
    let mut source = utf8_percent_encode(&path, PATH).to_string();
    if let Credential::Sas(token) = &lab.account.credential {
        source = format!("{source}?{}", token.expose());
    }
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
        ids: &["S116"],
        what: "rename of a file and of a directory: ETag, Last-Modified, creation time",
        needs: &[Hierarchical],
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
        ids: &["S117"],
        what: "ETag and Last-Modified in the answer to a rename",
        needs: &[Hierarchical],
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
        ids: &["S118", "S196"],
        what: "rename of a directory onto a directory, mode posix",
        needs: &[Hierarchical],
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
        ids: &["S119"],
        what: "the same, mode legacy, onto an empty one",
        needs: &[Hierarchical],
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
        ids: &["S120"],
        what: "the same, mode legacy, onto one that is not empty",
        needs: &[Hierarchical],
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
        ids: &["S121"],
        what: "rename with If-None-Match: * onto a file",
        needs: &[Hierarchical],
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
        ids: &["S122", "S197"],
        what: "rename to a name whose parent is not there",
        needs: &[Hierarchical],
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
        ids: &["S125"],
        what: "rename of what is not there",
        needs: &[Hierarchical],
        requests: 1,
        expected: &["404 SourcePathNotFound"],
        run: |lab| Box::pin(async move { Ok(rename(lab, "s125", "s125-to", "legacy").send().await?.outcome()) }),
    },
    Fact {
        ids: &["S126"],
        what: "rename, unmet condition on the source, and on the new path",
        needs: &[Hierarchical],
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
        ids: &["S127"],
        what: "rename with a lease id, and nothing is leased",
        needs: &[Hierarchical],
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
        ids: &["S129"],
        what: "DFS delete of what is not there; flush at a wrong position",
        needs: &[Hierarchical],
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
        ids: &["S131"],
        what: "a file written over DFS: Put Block and Put Block List, then Put Blob",
        needs: &[Hierarchical],
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
        ids: &["S132"],
        what: "Delete Blob of a directory that is not empty",
        needs: &[Hierarchical],
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
        ids: &["S133"],
        what: "Delete Blob of a directory with x-ms-delete-snapshots",
        needs: &[Hierarchical],
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
        ids: &["S134"],
        what: "HEAD of a directory: resource type, hdi_isfolder, owner, group and permissions",
        needs: &[Hierarchical],
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
        ids: &["S136"],
        what: "Set Blob Metadata of a directory with hdi_isfolder: refused",
        needs: &[Hierarchical],
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
        ids: &["S137"],
        what: "Set Blob Metadata of a directory without it",
        needs: &[Hierarchical],
        requests: 4,
        expected: &["200, x-ms-meta-hdi_isfolder: true, another etag, the same x-ms-creation-time"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s137").done().await?;
                let before = lab.head("s137").done().await?;
                let set = lab.set_metadata("s137").send().await?;
                let after = lab.head("s137").done().await?;
                let (etag, created) = (before.compared(&after, "etag"), before.compared(&after, "x-ms-creation-time"));
                Ok(format!("{}, {}, {etag}, {created}", set.outcome(), after.shown("x-ms-meta-hdi_isfolder")))
            })
        },
    },
    Fact {
        ids: &["S138"],
        what: "ETag and Last-Modified of a directory when a child is made and deleted",
        needs: &[Hierarchical],
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
        ids: &["S139"],
        what: "DFS create of a file over a file: creation time; parents are made",
        needs: &[Hierarchical],
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
        ids: &["S141"],
        what: "Put Blob below a file, and onto a directory: refused",
        needs: &[Hierarchical],
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
        ids: &["S171"],
        what: "listing with a delimiter: what a prefix has, and ResourceType",
        needs: &[Hierarchical],
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
        ids: &["S172"],
        what: "listing without a delimiter: a directory is an entry of its own",
        needs: &[Hierarchical],
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
        ids: &["S192"],
        what: "Snapshot Blob",
        needs: &[Hierarchical],
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
        ids: &["S193"],
        what: "Get Blob Tags, and Put Blob with tags",
        needs: &[Hierarchical],
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
        ids: &["S194"],
        what: "Set Blob Tier: open",
        needs: &[Hierarchical],
        requests: 2,
        expected: &["200", "400 InvalidQueryParameterValue"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s194", "a").done().await?;
                Ok(lab.set_tier("s194", "Cool").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S195"],
        what: "an empty segment in a name, and 62 segments",
        needs: &[Hierarchical],
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
        ids: &["S198"],
        what: "rename of a file onto a file, mode posix",
        needs: &[Hierarchical],
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
    Fact {
        ids: &["S128"],
        what: "rename with a wrong lease id of the path that is replaced, and of the one that is renamed",
        needs: &[Hierarchical],
        requests: 8,
        expected: &["412 LeaseIdMismatch"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s128", "a").done().await?;
                lab.put("s128-to", "b").done().await?;
                let mut seen = Vec::new();
                for (leased, header) in [("s128-to", "x-ms-lease-id"), ("s128", "x-ms-source-lease-id")] {
                    lab.lease(leased, "acquire").header("x-ms-lease-duration", "15").done().await?;
                    let renamed = rename(lab, "s128", "s128-to", "legacy").header(header, NO_LEASE).send().await?;
                    lab.lease(leased, "break").header("x-ms-lease-break-period", "0").done().await?;
                    seen.push(renamed.outcome());
                }
                Ok(together(&seen))
            })
        },
    },
    Fact {
        ids: &["S130"],
        what: "DFS delete where deleted files are kept",
        needs: &[Hierarchical, SoftDelete],
        requests: 2,
        expected: &["200, x-ms-delete-type-permanent: false, with x-ms-deletion-id"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s130", "a").done().await?;
                let delete = lab.ask("DELETE", "s130").over_dfs().query("recursive", "false").send().await?;
                let id = if delete.has("x-ms-deletion-id") { "with" } else { "without" };
                let permanent = delete.shown("x-ms-delete-type-permanent");
                Ok(format!("{}, {permanent}, {id} x-ms-deletion-id", delete.outcome()))
            })
        },
    },
    Fact {
        ids: &["S135"],
        what: "hdi_isfolder of a directory in HEAD and in a list",
        needs: &[Hierarchical],
        requests: 3,
        expected: &["true / true"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s135").done().await?;
                let head = lab.head("s135").done().await?;
                let list = lab.list("s135").query("include", "metadata").done().await?;
                Ok(format!("{} / {}", head.header("x-ms-meta-hdi_isfolder"), list.element("hdi_isfolder")))
            })
        },
    },
    Fact {
        ids: &["S140"],
        what: "Put Blob with hdi_isfolder and an access tier: refused; the code is open",
        needs: &[Hierarchical],
        requests: 1,
        expected: &["refused"],
        run: |lab| {
            Box::pin(async move {
                let put = lab.put("s140", "").header("x-ms-meta-hdi_isfolder", "true");
                let put = put.header("x-ms-access-tier", "Cool").send().await?;
                Ok(if (400..500).contains(&put.status()) { "refused".to_owned() } else { put.outcome() })
            })
        },
    },
    Fact {
        ids: &["S199"],
        what: "rename of a directory onto and below itself, of a file onto a directory, of a directory onto a file",
        needs: &[Hierarchical],
        requests: 6,
        expected: &["409 InvalidRenameSourcePath / 409 InvalidSourceOrDestinationResourceType"],
        run: |lab| {
            Box::pin(async move {
                create_directory(lab, "s199").done().await?;
                lab.put("s199-file", "a").done().await?;
                let renamed = async |from, to| rename(lab, from, to, "legacy").send().await.map(|seen| seen.outcome());
                let itself = [renamed("s199", "s199").await?, renamed("s199", "s199/below").await?];
                let other = [renamed("s199-file", "s199").await?, renamed("s199", "s199-file").await?];
                Ok(format!("{} / {}", together(&itself), together(&other)))
            })
        },
    },
    Fact {
        ids: &["S206"],
        what: "a deleted file in a list with showonly=deleted, and back by its DeletionId",
        needs: &[Hierarchical, SoftDelete],
        requests: 5,
        expected: &["a DeletionId, ResourceType file; 200, the same ETag"],
        run: |lab| {
            Box::pin(async move {
                let made = lab.put("s206", "a").done().await?;
                lab.ask("DELETE", "s206").over_dfs().query("recursive", "false").done().await?;
                let list = lab.list("s206").query("showonly", "deleted").done().await?;
                let (deletion, kind) = (list.element("DeletionId"), list.element("ResourceType"));
                let source = format!("{}?deletionid={deletion}", lab.blob_path("s206")?.name.encoded());
                let back = lab.ask("PUT", "s206").query("comp", "undelete").header("x-ms-undelete-source", &source);
                let back = back.send().await?;
                let id = if deletion.is_empty() { "no DeletionId" } else { "a DeletionId" };
                let same = if lab.head("s206").send().await?.header("etag") == made.header("etag") {
                    "the same"
                } else {
                    "another"
                };
                Ok(format!("{id}, ResourceType {kind}; {}, {same} ETag", back.outcome()))
            })
        },
    },
];
