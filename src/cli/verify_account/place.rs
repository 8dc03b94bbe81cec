//! The places in which facts are looked at: making them, learning what kind of account they are in, and removing them
//! with all that is there.

use super::kind::{Kind, Proof, Second};
use super::lab::{Lab, Seen};
use crate::error::{Error, OptionalExtension, Result};
use crate::store::{ListBlobs, Metadata, Probe};
use crate::sync::lock;

/// Makes the place of `lab` and that in the second account, and fills in what kind of accounts they are in.
pub(super) async fn make(lab: &mut Lab) -> Result<()> {
    begin(lab).await?;
    // It stays where it is, to be removed whatever happens.
    if let Some(second) = &mut lab.second {
        let begun = begin(second).await;
        lab.kind.second = Some(if second.kind.hierarchical { Second::Hierarchical } else { Second::Flat });
        let (account, shares) = (second.client.account().clone(), second.kind.shares);
        begun.map_err(|error| Error::unsupported(format!("{account}: {error}")))?;
        if !shares {
            return Err(Error::unsupported(format!("{account}: copies need a SAS, and the identity may not sign one")));
        }
    }
    Ok(())
}

async fn begin(lab: &mut Lab) -> Result<()> {
    // Before anything is asked for: whoever does not wait for the answer removes it all the same.
    lab.begun = true;
    if lab.prefix.is_empty()
        && let Err(error) = lab.client.container(&lab.container).create(&Metadata::default()).await
    {
        // What was refused was not made, and what has the name is somebody else's.
        lab.begun = !(400..500).contains(&error.status());
        return Err(error);
    }
    kind(lab).await
}

/// Learns what kind of account it is: four transactions, one more in a directory, and one for who is asked with a token.
async fn kind(lab: &mut Lab) -> Result<()> {
    let above = match lab.head_above() {
        Some(head) => Some(head.send().await?.status()),
        None => None,
    };
    let told = lab.ask_container_as("GET", "account").query("comp", "properties").send().await?;
    if above == Some(404) && told.header("x-ms-is-hns-enabled") == "true" {
        // It would be made, and stay.
        return Err(Error::unsupported("there is no such directory"));
    }
    let probe = lab.put("kind", "a").send().await?;
    if probe.status() != 201 {
        return Err(Error::unsupported(format!("nothing can be written there: {}", probe.outcome())));
    }
    lab.kind.hierarchical = match told.status() {
        200 => told.header("x-ms-is-hns-enabled") == "true",
        // Only there a blob has a resource type (S134).
        _ => lab.head("kind").send().await?.has("x-ms-resource-type"),
    };
    let deleted = lab.ask("DELETE", "kind").send().await?;
    if deleted.status() != 202 {
        return Err(Error::unsupported(format!("what is written there cannot be removed: {}", deleted.outcome())));
    }
    let versions = probe.has("x-ms-version-id");
    let soft_delete = !versions && deleted.header("x-ms-delete-type-permanent") == "false";
    let shares = lab.kind.proof != Proof::Nothing && lab.readable_url("kind").await.is_ok();
    lab.kind = Kind { versions, soft_delete, shares, ..lab.kind };
    Ok(())
}

/// Removes what was made, in both accounts. The error says what is left.
pub(super) async fn remove(lab: &Lab) -> std::result::Result<(), String> {
    let mut left = Vec::new();
    for place in [Some(lab), lab.second.as_deref()].into_iter().flatten().filter(|place| place.begun) {
        left.extend(remove_one(place).await.err());
    }
    if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
}

/// The containers that facts have left, and the place itself: each as far as it goes, whatever becomes of another.
async fn remove_one(lab: &Lab) -> std::result::Result<(), String> {
    let mut left = Vec::new();
    let beside = lock(&lab.beside).clone();
    for container in beside {
        let beside = lab.at(container);
        if let Err(error) = remove_beside(&beside).await {
            left.push(format!("{}: could not be removed: {error}", beside.container));
        }
    }
    if let Err(error) = remove_place(lab).await {
        left.push(format!("{}/{}: could not be removed: {error}", lab.container, lab.prefix));
    }
    if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
}

/// The container of a fact that did not come to its end, which may have leased it.
async fn remove_beside(left: &Lab) -> Result<()> {
    let end = left.ask_container("PUT").query("comp", "lease").header("x-ms-lease-action", "break");
    end.header("x-ms-lease-break-period", "0").send().await?;
    left.client.container(&left.container).delete().await.optional().map(drop)
}

/// The container, or the directory with all that is in it.
async fn remove_place(lab: &Lab) -> Result<()> {
    if lab.prefix.is_empty() {
        return lab.client.container(&lab.container).delete().await.optional().map(drop);
    }
    // Where the kind was not learnt, a directory shows it (S134).
    let itself = format!("{}/{}", lab.container, lab.prefix.trim_end_matches('/'));
    let head = Probe::new("HEAD".parse().unwrap_or_default(), &itself);
    if lab.kind.hierarchical || lab.send(head).await?.has("x-ms-resource-type") {
        let tree = lab.ask("DELETE", "").over_dfs().query("recursive", "true").send().await?;
        return gone(&tree);
    }
    remove_blobs(lab, false).await?;
    if lab.kind.versions { remove_blobs(lab, true).await } else { Ok(()) }
}

/// Deletes all blobs with their snapshots and blocks, or all their versions.
async fn remove_blobs(lab: &Lab, versions: bool) -> Result<()> {
    let list = ListBlobs { prefix: &lab.prefix, versions, uncommitted: !versions, ..ListBlobs::default() };
    let mut pages = lab.client.container(&lab.container).pages(list);
    while let Some(page) = pages.next().await? {
        for item in &page.items {
            let name = item.name.as_str().strip_prefix(&lab.prefix).unwrap_or_default();
            let delete = || match &item.revision {
                Some(revision) => lab.ask("DELETE", name).query(revision.parameter().0, revision.parameter().1),
                None => lab.ask("DELETE", name).header("x-ms-delete-snapshots", "include"),
            };
            let mut deleted = delete().send().await?;
            // Of a fact that did not come to its end, or of a copy that did not.
            if deleted.code().starts_with("Lease") {
                let end = lab.lease(name, "break").header("x-ms-lease-break-period", "0");
                end.done().await?;
                deleted = delete().send().await?;
            }
            if deleted.code() == "PendingCopyOperation" {
                let head = lab.head(name).send().await?;
                lab.abort(name, head.header("x-ms-copy-id")).send().await?;
                deleted = delete().send().await?;
            }
            if deleted.status() == 404 && !versions {
                // There are only blocks, which go with a blob that is put in their place.
                lab.put(name, "").done().await?;
                deleted = delete().send().await?;
            }
            gone(&deleted)?;
        }
    }
    Ok(())
}

fn gone(deleted: &Seen) -> Result<()> {
    match deleted.status() {
        200..300 | 404 => Ok(()),
        _ => Err(Error::unsupported(deleted.outcome())),
    }
}
