//! The control plane on the AWS SDK.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use autossm_proto::Timestamp;
use autossm_proto::session::{Failure, FailureClass, Grant, Preferences, ResumeGrant, Secret};
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};

use super::account::{Account, AccountKey};
use super::errors::{self, Action};
use super::preferences;
use super::signing::Signer;
use super::{Call, ControlPlane, Wait};
use crate::clock::Clock;
use crate::config::{ForwardSettings, Listen, SessionSettings};
use crate::transport::UpgradeSigner;

/// Bytes of a SessionId, with room.
const LONGEST_SESSION_ID: usize = 256;

/// Makes control planes and signers; sessions with the same profile, region and endpoint share one client with its
/// connections and credentials.
#[derive(Debug)]
pub struct ControlPlanes {
    clock: Clock,
    accounts: BTreeMap<AccountKey, Arc<Account>>,
}

impl ControlPlanes {
    /// Without accounts yet. Nothing here blocks, reads a file or asks anybody: the calls do, and report it.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            accounts: BTreeMap::new(),
        }
    }

    /// The control plane of a session.
    pub fn control_plane(&mut self, session: &SessionSettings) -> Arc<dyn ControlPlane> {
        let request = StartRequest::new(session);
        Arc::new(SsmControlPlane {
            account: self.account(session),
            request,
        })
    }

    /// Signs the data channels of a session, for its [`Dialer`](crate::transport::Dialer).
    pub fn signer(&mut self, session: &SessionSettings) -> Arc<dyn UpgradeSigner> {
        Arc::new(Signer::new(self.account(session)))
    }

    /// The network has changed: connections made before it may be dead without a word, so the next calls make new ones.
    pub fn renew(&self) {
        for account in self.accounts.values() {
            account.renew();
        }
    }

    fn account(&mut self, session: &SessionSettings) -> Arc<Account> {
        let key = AccountKey {
            profile: session.profile.clone(),
            region: session.region.clone(),
            endpoint_url: session.endpoint_url.clone(),
        };
        let clock = self.clock;
        let account = self
            .accounts
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Account::new(key, clock)));
        Arc::clone(account)
    }
}

/// One session's calls. They go out once each: waiting and trying again is the session's decision.
pub(super) struct SsmControlPlane {
    account: Arc<Account>,
    request: StartRequest,
}

/// What StartSession is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StartRequest {
    target: String,
    document: &'static str,
    parameters: Vec<(&'static str, String)>,
    reason: Option<String>,
}

impl StartRequest {
    fn new(session: &SessionSettings) -> Self {
        let (document, parameters) = document(&session.forward);
        Self {
            target: session.target.clone(),
            document,
            parameters,
            reason: session.reason.clone(),
        }
    }
}

/// AWS's document for the forward, with its parameters.
fn document(forward: &ForwardSettings) -> (&'static str, Vec<(&'static str, String)>) {
    // The agent does not use it; AWS's clients send the port they listen on.
    let local_port = forward.listen.iter().find_map(|listen| match listen {
        Listen::Tcp(address) => Some(address.port()),
        Listen::Localhost(port) => Some(*port),
        Listen::Unix(_) => None,
    });
    let mut parameters = vec![
        ("portNumber", forward.port.to_string()),
        ("localPortNumber", local_port.unwrap_or(0).to_string()),
    ];
    match &forward.host {
        Some(host) => {
            parameters.push(("host", host.clone()));
            ("AWS-StartPortForwardingSessionToRemoteHost", parameters)
        }
        None => ("AWS-StartPortForwardingSession", parameters),
    }
}

impl SsmControlPlane {
    async fn start_session(&self) -> Result<Grant, Failure> {
        let (loaded, _) = self.account.ready().await?;
        let mut call = loaded
            .client
            .start_session()
            .target(&self.request.target)
            .document_name(self.request.document)
            .set_reason(self.request.reason.clone());
        for (name, value) in &self.request.parameters {
            call = call.parameters(*name, vec![value.clone()]);
        }
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.failure(Action::Start, &error).await),
        };
        let missing = |what| errors::incomplete(Action::Start, what);
        let token = given(answer.token_value).ok_or_else(|| missing("TokenValue"))?;
        Ok(Grant {
            session_id: given(answer.session_id)
                .filter(|id| is_session_id(id))
                .ok_or_else(|| missing("SessionId"))?,
            token: Secret::new(token),
            stream_url: given(answer.stream_url).ok_or_else(|| missing("StreamUrl"))?,
        })
    }

    async fn resume_session(&self, session_id: &str) -> Result<ResumeGrant, Failure> {
        let (loaded, _) = self.account.ready().await?;
        let sent = loaded.client.resume_session().session_id(session_id).send();
        match sent.await {
            Ok(answer) => Ok(ResumeGrant {
                token: given(answer.token_value).map(Secret::new),
                stream_url: given(answer.stream_url),
            }),
            Err(error) => Err(self.failure(Action::Resume, &error).await),
        }
    }

    async fn terminate_session(&self, session_id: &str) -> Result<(), Failure> {
        let (loaded, _) = self.account.ready().await?;
        let sent = loaded.client.terminate_session().session_id(session_id).send();
        match sent.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failure(Action::Terminate, &error).await),
        }
    }

    async fn read_preferences(&self) -> Result<Preferences, Failure> {
        if self.request.target.starts_with("ecs:") {
            return Ok(preferences::OF_CONTAINERS);
        }
        let clock = self.account.clock();
        // Held while one asks for all.
        let mut remembered = self.account.preferences.lock().await;
        if let Some(answer) = remembered.get(clock.now()) {
            return answer;
        }
        let answer = self.ask_preferences().await;
        remembered.keep(&answer, clock.now());
        answer
    }

    async fn ask_preferences(&self) -> Result<Preferences, Failure> {
        let (loaded, _) = self.account.ready().await?;
        let sent = loaded.client.get_document().name(preferences::DOCUMENT).send();
        match sent.await {
            Ok(answer) => Ok(preferences::read(answer.content().unwrap_or_default())),
            // Nobody has changed the preferences: AWS's own.
            Err(error) if error.code() == Some("InvalidDocument") => Ok(Preferences::default()),
            // A document that may not be read says nothing about credentials that work.
            Err(error) => Err(errors::of_call(Action::Preferences, self.account.profile(), &error)),
        }
    }

    async fn failure<E>(&self, action: Action, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let failure = errors::of_call(action, self.account.profile(), error);
        self.account.heed(&failure).await;
        if let FailureClass::Throttled { retry_after } = failure.class {
            self.account.turns.throttled(retry_after);
        }
        failure
    }
}

impl ControlPlane for SsmControlPlane {
    fn turn(&self, due: Timestamp) -> Wait<'_> {
        Box::pin(self.account.turns.turn(due))
    }

    fn start(&self) -> Call<'_, Grant> {
        Box::pin(self.start_session())
    }

    fn resume<'a>(&'a self, session_id: &'a str) -> Call<'a, ResumeGrant> {
        Box::pin(self.resume_session(session_id))
    }

    fn preferences(&self) -> Call<'_, Preferences> {
        Box::pin(self.read_preferences())
    }

    fn terminate<'a>(&'a self, session_id: &'a str) -> Call<'a, ()> {
        Box::pin(self.terminate_session(session_id))
    }
}

impl fmt::Debug for SsmControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SsmControlPlane")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// AWS gives at most 96 of its characters. It goes into the log, into status and into every later call.
fn is_session_id(id: &str) -> bool {
    id.len() <= LONGEST_SESSION_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Absent and empty mean the same in AWS's answers.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
#[path = "ssm_tests.rs"]
mod tests;
