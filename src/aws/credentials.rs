//! Credentials: fetched once, shared by the SDK's calls and the data channel's signature, kept while they last.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use crate::clock::Clock;

/// Credentials with less time left than this are fetched anew.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// Credentials that do not say when they expire are looked at again after this, in case their source has changed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// A provider behind a cache.
///
/// The SDK has one of its own, but only for its own calls: signing the data channel beside it would run a
/// `credential_process` or ask SSO at every dial. One fetch at a time; the others wait for it.
pub(super) struct CachedCredentials {
    source: SharedCredentialsProvider,
    clock: Clock,
    held: Mutex<Option<Held>>,
}

struct Held {
    credentials: Credentials,
    /// Since the Unix epoch, as expiry is a time of day.
    fetched: Duration,
}

impl CachedCredentials {
    pub(super) fn new(source: SharedCredentialsProvider, clock: Clock) -> Self {
        Self {
            source,
            clock,
            held: Mutex::new(None),
        }
    }

    /// From the cache, or from the source when they are about to expire. While the source fails, credentials that
    /// are still valid serve to their last second.
    pub(super) async fn get(&self) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        let now = self.clock.unix_now();
        if let Some(held) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(held.credentials.clone());
        }
        match self.source.provide_credentials().await {
            Ok(credentials) => {
                *held = Some(Held {
                    credentials: credentials.clone(),
                    fetched: now,
                });
                Ok(credentials)
            }
            Err(error) => match held.as_ref().filter(|held| held.is_valid(now)) {
                Some(held) => Ok(held.credentials.clone()),
                None => Err(error),
            },
        }
    }
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

impl fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredentials").finish_non_exhaustive()
    }
}

impl Held {
    fn is_fresh(&self, now: Duration) -> bool {
        match self.expiry() {
            Some(expiry) => now.saturating_add(REFRESH_BEFORE) < expiry,
            None => now < self.fetched.saturating_add(LOOK_AGAIN_AFTER),
        }
    }

    /// Those without an expiry may have been replaced, which is not for us to guess.
    fn is_valid(&self, now: Duration) -> bool {
        self.expiry().is_some_and(|expiry| now < expiry)
    }

    fn expiry(&self) -> Option<Duration> {
        let expiry = self.credentials.expiry()?;
        expiry.duration_since(UNIX_EPOCH).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// Hands out key number n at the n-th fetch, with the given time to live.
    #[derive(Debug)]
    struct Source {
        fetches: AtomicU64,
        broken: AtomicBool,
        lasts: Option<Duration>,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.fetches.fetch_add(1, Ordering::Relaxed);
            if self.broken.load(Ordering::Relaxed) {
                let error = CredentialsError::not_loaded_no_source();
                return future::ProvideCredentials::ready(Err(error));
            }
            let expiry = self.lasts.map(|lasts| UNIX_EPOCH + Clock.unix_now() + lasts);
            future::ProvideCredentials::ready(Ok(Credentials::new(
                format!("AKID{number}"),
                "secret",
                None,
                expiry,
                "test",
            )))
        }
    }

    fn cached(lasts: Option<u64>) -> (Arc<Source>, CachedCredentials) {
        let source = Arc::new(Source {
            fetches: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            lasts: lasts.map(Duration::from_secs),
        });
        let shared: Arc<dyn ProvideCredentials> = Arc::<Source>::clone(&source);
        (source, CachedCredentials::new(shared.into(), Clock))
    }

    #[tokio::test]
    async fn one_fetch_serves_while_the_credentials_last() {
        for lasts in [Some(3600), None] {
            let (source, cached) = cached(lasts);
            for _ in 0..3 {
                assert_eq!(cached.get().await.unwrap().access_key_id(), "AKID0");
            }
            assert_eq!(source.fetches.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn credentials_about_to_expire_are_fetched_anew_and_serve_when_that_fails() {
        let (source, cached) = cached(Some(30));
        assert_eq!(cached.get().await.unwrap().access_key_id(), "AKID0");
        assert_eq!(cached.get().await.unwrap().access_key_id(), "AKID1");
        source.broken.store(true, Ordering::Relaxed);
        assert_eq!(cached.get().await.unwrap().access_key_id(), "AKID1");
    }

    #[tokio::test]
    async fn without_valid_credentials_the_error_comes_through() {
        let (source, cached) = cached(Some(0));
        source.broken.store(true, Ordering::Relaxed);
        assert!(cached.get().await.is_err());
        source.broken.store(false, Ordering::Relaxed);
        assert!(cached.get().await.is_ok());
    }
}
