//! The place that the credential of an account comes from, and that is asked again.
//!
//! A [`CredentialSource`] keeps the credential that is in use. It asks its place, whatever that is
//! ([`ReadCredential`]), for another one on four occasions: before the first request where none is known yet; when the
//! one in use is about to end, in the background, and when it is over, before the next request; when the service has
//! refused a request and another credential may mend that; and when the user says so. Of those who want it at once, one
//! asks, and all others wait for what comes of it. A place that has nothing new, or fails, leaves the credential in use
//! as it is: it may still be good for other requests.
//!
//! Asking costs little for a file and much for a command, which may lead far away. So there is a [`PAUSE`] after each
//! time, and a longer one after a command that was of no use.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::notice::{Nearing, left};
use super::{Credential, shown};
use crate::error::{Error, Result, ServiceError};
use crate::path::AccountName;
use crate::store::life::{Life, LifeState};
use crate::sync::lock;

/// Shortest time between two times that a place is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// The same after a command that failed or printed what was known, and between attempts in the background.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// What a place has.
pub struct Found {
    /// The credential as it is there now, or why there is none, in one line without secrets.
    pub credential: std::result::Result<Credential, String>,
    /// It was made for this question, as by a command: the place is asked by itself when it ends, and seldom otherwise.
    pub made: bool,
}

/// A place that a credential comes from.
pub trait ReadCredential: Send + Sync {
    /// Asks the place, within a time that is bounded.
    fn read(&self) -> BoxFuture<'_, Found>;
}

/// What became of asking a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reread {
    /// Another credential is in use.
    Changed,
    /// It has the one that is in use.
    Same,
    /// It has none, for this reason; the one in use stays.
    Failed(String),
}

/// Code of a refusal that is about a copy's source.
const SOURCE_UNVERIFIED: &str = "CannotVerifyCopySource";

/// How much a refusal wants another credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Want {
    /// This one is not accepted for anything.
    Another,
    /// This one is not good for that. Most often another is not, either, and nobody waits for it.
    Wider,
}

impl Want {
    /// `None` for what no credential mends, and for refusals of a copy's source.
    pub(in crate::store) fn after(error: &ServiceError) -> Option<Self> {
        match error.code.as_str() {
            SOURCE_UNVERIFIED => None,
            code => Self::of(error.status, code),
        }
    }

    /// The same of the credential that a copy's source was named with; `None` if the refusal is not the source's.
    pub(in crate::store) fn after_source(error: &ServiceError) -> Option<Self> {
        match &error.copy_source {
            Some((status, code)) => Self::of(*status, code),
            // Old versions, and Copy Blob, tell nothing but the status.
            None => (error.code == SOURCE_UNVERIFIED).then(|| Self::of(error.status, "")).flatten(),
        }
    }

    fn of(status: u16, code: &str) -> Option<Self> {
        match (status, code) {
            (401, _) => Some(Self::Another),
            (403, "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation") => {
                Some(Self::Another)
            }
            (403, "KeyBasedAuthenticationNotPermitted") => Some(Self::Another),
            (403, code) if code.starts_with("Authorization") => Some(Self::Wider),
            (403, "InsufficientAccountPermissions" | "") => Some(Self::Wider),
            _ => None,
        }
    }
}

/// Source of an account's credential. Cheap to clone; all clones share what is known.
#[derive(Clone)]
pub struct CredentialSource(Arc<Inner>);

struct Inner {
    account: AccountName,
    place: Box<dyn ReadCredential>,
    current: Mutex<Current>,
    /// Held by the one that asks.
    reading: AsyncMutex<LastTime>,
}

#[derive(Default)]
struct Current {
    credential: Option<Arc<Credential>>,
    life: Option<Life>,
    made: bool,
    /// The reason why the place had none when it was asked last.
    trouble: Option<String>,
}

/// The last time that the place was asked.
#[derive(Default)]
struct LastTime {
    began: Option<Instant>,
    /// A program that prints it may take longer than a pause.
    ended: Option<Instant>,
    pause: Duration,
}

impl LastTime {
    /// Whoever waits since then has the answer to what it wants to ask.
    fn is_after(&self, moment: Instant) -> bool {
        self.began.is_some_and(|began| began >= moment)
    }

    /// Time until it may be asked again.
    fn pause_left(&self, pause: Duration) -> Duration {
        self.ended.map_or(Duration::ZERO, |ended| pause.max(self.pause).saturating_sub(ended.elapsed()))
    }
}

impl CredentialSource {
    /// A source with the credential that it had a moment ago, if that is known. Asks for nothing yet.
    pub fn new(account: AccountName, known: Option<Credential>, place: impl ReadCredential + 'static) -> Self {
        let mut current = Current::default();
        if let Some(known) = known {
            current.take(known);
        }
        let (current, reading) = (Mutex::new(current), AsyncMutex::default());
        Self(Arc::new(Inner { account, place: Box::new(place), current, reading }))
    }

    /// The credential in use; `None` if none is known yet.
    pub fn current(&self) -> Option<Arc<Credential>> {
        lock(&self.0.current).credential.clone()
    }

    /// The credential in use. The place is asked only if none is known yet; EACCES if it has none.
    pub async fn ready(&self) -> Result<Arc<Credential>> {
        let since = Instant::now();
        if self.current().is_none() {
            let mut last = self.0.reading.lock().await;
            if self.current().is_none() && !last.is_after(since) {
                self.read(&mut last).await;
            }
        }
        self.current().ok_or_else(|| {
            let trouble = lock(&self.0.current).trouble.clone().unwrap_or_default();
            Error::fs(libc::EACCES, format!("account {}: no credential: {trouble}", self.0.account))
        })
    }

    /// The credential for the next request. One that is over is asked for before; if there is no other, it is used all
    /// the same, for clocks differ, and the service's is the one that counts.
    pub async fn for_a_request(&self) -> Result<Arc<Credential>> {
        match self.state() {
            None | Some(LifeState::Valid) => {}
            Some(LifeState::RenewalDue) => self.read_in_the_background(),
            Some(LifeState::Expired) => {
                let since = Instant::now();
                let mut last = self.0.reading.lock().await;
                let still = self.state() == Some(LifeState::Expired) && !last.is_after(since);
                if still && last.pause_left(PAUSE).is_zero() {
                    self.read(&mut last).await;
                }
            }
        }
        self.ready().await
    }

    /// Another credential than `refused`, if there is one. Who wants any other waits for the end of a pause that is
    /// short: without a credential nothing can be done anyway.
    pub(in crate::store) async fn another_than(
        &self,
        refused: &Arc<Credential>,
        want: Want,
    ) -> Option<Arc<Credential>> {
        let since = Instant::now();
        let mut last = self.0.reading.lock().await;
        let another = || self.current().filter(|current| !Arc::ptr_eq(current, refused));
        if let Some(another) = another() {
            return Some(another);
        }
        if last.is_after(since) {
            return None;
        }
        let pause = last.pause_left(PAUSE);
        if !pause.is_zero() {
            if want == Want::Wider || pause > PAUSE {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
        self.read(&mut last).await;
        another()
    }

    /// Asks the place, whenever that was done last.
    pub async fn read_again(&self) -> Reread {
        let mut last = self.0.reading.lock().await;
        self.read(&mut last).await
    }

    fn state(&self) -> Option<LifeState> {
        lock(&self.0.current).life.map(|life| life.state(SystemTime::now()))
    }

    fn read_in_the_background(&self) {
        let source = self.clone();
        tokio::spawn(async move {
            // Whoever has it is at work on it.
            let Ok(mut last) = source.0.reading.try_lock() else { return };
            if last.pause_left(LONG_PAUSE).is_zero() && source.state() == Some(LifeState::RenewalDue) {
                source.read(&mut last).await;
            }
        });
    }

    async fn read(&self, last: &mut AsyncGuard<'_, LastTime>) -> Reread {
        let account = &self.0.account;
        debug!(%account, "asking for the credential");
        **last = LastTime { began: Some(Instant::now()), ended: None, pause: PAUSE };
        let Found { credential, made } = self.0.place.read().await;
        last.ended = Some(Instant::now());
        let mut current = lock(&self.0.current);
        current.made = made;
        let outcome = match credential {
            Ok(found) if current.credential.as_ref().is_some_and(|known| known.is_same(&found)) => Reread::Same,
            Ok(found) => {
                let until = found.ends().map_or("without an end".to_owned(), |end| format!("until {}", shown(end)));
                info!(%account, "another credential is in use: {found}, {until}");
                current.take(found);
                Reread::Changed
            }
            Err(trouble) => {
                // Said once, and not with every request that is refused.
                if current.trouble.as_ref() != Some(&trouble) {
                    warn!(%account, "the credential could not be asked for again: {trouble}");
                }
                Reread::Failed(trouble)
            }
        };
        current.trouble = match &outcome {
            Reread::Failed(trouble) => Some(trouble.clone()),
            _ => None,
        };
        if made && outcome != Reread::Changed {
            last.pause = LONG_PAUSE;
        }
        outcome
    }

    /// What is to be said of its end, and how near that is.
    pub(in crate::store) fn notice(&self, now: SystemTime) -> Option<(Nearing, String)> {
        let current = lock(&self.0.current);
        notice(&self.0.account, current.credential.as_deref()?, current.made, now)
    }
}

/// What is to be said of the end of a credential; `renews`: another is asked for by itself.
pub(in crate::store) fn notice(
    account: &AccountName,
    credential: &Credential,
    renews: bool,
    now: SystemTime,
) -> Option<(Nearing, String)> {
    let until = credential.ends()?;
    let nearing = Nearing::at(until, now, renews)?;
    let (end, left) = (shown(until), left(until, now));
    Some((
        nearing,
        match nearing {
            Nearing::Over => format!("the {credential} of {account} is over since {end}"),
            _ => format!("the {credential} of {account} ends in {left}, at {end}"),
        },
    ))
}

impl Current {
    fn take(&mut self, credential: Credential) {
        self.life = credential.ends().map(|until| Life { since: SystemTime::now(), until });
        self.credential = Some(Arc::new(credential));
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialSource({})", self.0.account)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::store::sas::iso8601;

    /// A place that has what it is given, counts how often it is asked, and answers when it may.
    struct Place {
        found: Mutex<std::result::Result<Credential, String>>,
        made: bool,
        asked: AtomicUsize,
        may: Semaphore,
    }

    impl ReadCredential for Arc<Place> {
        fn read(&self) -> BoxFuture<'_, Found> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            async {
                self.may.acquire().await.unwrap().forget();
                Found { credential: self.found.lock().unwrap().clone(), made: self.made }
            }
            .boxed()
        }
    }

    impl Place {
        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }

        fn has(&self, found: std::result::Result<Credential, String>) {
            *self.found.lock().unwrap() = found;
        }
    }

    fn sas(more: &str) -> Credential {
        Credential::sas(&format!("sv=1&{more}&sig=x").as_str().into()).unwrap()
    }

    /// A SAS that ends so many seconds from now.
    fn ending(seconds: u64) -> Credential {
        sas(&format!("se={}", iso8601(SystemTime::now() + Duration::from_secs(seconds))))
    }

    /// A source with that credential, of a place that has another one.
    fn source(known: Option<Credential>, made: bool, answers: usize) -> (CredentialSource, Arc<Place>) {
        let found = Mutex::new(Ok(sas("new")));
        let place = Arc::new(Place { found, made, asked: AtomicUsize::new(0), may: Semaphore::new(answers) });
        (CredentialSource::new(AccountName::parse("acct").unwrap(), known, place.clone()), place)
    }

    fn is_new(credential: &Credential) -> bool {
        credential.is_same(&sas("new"))
    }

    #[tokio::test]
    async fn all_who_are_refused_share_one_question() {
        let (source, place) = source(Some(sas("old")), false, 0);
        let old = source.current().unwrap();
        let wanting = (0..32).map(|_| {
            let (source, old) = (source.clone(), old.clone());
            tokio::spawn(async move { source.another_than(&old, Want::Another).await })
        });
        let wanting: Vec<_> = wanting.collect();
        while place.asked() == 0 {
            tokio::task::yield_now().await;
        }
        place.may.add_permits(1);
        for wanted in wanting {
            assert!(is_new(&wanted.await.unwrap().unwrap()));
        }
        assert_eq!(place.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_other_nobody_asks_once_more() {
        let (source, place) = source(Some(sas("old")), false, 0);
        place.has(Ok(sas("old")));
        let old = source.current().unwrap();
        let wanting: Vec<_> = (0..32)
            .map(|_| {
                let (source, old) = (source.clone(), old.clone());
                tokio::spawn(async move { source.another_than(&old, Want::Another).await })
            })
            .collect();
        // All of them wait before the place answers: they have its answer.
        while place.asked() == 0 {
            tokio::task::yield_now().await;
        }
        place.may.add_permits(32);
        for wanted in wanting {
            assert!(wanted.await.unwrap().is_none());
        }
        assert_eq!(place.asked(), 1);
        assert!(Arc::ptr_eq(&source.current().unwrap(), &old));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_asked_at_most_once_a_second() {
        let (source, place) = source(Some(sas("old")), false, 9);
        place.has(Err("it is not there".into()));
        let old = source.current().unwrap();
        assert!(source.another_than(&old, Want::Another).await.is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        // Who wants more than this one is good for does not wait; who has none does.
        assert!(source.another_than(&old, Want::Wider).now_or_never().unwrap().is_none());
        assert_eq!(place.asked(), 1);
        place.has(Ok(sas("new")));
        let waited = Instant::now();
        assert!(is_new(&source.another_than(&old, Want::Another).await.unwrap()));
        assert_eq!(place.asked(), 2);
        assert!(waited.elapsed() >= PAUSE - Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_was_of_no_use_is_left_alone_for_a_while() {
        let (source, place) = source(Some(sas("old")), true, 9);
        place.has(Ok(sas("old")));
        let old = source.current().unwrap();
        assert!(source.another_than(&old, Want::Another).await.is_none());
        tokio::time::advance(PAUSE).await;
        assert!(source.another_than(&old, Want::Another).now_or_never().unwrap().is_none());
        assert_eq!(place.asked(), 1);
        tokio::time::advance(LONG_PAUSE).await;
        place.has(Ok(sas("new")));
        assert!(is_new(&source.another_than(&old, Want::Another).await.unwrap()));
        // The user need not wait.
        assert_eq!(source.read_again().await, Reread::Same);
        assert_eq!(place.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn another_is_asked_for_before_one_ends() {
        let (source, place) = source(Some(ending(3600)), true, 9);
        source.for_a_request().await.unwrap();
        assert_eq!(place.asked(), 0);
        // It was got long ago, and ends in four minutes.
        lock(&source.0.current).take(ending(240));
        lock(&source.0.current).life.as_mut().unwrap().since -= Duration::from_secs(3600);
        assert!(!is_new(&source.for_a_request().await.unwrap()), "nobody waits for it");
        while !source.current().is_some_and(|current| is_new(&current)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(place.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_over_is_used_where_there_is_no_other() {
        let (source, place) = source(Some(ending(0)), true, 9);
        place.has(Err("the vault is sealed".into()));
        for _ in 0..3 {
            assert!(!is_new(&source.for_a_request().await.unwrap()));
        }
        assert_eq!(place.asked(), 1);
        let (nearing, text) = source.notice(SystemTime::now()).unwrap();
        assert_eq!(nearing, Nearing::Over);
        assert!(text.starts_with("the SAS of acct is over since 20"), "{text}");
        tokio::time::advance(LONG_PAUSE).await;
        place.has(Ok(sas("new")));
        assert!(is_new(&source.for_a_request().await.unwrap()));
        assert_eq!(source.notice(SystemTime::now()), None);
    }

    #[tokio::test]
    async fn the_first_one_is_asked_for_by_the_first_request() {
        let (source, place) = source(None, true, 9);
        place.has(Err("the vault is sealed".into()));
        let error = source.for_a_request().await.unwrap_err();
        assert_eq!(
            (error.errno(), error.to_string().as_str()),
            (libc::EACCES, "account acct: no credential: the vault is sealed")
        );
        place.has(Ok(sas("new")));
        assert!(is_new(&source.for_a_request().await.unwrap()));
        assert!(is_new(&source.for_a_request().await.unwrap()));
        assert_eq!(place.asked(), 2);
    }
}
