//! What systemd is told. Without systemd nothing happens.

use std::collections::BTreeMap;

use autossm_proto::session::Phase;
use sd_notify::NotifyState;

/// All phases in the order in which they are counted out: what works first, what needs somebody last.
const ORDER: [Phase; 9] = [
    Phase::Attached,
    Phase::Dormant,
    Phase::Handshaking,
    Phase::Starting,
    Phase::Reattaching,
    Phase::Ended,
    Phase::AwaitingTarget,
    Phase::AwaitingLogin,
    Phase::Stopped,
];

/// All sessions by name.
type Phases = BTreeMap<String, Phase>;

/// The daemon is up: its listeners have been opened, or are being retried.
pub(super) fn ready(phases: &Phases) {
    tell(&[NotifyState::Ready, NotifyState::Status(&summary(&list(phases)))]);
}

/// One line for `systemctl status`.
pub(super) fn status(phases: &Phases) {
    tell(&[NotifyState::Status(&summary(&list(phases)))]);
}

/// The daemon ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping sessions")]);
}

/// The configuration is read again; `ready` says that this is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock for the service manager"),
    }
}

fn list(phases: &Phases) -> Vec<Phase> {
    phases.values().copied().collect()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// `3 sessions: 2 attached, 1 reattaching`.
fn summary(phases: &[Phase]) -> String {
    let counts: Vec<String> = ORDER
        .iter()
        .filter_map(|phase| {
            let count = phases.iter().filter(|other| *other == phase).count();
            (count > 0).then(|| format!("{count} {phase}"))
        })
        .collect();
    match phases.len() {
        0 => "no sessions".to_owned(),
        1 => format!("1 session: {}", counts.join(", ")),
        total => format!("{total} sessions: {}", counts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_counted() {
        let summary = summary(&ORDER);
        for phase in ORDER {
            assert!(summary.contains(&format!("1 {phase}")), "{summary}");
        }
    }

    #[test]
    fn the_line_reads_well() {
        assert_eq!(summary(&[]), "no sessions");
        assert_eq!(summary(&[Phase::Starting]), "1 session: 1 starting");
        assert_eq!(
            summary(&[Phase::Reattaching, Phase::Attached, Phase::Attached]),
            "3 sessions: 2 attached, 1 reattaching"
        );
    }
}
