//! User delegation keys: what signs in an identity's name, kept for as long as it lasts.

mod sign;

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex as AsyncMutex;

use crate::store::sas::DelegationKey;
use crate::sync::lock;

/// Pause after a refusal, because every copy would ask again.
const REFUSED_FOR: Duration = Duration::from_secs(300);

/// Delegation keys of one account, as far as they are known.
#[derive(Default)]
pub(super) struct Delegation {
    /// The key in use, and when it ends.
    current: AsyncMutex<Option<(DelegationKey, SystemTime)>>,
    refused: Mutex<Option<Instant>>,
}

impl Delegation {
    /// The service has refused to lend a key a short while ago.
    fn is_refused(&self) -> bool {
        let refused = lock(&self.refused);
        refused.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    fn refuse(&self) {
        *lock(&self.refused) = Some(Instant::now());
    }
}
