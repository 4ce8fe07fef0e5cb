//! One identity in one region, for all sessions that have it: its client, its credentials, and what to say while there
//! are none.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use autossm_proto::session::{Failure, FailureClass};
use aws_credential_types::Credentials;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::load::{Loaded, Setup};
use super::preferences::Remembered;
use super::remedy::Whose;
use super::stamp::Stamp;
use super::turns::Turns;
use crate::config::{Defaults, SessionSettings};

/// Credentials with less time left than this are fetched anew.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// Credentials that do not say when they expire are looked at again after this, in case their source has changed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long a session's call waits for credentials: inside its own limit, so that it can say what it waited for.
const PATIENCE: Duration = Duration::from_secs(8);

/// What tells one account from another, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountKey {
    pub(super) profile: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

impl AccountKey {
    pub(super) fn of(session: &SessionSettings) -> Self {
        Self {
            profile: session.profile.clone(),
            region: session.region.clone(),
            endpoint_url: session.endpoint_url.clone(),
        }
    }

    pub(super) fn of_defaults(defaults: &Defaults) -> Self {
        Self {
            profile: defaults.profile.clone(),
            region: defaults.region.clone(),
            endpoint_url: defaults.endpoint_url.clone(),
        }
    }
}

/// What the sessions of an account share. Nothing is read and nobody is asked before the first call.
///
/// Its [keeper](super::keeper) alone fetches, so that a helper runs once and not once for each session, and goes on when
/// a session's attempt is given up. Everybody else reads what it has left here.
pub(super) struct Account {
    pub(super) key: AccountKey,
    pub(super) setup: Setup,
    whose: RwLock<Arc<Whose>>,
    pub(super) held: watch::Sender<Held>,
    /// Grows whenever sessions that wait for a login should try again.
    pub(super) chances: watch::Sender<u64>,
    wishes: Mutex<Wishes>,
    wake: Notify,
    /// Somebody was told to wait on, and tries again when there are credentials.
    pub(super) waited_for: AtomicBool,
    /// Credentials that AWS refused are tried once more.
    pub(super) probing: AtomicBool,
    /// Whose turn it is to call.
    pub(super) turns: Turns,
    /// What the account says about the life of its sessions.
    pub(super) preferences: tokio::sync::Mutex<Remembered>,
}

/// What there is to call with.
#[derive(Clone, Debug, Default)]
pub(super) enum Held {
    /// Nothing yet.
    #[default]
    Nothing,
    Ready(Arc<Ready>),
    /// The answer to everybody until the keeper has better news.
    Refused(Failure),
}

/// A client with valid credentials.
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    pub(super) credentials: Credentials,
    /// Since the Unix epoch: fetch anew from then on.
    pub(super) refresh_at: Duration,
    /// The configuration files as they were read.
    pub(super) stamp: Stamp,
}

/// What the keeper is asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Somebody has to make a call.
    pub(super) asked: bool,
    /// A user wants another try now.
    pub(super) retry: bool,
    /// The network has changed.
    pub(super) network: bool,
    /// AWS does not take the credentials with this access key.
    pub(super) refused: Option<(Failure, String)>,
    /// AWS has taken credentials that were tried once more.
    pub(super) proven: bool,
}

/// Tells when there is a reason to try again for a session that waits for a login.
#[derive(Clone, Debug, Default)]
pub struct LoginNews(Option<watch::Receiver<u64>>);

impl LoginNews {
    /// Waits for the next one; for ever where there is no account. Cancel safe.
    pub async fn next(&mut self) {
        if let Some(chances) = &mut self.0
            && chances.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Account {
    pub(super) fn new(key: AccountKey, setup: Setup) -> Self {
        let whose = Whose::unknown(key.profile.as_deref());
        let clock = setup.time.clock();
        Self {
            key,
            setup,
            whose: RwLock::new(Arc::new(whose)),
            held: watch::Sender::new(Held::Nothing),
            chances: watch::Sender::new(0),
            wishes: Mutex::new(Wishes::default()),
            wake: Notify::new(),
            waited_for: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            turns: Turns::new(clock),
            preferences: tokio::sync::Mutex::default(),
        }
    }

    /// Whose credentials these are, as far as it is known.
    pub(super) fn whose(&self) -> Arc<Whose> {
        Arc::clone(&self.whose.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_whose(&self, whose: &Whose) {
        *self.whose.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(whose.clone());
    }

    /// The client and valid credentials for its next call.
    pub(super) async fn ready(&self) -> Result<Arc<Ready>, Failure> {
        let mut news = self.held.subscribe();
        let held = news.borrow_and_update().clone();
        match &held {
            Held::Ready(ready) if self.is_fresh(ready).await => return Ok(Arc::clone(ready)),
            Held::Refused(failure) => {
                self.wish(|wishes| wishes.asked = true);
                return Err(failure.clone());
            }
            Held::Ready(_) | Held::Nothing => {}
        }
        self.wish(|wishes| wishes.asked = true);
        let mut is_answered = timeout(PATIENCE, news.changed()).await.is_ok();
        if !is_answered {
            // Before the last look: what comes after it finds the mark.
            self.waited_for.store(true, Ordering::SeqCst);
        }
        let latest = {
            let latest = news.borrow_and_update();
            is_answered |= latest.has_changed();
            latest.clone()
        };
        match latest {
            Held::Ready(ready) if is_answered || self.is_valid(&ready) => Ok(ready),
            Held::Refused(failure) => Err(failure),
            Held::Ready(_) | Held::Nothing => Err(self.still_waiting()),
        }
    }

    /// What there is to call with, if there is something.
    pub(super) fn present(&self) -> Option<Arc<Ready>> {
        match &*self.held.borrow() {
            Held::Ready(ready) => Some(Arc::clone(ready)),
            Held::Nothing | Held::Refused(_) => None,
        }
    }

    /// Whether everybody who calls now is told why that is no use.
    pub(super) fn is_refused(&self) -> bool {
        matches!(&*self.held.borrow(), Held::Refused(_))
    }

    /// AWS has refused a call that was signed with this access key, for its credentials.
    pub(super) fn refuse(&self, failure: &Failure, access_key: &str) {
        let refused = (failure.clone(), access_key.to_owned());
        self.wish(|wishes| wishes.refused = Some(refused));
    }

    /// AWS has answered a call.
    pub(super) fn accept(&self) {
        if self.probing.swap(false, Ordering::Relaxed) {
            self.wish(|wishes| wishes.proven = true);
        }
    }

    /// Another try now, because a user wants one.
    pub(super) fn retry(&self) {
        self.wish(|wishes| wishes.retry = true);
    }

    /// The network has changed: connections made before it may be dead without a word.
    pub(super) fn renew(&self) {
        if let Held::Ready(ready) = &*self.held.borrow() {
            ready.loaded.renew();
        }
        self.wish(|wishes| wishes.network = true);
    }

    pub(super) fn login_news(&self) -> LoginNews {
        LoginNews(Some(self.chances.subscribe()))
    }

    fn wish(&self, add: impl FnOnce(&mut Wishes)) {
        add(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        std::mem::take(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a wish. Cancel safe.
    pub(super) async fn wished(&self) {
        self.wake.notified().await;
    }

    /// Neither about to expire nor read from files that have changed since.
    pub(super) async fn is_fresh(&self, ready: &Ready) -> bool {
        self.setup.time.unix_now() < ready.refresh_at
            && ready.loaded.watched.without_caches().look().await == ready.stamp
    }

    /// Good for a call now. Those without an expiry may have been replaced, which is not for us to guess.
    pub(super) fn is_valid(&self, ready: &Ready) -> bool {
        expiry(&ready.credentials).is_some_and(|expiry| self.setup.time.unix_now() < expiry)
    }

    /// Nothing has failed yet, so nobody is told to log in: whoever waits for the network waits for this.
    fn still_waiting(&self) -> Failure {
        let whose = self.whose();
        Failure {
            class: FailureClass::Network,
            text: format!(
                "no credentials yet{}: {} does not answer, going on to wait",
                whose.for_profile(),
                whose.source()
            ),
        }
    }

    /// An account with these credentials, which nobody keeps.
    #[cfg(test)]
    pub(super) async fn loaded_with(key: AccountKey, setup: Setup, credentials: Credentials) -> Self {
        let loaded = Loaded::with_credentials(&key, &setup, credentials).await;
        Self::of(key, setup, loaded).await.unwrap()
    }

    /// An account for a single look, which nobody keeps: its credentials are fetched now.
    pub(super) async fn of(key: AccountKey, setup: Setup, loaded: Loaded) -> Result<Self, Failure> {
        let credentials = loaded.fetch().await?;
        let stamp = loaded.watched.without_caches().look().await;
        let ready = Ready {
            refresh_at: refresh_at(&credentials, setup.time.unix_now()),
            loaded,
            credentials,
            stamp,
        };
        let account = Self::new(key, setup);
        account.held.send_replace(Held::Ready(Arc::new(ready)));
        Ok(account)
    }
}

/// When to fetch credentials anew that were fetched `now`; both since the Unix epoch.
pub(super) fn refresh_at(credentials: &Credentials, now: Duration) -> Duration {
    match expiry(credentials) {
        Some(expiry) => expiry.saturating_sub(REFRESH_BEFORE),
        None => now.saturating_add(LOOK_AGAIN_AFTER),
    }
}

fn expiry(credentials: &Credentials) -> Option<Duration> {
    credentials.expiry()?.duration_since(UNIX_EPOCH).ok()
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("loaded", &self.loaded)
            .field("refresh_at", &self.refresh_at)
            .finish_non_exhaustive()
    }
}
