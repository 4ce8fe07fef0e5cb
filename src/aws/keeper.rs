//! The one task that fetches an account's credentials, waits for a login, and tells the sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use aws_credential_types::Credentials;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::account::{Account, Held, Ready, refresh_at};
use super::accounts::{Accounts, is_used};
use super::gate::Gate;
use super::load::Loaded;
use super::process::HELPER_LIMIT;
use super::stamp::{Stamp, Watched};

/// How often the files are looked at while a login is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// The longest fetch: a helper, and some roles assumed with what it gives.
const FETCH_LIMIT: Duration = Duration::from_secs(HELPER_LIMIT.as_secs() + 30);
/// While credentials are still good, a source that fails is asked again after this.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether anybody uses the account.
const LOOK_FOR_USERS: Duration = Duration::from_secs(60);
/// An account that nobody used at so many looks is forgotten. Not at once: `ssh` after `ssh` should not run a helper
/// each time.
const LOOKS_WITHOUT_USERS: u32 = 15;

/// Keeps this account, which is one of these, until it is forgotten or the future is dropped.
pub(super) async fn keep(account: Arc<Account>, accounts: Accounts) {
    let mut keeper = Keeper::new(account);
    let mut unused = 0_u32;
    loop {
        let is_waited_for = keeper.gate.is_shut() && is_used(&keeper.account);
        let wish = timeout(
            if is_waited_for { LOOK } else { LOOK_FOR_USERS },
            keeper.account.wished(),
        );
        let is_wish = wish.await.is_ok();
        if is_used(&keeper.account) {
            unused = 0;
        } else if !is_wish {
            unused = unused.saturating_add(1);
            if unused >= LOOKS_WITHOUT_USERS && accounts.forget(&keeper.account) {
                tracing::debug!(
                    profile = keeper.account.key.profile,
                    "an account that nobody uses is forgotten"
                );
                return;
            }
        }
        if is_wish || is_waited_for {
            keeper.turn().await;
        }
    }
}

struct Keeper {
    account: Arc<Account>,
    gate: Gate,
    watched: Watched,
    /// Somebody has asked since the last fetch.
    asked: bool,
    /// How the files were before the last fetch, caches included.
    stamp: Option<Stamp>,
    /// What was said last, so that it is said once.
    told: Option<String>,
}

/// Why credentials are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// AWS has just refused those there were.
    Refused,
    /// Anything else.
    Needed,
}

impl Keeper {
    fn new(account: Arc<Account>) -> Self {
        Self {
            watched: Watched::of_process(),
            account,
            gate: Gate::default(),
            asked: false,
            stamp: None,
            told: None,
        }
    }

    async fn turn(&mut self) {
        let wishes = self.account.take_wishes();
        self.asked |= wishes.asked;
        if wishes.proven {
            self.open();
        }
        if let Some((failure, key)) = wishes.refused
            && self
                .account
                .present()
                .is_some_and(|ready| ready.credentials.access_key_id() == key)
        {
            self.shut(failure, Some(key));
            // The source may have better ones by now.
            return self.fetch(Why::Refused).await;
        }
        if !self.gate.is_shut() {
            let fresh = match self.account.present() {
                Some(ready) => self.account.is_fresh(&ready).await,
                None => false,
            };
            if fresh {
                self.asked = false;
            } else if self.asked {
                self.fetch(Why::Needed).await;
            }
            return;
        }
        if !is_used(&self.account) {
            // No session uses it any more: a helper must not be run for nobody.
            return;
        }
        let changed = Some(self.watched.look().await) != self.stamp;
        let due = self.asked && self.gate.is_due(self.account.setup.time.clock().now());
        let reachable = wishes.network && !self.gate.is_for_login();
        if changed || due || wishes.retry || reachable {
            self.fetch(Why::Needed).await;
        }
    }

    async fn fetch(&mut self, why: Why) {
        self.asked = false;
        self.stamp = Some(self.watched.look().await);
        let (result, stamp) = run(&self.account).await;
        match result {
            Ok((loaded, credentials)) => {
                self.watched = loaded.watched.clone();
                self.take(loaded, credentials, stamp, why);
            }
            Err(failure) => self.fail(failure, stamp),
        }
    }

    fn take(&mut self, loaded: Loaded, credentials: Credentials, stamp: Stamp, why: Why) {
        let now = self.account.setup.time.unix_now();
        let known = self.gate.knows(credentials.access_key_id());
        if known && why == Why::Refused {
            return;
        }
        let ready = Arc::new(Ready {
            refresh_at: refresh_at(&credentials, now),
            loaded,
            credentials,
            stamp,
        });
        self.account.held.send_replace(Held::Ready(ready));
        if known {
            // One session's next call shows whether AWS has changed its mind; nobody else is told.
            self.gate.probe(self.account.setup.time.clock().now());
            self.account.probing.store(true, Ordering::Relaxed);
        } else {
            self.open();
        }
    }

    fn fail(&mut self, failure: Failure, stamp: Stamp) {
        let valid = self.account.present().filter(|ready| self.account.is_valid(ready));
        match valid {
            // They serve to their last second.
            Some(ready) if !self.gate.is_shut() => {
                let now = self.account.setup.time.unix_now();
                tracing::debug!(cause = failure.text, "credentials cannot be renewed yet");
                let ready = Ready {
                    loaded: ready.loaded.clone(),
                    credentials: ready.credentials.clone(),
                    refresh_at: now.saturating_add(RENEW_AGAIN),
                    stamp,
                };
                self.account.held.send_replace(Held::Ready(Arc::new(ready)));
            }
            Some(_) | None => self.shut(failure, None),
        }
    }

    /// Everybody gets this failure from now on, and one of them is enough to say it.
    fn shut(&mut self, failure: Failure, refused_key: Option<String>) {
        let account = &self.account;
        self.gate
            .fail(failure.class, refused_key, account.setup.time.clock().now());
        if failure.class == FailureClass::Credentials && self.told.as_ref() != Some(&failure.text) {
            tracing::warn!(
                name: "login_needed",
                profile = account.key.profile,
                "a login is needed, all sessions with these credentials wait for it: {}",
                failure.text
            );
            self.told = Some(failure.text.clone());
        }
        account.held.send_replace(Held::Refused(failure));
    }

    fn open(&mut self) {
        let is_waited_for = self.account.waited_for.swap(false, Ordering::SeqCst);
        if self.gate.open() | is_waited_for {
            if self.told.take().is_some() {
                let profile = &self.account.key.profile;
                tracing::info!(profile, "credentials are there again, all sessions go on");
            }
            self.account
                .chances
                .send_modify(|chances| *chances = chances.wrapping_add(1));
        }
    }
}

/// Reads the files and fetches, in a task of its own: a panic in there is a failure here. Gives how the configuration
/// files were before.
async fn run(account: &Arc<Account>) -> (Result<(Loaded, Credentials), Failure>, Stamp) {
    let stamp = Watched::of_process().without_caches().look().await;
    let own = Arc::clone(account);
    let mut fetching = JoinSet::new();
    fetching.spawn(async move {
        let loaded = Loaded::load(&own.key, &own.setup, |whose| own.set_whose(whose)).await?;
        // With the token's file, if there is one; before it is read.
        let stamp = loaded.watched.without_caches().look().await;
        let credentials = loaded.fetch().await?;
        Ok((loaded, credentials, stamp))
    });
    // Dropping the set at the end of this function ends what is late.
    match timeout(FETCH_LIMIT, fetching.join_next()).await {
        Ok(Some(Ok(Ok((loaded, credentials, stamp))))) => (Ok((loaded, credentials)), stamp),
        Ok(Some(Ok(Err(failure)))) => (Err(failure), stamp),
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "fetching credentials failed inside; please report this");
            (
                Err(internal("internal error while credentials were fetched, trying again")),
                stamp,
            )
        }
        Ok(None) | Err(_) => {
            let whose = account.whose();
            let text = format!(
                "no credentials{}: {} did not answer within {}s; {}",
                whose.for_profile(),
                whose.source(),
                FETCH_LIMIT.as_secs(),
                whose.remedy()
            );
            let class = FailureClass::Credentials;
            (Err(Failure { class, text }), stamp)
        }
    }
}

fn internal(text: &str) -> Failure {
    Failure {
        class: FailureClass::Network,
        text: text.to_owned(),
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
