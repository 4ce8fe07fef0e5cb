//! The control plane on the AWS SDK.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autossm_proto::Timestamp;
use autossm_proto::handshake::WantedKey;
use autossm_proto::session::{Failure, Grant, KeyGrant, Preferences, ResumeGrant, Secret};
use aws_sdk_ssm::error::ProvideErrorMetadata;
use tokio::task::JoinSet;

use super::account::{Account, AccountKey};
use super::accounts::Accounts;
use super::adoption::{self, Left};
use super::calls::Calls;
use super::errors::{self, Action};
use super::inspect::Inspection;
use super::keeper;
use super::kms;
use super::load::Setup;
use super::preferences;
use super::signing::Signer;
use super::targets::Target;
use super::time::ServiceTime;
use super::{Call, ControlPlane, LoginNews, Wait};
use crate::clock::Clock;
use crate::config::{Defaults, Document, ForwardSettings, Listen, SessionSettings};
use crate::transport::{Proxies, Roots, UpgradeSigner};

/// Bytes of a SessionId, with room.
const LONGEST_SESSION_ID: usize = 256;

/// Makes control planes and signers; sessions with the same profile, region and endpoint share one client with its
/// connections and credentials.
#[derive(Debug)]
pub struct ControlPlanes {
    setup: Setup,
    accounts: Accounts,
    /// One task for each account; they end with it, and with this value.
    keepers: JoinSet<()>,
}

impl ControlPlanes {
    /// Without accounts yet. Nothing here blocks, reads a file or asks anybody: the calls do, and report it.
    pub fn new(clock: Clock, roots: Roots, proxies: Proxies) -> Self {
        let setup = Setup {
            roots: Arc::new(roots),
            proxies,
            time: ServiceTime::new(clock),
        };
        Self {
            setup,
            accounts: Accounts::default(),
            keepers: JoinSet::new(),
        }
    }

    /// The control plane of a session. Needs a tokio runtime, as its calls do.
    pub fn control_plane(&mut self, session: &SessionSettings) -> Arc<dyn ControlPlane> {
        let request = StartRequest::new(session);
        Arc::new(SsmControlPlane {
            account: self.account(session),
            target: Target::new(&session.target),
            request,
            adopted: session.protocol.adopt.clone().map(|session_id| Left {
                session_id,
                shell: session.shell.is_some(),
            }),
            examined: AtomicBool::new(false),
        })
    }

    /// Signs the data channels of a session, for its [`Dialer`](crate::transport::Dialer).
    pub fn signer(&mut self, session: &SessionSettings) -> Arc<dyn UpgradeSigner> {
        Arc::new(Signer::new(self.account(session)))
    }

    /// Looks at the account of a session, for a person.
    pub fn inspect(&self, session: &SessionSettings) -> Inspection {
        Inspection::new(AccountKey::of(session), self.setup.clone())
    }

    /// Looks at the account that a session on demand has by default, for a person.
    pub fn inspect_defaults(&self, defaults: &Defaults) -> Inspection {
        Inspection::new(AccountKey::of_defaults(defaults), self.setup.clone())
    }

    /// The network has changed: connections made before it may be dead without a word, so the next calls make new ones.
    pub fn renew(&self) {
        for account in self.accounts.all() {
            account.renew();
        }
    }

    fn account(&mut self, session: &SessionSettings) -> Arc<Account> {
        // Those of forgotten accounts have ended.
        while self.keepers.try_join_next().is_some() {}
        let make = |key| Account::new(key, self.setup.clone());
        self.accounts.get(AccountKey::of(session), make, |account| {
            self.keepers
                .spawn(keeper::keep(Arc::clone(account), self.accounts.clone()));
        })
    }
}

/// One session's calls. They go out once each: waiting and trying again is the session's decision.
pub(super) struct SsmControlPlane {
    account: Arc<Account>,
    target: Target,
    request: StartRequest,
    /// A session of another client, to be looked at before it is taken over.
    adopted: Option<Left>,
    examined: AtomicBool,
}

/// What StartSession is given besides its target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StartRequest {
    /// None: the account's shell.
    document: Option<String>,
    parameters: Vec<(String, Vec<String>)>,
    reason: Option<String>,
}

impl StartRequest {
    fn new(session: &SessionSettings) -> Self {
        let (document, parameters) = match (&session.shell, &session.forward) {
            (Some(shell), _) => (shell.document.clone(), shell.parameters.clone()),
            (None, Some(forward)) => {
                let (document, parameters) = document(forward);
                let listed = |(name, value): (&str, String)| (name.to_owned(), vec![value]);
                (Some(document.to_owned()), parameters.into_iter().map(listed).collect())
            }
            (None, None) => (None, Vec::new()),
        };
        Self {
            document,
            parameters,
            reason: session.reason.clone(),
        }
    }
}

/// AWS's document for the forward, with its parameters.
fn document(forward: &ForwardSettings) -> (&'static str, Vec<(&'static str, String)>) {
    if forward.document == Document::Ssh {
        return ("AWS-StartSSHSession", vec![("portNumber", forward.port.to_string())]);
    }
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
        let calls = Calls::with(&self.account).await?;
        let target = self.target.resolve(&calls).await?;
        let mut call = calls
            .client()
            .start_session()
            .target(target)
            .set_document_name(self.request.document.clone())
            .set_reason(self.request.reason.clone());
        for (name, value) in &self.request.parameters {
            call = call.parameters(name, value.clone());
        }
        let answer = calls.answered(Action::Start, call.send().await);
        self.target.started(&answer);
        let answer = answer?;
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
        let calls = Calls::with(&self.account).await?;
        let left = self.adopted.as_ref().filter(|left| left.session_id == session_id);
        if let Some(left) = left.filter(|_| !self.examined.load(Ordering::Relaxed)) {
            adoption::examine(&calls, left, &self.target).await?;
            self.examined.store(true, Ordering::Relaxed);
        }
        let sent = calls.client().resume_session().session_id(session_id).send().await;
        let answer = calls.answered(Action::Resume, sent)?;
        Ok(ResumeGrant {
            token: given(answer.token_value).map(Secret::new),
            stream_url: given(answer.stream_url),
        })
    }

    async fn terminate_session(&self, session_id: &str) -> Result<(), Failure> {
        let calls = Calls::with(&self.account).await?;
        let sent = calls.client().terminate_session().session_id(session_id).send().await;
        calls.answered(Action::Terminate, sent).map(|_answer| ())
    }

    async fn fetch_key(&self, session_id: &str, wanted: &WantedKey) -> Result<KeyGrant, Failure> {
        let calls = Calls::with(&self.account).await?;
        let target = match self.target.started_on() {
            Some(target) => target,
            None => self.target.resolve(&calls).await?,
        };
        kms::fetch(&calls, kms::context(session_id, target, wanted), wanted).await
    }

    async fn read_preferences(&self) -> Result<Preferences, Failure> {
        if self.target.is_container() {
            return Ok(preferences::OF_CONTAINERS);
        }
        let clock = self.account.setup.time.clock();
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
        let calls = Calls::with(&self.account).await?;
        let sent = calls.client().get_document().name(preferences::DOCUMENT).send();
        match sent.await {
            Ok(answer) => Ok(preferences::read(answer.content().unwrap_or_default())),
            // Nobody has changed the preferences: AWS's own.
            Err(error) if error.code() == Some("InvalidDocument") => Ok(Preferences::default()),
            // A document that may not be read says nothing about credentials that work.
            Err(error) => Err(calls.describe(Action::Preferences, &error)),
        }
    }
}

impl ControlPlane for SsmControlPlane {
    fn turn(&self, due: Timestamp) -> Wait<'_> {
        if self.account.is_refused() {
            // It will be told so, without a call.
            return Box::pin(std::future::ready(()));
        }
        Box::pin(self.account.turns.turn(due))
    }

    fn start(&self) -> Call<'_, Grant> {
        Box::pin(self.start_session())
    }

    fn resume<'a>(&'a self, session_id: &'a str) -> Call<'a, ResumeGrant> {
        Box::pin(self.resume_session(session_id))
    }

    fn data_key<'a>(&'a self, session_id: &'a str, wanted: &'a WantedKey) -> Call<'a, KeyGrant> {
        Box::pin(self.fetch_key(session_id, wanted))
    }

    fn preferences(&self) -> Call<'_, Preferences> {
        Box::pin(self.read_preferences())
    }

    fn terminate<'a>(&'a self, session_id: &'a str) -> Call<'a, ()> {
        Box::pin(self.terminate_session(session_id))
    }

    fn login_news(&self) -> LoginNews {
        self.account.login_news()
    }

    fn retry_login(&self) {
        self.account.retry();
    }

    fn resolved_target(&self) -> Option<String> {
        self.target.resolved()
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
