//! From a session's own account of itself to what is shown.

use autossm_proto::Timestamp;
use autossm_proto::session::{DropRecord, Phase, Snapshot, Trouble};
use std::time::Duration;

use super::{DropStatus, SessionStatus, printable};

impl SessionStatus {
    /// What `snapshot` looks like at `now`, which is on the same clock. `listeners` are the addresses that are up;
    /// a listener's error is the caller's to add.
    pub fn from_snapshot(
        name: &str,
        target: &str,
        snapshot: &Snapshot,
        listeners: Vec<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            name: name.to_owned(),
            target: target.to_owned(),
            instance: None,
            phase: snapshot.phase,
            phase_for_ms: millis(now.since(snapshot.since)),
            cause: printable(&snapshot.cause),
            session_id: snapshot.session_id.clone(),
            agent_version: snapshot.agent_version.as_deref().map(printable),
            on_demand: false,
            shell: false,
            listeners,
            listener_error: None,
            connections: snapshot.connections,
            attempts: snapshot.attempts,
            next_attempt_in_ms: snapshot.next_attempt.map(|at| millis(at.since(now))),
            agent_away: snapshot.trouble == Some(Trouble::AgentAway),
            trouble: snapshot.trouble,
            may_end_in_ms: may_end(snapshot, now).map(millis),
            figures: snapshot.figures,
            history: snapshot
                .history
                .iter()
                .map(|record| DropStatus::from_record(record, now))
                .collect(),
        }
    }
}

impl DropStatus {
    fn from_record(record: &DropRecord, now: Timestamp) -> Self {
        Self {
            ago_ms: millis(now.since(record.at)),
            cause: record.cause.clone(),
            cause_text: printable(&record.cause.to_string()),
            noticed_after_ms: millis(record.noticed_after),
            attempts: record.attempts,
            recovered_after_ms: record.recovered_after.map(millis),
            backlog_bytes: record.backlog_bytes,
        }
    }
}

/// While it is attached, the idle time-out is the account's policy and no news.
fn may_end(snapshot: &Snapshot, now: Timestamp) -> Option<Duration> {
    let deadlines = snapshot.deadlines.filter(|_| snapshot.phase != Phase::Attached)?;
    deadlines.next(now).map(|at| at.since(now))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use autossm_proto::session::{DropCause, Figures};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_are_seen_from_now() {
        let snapshot = Snapshot {
            phase: Phase::Reattaching,
            since: Timestamp::from_nanos(10 * SECOND),
            cause: "connection reset".to_owned(),
            session_id: Some("ada-1".to_owned()),
            agent_version: None,
            attempts: 3,
            next_attempt: Some(Timestamp::from_nanos(14 * SECOND)),
            trouble: None,
            deadlines: None,
            connections: 2,
            figures: Figures {
                drops: 1,
                ..Figures::default()
            },
            history: vec![DropRecord {
                at: Timestamp::from_nanos(10 * SECOND),
                cause: DropCause::Reset,
                noticed_after: Duration::from_millis(3),
                attempts: 3,
                recovered_after: Some(Duration::from_millis(250)),
                backlog_bytes: 4096,
            }],
        };
        let listeners = vec!["127.0.0.1:5432".to_owned()];
        let now = Timestamp::from_nanos(12 * SECOND);
        let status = SessionStatus::from_snapshot("db", "i-1", &snapshot, listeners, now);
        assert_eq!(status.phase_for_ms, 2_000);
        assert_eq!(status.next_attempt_in_ms, Some(2_000));
        assert_eq!(status.history[0].ago_ms, 2_000);
        assert_eq!(status.history[0].recovered_after_ms, Some(250));
        assert_eq!(status.history[0].cause_text, "connection reset");
        // An attempt that is overdue is due now, not in the past.
        let late = Timestamp::from_nanos(20 * SECOND);
        let status = SessionStatus::from_snapshot("db", "i-1", &snapshot, Vec::new(), late);
        assert_eq!(status.next_attempt_in_ms, Some(0));
    }

    #[test]
    fn a_peers_text_cannot_touch_the_terminal() {
        assert_eq!(printable("bye\u{1b}[2J\nERROR x"), "bye\u{fffd}[2J\u{fffd}ERROR x");
        assert_eq!(printable("Grüße"), "Grüße");
        let record = DropRecord {
            at: Timestamp::ZERO,
            cause: DropCause::Closed {
                code: Some(1000),
                reason: "over\u{7}".to_owned(),
            },
            noticed_after: Duration::ZERO,
            attempts: 2,
            recovered_after: None,
            backlog_bytes: 9,
        };
        let status = DropStatus::from_record(&record, Timestamp::ZERO);
        assert_eq!(status.cause_text, "closed by the service (1000 over\u{fffd})");
    }
}
