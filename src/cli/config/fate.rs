//! What becomes of a setting of another program.
//!
//! Each converter has a table of all settings that it knows, in the names of the other program's documentation. What
//! is not taken over is told with the reason, and so is a name that nobody knows: nobody is to find out later that a
//! setting was dropped.

use super::super::failure::Failure;
use super::super::failure::complain;
use super::draft::{Draft, Target};

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has its equal here.
    Taken,
    /// It is not needed here, for this reason.
    Unneeded(&'static str),
    /// There is no equal; what to do instead.
    Missing(&'static str),
}

/// A setting's name and what becomes of it.
pub(super) type Row = (&'static str, Fate);

/// The settings that were found, each with what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    missing: Vec<String>,
    unneeded: Vec<String>,
}

impl Findings {
    /// Notes a setting by its row in `table`, unless it is taken over.
    pub(super) fn note(&mut self, table: &[Row], name: &str) {
        match table.iter().find(|(known, _)| *known == name) {
            Some((_, Fate::Taken)) => {}
            Some((_, Fate::Unneeded(why))) => self.unneeded.push(format!("{name}: {why}")),
            Some((_, Fate::Missing(instead))) => self.missing(name, instead),
            None => self.missing(name, "blobcp does not know this setting"),
        }
    }

    /// A setting that is taken over in general, and not with this value.
    pub(super) fn missing(&mut self, name: &str, instead: &str) {
        self.missing.push(format!("{name}: {instead}"));
    }

    /// Writes what was taken over, and says what was not.
    pub(super) fn end(self, draft: &Draft, target: &Target) -> Result<(), Failure> {
        println!("{}", target.write(draft)?);
        for (heading, lines) in [("Not taken over:", self.missing), ("Not needed:", self.unneeded)] {
            if lines.is_empty() {
                continue;
            }
            println!("{heading}");
            for line in lines {
                println!("  {line}");
            }
        }
        match (&draft.mount, draft.accounts.first()) {
            (Some(mount), Some(account)) => {
                let (config, account, mount) = (target.flag(), &account.name, &mount.name);
                println!("Try it: blobcp config check{config} {account}; blobcp mount{config} {mount} MOUNTPOINT");
            }
            _ => complain("config", "there is nothing to mount in it"),
        }
        Ok(())
    }
}
