//! A look at an account for a person: whose credentials, which sessions, what state its targets are in.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use autossm_proto::session::Failure;
use aws_sdk_ssm::types::{SessionFilter, SessionFilterKey, SessionState, SessionStatus};
use rustls::ClientConfig;

use super::account::{Account, AccountKey};
use super::calls::Calls;
use super::errors::Action;
use super::load::{Loaded, Setup};
use super::targets::Target;
use crate::config::SessionSettings;
use crate::transport::Proxies;

/// Of so many sessions a person looks at no more.
const MOST_PAGES: usize = 20;

/// An account that has not been asked for anything yet.
#[derive(Clone, Debug)]
pub struct Inspection {
    key: AccountKey,
    setup: Setup,
}

/// An account whose configuration makes sense and whose credentials were fetched.
#[derive(Debug)]
pub struct Prepared {
    account: Account,
    loaded: Loaded,
}

/// What the credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Where they come from, for people.
    pub source: String,
    /// How long they are good; none when they do not say.
    pub lasts: Option<Duration>,
    /// The region they are used in.
    pub region: String,
}

/// One of AWS's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Its id.
    pub session_id: String,
    /// The instance or container.
    pub target: String,
    /// AWS's word for its state.
    pub status: String,
    /// A client or an agent keeps it: it is connected, or about to be.
    pub connected: bool,
    /// Whose it is, an ARN.
    pub owner: String,
    /// How long ago it began.
    pub age: Option<Duration>,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

impl Inspection {
    pub(super) const fn new(key: AccountKey, setup: Setup) -> Self {
        Self { key, setup }
    }

    /// The profile and the region, as the configuration has them, for people; the same for the same account.
    pub fn name(&self) -> String {
        let profile = match &self.key.profile {
            Some(profile) => format!("profile `{profile}`"),
            None => "no profile named".to_owned(),
        };
        let region = self
            .key
            .region
            .as_ref()
            .map_or_else(String::new, |region| format!(", {region}"));
        let endpoint = self
            .key
            .endpoint_url
            .as_ref()
            .map_or_else(String::new, |url| format!(", {url}"));
        format!("{profile}{region}{endpoint}")
    }

    /// The proxies in use.
    pub const fn proxies(&self) -> &Proxies {
        &self.setup.proxies
    }

    /// Reads the configuration and fetches credentials, however long that takes.
    ///
    /// # Errors
    /// The [`Failure`] a session would show.
    pub async fn prepare(&self) -> Result<Prepared, Failure> {
        let loaded = Loaded::load(&self.key, &self.setup, |_whose| ()).await?;
        let account = Account::of(self.key.clone(), self.setup.clone(), loaded.clone()).await?;
        Ok(Prepared { account, loaded })
    }
}

impl Prepared {
    /// What the credentials are.
    pub fn credential(&self) -> Credential {
        let expiry = self.account.present().and_then(|ready| ready.credentials.expiry());
        let expiry = expiry.and_then(|expiry| expiry.duration_since(UNIX_EPOCH).ok());
        let now = self.account.setup.time.unix_now();
        Credential {
            source: self.loaded.whose.source().to_owned(),
            lasts: expiry.map(|expiry| expiry.saturating_sub(now)),
            region: self.loaded.region.clone(),
        }
    }

    /// Who they are: an ARN.
    ///
    /// # Errors
    /// The call fails; a network may let no calls to STS through.
    pub async fn identity(&self) -> Result<String, Failure> {
        let calls = Calls::with(&self.account).await?;
        let sent = self.loaded.sts().get_caller_identity().send().await;
        let answer = calls.answered(Action::Identity, sent)?;
        Ok(answer.arn.unwrap_or_default())
    }

    /// The active sessions, of this owner only if one is given; in the order of their ids.
    ///
    /// # Errors
    /// The call fails.
    pub async fn sessions(&self, owner: Option<&str>) -> Result<Vec<ListedSession>, Failure> {
        let calls = Calls::with(&self.account).await?;
        let filter = owner.and_then(|owner| {
            let filter = SessionFilter::builder().key(SessionFilterKey::Owner).value(owner);
            filter.build().ok()
        });
        let now = self.account.setup.time.unix_now();
        let mut sessions = Vec::new();
        let mut token = None;
        for _page in 0..MOST_PAGES {
            let request = calls.client().describe_sessions().state(SessionState::Active);
            let request = request.set_filters(filter.clone().map(|filter| vec![filter]));
            let sent = request.set_next_token(token.take()).send().await;
            let answer = calls.answered(Action::Sessions, sent)?;
            let listed = answer.sessions.unwrap_or_default().into_iter();
            sessions.extend(listed.map(|session| ListedSession::of(session, now)));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        sessions.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        Ok(sessions)
    }

    /// The instance a session would be started on, if it is connected.
    ///
    /// # Errors
    /// It is not, or the call fails.
    pub async fn target(&self, session: &SessionSettings) -> Result<String, Failure> {
        let calls = Calls::with(&self.account).await?;
        let target = Target::new(&session.target);
        let id = target.resolve(&calls).await?;
        target.look(&id, &calls).await?;
        Ok(target.resolved().unwrap_or(id))
    }

    /// The host of the `ssm` service, once a call has been made; none for one on loopback.
    pub fn endpoint(&self) -> Option<String> {
        let host = self.loaded.last_host();
        (!host.is_empty() && !host.contains(':') && host != "localhost").then_some(host)
    }

    /// What the data channel uses for TLS, where the profile says so.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.loaded.tls.clone()
    }

    /// Seconds that AWS is ahead of this machine's clock; zero while the difference does not matter.
    pub fn skew(&self) -> i64 {
        self.account.setup.time.skew()
    }
}

impl ListedSession {
    fn of(session: aws_sdk_ssm::types::Session, now: Duration) -> Self {
        let started = session.start_date.and_then(|date| u64::try_from(date.secs()).ok());
        let connected = matches!(
            session.status,
            Some(SessionStatus::Connected | SessionStatus::Connecting)
        );
        Self {
            session_id: session.session_id.unwrap_or_default(),
            target: session.target.unwrap_or_default(),
            status: session
                .status
                .map_or_else(String::new, |status| status.as_str().to_owned()),
            connected,
            owner: session.owner.unwrap_or_default(),
            age: started.map(|started| now.saturating_sub(Duration::from_secs(started))),
            reason: session.reason.filter(|reason| !reason.is_empty()),
        }
    }
}
