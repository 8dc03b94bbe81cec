//! What the credentials of a mount allow, and what becomes of them while it lives.
//!
//! A SAS says what it is good for (`sp`). What a mount cannot do for that is said when it is made, not by the first
//! program that fails; and a mount by which nothing can be changed is a read-only one. Later, [`watch`] has each
//! credential renewed that is about to end, says so where that is not possible, and has the configuration read again
//! when a SIGHUP asks for it.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::mount::error::MountError;
use crate::mount::patience::{Patience, Refusal};
use crate::store::{Account, Nearing, Reread};

/// The time between two looks at the clock. Warnings are early by minutes.
const LOOK: Duration = Duration::from_secs(15);

/// What credentials do not allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// None of them allows to change anything.
    pub(crate) read_only: bool,
    /// A line for each thing to be said.
    pub(crate) lines: Vec<String>,
}

/// Letters without which nothing can be put into a blob (`a`, `c`, `w`), nor taken away (`d`, and `x` of versions).
const WRITE: [char; 3] = ['a', 'c', 'w'];
const REMOVE: [char; 2] = ['d', 'x'];

/// Asks for each credential that is not known yet, and finds out what they do not allow. `read_only` is what the user
/// said of the mount: where the answer is no, it is not made so. A program that prints a credential may need the
/// network, too, and is asked again as long as the patience lasts; but that it fails is its own answer.
pub(crate) async fn limits(
    accounts: &[Account],
    read_only: Option<bool>,
    patience: &Patience,
) -> Result<Limits, MountError> {
    let mut known = Vec::new();
    for account in accounts {
        if let Some(source) = &account.source {
            let ready = async || source.ready().await.map(drop).map_err(|e| Refusal::NotYet(e.to_string()));
            patience.ask(ready).await?;
        }
        let credential = account.credential_in_use();
        if let Some(services) = credential.other_services() {
            let name = &account.name;
            return Err(MountError(format!(
                "account {name}: the {credential} is not for blobs: ss={services} has no b"
            )));
        }
        known.push((account.name.to_string(), credential.to_string(), credential.permissions()));
    }
    Ok(limits_of(&known, read_only))
}

/// Of accounts, with their credentials and the letters of those, if they have some.
fn limits_of(known: &[(String, String, Option<String>)], read_only: Option<bool>) -> Limits {
    let changes = |letters: &Option<String>| {
        letters.as_ref().is_none_or(|letters| letters.contains(WRITE) || letters.contains(REMOVE))
    };
    let can_change = known.iter().any(|(.., letters)| changes(letters));
    let mut limits = Limits { read_only: !known.is_empty() && !can_change && read_only.is_none(), lines: Vec::new() };
    for (account, credential, letters) in known {
        let Some(letters) = letters else { continue };
        let mut say = |what: &str| {
            limits.lines.push(format!("the {credential} of {account} does not allow to {what} (sp={letters})"));
        };
        if !letters.contains('l') {
            say("list: ls will be refused, and names are not found");
        }
        if !letters.contains('r') {
            say("read files");
        }
        if limits.read_only {
            say("write: mounted read-only");
            continue;
        }
        if read_only == Some(true) {
            continue;
        }
        match (letters.contains(WRITE), letters.contains(REMOVE)) {
            (false, false) => say("write: every change will be refused"),
            (false, true) => say("write: files can be removed, and not written"),
            (true, false) => say("delete: rm and mv will be refused"),
            (true, true) => {}
        }
        if letters.contains(WRITE) && !letters.contains('t') {
            say("use index tags: attributes user.blob.tag.* will be refused, and copies lose their tags");
        }
    }
    limits
}

/// Looks after the credentials of a mount to its end.
pub(super) async fn watch(accounts: Vec<Account>, mut hangup: Signal) {
    let mut said: Vec<Option<Nearing>> = vec![None; accounts.len()];
    loop {
        for (account, said) in accounts.iter().zip(&mut said) {
            if let Some(source) = &account.source {
                // Also while nobody sends a request. What is wrong is said there.
                let _ = source.for_a_request().await;
            }
            let notice = account.notice();
            let nearing = notice.as_ref().map(|(nearing, _)| *nearing);
            if let Some((_, text)) = notice.filter(|_| nearing > *said) {
                warn!("{text}");
            }
            *said = nearing;
        }
        tokio::select! {
            came = hangup.recv() => match came {
                Some(()) => read_again(&accounts).await,
                None => return,
            },
            () = sleep(LOOK) => {}
        }
    }
}

async fn read_again(accounts: &[Account]) {
    for account in accounts {
        let name = &account.name;
        match &account.source {
            None => info!(account = %name, "SIGHUP: its credential stands in the SOURCE and stays"),
            Some(source) => match source.read_again().await {
                // The source has said so.
                Reread::Changed => {}
                Reread::Same => info!(account = %name, "SIGHUP: the configuration has no other credential"),
                Reread::Failed(what) => warn!(account = %name, "SIGHUP: the credential stays as it is: {what}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(letters: &[Option<&str>], read_only: Option<bool>) -> Limits {
        let known = letters
            .iter()
            .enumerate()
            .map(|(index, letters)| (format!("a{index}"), "SAS".to_owned(), letters.map(str::to_owned)));
        limits_of(&known.collect::<Vec<_>>(), read_only)
    }

    #[rstest]
    #[case("rl", true, &["write: mounted read-only"])]
    #[case("l", true, &["read files", "write: mounted read-only"])]
    #[case("racwdlt", false, &[])]
    #[case("racwdt", false, &["list: ls will be refused, and names are not found"])]
    #[case("racwlt", false, &["delete: rm and mv will be refused"])]
    #[case("d", false, &["list: ls will be refused, and names are not found", "read files", "write: files can be removed, and not written"])]
    #[case("rwdl", false, &["use index tags: attributes user.blob.tag.* will be refused, and copies lose their tags"])]
    #[case("rdl", false, &["write: files can be removed, and not written"])]
    fn what_a_sas_does_not_allow_is_said(#[case] letters: &str, #[case] read_only: bool, #[case] expected: &[&str]) {
        let found = of(&[Some(letters)], None);
        let lines = expected.iter().map(|what| format!("the SAS of a0 does not allow to {what} (sp={letters})"));
        assert_eq!(found, Limits { read_only, lines: lines.collect() });
    }

    #[test]
    fn a_mount_is_read_only_if_no_account_can_be_changed_and_nobody_says_otherwise() {
        assert!(of(&[Some("rl"), Some("r")], None).read_only);
        let one = of(&[Some("rl"), None], None);
        assert_eq!((one.read_only, one.lines.len()), (false, 1));
        assert!(one.lines[0].contains("write: every change will be refused"), "{one:?}");
        assert!(!of(&[Some("rl")], Some(false)).read_only);
        assert_eq!(of(&[Some("rl")], Some(true)), Limits::default());
        assert_eq!(of(&[None], None), Limits::default());
    }
}
