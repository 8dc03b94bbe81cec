//! `blobcp verify-account`: does an account answer as `docs/service-facts.md` says?
//!
//! blobcp rests on facts about the service that others recorded. Whoever has an account can look at all that can be
//! looked at there, in a container or directory that is made for it and removed again. A row that differs is either a
//! mistake on the page or something new in the service: both are worth a report.

mod fact;
mod facts;
mod lab;

use std::io::{self, Write};
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt};

use super::failure::{Failure, complain, end_quietly_without_readers};
use super::log;
use super::signals::Signals;
use crate::config::{self, Auth, Environment, File, KnownAccounts, Settings};
use crate::error::{Error, Result};
use crate::path::ContainerName;
use crate::store::{ListBlobs, Metadata};
use fact::{Fact, Of};
use lab::{Kind, Lab, Seen};

/// Transactions to make a container, to learn the kind of the account, and to remove the container.
const OF_THE_PLACE: u32 = 6;

/// Facts that are looked at side by side. Some wait for the next second.
const AT_ONCE: usize = 8;

const MORE: &str = "\
ACCOUNT is looked at in a container of its own, which is removed again. With
CONTAINER it is a directory in that, for who may not make containers. The
number of transactions is said before; they cost next to nothing. Copies
between accounts, which take their time, are not looked at.

The output names the account and no secrets. It belongs into every report
about wrong behaviour. The exit status is 0 if everything is as expected.

Examples:
  blobcp verify-account myaccount
  blobcp verify-account myaccount/scratch
  blobcp verify-account --only S12,S58 --json myaccount";

/// Look whether an account answers as blobcp expects
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    #[arg(value_name = "ACCOUNT[/CONTAINER]")]
    source: String,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Only these facts.
    #[arg(long, value_name = "S1,S2,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Configuration file [default: ~/.config/blobcp/config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// x-ms-version of all requests.
    #[arg(long, value_name = "DATE")]
    api_version: Option<String>,
    /// How to ask, as for mount.
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    auth: Option<Auth>,
    /// error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

/// What was seen of a fact.
struct Row {
    fact: &'static Fact,
    seen: String,
    sent: u32,
}

impl Row {
    fn agrees(&self) -> bool {
        self.fact.expected.contains(&self.seen.as_str())
    }

    fn text(&self, json: bool) -> String {
        let Fact { id, what, expected, .. } = self.fact;
        if json {
            let row = serde_json::json!({
                "fact": id, "about": what, "expected": expected, "seen": self.seen, "agrees": self.agrees(),
            });
            return row.to_string();
        }
        let mark = if self.agrees() { ' ' } else { '!' };
        format!("{mark} {id} | {what} | {} | {}", expected.join(" or "), self.seen)
    }
}

impl Arguments {
    pub(super) fn run(self) -> std::result::Result<(), Failure> {
        end_quietly_without_readers();
        log::to_stderr(Some(&self.log))?;
        let environment = Environment::of_process();
        let file = File::load(self.config.as_deref())?;
        let known = KnownAccounts::new(&environment, &file)?;
        let settings = Settings { api_version: self.api_version.clone(), auth: self.auth, ..Settings::default() }
            .or(file.mount.clone());
        if let Some(unknown) = self.only.iter().find(|id| !facts::all().any(|fact| fact.id == **id)) {
            return Err(Failure::usage(format!("{unknown} is no fact that can be looked at here")));
        }
        let (source, account) = config::account(&self.source, &settings, &known)?;
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(error.to_string()))?;
        let name = format!("blobcp-verify-{:08x}", rand::random::<u32>());
        let (container, prefix) = match &source.container {
            Some(container) => (container.clone(), format!("{}{name}/", source.prefix)),
            None => (ContainerName::parse(&name).map_err(|error| Failure::new(error.to_string()))?, String::new()),
        };
        let lab = Lab::new(account, container, prefix);
        runtime.block_on(self.look(lab, &source.label))
    }

    /// From making the place to removing it, whatever happens in between.
    async fn look(&self, lab: Lab, label: &str) -> std::result::Result<(), Failure> {
        let failed = |error: Error| Failure::new(format!("{label}: {error}"));
        let most = self.most_transactions(&lab);
        let place = if lab.prefix.is_empty() { "a container" } else { "a directory" };
        let promise = format!("At most {most} transactions will be made, in {place} that is removed again.");
        if self.json {
            complain("verify-account", promise)
        } else {
            say(&promise)
        }
        if lab.prefix.is_empty() {
            lab.client.container(&lab.container).create(&Metadata::default()).await.map_err(failed)?;
        }
        let kind = kind(&lab).await.map_err(failed);
        let lab = lab.of_kind(*kind.as_ref().unwrap_or(&lab.kind));
        let result = match kind {
            Ok(_) => tokio::select! {
                result = self.look_in(&lab, label) => Ok(result),
                end = interrupted() => Err(end),
            },
            Err(failure) => Err(failure),
        };
        let removed = remove(&lab).await;
        let differing = result?;
        removed.map_err(|error| {
            Failure::new(format!("{}/{}: could not be removed: {error}", lab.container, lab.prefix))
        })?;
        match differing {
            0 => Ok(()),
            1 => Err(Failure::new("1 fact differs")),
            many => Err(Failure::new(format!("{many} facts differ"))),
        }
    }

    /// Those that were asked for.
    fn wanted(&self) -> impl Iterator<Item = &'static Fact> {
        facts::all().filter(|fact| self.only.is_empty() || self.only.iter().any(|id| id == fact.id))
    }

    /// The number of transactions whatever kind of account it is: to make the place, to learn the kind, for the facts,
    /// and to remove what is there. A container goes as a whole; of a directory each blob is deleted, and there are
    /// fewer than transactions.
    fn most_transactions(&self, lab: &Lab) -> u32 {
        let facts = |hierarchical: bool| -> u32 {
            let admitted =
                |fact: &&Fact| (fact.of != Of::Flat || !hierarchical) && (fact.of != Of::Hierarchical || hierarchical);
            self.wanted().filter(admitted).map(|fact| fact.requests).sum()
        };
        let facts = facts(false).max(facts(true));
        if lab.prefix.is_empty() { facts + OF_THE_PLACE } else { 2 * facts + OF_THE_PLACE }
    }

    /// The number of facts that differ.
    async fn look_in(&self, lab: &Lab, label: &str) -> usize {
        let kind = lab.kind;
        let (of, others): (Vec<&'static Fact>, Vec<_>) = self.wanted().partition(|fact| fact.of.admits(kind));
        let requests: u32 = of.iter().map(|fact| fact.requests).sum();
        if !self.json {
            say(&format!(
                "{label} is {}.\n{} facts will be looked at by {requests} transactions; {} are about other accounts.\n\n\
                 fact | about | expected | seen",
                kind_in_words(kind),
                of.len(),
                others.len(),
            ));
        }
        let rows = of.into_iter().map(|fact| row(lab.anew(), fact));
        let mut rows = stream::iter(rows).buffered(AT_ONCE);
        let (mut differing, mut sent) = (0, 0);
        while let Some(row) = rows.next().await {
            differing += usize::from(!row.agrees());
            sent += row.sent;
            say(&row.text(self.json));
        }
        if !self.json {
            say(&format!("\n{sent} transactions were made."));
        }
        differing
    }
}

/// Ends when somebody wants an end.
async fn interrupted() -> Failure {
    match Signals::listen() {
        Ok(mut signals) => {
            signals.next().await;
            Failure::new("interrupted")
        }
        Err(failure) => failure,
    }
}

/// On stdout, at once: some facts take seconds.
fn say(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn row(lab: Lab, fact: &'static Fact) -> Row {
    let seen = (fact.run)(&lab).await.unwrap_or_else(|error| format!("failed: {error}"));
    Row { fact, seen, sent: lab.sent() }
}

fn kind_in_words(kind: Kind) -> String {
    let mut words = vec![if kind.hierarchical { "hierarchical" } else { "flat" }];
    if kind.versions {
        words.push("keeps versions");
    }
    if kind.soft_delete {
        words.push("keeps deleted blobs for a while");
    }
    words.push(if kind.key { "is asked with its key" } else { "is asked without its key" });
    words.join(", ")
}

/// What kind of account it is, by four transactions.
async fn kind(lab: &Lab) -> Result<Kind> {
    let told = lab.ask_container_as("GET", "account").query("comp", "properties").send().await?;
    let probe = lab.put("kind", "a").send().await?;
    if probe.status() != 201 {
        return Err(Error::unsupported(format!("nothing can be written there: {}", probe.outcome())));
    }
    let hierarchical = match told.status() {
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
    Ok(Kind { hierarchical, versions, soft_delete, ..lab.kind })
}

/// Removes what was made: the container, or all that is in the directory.
async fn remove(lab: &Lab) -> Result<()> {
    if lab.prefix.is_empty() {
        return lab.client.container(&lab.container).delete().await;
    }
    if lab.kind.hierarchical {
        let tree = lab.ask("DELETE", "").over_dfs().query("recursive", "true").send().await?;
        return gone(&tree);
    }
    remove_blobs(lab, false).await?;
    if lab.kind.versions { remove_blobs(lab, true).await } else { Ok(()) }
}

/// Deletes all blobs with their snapshots, or all their versions.
async fn remove_blobs(lab: &Lab, versions: bool) -> Result<()> {
    let mut marker = None;
    loop {
        let list = ListBlobs { prefix: &lab.prefix, versions, marker: marker.as_deref(), ..ListBlobs::default() };
        let page = lab.client.container(&lab.container).list_blobs(&list).await?;
        for item in &page.items {
            let name = item.name.as_str().strip_prefix(&lab.prefix).unwrap_or_default();
            let delete = || match &item.revision {
                Some(revision) => lab.ask("DELETE", name).query(revision.parameter().0, revision.parameter().1),
                None => lab.ask("DELETE", name).header("x-ms-delete-snapshots", "include"),
            };
            let mut deleted = delete().send().await?;
            if deleted.code().starts_with("Lease") {
                // Of a fact that did not come to its end.
                let end = lab.ask("PUT", name).query("comp", "lease").header("x-ms-lease-action", "break");
                end.header("x-ms-lease-break-period", "0").done().await?;
                deleted = delete().send().await?;
            }
            gone(&deleted)?;
        }
        marker = page.next;
        if marker.is_none() {
            return Ok(());
        }
    }
}

fn gone(deleted: &Seen) -> Result<()> {
    match deleted.status() {
        200..300 | 404 => Ok(()),
        _ => Err(Error::unsupported(deleted.outcome())),
    }
}
