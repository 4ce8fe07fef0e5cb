//! Calls and dials: the core's commands that take time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::handshake::WantedKey;
use autossm_proto::session::{Attempt, Epoch, Failure, FailureClass, Outcome, Preferences};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;

use crate::aws::ControlPlane;
use crate::transport::{Dialer, Transport};

/// The longest StartSession, wanted or not.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What runs for one session.
#[derive(Debug)]
pub(super) struct Actions {
    control: Arc<dyn ControlPlane>,
    dialer: Dialer,
    running: JoinSet<Done>,
    /// One for each attempt. An outcome that is not in here is stale.
    attempts: BTreeMap<Attempt, Running>,
    /// TerminateSession calls under way.
    terminating: usize,
    /// The latest question for the account's preferences.
    asking: Option<AbortHandle>,
}

/// A call that waits for its turn.
#[derive(Debug)]
pub(super) enum Call {
    Start,
    Resume(String),
}

/// What runs for an attempt.
#[derive(Debug)]
enum Running {
    /// Dropped when it is abandoned.
    Harmless(AbortHandle),
    /// A StartSession. Dropping it may leave a session behind that nobody knows, so it goes on when it is abandoned,
    /// and the core then terminates what it has started.
    Start { task: AbortHandle, wanted: bool },
}

/// What ended, with all it brought.
#[derive(Debug)]
enum Done {
    Turn(Attempt, Call),
    Preferences(Result<Preferences, Failure>),
    Outcome(Attempt, Outcome),
    Dialed(Attempt, Box<Transport>),
    Terminated(String, Option<Failure>),
}

/// What an action brought for the session.
#[derive(Debug)]
pub(super) enum ActionNews {
    /// Tell the core.
    Outcome(Outcome),
    /// Tell the core, and drive this websocket.
    Dialed(Outcome, Box<Transport>),
    /// The turn of this attempt's call has come, and the call has begun.
    Turn(Attempt),
    /// What the account says, if it may be known.
    Preferences(Result<Preferences, Failure>),
    /// TerminateSession has been answered.
    Terminated {
        /// Which session.
        session_id: String,
        /// Why it may live on.
        failure: Option<Failure>,
    },
}

impl Actions {
    pub(super) fn new(control: Arc<dyn ControlPlane>, dialer: Dialer) -> Self {
        Self {
            control,
            dialer,
            running: JoinSet::new(),
            attempts: BTreeMap::new(),
            terminating: 0,
            asking: None,
        }
    }

    /// What is known about missing credentials may be out of date.
    pub(super) fn retry_login(&self) {
        self.control.retry_login();
    }

    /// Which instance the target was at the last start, where the configuration does not say it.
    pub(super) fn resolved_target(&self) -> Option<String> {
        self.control.resolved_target()
    }

    /// Calls StartSession or ResumeSession when its turn has come.
    pub(super) fn queue(&mut self, attempt: Attempt, due: Timestamp, call: Call) {
        let control = Arc::clone(&self.control);
        self.run(attempt, async move {
            control.turn(due).await;
            Done::Turn(attempt, call)
        });
    }

    /// Asks what the account's preferences say.
    pub(super) fn read_preferences(&mut self) {
        let control = Arc::clone(&self.control);
        let task = self
            .running
            .spawn(async move { Done::Preferences(control.preferences().await) });
        if let Some(before) = self.asking.replace(task) {
            before.abort();
        }
    }

    fn start(&mut self, attempt: Attempt) {
        let control = Arc::clone(&self.control);
        let task = self.running.spawn(async move {
            let outcome = match timeout(START_LIMIT, control.start()).await {
                Ok(Ok(grant)) => Outcome::Started { attempt, grant },
                Ok(Err(failure)) => Outcome::Failed { attempt, failure },
                Err(_) => Outcome::Failed {
                    attempt,
                    failure: internal("StartSession was not answered"),
                },
            };
            Done::Outcome(attempt, outcome)
        });
        self.replace(attempt, Running::Start { task, wanted: true });
    }

    fn resume(&mut self, attempt: Attempt, session_id: String) {
        let control = Arc::clone(&self.control);
        self.run(attempt, async move {
            let outcome = match control.resume(&session_id).await {
                Ok(grant) => Outcome::Resumed { attempt, grant },
                Err(failure) => Outcome::Failed { attempt, failure },
            };
            Done::Outcome(attempt, outcome)
        });
    }

    /// Asks KMS for the session's data key.
    pub(super) fn fetch_key(&mut self, attempt: Attempt, session_id: String, wanted: WantedKey) {
        let control = Arc::clone(&self.control);
        self.run(attempt, async move {
            let outcome = match control.data_key(&session_id, &wanted).await {
                Ok(grant) => Outcome::Key { attempt, grant },
                Err(failure) => Outcome::Failed { attempt, failure },
            };
            Done::Outcome(attempt, outcome)
        });
    }

    /// Opens a websocket.
    pub(super) fn dial(&mut self, attempt: Attempt, epoch: Epoch, stream_url: String) {
        let dialer = self.dialer.clone();
        self.run(attempt, async move {
            match Box::pin(dialer.dial(&stream_url, epoch)).await {
                Ok(transport) => Done::Dialed(attempt, Box::new(transport)),
                Err(failure) => Done::Outcome(attempt, Outcome::Failed { attempt, failure }),
            }
        });
    }

    /// Calls TerminateSession.
    pub(super) fn terminate(&mut self, session_id: String) {
        let control = Arc::clone(&self.control);
        self.terminating += 1;
        self.running.spawn(async move {
            let result = control.terminate(&session_id).await;
            Done::Terminated(session_id, result.err())
        });
    }

    /// Drops what runs for this attempt; a StartSession goes on unseen.
    pub(super) fn abandon(&mut self, attempt: Attempt) {
        match self.attempts.get_mut(&attempt) {
            Some(Running::Start { wanted, .. }) => *wanted = false,
            Some(Running::Harmless(task)) => {
                task.abort();
                self.attempts.remove(&attempt);
            }
            None => {}
        }
    }

    /// A call is under way that decides whether an AWS session stays behind.
    pub(super) fn is_unsettled(&self) -> bool {
        let starting = |running: &Running| matches!(running, Running::Start { .. });
        self.terminating > 0 || self.attempts.values().any(starting)
    }

    /// Waits for something that is still wanted to end; forever while nothing runs. Cancel safe.
    pub(super) async fn next(&mut self) -> ActionNews {
        loop {
            let Some(ended) = self.running.join_next().await else {
                return std::future::pending().await;
            };
            let news = match ended {
                Ok(done) => self.finished(done),
                Err(error) => self.failed(&error),
            };
            if let Some(news) = news {
                return news;
            }
        }
    }

    fn run(&mut self, attempt: Attempt, action: impl Future<Output = Done> + Send + 'static) {
        let task = self.running.spawn(action);
        self.replace(attempt, Running::Harmless(task));
    }

    fn replace(&mut self, attempt: Attempt, running: Running) {
        if let Some(before) = self.attempts.insert(attempt, running) {
            before.task().abort();
        }
    }

    fn finished(&mut self, done: Done) -> Option<ActionNews> {
        match done {
            Done::Turn(attempt, call) => {
                self.attempts.remove(&attempt)?;
                match call {
                    Call::Start => self.start(attempt),
                    Call::Resume(session_id) => self.resume(attempt, session_id),
                }
                Some(ActionNews::Turn(attempt))
            }
            Done::Preferences(answer) => Some(ActionNews::Preferences(answer)),
            Done::Outcome(attempt, outcome) => {
                let ended = self.attempts.remove(&attempt)?;
                let has_started = matches!(outcome, Outcome::Started { .. });
                (ended.is_wanted() || has_started).then_some(ActionNews::Outcome(outcome))
            }
            Done::Dialed(attempt, transport) => {
                if self.attempts.remove(&attempt).is_none() {
                    transport.abort();
                    return None;
                }
                let epoch = transport.epoch();
                let outcome = Outcome::Dialed { attempt, epoch };
                Some(ActionNews::Dialed(outcome, transport))
            }
            Done::Terminated(session_id, failure) => {
                self.terminating = self.terminating.saturating_sub(1);
                Some(ActionNews::Terminated { session_id, failure })
            }
        }
    }

    /// A task that panicked is an attempt that failed; one that was abandoned is nothing.
    fn failed(&mut self, error: &JoinError) -> Option<ActionNews> {
        if error.is_cancelled() {
            return None;
        }
        tracing::error!(%error, "a call or dial failed inside; please report this");
        if self.asking.as_ref().is_some_and(|task| task.id() == error.id()) {
            return None;
        }
        let is_this = |running: &Running| running.task().id() == error.id();
        let Some((&attempt, _)) = self.attempts.iter().find(|(_, running)| is_this(running)) else {
            self.terminating = self.terminating.saturating_sub(1);
            return None;
        };
        let ended = self.attempts.remove(&attempt)?;
        ended.is_wanted().then(|| {
            let failure = internal("internal error in a call or dial, retrying");
            ActionNews::Outcome(Outcome::Failed { attempt, failure })
        })
    }
}

impl Running {
    const fn task(&self) -> &AbortHandle {
        match self {
            Self::Harmless(task) | Self::Start { task, .. } => task,
        }
    }

    const fn is_wanted(&self) -> bool {
        match self {
            Self::Harmless(_) => true,
            Self::Start { wanted, .. } => *wanted,
        }
    }
}

/// A failure that says nothing about AWS.
fn internal(text: &str) -> Failure {
    Failure {
        class: FailureClass::Network,
        text: text.to_owned(),
    }
}
