//! Containers: those that are made for a fact and deleted by it.

use crate::cli::verify_account::fact::Need::{Account, Containers};
use crate::cli::verify_account::fact::{Fact, NO_LEASE};
use crate::cli::verify_account::lab::{Ask, Lab, Seen};
use crate::error::Result;

/// The last version in which flags of containers had their first names (S191).
const OLD_FLAGS: &str = "2020-06-12";

/// Lease Container.
fn lease<'a>(lab: &'a Lab, action: &str) -> Ask<'a> {
    lab.ask_container("PUT").query("comp", "lease").header("x-ms-lease-action", action)
}

/// List Containers: the one of the place.
async fn listed(lab: &Lab, include: &str) -> Result<Seen> {
    let list = lab.ask_account("GET").query("comp", "list").query("prefix", lab.container.as_str());
    let list = if include.is_empty() { list } else { list.query("include", include) };
    list.done().await
}

/// The names that are elements of a text, in the order of `names`.
fn found(text: &str, names: &[&str]) -> String {
    let found: Vec<&str> = names.iter().copied().filter(|name| text.contains(&format!("<{name}>"))).collect();
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S98"],
        what: "lease of a container: break without one, acquire twice, Delete Container without id, and with a broken one",
        needs: &[Containers],
        requests: 8,
        expected: &[
            "409 LeaseNotPresentWithLeaseOperation / 409 LeaseAlreadyPresent / 412 LeaseIdMissing / 412 LeaseLost",
        ],
        run: |lab| {
            Box::pin(async move {
                let own = lab.new_container("s98").await?;
                let mut seen = vec![lease(&own, "break").send().await?];
                let acquire = || lease(&own, "acquire").header("x-ms-lease-duration", "15");
                let acquired = acquire().done().await?;
                seen.push(acquire().header("x-ms-proposed-lease-id", NO_LEASE).send().await?);
                seen.push(own.delete_container().await?);
                lease(&own, "break").header("x-ms-lease-break-period", "0").done().await?;
                let delete = own.ask_container("DELETE").header("x-ms-lease-id", acquired.header("x-ms-lease-id"));
                seen.push(delete.send().await?);
                own.delete_container().await?;
                Ok(seen.iter().map(Seen::outcome).collect::<Vec<_>>().join(" / "))
            })
        },
    },
    Fact {
        ids: &["S115", "S191"],
        what: "flags of immutability in List Containers, today and in 2020-06-12",
        needs: &[Containers, Account],
        requests: 2,
        expected: &["HasImmutabilityPolicy, HasLegalHold, ImmutableStorageWithVersioningEnabled / \
             HasImmutabilityPolicy, HasLegalHold, VersionLevelWormEnabled"],
        run: |lab| {
            Box::pin(async move {
                let flags = [
                    "HasImmutabilityPolicy",
                    "HasLegalHold",
                    "ImmutableStorageWithVersioningEnabled",
                    "VersionLevelWormEnabled",
                ];
                let today = listed(lab, "").await?.text();
                let old = listed(&lab.in_version(OLD_FLAGS), "").await?.text();
                Ok(format!("{} / {}", found(&today, &flags), found(&old, &flags)))
            })
        },
    },
    Fact {
        ids: &["S154"],
        what: "Delete Container twice, then Create Container",
        needs: &[Containers],
        requests: 5,
        expected: &["202 / 202 / 409 ContainerBeingDeleted, no retry-after"],
        run: |lab| {
            Box::pin(async move {
                let own = lab.new_container("s154").await?;
                let (first, second) = (own.delete_container().await?, own.delete_container().await?);
                let create = own.ask_container("PUT").send().await?;
                // It may have been made.
                own.delete_container().await?;
                let outcomes = [&first, &second, &create].map(Seen::outcome);
                Ok(format!("{}, {}", outcomes.join(" / "), create.shown("retry-after")))
            })
        },
    },
    Fact {
        ids: &["S178"],
        what: "a deleted container in List Containers, if the account keeps it",
        needs: &[Containers, Account],
        requests: 3,
        expected: &[
            "Deleted, Version, DeletedTime, RemainingRetentionDays, LeaseStatus locked, LeaseState leased, LeaseDuration fixed",
            "not kept",
        ],
        run: |lab| {
            Box::pin(async move {
                let own = lab.new_container("s178").await?;
                own.delete_container().await?;
                let list = listed(&own, "deleted").await?;
                let known = found(&list.text(), &["Deleted", "Version", "DeletedTime", "RemainingRetentionDays"]);
                if known == "none" {
                    return Ok("not kept".to_owned());
                }
                let lease = ["LeaseStatus", "LeaseState", "LeaseDuration"];
                let lease = lease.map(|name| format!("{name} {}", list.element(name)));
                Ok(format!("{known}, {}", lease.join(", ")))
            })
        },
    },
];
