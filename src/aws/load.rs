//! From an account's names to a client: what the configuration files say now.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig, imds};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use rustls::ClientConfig;

use super::account::AccountKey;
use super::endpoints;
use super::errors;
use super::http::Connections;
use super::process::ProcessCredentials;
use super::profile::{self, Base, Plan, Unusable};
use super::remedy::{Whose, remedy_for};
use super::stamp::Watched;
use super::time::ServiceTime;
use crate::transport::{Proxies, Roots, client_config};

/// The SDK's own limit of a call, just inside the session's 10 s, so that the error says what stalled.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(9);
/// A workstation has no instance metadata service, and a firewall may swallow what is sent to its address.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// What all accounts of the process have in common.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) roots: Arc<Roots>,
    pub(super) proxies: Proxies,
    pub(super) time: ServiceTime,
}

#[cfg(test)]
impl Setup {
    /// As a machine without proxies has it.
    pub(super) fn plain() -> Self {
        Self {
            roots: Arc::new(Roots::of_process()),
            proxies: Proxies::none(),
            time: ServiceTime::new(crate::clock::Clock),
        }
    }
}

/// All that comes out of the configuration files.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) client: Client,
    pub(super) config: SdkConfig,
    pub(super) region: String,
    pub(super) whose: Arc<Whose>,
    /// What the profile trusts, where that is not what everybody trusts.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The files that change when something about these credentials does.
    pub(super) watched: Watched,
    connections: Connections,
    source: SharedCredentialsProvider,
    present: Present,
}

/// The credentials that the client signs with: whoever fetched them last has put them here.
#[derive(Clone, Default)]
struct Present(Arc<RwLock<Option<Credentials>>>);

impl Loaded {
    /// Reads the files. `found` is told whose credentials these will be, before anybody is asked for any.
    pub(super) async fn load(key: &AccountKey, setup: &Setup, found: impl FnOnce(&Whose)) -> Result<Self, Failure> {
        endpoints::check(|name| std::env::var(name).ok())?;
        let name = key.profile.as_deref();
        let (plan, whose) = plan(name).await?;
        let mut watched = Watched::of_process();
        if let Some(Base::WebIdentity(file)) = plan.as_ref().map(|plan| &plan.base) {
            watched.add(file);
        }
        found(&whose);
        let (roots, tls) = roots(setup, plan.as_ref())?;
        let connections = Connections::new(roots, setup.proxies.clone(), setup.time.clone());
        let provider_config = ProviderConfig::without_region()
            .with_http_client(connections.clone())
            .with_retry_config(RetryConfig::disabled())
            .with_timeout_config(timeouts());
        let metadata = imds::Client::builder()
            .configure(&provider_config)
            .connect_timeout(METADATA_TIMEOUT)
            .read_timeout(METADATA_TIMEOUT)
            .max_attempts(1)
            .build();
        let region = region(key, &provider_config, &metadata).await;
        let region = region.ok_or_else(|| no_region(name))?;
        check_proxy(key, setup, &region)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(connections.clone())
            .retry_config(RetryConfig::disabled()) // there is one loop, and it is not in the SDK
            .timeout_config(timeouts())
            .no_credentials();
        if let Some(name) = name {
            loader = loader.profile_name(name);
        }
        let config = loader.load().await;
        let provider_config = provider_config
            .with_region(Some(region.clone()))
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack());
        let source = source(name, plan.as_ref(), &provider_config, metadata, &config).await;
        let present = Present::default();
        Ok(Self {
            client: client(key, &config, &present),
            config,
            region: region.to_string(),
            whose: Arc::new(whose),
            tls,
            watched,
            connections,
            source,
            present,
        })
    }

    /// Asks the source, which may ask a person or the network, and signs with what it gives from now on.
    pub(super) async fn fetch(&self) -> Result<Credentials, Failure> {
        let fetched = self.source.provide_credentials().await;
        let credentials = fetched.map_err(|error| errors::of_credentials(&self.whose, &error))?;
        self.present.set(credentials.clone());
        Ok(credentials)
    }

    /// The host of the last request.
    pub(super) fn last_host(&self) -> String {
        self.connections.last_host()
    }

    /// Who the credentials are, which needs no permission.
    pub(super) fn sts(&self) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(&self.config).credentials_provider(self.present.clone());
        aws_sdk_sts::Client::from_conf(config.identity_cache(IdentityCache::no_cache()).build())
    }

    /// The keys of encrypted sessions.
    pub(super) fn kms(&self) -> aws_sdk_kms::Client {
        let config = aws_sdk_kms::config::Builder::from(&self.config).credentials_provider(self.present.clone());
        aws_sdk_kms::Client::from_conf(config.identity_cache(IdentityCache::no_cache()).build())
    }

    /// The next call makes a new connection.
    pub(super) fn renew(&self) {
        self.connections.renew();
    }

    /// Loaded, with these credentials.
    #[cfg(test)]
    pub(super) async fn with_credentials(key: &AccountKey, setup: &Setup, credentials: Credentials) -> Self {
        let mut loaded = Self::load(key, setup, |_| ()).await.unwrap();
        loaded.source = SharedCredentialsProvider::new(credentials);
        loaded
    }
}

/// What the profile comes to, and whose credentials that makes them. Keys in the environment go before a profile that
/// nobody named in autossm's configuration, as they do for the AWS CLI.
async fn plan(name: Option<&str>) -> Result<(Option<Plan>, Whose), Failure> {
    let profiles = profile::load(name).await;
    let plan = profiles.and_then(|profiles| profile::plan(&profiles));
    if name.is_none() && profile::has_keys_in_environment() {
        return Ok((plan.unwrap_or_default(), Whose::of_environment()));
    }
    let plan = plan.map_err(|error| unusable(name, &error))?;
    let whose = match &plan {
        Some(plan) if name.is_some() || plan.base != Base::Nothing => Whose::of_plan(name, plan),
        Some(_) | None => Whose::of_machine(profile::web_identity_of_environment().as_deref()),
    };
    Ok((plan, whose))
}

/// The roots for the SDK, and the data channel's TLS where it is not everybody's.
fn roots(setup: &Setup, plan: Option<&Plan>) -> Result<(Arc<Roots>, Option<Arc<ClientConfig>>), Failure> {
    let bundle = plan.and_then(|plan| plan.ca_bundle.as_ref());
    let Some(path) = bundle.filter(|_| !Roots::are_fixed()) else {
        return Ok((Arc::clone(&setup.roots), None));
    };
    let wrong = |error: &dyn fmt::Display| Failure {
        class: FailureClass::Rejected,
        text: format!("ca_bundle of the AWS profile: {error}"),
    };
    let roots = Roots::bundle(path).map_err(|error| wrong(&error))?;
    let tls = client_config(&roots).map_err(|error| wrong(&error))?;
    Ok((Arc::new(roots), Some(tls)))
}

/// A proxy that cannot be used must not be gone round.
fn check_proxy(key: &AccountKey, setup: &Setup, region: &Region) -> Result<(), Failure> {
    let own = key.endpoint_url.as_deref();
    let own = own.and_then(|url| url.parse::<hyper::Uri>().ok()?.host().map(ToOwned::to_owned));
    let host = own.unwrap_or_else(|| format!("ssm.{region}.amazonaws.com"));
    setup.proxies.route(&host, 443).map(|_route| ())
}

/// The configuration's region, else the SDK's choice: the environment, the profile, the instance metadata service.
async fn region(key: &AccountKey, config: &ProviderConfig, metadata: &imds::Client) -> Option<Region> {
    if let Some(region) = &key.region {
        return Some(Region::new(region.clone()));
    }
    let from_environment = EnvironmentVariableRegionProvider::new().region().await;
    if from_environment.is_some() {
        return from_environment;
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(config);
    if let Some(name) = &key.profile {
        profile = profile.profile_name(name);
    }
    let from_profile = profile.build().region().await;
    if from_profile.is_some() {
        return from_profile;
    }
    let metadata = ImdsRegionProvider::builder()
        .configure(config)
        .imds_client(metadata.clone())
        .build();
    metadata.region().await
}

/// Where credentials come from. A helper is run here, since the SDK would never kill it.
async fn source(
    name: Option<&str>,
    plan: Option<&Plan>,
    config: &ProviderConfig,
    metadata: imds::Client,
    sdk: &SdkConfig,
) -> SharedCredentialsProvider {
    let keys_win = name.is_none() && profile::has_keys_in_environment();
    if let Some(plan) = plan.filter(|_| !keys_win)
        && let Base::Process(command) = &plan.base
    {
        let mut provider = SharedCredentialsProvider::new(ProcessCredentials::new(command.clone()));
        for role in &plan.roles {
            let mut assumed = AssumeRoleProvider::builder(&role.arn).configure(sdk);
            if let Some(id) = &role.external_id {
                assumed = assumed.external_id(id);
            }
            if let Some(session) = &role.session_name {
                assumed = assumed.session_name(session);
            }
            provider = SharedCredentialsProvider::new(assumed.build_from_provider(provider).await);
        }
        return provider;
    }
    match name {
        Some(name) => {
            let machine = ImdsCredentialsProvider::builder()
                .configure(config)
                .imds_client(metadata);
            SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(config)
                    .profile_name(name)
                    .with_custom_provider("Ec2InstanceMetadata", machine.build())
                    .build(),
            )
        }
        None => {
            let mut chain = DefaultCredentialsChain::builder()
                .configure(config.clone())
                .imds_client(metadata);
            chain.set_region(sdk.region().cloned());
            SharedCredentialsProvider::new(chain.build().await)
        }
    }
}

fn client(key: &AccountKey, config: &SdkConfig, present: &Present) -> Client {
    let mut builder = Builder::from(config)
        .credentials_provider(present.clone())
        .identity_cache(IdentityCache::no_cache()) // the account is the cache
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &key.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Client::from_conf(builder.build())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build()
}

fn unusable(profile: Option<&str>, error: &Unusable) -> Failure {
    Failure {
        class: FailureClass::Credentials,
        text: format!("{error}; {}", remedy_for(profile, error)),
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

impl Present {
    fn set(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
    }
}

impl ProvideCredentials for Present {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let present = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        future::ProvideCredentials::ready(present.ok_or_else(CredentialsError::not_loaded_no_source))
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").finish_non_exhaustive()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("region", &self.region)
            .field("whose", &self.whose)
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
        let failure = plan(Some("autossm-test-without-such-a-profile")).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Credentials);
        assert!(
            failure
                .text
                .contains("there is no profile `autossm-test-without-such-a-profile`")
                && failure.text.contains("aws configure sso --profile"),
            "{}",
            failure.text
        );
    }
}
