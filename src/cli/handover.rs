//! Secrets out of sight: what others can read about a mount's process holds none.
//!
//! Everybody on a machine can read the words with which a process was started, and its user the environment as it was
//! then, for as long as the process lives; nothing that the process does later changes that. A mount lives for months.
//! So where `blobcp mount` finds a secret in its words or its environment, it runs itself once more without them, as
//! the same process, and hands them over in memory: a file that has no name, that only this process has open, and that
//! is closed as soon as it is read. For the moment before that there is `-`, `@FILE` or `env:NAME` in place of a URL.
//! So does every other command whose words have a secret: a copy from a URL may take hours. One that asks no account begins
//! anew without the secrets of its environment as well, and is not given them at all.
//!
//! A process that holds keys leaves no core, and whoever has the same user does not read its memory either.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{DumpableBehavior, getpid, set_dumpable_behavior};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::config::Environment;
use crate::secrets;
use crate::store::Secret;

/// Says which descriptor has it, and for which process: what that one starts is not meant.
const VARIABLE: &str = Environment::HANDOVER;

/// Commands that hold credentials, for as long as they run.
const ASK_ACCOUNTS: [&str; 4] = ["mount", "devstore", "verify-account", "config"];

/// The flag of `blobcp devstore` that may have a key.
const ACCOUNT: &str = "--account";

/// In place of a URL: the variable that has it.
pub(super) const OF_VARIABLE: &str = "env:";

/// What is handed over.
#[derive(Default, Serialize, Deserialize)]
struct Handover {
    /// Words of the command line, by their place in it.
    #[serde(serialize_with = "exposed")]
    words: BTreeMap<usize, Secret>,
    #[serde(serialize_with = "exposed")]
    environment: BTreeMap<String, Secret>,
}

/// Secrets as they are, for the file that nobody else has open.
fn exposed<K: Serialize, S: Serializer>(secrets: &BTreeMap<K, Secret>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose())))
}

impl Handover {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.environment.is_empty()
    }
}

/// The words of a command as they were meant. Does not return where they, or the environment, have secrets: the program
/// begins anew without them, and gets here those that it is to have.
pub(super) fn out_of_sight(mut args: Vec<OsString>) -> io::Result<Vec<OsString>> {
    let asks_accounts = args.get(1).and_then(|word| word.to_str()).is_some_and(|word| ASK_ACCOUNTS.contains(&word));
    if asks_accounts {
        // The kernel may not offer it, and everything works all the same.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    if let Some(handover) = received()? {
        // The kernel called it after the path of the second beginning.
        let _ = set_name(c"blobcp");
        for (place, word) in handover.words {
            if let Some(clean) = args.get_mut(place) {
                *clean = word.expose().into();
            }
        }
        Environment::inherit(handover.environment);
        return Ok(args);
    }
    let (mut handover, clean) = divided(&args, asks_accounts, |name| std::env::var(name).ok());
    if handover.is_empty() {
        return Ok(args);
    }
    let unwanted: Vec<String> = handover.environment.keys().cloned().collect();
    if !asks_accounts {
        handover.environment.clear();
    }
    match begin_anew(&handover, &clean, &unwanted) {
        // Only what it does not use is there to be seen, as before it began.
        Err(_) if handover.is_empty() => Ok(args),
        done => done.map(|never| match never {}),
    }
}

fn begin_anew(handover: &Handover, words: &[OsString], unwanted: &[String]) -> io::Result<Infallible> {
    let mut file = File::from(memfd_create("blobcp", MemfdFlags::empty())?);
    file.write_all(&Zeroizing::new(serde_json::to_vec(handover)?))?;
    file.rewind()?;
    let mut again = Command::new("/proc/self/exe");
    again.args(&words[1..]).env(VARIABLE, format!("{}:{}", getpid(), file.as_raw_fd()));
    for name in unwanted {
        again.env_remove(name);
    }
    Err(again.arg0(&words[0]).exec())
}

/// What is secret in the words and the environment, and the words without it. Only who asks accounts is told by a word
/// which other variable is one.
fn divided(
    args: &[OsString],
    asks_accounts: bool,
    variable: impl Fn(&str) -> Option<String>,
) -> (Handover, Vec<OsString>) {
    let mut handover = Handover::default();
    let mut clean = args.to_vec();
    let mut names: Vec<&str> = Environment::SECRETS.to_vec();
    for (place, word) in args.iter().enumerate() {
        let Some(word) = word.to_str() else { continue };
        names.extend(word.strip_prefix(OF_VARIABLE).filter(|_| asks_accounts));
        let shown = secrets::cut(word).or_else(|| {
            // A key of any length.
            let is_account = place > 0 && args[place - 1] == OsStr::new(ACCOUNT) || word.starts_with(ACCOUNT);
            let (name, _) = word.split_once(':').filter(|_| is_account)?;
            Some(format!("{name}:***"))
        });
        if let Some(shown) = shown {
            clean[place] = shown.into();
            handover.words.insert(place, Secret::new(word));
        }
    }
    let found = names.into_iter().filter_map(|name| Some((name.to_owned(), Secret::new(variable(name)?))));
    handover.environment = found.collect();
    (handover, clean)
}

fn received() -> io::Result<Option<Handover>> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
    let Some((pid, descriptor)) = text.split_once(':') else { return Ok(None) };
    let Some(descriptor) = descriptor.parse().ok().filter(|_| pid == getpid().to_string()) else { return Ok(None) };
    // SAFETY: the process was given this descriptor for this alone, by itself.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    let mut text = Zeroizing::new(Vec::new());
    file.read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else() {
        let words = "blobcp mount --log info https://a.blob.core.windows.net/c?sv=1&sig=x env:MINE acct/c /mnt/a?b";
        let args: Vec<OsString> = words.split(' ').map(Into::into).collect();
        let set = |name: &str| ["AZURE_STORAGE_KEY", "MINE", "HOME"].contains(&name).then(|| "value".to_owned());
        let (handover, clean) = divided(&args, true, set);
        assert_eq!(clean.join(&OsString::from(" ")), *words.replace("?sv=1&sig=x", ""));
        assert_eq!(handover.words, [(4, Secret::new("https://a.blob.core.windows.net/c?sv=1&sig=x"))].into());
        assert_eq!(handover.environment.keys().collect::<Vec<_>>(), ["AZURE_STORAGE_KEY", "MINE"]);
        assert!(divided(&clean[..4], true, |_| None).0.is_empty());
        // Who asks no account has no use for what its environment has, and `env:` is a word like any other.
        let (handover, _) = divided(&args, false, set);
        assert_eq!(handover.environment.keys().collect::<Vec<_>>(), ["AZURE_STORAGE_KEY"]);
        let text = serde_json::to_vec(&handover).unwrap();
        let received: Handover = serde_json::from_slice(&text).unwrap();
        assert!(received.words == handover.words && received.environment == handover.environment);
        let words = "blobcp devstore --account first:a2V5 --account=second:a2V5 --listen 127.0.0.1:0 --account third";
        let args: Vec<OsString> = words.split(' ').map(Into::into).collect();
        let (_, clean) = divided(&args, true, |_| None);
        assert_eq!(clean.join(&OsString::from(" ")), *words.replace("a2V5", "***"));
    }
}
