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
use crate::store::life::{Life, LifeState};
use crate::store::secret::Secret;
use crate::sync::lock;

/// Longest wait for a token. A process inside a system call waits with us.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a renewal that failed, while the old token is still good.
const NEXT_TRY: Duration = Duration::from_secs(10);

/// Proof of an identity, until it expires.
#[derive(Clone)]
struct Token {
    secret: Secret,
    life: Life,
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
    /// When the last one ended, and why it did so without a token.
    failed: Option<(Instant, Error)>,
}

impl Renewal {
    /// The failure of a renewal that whoever came at that moment has waited for.
    fn failed_since(&self, moment: Instant) -> Option<Error> {
        let (_, error) = self.failed.as_ref().filter(|(ended, _)| *ended >= moment)?;
        Some(error.clone())
    }
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
            Some((token, LifeState::Valid)) => return Ok(token.secret),
            Some((token, LifeState::RenewalDue)) => {
                self.renew_in_the_background();
                return Ok(token.secret);
            }
            _ => {}
        }
        let since = Instant::now();
        let mut renewal = self.0.renewal.lock().await;
        match self.current() {
            // Somebody else was faster.
            Some((token, LifeState::Valid | LifeState::RenewalDue)) => Ok(token.secret),
            _ => self.renew_unless_failed(&mut renewal, since).await,
        }
    }

    /// Another token than `refused`, which the service did not accept.
    pub(super) async fn replace(&self, refused: &Secret) -> Result<Secret> {
        let since = Instant::now();
        let mut renewal = self.0.renewal.lock().await;
        match self.current() {
            Some((token, LifeState::Valid | LifeState::RenewalDue)) if token.secret != *refused => Ok(token.secret),
            _ => self.renew_unless_failed(&mut renewal, since).await,
        }
    }

    /// Those who came while a renewal was under way share its failure, as they would have its token: one after the other
    /// they would each wait for an endpoint that does not answer.
    async fn renew_unless_failed(&self, renewal: &mut Renewal, since: Instant) -> Result<Secret> {
        match renewal.failed_since(since) {
            Some(error) => Err(error),
            None => self.renew(renewal).await,
        }
    }

    fn current(&self) -> Option<(Token, LifeState)> {
        let current = lock(&self.0.current).clone()?;
        let state = current.life.state(SystemTime::now());
        Some((current, state))
    }

    fn renew_in_the_background(&self) {
        let tokens = self.clone();
        tokio::spawn(async move {
            // Whoever has it is at work on it.
            let Ok(mut renewal) = tokens.0.renewal.try_lock() else { return };
            let waits = renewal.failed.as_ref().is_some_and(|(failed, _)| failed.elapsed() < NEXT_TRY);
            if waits || !matches!(tokens.current(), Some((_, LifeState::RenewalDue))) {
                return;
            }
            if let Err(error) = tokens.renew(&mut renewal).await {
                warn!(%error, "a token could not be renewed; the old one is still good");
            }
        });
    }

    /// Asks for a token. One that is at hand stays if there is no other.
    async fn renew(&self, renewal: &mut Renewal) -> Result<Secret> {
        let asked = self.ask().await;
        renewal.failed = asked.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let Token { secret, .. } = asked?;
        Ok(secret)
    }

    async fn ask(&self) -> Result<Token> {
        let identity = &self.0.identity;
        debug!(%identity, "asking for a token");
        let since = SystemTime::now();
        let (secret, until) = match timeout(TOKEN_TIMEOUT, identity.ask(&self.0.http)).await {
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
        let minutes = until.duration_since(since).unwrap_or_default().as_secs() / 60;
        info!(%identity, minutes, "a new token");
        let token = Token { secret, life: Life { since, until } };
        *lock(&self.0.current) = Some(token.clone());
        Ok(token)
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
    use crate::store::http::Options;

    /// Tokens of an endpoint that refuses connections, with one at hand that ends so many seconds from now, of an hour.
    fn unanswered(left: u64) -> Tokens {
        let identity = Identity::ClientSecret {
            tenant: "t".into(),
            client: "c".into(),
            secret: "s".into(),
            authority: Authority::parse("http://127.0.0.1:1").unwrap(),
        };
        let tokens = Tokens::new(identity, Http::new(Options::default()));
        let until = SystemTime::now() + Duration::from_secs(left);
        let life = Life { since: until - Duration::from_secs(3600), until };
        *lock(&tokens.0.current) = Some(Token { secret: "old".into(), life });
        tokens
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_the_token_at_hand() {
        let tokens = unanswered(200);
        assert_eq!(tokens.token().await.unwrap().expose(), "old");
        // In the background, and to its end.
        let failed = async {
            while tokens.0.renewal.try_lock().map_or(true, |renewal| renewal.failed.is_none()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(TOKEN_TIMEOUT, failed).await.unwrap();
        assert_eq!(tokens.token().await.unwrap().expose(), "old");
        assert!(tokens.replace(&"old".into()).await.is_err(), "nothing else is to be had");
        assert_eq!(tokens.token().await.unwrap().expose(), "old");
    }

    #[tokio::test]
    async fn who_waited_for_a_renewal_shares_its_failure() {
        let tokens = unanswered(0);
        let mut renewal = tokens.0.renewal.lock().await;
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.token().await })
            })
            .collect();
        // Each of them has come to the lock; on one thread, all have run when this one runs again.
        tokio::task::yield_now().await;
        renewal.failed = Some((Instant::now(), Error::fs(libc::EACCES, "that one")));
        drop(renewal);
        for waited in waiting {
            assert_eq!(waited.await.unwrap().unwrap_err().to_string(), "that one");
        }
    }
}
