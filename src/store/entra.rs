//! Tokens of Microsoft Entra ID (§3.4): who we are, and what proves it at the moment.
//!
//! An [`Identity`] says who asks; how a token is got for it, from which endpoint and in which words, is the affair of
//! the `azure_identity` library behind [`identity`]. Here a token is kept: [`Tokens`] hands out the one at hand, and
//! sees to it that there is always one.
//!
//! A token is renewed while it is still good, in the background, so that nobody waits for it; a token that is over, and
//! one that the service refuses with 401, is renewed before the next request. Whoever comes meanwhile waits for that
//! one renewal. The library keeps tokens, too, but cannot be made to forget one that was refused, and holds up all
//! requests while it renews; so each renewal asks it anew.
//!
//! Of accounts with one identity in a mount, all share one [`Tokens`].

mod identity;
mod transport;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;
use tracing::{debug, info, warn};

pub use identity::{Authority, Identity};

use crate::error::{Error, Result};
use crate::store::http::Http;
use crate::store::secret::Secret;
use crate::sync::lock;

/// A token is renewed that long before it is over.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// A token that ends within this time is not begun with: it has to last until the service has looked at it.
const LAST_USE: Duration = Duration::from_secs(5);
/// Longest wait for a token. A process inside a system call waits with us.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a renewal that failed, while the old token is still good.
const NEXT_TRY: Duration = Duration::from_secs(10);

/// Proof of an identity, until it expires.
#[derive(Clone)]
struct Token {
    secret: Secret,
    issued: SystemTime,
    expires: SystemTime,
}

/// State of a token at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenState {
    Valid,
    /// Valid, and it is time for another.
    RenewalDue,
    Expired,
}

impl Token {
    fn state(&self, now: SystemTime) -> TokenState {
        let left = self.expires.duration_since(now).unwrap_or_default();
        let life = self.expires.duration_since(self.issued).unwrap_or_default();
        match left {
            left if left <= LAST_USE => TokenState::Expired,
            // One that never lasts long is not renewed all the time.
            left if left <= RENEWED_BEFORE.min(life / 4) => TokenState::RenewalDue,
            _ => TokenState::Valid,
        }
    }
}

/// The tokens of one identity. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    identity: Identity,
    http: Http,
    current: Mutex<Option<Token>>,
    /// Held by the one renewal that is under way.
    renewal: AsyncMutex<Renewal>,
}

#[derive(Default)]
struct Renewal {
    failed: Option<Instant>,
}

impl Tokens {
    /// Asks for nothing yet.
    pub fn new(identity: Identity, http: Http) -> Self {
        let current = Mutex::default();
        Self(Arc::new(Inner { identity, http, current, renewal: AsyncMutex::default() }))
    }

    /// Identity that the tokens are for.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// A token for the next request. Not for logs.
    pub(super) async fn token(&self) -> Result<Secret> {
        match self.current() {
            Some((token, TokenState::Valid)) => return Ok(token.secret),
            Some((token, TokenState::RenewalDue)) => {
                self.renew_in_the_background();
                return Ok(token.secret);
            }
            _ => {}
        }
        let _renewal = self.0.renewal.lock().await;
        match self.current() {
            // Somebody else was faster.
            Some((token, TokenState::Valid | TokenState::RenewalDue)) => Ok(token.secret),
            _ => self.renew().await,
        }
    }

    /// Another token than `refused`, which the service did not accept.
    pub(super) async fn replace(&self, refused: &Secret) -> Result<Secret> {
        let _renewal = self.0.renewal.lock().await;
        match self.current() {
            Some((token, TokenState::Valid | TokenState::RenewalDue)) if token.secret != *refused => Ok(token.secret),
            _ => self.renew().await,
        }
    }

    fn current(&self) -> Option<(Token, TokenState)> {
        let current = lock(&self.0.current).clone()?;
        let state = current.state(SystemTime::now());
        Some((current, state))
    }

    fn renew_in_the_background(&self) {
        let tokens = self.clone();
        tokio::spawn(async move {
            // Whoever has it is at work on it.
            let Ok(mut renewal) = tokens.0.renewal.try_lock() else { return };
            let waits = renewal.failed.is_some_and(|failed| failed.elapsed() < NEXT_TRY);
            if waits || !matches!(tokens.current(), Some((_, TokenState::RenewalDue))) {
                return;
            }
            match tokens.renew().await {
                Ok(_) => renewal.failed = None,
                Err(error) => {
                    warn!(%error, "a token could not be renewed; the old one is still good");
                    renewal.failed = Some(Instant::now());
                }
            }
        });
    }

    /// Asks for a token. Called by whoever holds the lock of the renewal.
    async fn renew(&self) -> Result<Secret> {
        let identity = &self.0.identity;
        debug!(%identity, "asking for a token");
        let issued = SystemTime::now();
        let (secret, expires) = match timeout(TOKEN_TIMEOUT, identity.ask(&self.0.http)).await {
            Ok(answer) => answer?,
            Err(_) => {
                let detail = format!("{identity}: no token within {} s", TOKEN_TIMEOUT.as_secs());
                return Err(Error::Transport {
                    operation: GET_TOKEN,
                    target: identity.endpoint(),
                    detail,
                    timed_out: true,
                });
            }
        };
        let minutes = expires.duration_since(issued).unwrap_or_default().as_secs() / 60;
        info!(%identity, minutes, "a new token");
        let token = Token { secret: secret.clone(), issued, expires };
        *lock(&self.0.current) = Some(token);
        Ok(secret)
    }
}

/// The operation that errors about tokens name.
pub const GET_TOKEN: &str = "GetToken";

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({:?})", self.0.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // An hour, as most are.
    #[case(3600, 0, TokenState::Valid)]
    #[case(3600, 3299, TokenState::Valid)]
    #[case(3600, 3300, TokenState::RenewalDue)]
    #[case(3600, 3594, TokenState::RenewalDue)]
    #[case(3600, 3595, TokenState::Expired)]
    #[case(3600, 9999, TokenState::Expired)]
    // One that never lasts as long as others are renewed early.
    #[case(60, 44, TokenState::Valid)]
    #[case(60, 45, TokenState::RenewalDue)]
    #[case(0, 0, TokenState::Expired)]
    fn a_token_is_renewed_in_time(#[case] life: u64, #[case] age: u64, #[case] expected: TokenState) {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        let token = Token { secret: "x".into(), issued, expires: issued + Duration::from_secs(life) };
        assert_eq!(token.state(issued + Duration::from_secs(age)), expected);
    }
}
