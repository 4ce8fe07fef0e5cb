//! One identity in one region: what AWS's shared configuration makes of a profile, loaded when first needed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::config::{Builder, IdentityCache, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::sync::Mutex;

use super::credentials::CachedCredentials;
use super::errors;
use super::limit::AnswerLimit;
use super::preferences::Remembered;
use super::turns::Turns;
use crate::clock::Clock;

/// The SDK's own limit of a call, just inside the session's 10 s, so that the error says what stalled.
const CALL_TIMEOUT: Duration = Duration::from_secs(9);

/// What tells one account from another, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountKey {
    pub(super) profile: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

/// An account with its lazily loaded client. Nothing is read and nobody is asked before the first call, and a
/// failure is that call's failure: a profile that is missing today may be there tomorrow.
#[derive(Debug)]
pub(super) struct Account {
    key: AccountKey,
    clock: Clock,
    loaded: Mutex<Option<Loaded>>,
    /// Connections made so far may be dead.
    stale: AtomicBool,
    /// Whose turn it is to call.
    pub(super) turns: Turns,
    /// What the account says about the life of its sessions.
    pub(super) preferences: Mutex<Remembered>,
}

/// All that comes out of the configuration files.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) client: Client,
    pub(super) region: String,
    credentials: Arc<CachedCredentials>,
}

impl Account {
    pub(super) fn new(key: AccountKey, clock: Clock) -> Self {
        Self {
            key,
            clock,
            loaded: Mutex::new(None),
            stale: AtomicBool::new(false),
            turns: Turns::new(clock),
            preferences: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn profile(&self) -> Option<&str> {
        self.key.profile.as_deref()
    }

    /// The client and valid credentials for its next call; loads what is missing.
    pub(super) async fn ready(&self) -> Result<(Loaded, Credentials), Failure> {
        let loaded = self.loaded().await?;
        match loaded.credentials.get().await {
            Ok(credentials) => Ok((loaded, credentials)),
            Err(error) => {
                let failure = errors::of_credentials(self.profile(), &error);
                self.heed(&failure).await;
                Err(failure)
            }
        }
    }

    /// The next call makes new connections.
    pub(super) fn renew(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Forgets everything loaded when `failure` is about credentials: after a login or an edit of the profile the
    /// next call must see it.
    pub(super) async fn heed(&self, failure: &Failure) {
        if failure.class == FailureClass::Credentials {
            *self.loaded.lock().await = None;
        }
    }

    async fn loaded(&self) -> Result<Loaded, Failure> {
        let mut slot = self.loaded.lock().await;
        let stale = self.stale.swap(false, Ordering::Relaxed);
        if let Some(loaded) = slot.as_mut() {
            if stale {
                let config = loaded.client.config().to_builder().http_client(http_client());
                loaded.client = Client::from_conf(config.build());
            }
            return Ok(loaded.clone());
        }
        let region = region(&self.key).await.ok_or_else(|| no_region(self.profile()))?;
        let source = source(self.profile(), region.clone()).await;
        let credentials = Arc::new(CachedCredentials::new(source, self.clock));
        let provider = SharedCredentialsProvider::new(Shared(Arc::clone(&credentials)));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .credentials_provider(provider);
        if let Some(profile) = self.profile() {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let mut builder = Builder::from(&config)
            .identity_cache(IdentityCache::no_cache()) // CachedCredentials is the cache
            .retry_config(RetryConfig::disabled()) // there is one loop, and it is not in the SDK
            .timeout_config(TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http_client())
            .interceptor(AnswerLimit);
        if let Some(url) = &self.key.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let loaded = Loaded {
            client: Client::from_conf(builder.build()),
            region: region.to_string(),
            credentials,
        };
        *slot = Some(loaded.clone());
        Ok(loaded)
    }

    /// An account that has been loaded with these credentials.
    #[cfg(test)]
    pub(super) async fn loaded_with(key: AccountKey, credentials: Credentials) -> Self {
        let account = Self::new(key, Clock);
        let mut loaded = account.loaded().await.unwrap();
        let cached = CachedCredentials::new(SharedCredentialsProvider::new(credentials), Clock);
        loaded.credentials = Arc::new(cached);
        let provider = Shared(Arc::clone(&loaded.credentials));
        let config = loaded.client.config().to_builder().credentials_provider(provider);
        loaded.client = Client::from_conf(config.build());
        *account.loaded.lock().await = Some(loaded);
        account
    }
}

/// A client of its own connections, with the one crypto provider.
fn http_client() -> SharedHttpClient {
    let provider = Provider::Rustls(CryptoMode::AwsLc);
    aws_smithy_http_client::Builder::new()
        .tls_provider(provider)
        .build_https()
}

/// The configuration's region, else the SDK's choice: the environment, the profile, the instance metadata service.
async fn region(key: &AccountKey) -> Option<Region> {
    if let Some(region) = &key.region {
        return Some(Region::new(region.clone()));
    }
    let mut chain = DefaultRegionChain::builder();
    if let Some(profile) = &key.profile {
        chain = chain.profile_name(profile);
    }
    chain.build().region().await
}

/// Where credentials come from. A named profile goes before the environment's keys, as it does for the AWS CLI; the
/// SDK's default chain would take the keys. The region is for a profile that assumes a role.
async fn source(profile: Option<&str>, region: Region) -> SharedCredentialsProvider {
    match profile {
        Some(name) => {
            let config = ProviderConfig::default().with_region(Some(region));
            SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(&config)
                    .profile_name(name)
                    .build(),
            )
        }
        None => {
            let chain = DefaultCredentialsChain::builder().region(region);
            SharedCredentialsProvider::new(chain.build().await)
        }
    }
}

fn no_region(profile: Option<&str>) -> Failure {
    let whose = match profile {
        Some(profile) => format!("profile `{profile}` has no region"),
        None => "no AWS region is configured".to_owned(),
    };
    Failure {
        class: FailureClass::Rejected,
        text: format!("{whose}; set region in autossm's configuration or in the AWS profile, or AWS_REGION"),
    }
}

/// The cache as a provider the SDK can own.
#[derive(Debug)]
struct Shared(Arc<CachedCredentials>);

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.provide_credentials()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_region_says_what_to_do() {
        let failure = no_region(Some("work"));
        assert_eq!(failure.class, FailureClass::Rejected);
        assert!(failure.text.contains("`work`") && failure.text.contains("set region"));
    }

    #[tokio::test]
    async fn a_profile_that_does_not_exist_is_a_matter_of_credentials() {
        let key = AccountKey {
            profile: Some("autossm-test-without-such-a-profile".to_owned()),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: None,
        };
        let account = Account::new(key, Clock);
        let failure = account.ready().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Credentials);
        assert!(
            failure.text.contains("autossm-test-without-such-a-profile")
                && failure.text.contains("aws sso login --profile"),
            "{}",
            failure.text
        );
        // Forgotten: the next call reads the files again.
        assert!(account.loaded.lock().await.is_none());
    }
}
