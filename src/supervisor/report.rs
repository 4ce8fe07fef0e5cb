//! A session's state in the words of status and log.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{DropRecord, Failure, Figures, Phase, Snapshot};
use tracing::Level;

use crate::config::SessionSettings;
use crate::endpoint::Listeners;
use crate::status::{DropStatus, SessionStatus};

/// What the session looks like now.
pub(super) fn status(
    settings: &SessionSettings,
    snapshot: Snapshot,
    listeners: &Listeners,
    now: Timestamp,
) -> SessionStatus {
    SessionStatus {
        name: settings.name.clone(),
        target: settings.target.clone(),
        phase: snapshot.phase,
        phase_for_ms: millis(now.since(snapshot.since)),
        cause: printable(&snapshot.cause),
        session_id: snapshot.session_id,
        agent_version: snapshot.agent_version.as_deref().map(printable),
        listeners: listeners.addresses(),
        listener_error: listeners.error(),
        connections: snapshot.connections,
        attempts: snapshot.attempts,
        next_attempt_in_ms: snapshot.next_attempt.map(|next| millis(next.since(now))),
        agent_away: snapshot.agent_away,
        figures: snapshot.figures,
        history: snapshot
            .history
            .into_iter()
            .map(|record| drop_status(record, now))
            .collect(),
    }
}

/// What is said of a session whose task does not run.
pub fn status_without_task(settings: &SessionSettings, cause: &str) -> SessionStatus {
    SessionStatus {
        name: settings.name.clone(),
        target: settings.target.clone(),
        phase: Phase::Stopped,
        phase_for_ms: 0,
        cause: cause.to_owned(),
        session_id: None,
        agent_version: None,
        listeners: Vec::new(),
        listener_error: None,
        connections: 0,
        attempts: 0,
        next_attempt_in_ms: None,
        agent_away: false,
        figures: Figures::default(),
        history: Vec::new(),
    }
}

/// The one log line of a change of phase, or of its cause.
pub(super) fn log_phase(session: &str, from: Phase, to: Phase, cause: &str) {
    let cause = printable(cause);
    if level(from, to) == Level::WARN {
        tracing::warn!(session, from = from.name(), cause, "{to}");
    } else {
        tracing::info!(session, from = from.name(), cause, "{to}");
    }
}

/// TerminateSession was answered.
pub(super) fn log_terminated(session: &str, session_id: &str, failure: Option<&Failure>) {
    match failure {
        None => tracing::info!(session, session_id, "session terminated"),
        Some(failure) => tracing::warn!(
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
        | (_, Phase::Ended | Phase::AwaitingLogin | Phase::AwaitingTarget) => Level::WARN,
        (_, Phase::Stopped | Phase::Starting | Phase::Handshaking | Phase::Attached | Phase::Reattaching) => {
            Level::INFO
        }
    }
}

/// Text that may come from the other side, without what could move a terminal's cursor or forge a log line.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn drop_status(record: DropRecord, now: Timestamp) -> DropStatus {
    DropStatus {
        ago_ms: millis(now.since(record.at)),
        cause_text: printable(&record.cause.to_string()),
        cause: record.cause,
        attempts: record.attempts,
        recovered_after_ms: record.recovered_after.map(millis),
        backlog_bytes: record.backlog_bytes,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use autossm_proto::session::DropCause;

    use super::*;

    #[test]
    fn a_peers_text_cannot_touch_the_terminal() {
        assert_eq!(printable("bye\u{1b}[2J\nERROR x"), "bye\u{fffd}[2J\u{fffd}ERROR x");
        assert_eq!(printable("Grüße"), "Grüße");
    }

    #[test]
    fn a_drop_tells_its_age_and_keeps_its_cause() {
        let now = Timestamp::from_nanos(10_000_000_000);
        let record = DropRecord {
            at: Timestamp::from_nanos(7_500_000_000),
            cause: DropCause::Closed {
                code: Some(1000),
                reason: "over\u{7}".to_owned(),
            },
            attempts: 2,
            recovered_after: Some(Duration::from_millis(700)),
            backlog_bytes: 9,
        };
        let status = drop_status(record, now);
        assert_eq!(status.ago_ms, 2500);
        assert_eq!(status.recovered_after_ms, Some(700));
        assert_eq!(status.cause_text, "closed by the service (1000 over\u{fffd})");
    }

    #[test]
    fn only_trouble_is_a_warning() {
        assert_eq!(level(Phase::Attached, Phase::Reattaching), Level::WARN);
        assert_eq!(level(Phase::Starting, Phase::AwaitingLogin), Level::WARN);
        assert_eq!(level(Phase::Starting, Phase::Handshaking), Level::INFO);
        assert_eq!(level(Phase::Reattaching, Phase::Attached), Level::INFO);
        assert_eq!(level(Phase::Attached, Phase::Stopped), Level::INFO);
    }
}
