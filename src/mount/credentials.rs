//! What becomes of the credentials of a mount while it lives.
//!
//! [`watch`] has each credential renewed that is about to end, says so where that is not possible, and has the
//! configuration read again when a SIGHUP asks for it.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::mount::error::MountError;
use crate::store::{Account, Nearing, Reread};

/// The time between two looks at the clock. Warnings are early by minutes.
const LOOK: Duration = Duration::from_secs(15);

/// Asks for each credential that is not known yet.
pub(crate) async fn ask(accounts: &[Account]) -> Result<(), MountError> {
    for account in accounts {
        if let Some(source) = &account.source {
            source.ready().await.map_err(|error| MountError(error.to_string()))?;
        }
    }
    Ok(())
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
