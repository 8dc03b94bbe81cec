//! `blobcp config check`: the configuration as a mount would read it, and what the service says to it.
//!
//! For each account it is looked who asks, whether the service answers and how fast, whether the clocks agree, what
//! kind of account it is, and what the credential allows: of a SAS by its letters, of everything else by asking. Nothing
//! is changed, unless `--write` says to try that, with one small blob that is removed again. Whatever keeps a mount from
//! working is a line with an exclamation mark and makes the exit status 1.

mod account;
mod report;
mod rights;

use std::path::PathBuf;

use super::super::failure::Failure;
use super::super::log;
use super::super::source_word::spelled_out;
use crate::config::{self, Auth, Environment, File, KnownAccounts, Settings, Switch, places};
use report::Report;

/// Look at the configuration, and at what can be done with it
///
/// Without SOURCE all accounts and mounts of the file are looked at.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// An account, a container, or the name of a mount.
    #[arg(value_name = "ACCOUNT[/CONTAINER]|NAME")]
    source: Option<String>,
    /// Try to write, too: a small blob in CONTAINER, which is removed again.
    #[arg(long, requires = "source")]
    write: bool,
    /// One JSON object per account and line.
    #[arg(long)]
    json: bool,
    /// Configuration file [default: ~/.config/blobcp/config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to ask, as for mount.
    #[arg(long, value_name = "KIND", hide_possible_values = true)]
    auth: Option<Auth>,
    /// Talk plain http to a server that is not on this machine.
    #[arg(long)]
    allow_http: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        log::to_stderr(Some("error"))?;
        let environment = Environment::of_process();
        let file = File::load(self.config.as_deref())?;
        let known = KnownAccounts::new(&environment, &file)?;
        let said =
            Settings { auth: self.auth, allow_http: self.allow_http.then_some(Switch::YES), ..Settings::default() };
        if !self.json {
            println!("{}", about_file(&file));
        }
        let mut good = !file.exposed;
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(error.to_string()))?;
        for (of, words, settings) in self.subjects(&file, known.of_environment(), said)? {
            // As a mount takes them: what stands in a file or a variable is read there.
            let sources = match words.into_iter().map(spelled_out).collect::<Result<Vec<_>, _>>() {
                Ok(sources) => sources,
                Err(failure) => {
                    let report = Report { troubles: failure.message.into_iter().collect(), ..Report::default() };
                    print!("{}", if self.json { report.json(&of) } else { report.text(&of) });
                    good = false;
                    continue;
                }
            };
            let alone = sources.len() == 1;
            // As a mount would read all of them, which may not be mounted together.
            let mistake = (!alone).then(|| config::plan(&sources, &settings, &known).err()).flatten();
            if let (false, Some(mistake)) = (self.json, &mistake) {
                println!("{of}\n! {mistake}");
            }
            good &= mistake.is_none();
            for said in &sources {
                let (shown, mut report) = match config::account(said, alone, &settings, &known) {
                    Ok((source, account)) => {
                        (source.label.clone(), runtime.block_on(account::look(source, account, self.write)))
                    }
                    Err(error) => (said.shown(), Report { troubles: vec![error.to_string()], ..Report::default() }),
                };
                // Where one is read by a program, whoever reads it has nothing else.
                if self.json {
                    report.troubles.extend(mistake.iter().map(ToString::to_string));
                }
                good &= report.troubles.is_empty();
                print!("{}", if self.json { report.json(&shown) } else { report.text(&shown) });
            }
        }
        Failure::unless(good)
    }

    /// What is to be looked at: what it is called, its sources, and the settings that a mount of it has.
    fn subjects(
        &self,
        file: &File,
        of_environment: Option<&str>,
        said: Settings,
    ) -> Result<Vec<(String, Vec<String>, Settings)>, Failure> {
        let usual = || said.clone().or(file.mount.clone());
        let named = |name: &str| {
            let table = file.mounts.get(name)?;
            let settings = said.clone().or(table.settings.clone()).or(file.mount.clone());
            Some((format!("[mount.{name}]"), table.sources.clone(), settings))
        };
        if let Some(source) = &self.source {
            let one = || (source.clone(), config::split_sources(source), usual());
            return Ok(vec![named(source).unwrap_or_else(one)]);
        }
        let account = of_environment.filter(|name| !file.accounts.contains_key(*name)).map(str::to_owned);
        let accounts = file.accounts.keys().cloned().chain(account).map(|name| (name.clone(), vec![name], usual()));
        // A URL of a mount may bring its own credential; the others are looked at as accounts.
        let mounts = file.mounts.keys().filter_map(|name| named(name));
        let found: Vec<_> = accounts.chain(mounts).collect();
        if found.is_empty() {
            let what = "no account is configured: 'blobcp config init' writes one, or name one to look at";
            return Err(Failure::new(format!("{what}{}", file.note())));
        }
        Ok(found)
    }
}

fn about_file(file: &File) -> String {
    let both = places::both_of_root().filter(|_| file.given.is_none());
    both.into_iter().fold(said_of(file), |text, note| format!("{text}\n{note}"))
}

fn said_of(file: &File) -> String {
    let path = file.path.display();
    let number = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match file.path.exists() {
        true if file.exposed => format!("{path}\n! it holds secrets and others can read it: chmod 600 {path}"),
        true => {
            let (accounts, mounts) = (number(file.accounts.len(), "account"), number(file.mounts.len(), "mount"));
            format!("{path}: {accounts}, {mounts}")
        }
        false => format!("{path} is not there: only the environment says something{}", file.note()),
    }
}
