//! `blobcp verify-account`: does an account answer as `docs/service-facts.md` says?
//!
//! blobcp rests on facts about the service that others recorded. Whoever has an account can look at all that can be
//! looked at there, in a container or directory that is made for it and removed again. A row that differs is either a
//! mistake on the page or something new in the service: both are worth a report. What is not asked is listed with the
//! reason, so that nobody takes silence for agreement.

mod fact;
mod facts;
mod kind;
mod lab;
mod place;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::failure::{Failure, complain, end_quietly_without_readers};
use super::log;
use super::signals::Signals;
use crate::config::{self, Auth, Environment, File, KnownAccounts, MountSource, Settings, Switch};
use crate::path::ContainerName;
use crate::store::Account;
use fact::Fact;
use kind::{Kind, Second};
use lab::Lab;

/// Transactions to make a container, to learn the kind of the account, and to remove the container.
const OF_A_PLACE: u32 = 9;

/// Longest wait for what is being made when somebody wants an end.
const LET_END: Duration = Duration::from_secs(10);

/// Facts that are looked at side by side. Some wait for the next second.
const AT_ONCE: usize = 8;

const MORE: &str = "\
ACCOUNT is looked at in a container of its own, which is removed again. With
CONTAINER it is a directory in that, for who may not make containers. The
number of transactions is said before; they cost next to nothing. Copies
between accounts are looked at if --from names a second one, in which a
container or directory is made as well; some are of 4 MiB. What could not be
looked at is listed in the end, with the reason.

The output names the account and no secrets. It belongs into every report
about wrong behaviour. The exit status is 0 if everything is as expected.

Examples:
  blobcp verify-account myaccount
  blobcp verify-account myaccount/scratch
  blobcp verify-account --from otheraccount myaccount
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
    /// Look at copies from this account, too.
    #[arg(long, value_name = "ACCOUNT[/CONTAINER]")]
    from: Option<String>,
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
    /// Talk plain http to a server that is not on this machine.
    #[arg(long)]
    allow_http: bool,
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
        let Fact { ids, what, expected, .. } = self.fact;
        if json {
            let row = serde_json::json!({
                "facts": ids, "about": what, "expected": expected, "seen": self.seen, "agrees": self.agrees(),
            });
            return row.to_string();
        }
        let mark = if self.agrees() { ' ' } else { '!' };
        format!("{mark} {} | {what} | {} | {}", ids.join(", "), expected.join(" or "), self.seen)
    }
}

/// The number of transactions whatever kind of account it is: to make the place, to learn the kind, for the facts,
/// and to remove what is there. A container goes as a whole; of a directory each blob is deleted, and there are
/// fewer than transactions.
fn most_transactions(arguments: &Arguments, lab: &Lab) -> u32 {
    let facts =
        |kind: Kind| arguments.wanted().filter(|fact| fact.lacks(kind).is_none()).map(|fact| fact.requests).sum();
    let facts: u32 = lab.kind.all_alike().map(facts).max().unwrap_or_default();
    let places = [Some(lab), lab.second.as_deref()].into_iter().flatten();
    let in_directories = places.clone().any(|place| !place.prefix.is_empty());
    let of_places: u32 = places.map(|_| OF_A_PLACE).sum();
    if in_directories { 2 * facts + of_places } else { facts + of_places }
}

impl Arguments {
    pub(super) fn run(self) -> std::result::Result<(), Failure> {
        end_quietly_without_readers();
        log::to_stderr(Some(&self.log))?;
        let environment = Environment::of_process();
        let file = File::load(self.config.as_deref())?;
        let known = KnownAccounts::new(&environment, &file)?;
        let said = Settings {
            api_version: self.api_version.clone(),
            auth: self.auth,
            allow_http: self.allow_http.then_some(Switch::YES),
            ..Settings::default()
        };
        let settings = said.or(file.mount.clone());
        self.check_only()?;
        let name = format!("blobcp-verify-{:08x}", rand::random::<u32>());
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(error.to_string()))?;
        let place = |source: &str| {
            let (source, account) = config::account(&source.into(), self.from.is_none(), &settings, &known)?;
            // What is looked at is not to change meanwhile.
            let account = runtime.block_on(account.settled()).map_err(|error| Failure::new(error.to_string()))?;
            place_in(source, account, &name)
        };
        let (mut lab, label) = place(&self.source)?;
        if let Some(from) = &self.from {
            let (second, label) = place(from)?;
            if second.client.account() == lab.client.account() {
                return Err(Failure::usage(format!("--from {label}: copies from another account are looked at")));
            }
            lab.second = Some(Box::new(second));
            // Of which kind it is will be seen; what needs a flat one is counted.
            lab.kind.second = Some(Second::Flat);
        }
        runtime.block_on(self.look(lab, &label))
    }

    /// A mistake if a fact is asked for that is none, or that no run looks at.
    fn check_only(&self) -> std::result::Result<(), Failure> {
        for id in &self.only {
            if facts::all().any(|fact| fact.ids.contains(&id.as_str())) {
                continue;
            }
            let reason = facts::not_asked().find(|(ids, _)| ids.contains(&id.as_str()));
            let reason = reason.map_or_else(String::new, |(_, reason)| format!(": {reason}"));
            return Err(Failure::usage(format!("{id} is no fact that can be looked at here{reason}")));
        }
        Ok(())
    }

    /// From making the places to removing them, whatever happens in between.
    async fn look(&self, mut lab: Lab, label: &str) -> std::result::Result<(), Failure> {
        let most = most_transactions(self, &lab);
        let places = match &lab.second {
            None if lab.prefix.is_empty() => "in a container that is removed again",
            None => "in a directory that is removed again",
            Some(_) => "in a place in each account that is removed again",
        };
        let promise = format!("At most {most} transactions will be made, {places}.");
        if self.json {
            complain("verify-account", promise)
        } else {
            say(&promise)
        }
        // One for all: a signal that comes between two waits is heard by the second.
        let mut signals = Signals::listen()?;
        let result = match made(&mut lab, &mut signals).await {
            Ok(Ok(())) => tokio::select! {
                differing = self.look_in(&lab, label) => Ok(differing),
                end = interrupted(&mut signals) => Err(end),
            },
            Ok(Err(error)) => Err(Failure::new(format!("{label}: {error}"))),
            Err(end) => Err(end),
        };
        let removed = place::remove(&lab).await;
        let differing = result?;
        removed.map_err(Failure::new)?;
        match differing {
            0 => Ok(()),
            1 => Err(Failure::new("1 fact differs")),
            many => Err(Failure::new(format!("{many} facts differ"))),
        }
    }

    /// Something about these facts was asked for.
    fn wants(&self, ids: &[&str]) -> bool {
        self.only.is_empty() || self.only.iter().any(|id| ids.contains(&id.as_str()))
    }

    /// Those that were asked for.
    fn wanted(&self) -> impl Iterator<Item = &'static Fact> {
        facts::all().filter(|fact| self.wants(fact.ids))
    }

    /// The number of facts that differ.
    async fn look_in(&self, lab: &Lab, label: &str) -> usize {
        let kind = lab.kind;
        let (of, others): (Vec<&'static Fact>, Vec<_>) = self.wanted().partition(|fact| fact.lacks(kind).is_none());
        let requests: u32 = of.iter().map(|fact| fact.requests).sum();
        if !self.json {
            say(&format!("{label} is {}.", kind.in_words()));
            if let Some(second) = &lab.second {
                say(&format!(
                    "{}, which copies are made from, is {}.",
                    second.client.account(),
                    second.kind.in_words()
                ));
            }
            say(&format!(
                "{} facts will be looked at by {requests} transactions.\n\nfact | about | expected | seen",
                of.len(),
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
        self.tell_what_was_not_asked(&others, kind);
        if !self.json {
            say(&format!("\n{sent} transactions were made."));
        }
        differing
    }

    /// The facts that this account cannot show, and those that none can, by what is missing.
    fn tell_what_was_not_asked(&self, others: &[&'static Fact], kind: Kind) {
        let others = others.iter().map(|fact| (fact.ids, Some(fact.what), fact.lacks(kind).unwrap_or_default()));
        let never = facts::not_asked().map(|(ids, reason)| (ids, None, reason)).filter(|(ids, ..)| self.wants(ids));
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (ids, about, reason) in others.chain(never) {
            if self.json {
                say(&serde_json::json!({ "facts": ids, "about": about, "not_asked": reason }).to_string());
            }
            by_reason.entry(reason).or_default().extend(ids);
        }
        if self.json || by_reason.is_empty() {
            return;
        }
        say("");
        for (reason, ids) in by_reason {
            say(&format!("not asked: {reason}: {}", ids.join(", ")));
        }
    }
}

/// The place called `name` where a source says, and what the source is called.
fn place_in(source: MountSource, account: Account, name: &str) -> std::result::Result<(Lab, String), Failure> {
    let (container, prefix) = match source.container {
        Some(container) => (container, format!("{}{name}/", source.prefix)),
        None => (ContainerName::parse(name).map_err(|error| Failure::new(error.to_string()))?, String::new()),
    };
    Ok((Lab::new(account, container, prefix), source.label))
}

/// Makes the places. Whoever wants an end meanwhile gets it when what is under way has come to its own, within a bound:
/// a request that nobody waits for may still make what is to be removed.
async fn made(lab: &mut Lab, signals: &mut Signals) -> std::result::Result<crate::error::Result<()>, Failure> {
    let mut making = std::pin::pin!(place::make(lab));
    tokio::select! {
        made = &mut making => Ok(made),
        end = interrupted(signals) => {
            let _ = tokio::time::timeout(LET_END, making).await;
            Err(end)
        }
    }
}

/// Ends when somebody wants an end.
async fn interrupted(signals: &mut Signals) -> Failure {
    signals.next().await;
    Failure::new("interrupted")
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
