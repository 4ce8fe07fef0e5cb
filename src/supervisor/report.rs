//! A session's state in the words of status and log.

use autossm_proto::Timestamp;
use autossm_proto::session::{Failure, FailureClass, Figures, Outcome, Phase, Snapshot};
use tracing::Level;

use crate::config::SessionSettings;
use crate::endpoint::Listeners;
use crate::status::{SessionStatus, printable};

/// What the session looks like now.
pub(super) fn status(
    settings: &SessionSettings,
    snapshot: &Snapshot,
    listeners: &Listeners,
    now: Timestamp,
) -> SessionStatus {
    let mut status =
        SessionStatus::from_snapshot(&settings.name, &settings.target, snapshot, listeners.addresses(), now);
    status.listener_error = listeners.error();
    status.on_demand = settings.on_demand;
    status.shell = settings.shell.is_some();
    status
}

/// What is said of a session whose task does not run.
pub fn status_without_task(settings: &SessionSettings, cause: &str) -> SessionStatus {
    SessionStatus {
        name: settings.name.clone(),
        target: settings.target.clone(),
        instance: None,
        phase: Phase::Stopped,
        phase_for_ms: 0,
        cause: cause.to_owned(),
        session_id: None,
        agent_version: None,
        on_demand: settings.on_demand,
        shell: settings.shell.is_some(),
        listeners: Vec::new(),
        listener_error: None,
        connections: 0,
        attempts: 0,
        next_attempt_in_ms: None,
        agent_away: false,
        trouble: None,
        may_end_in_ms: None,
        figures: Figures::default(),
        history: Vec::new(),
    }
}

/// The one log line of a change of phase, or of its cause.
pub(super) fn log_phase(session: &str, (from, to): (Phase, Phase), cause: &str, loud: bool) {
    let cause = printable(cause);
    if loud || level(from, to) == Level::WARN {
        tracing::warn!(name: "phase", session, from = from.name(), cause, "{to}");
    } else {
        tracing::info!(name: "phase", session, from = from.name(), cause, "{to}");
    }
}

/// Makes the first failure a warning of those that more attempts are unlikely to mend; what follows says the same.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The next change of phase is to be a warning.
    due: bool,
    /// It was, and the session has not been attached since.
    given: bool,
}

impl Alarm {
    /// An attempt has ended.
    pub(super) fn handle_outcome(&mut self, outcome: &Outcome) {
        let class = match outcome {
            Outcome::Failed { failure, .. } => Some(failure.class),
            Outcome::Started { .. } | Outcome::Resumed { .. } | Outcome::Key { .. } | Outcome::Dialed { .. } => None,
        };
        self.due = match class {
            Some(FailureClass::AccessDenied | FailureClass::Rejected | FailureClass::Protocol) => !self.given,
            // A network comes back; a login, a target and an end have words of their own.
            Some(
                FailureClass::Network
                | FailureClass::Throttled { .. }
                | FailureClass::Credentials
                | FailureClass::TargetNotConnected
                | FailureClass::SessionGone,
            )
            | None => false,
        };
    }

    /// A phase was reached; whether that is to be a warning.
    pub(super) fn handle_phase(&mut self, to: Phase) -> bool {
        let loud = std::mem::take(&mut self.due);
        self.given = to != Phase::Attached && (self.given || loud);
        loud
    }
}

/// The account's preferences cannot be read.
pub(super) fn log_preferences(session: &str, failure: &Failure) {
    tracing::debug!(
        session,
        cause = printable(&failure.text),
        "the account's session preferences stay unknown; `session_timeout` and `max_duration` can be configured",
    );
}

/// TerminateSession was answered.
pub(super) fn log_terminated(session: &str, session_id: &str, failure: Option<&Failure>) {
    match failure {
        None => tracing::info!(session, session_id, "session terminated"),
        Some(failure) => tracing::warn!(
            name: "not_terminated",
            session,
            session_id,
            cause = printable(&failure.text),
            "session not terminated; it lives on until it times out, or end it with \
             `aws ssm terminate-session --session-id`",
        ),
    }
}

/// How loud a change of phase is: a warning when something that worked does not, or somebody is needed.
const fn level(from: Phase, to: Phase) -> Level {
    match (from, to) {
        (Phase::Attached | Phase::Handshaking, Phase::Reattaching | Phase::Starting)
        | (_, Phase::Ended | Phase::AwaitingTarget) => Level::WARN,
        // That a login is needed is said once for all sessions that wait for it.
        (
            _,
            Phase::Stopped
            | Phase::Dormant
            | Phase::Starting
            | Phase::Handshaking
            | Phase::Attached
            | Phase::Reattaching
            | Phase::AwaitingLogin,
        ) => Level::INFO,
    }
}

#[cfg(test)]
mod tests {
    use autossm_proto::session::Attempt;

    use super::*;

    #[test]
    fn what_more_attempts_do_not_mend_is_a_warning_once() {
        let failed = |class| Outcome::Failed {
            attempt: Attempt(1),
            failure: Failure {
                class,
                text: String::new(),
            },
        };
        let mut alarm = Alarm::default();
        let mut is_loud = |class, to| {
            alarm.handle_outcome(&failed(class));
            alarm.handle_phase(to)
        };
        assert!(!is_loud(FailureClass::Network, Phase::Starting));
        assert!(is_loud(FailureClass::AccessDenied, Phase::Starting));
        assert!(!is_loud(FailureClass::AccessDenied, Phase::Starting));
        assert!(!is_loud(FailureClass::Network, Phase::Attached), "it works again");
        assert!(is_loud(FailureClass::Rejected, Phase::Starting));
    }

    #[test]
    fn only_trouble_is_a_warning() {
        assert_eq!(level(Phase::Attached, Phase::Reattaching), Level::WARN);
        assert_eq!(level(Phase::Starting, Phase::AwaitingTarget), Level::WARN);
        assert_eq!(level(Phase::Starting, Phase::AwaitingLogin), Level::INFO);
        assert_eq!(level(Phase::Starting, Phase::Handshaking), Level::INFO);
        assert_eq!(level(Phase::Reattaching, Phase::Attached), Level::INFO);
        assert_eq!(level(Phase::Attached, Phase::Stopped), Level::INFO);
    }
}
