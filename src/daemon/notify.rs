//! What systemd is told. Without systemd nothing happens.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::Phase;
use humantime::format_duration;
use sd_notify::NotifyState;

use super::heart::Beat;
use super::notices::help;
use super::run::Daemon;
use crate::clock::Clock;
use crate::supervisor::{Shown, Standing};

/// What is in somebody's way first.
const TROUBLE: [Phase; 6] = [
    Phase::AwaitingLogin,
    Phase::AwaitingTarget,
    Phase::Ended,
    Phase::Reattaching,
    Phase::Starting,
    Phase::Handshaking,
];
/// Characters of a cause that are shown: it is one line, and `autossm status` has the rest.
const LONGEST_CAUSE: usize = 100;

impl Daemon {
    pub(super) fn notify_ready(&mut self) {
        // Before the first READY a reload has nothing to say.
        if self.listening.is_none() {
            self.told = self.summary();
            ready(&self.told);
        }
    }

    /// Tells the service manager how things stand, if that is news to it.
    pub(super) fn show_status(&mut self) {
        let summary = self.summary();
        // Before READY the line would claim more than is true.
        if self.listening.is_none() && self.told != summary {
            self.told = summary;
            status(&self.told);
        }
    }

    fn summary(&mut self) -> String {
        summary(&self.phases.borrow_and_update(), Clock.now())
    }

    pub(super) fn beat(&mut self, beat: Beat) {
        let beat = match beat {
            Beat::Alive => Some(Beat::Alive),
            Beat::Due => {
                self.show_status();
                let entries = self.registry.entries();
                let sessions = entries.iter();
                self.heart
                    .ask(sessions.map(|entry| (entry.settings.name.clone(), entry.handle.clone())))
            }
        };
        if beat == Some(Beat::Alive) {
            alive();
        }
    }
}

/// The daemon is up: its listeners have been opened, or are being retried.
fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// No task hangs.
fn alive() {
    tell(&[NotifyState::Watchdog]);
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

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// `3/4 attached, db reattaching 12s: connection reset`: how many work, and the one that is worst off.
fn summary(sessions: &Shown, now: Timestamp) -> String {
    let count = |phase| sessions.values().filter(|place| place.phase == phase).count();
    if sessions.is_empty() {
        return "no sessions".to_owned();
    }
    // Those that rest on purpose are not missed.
    let resting = [(count(Phase::Dormant), "dormant"), (count(Phase::Stopped), "stopped")];
    let wanted = sessions.len() - resting.iter().map(|(count, _)| count).sum::<usize>();
    let mut parts = Vec::new();
    if wanted > 0 {
        parts.push(format!("{}/{wanted} attached", count(Phase::Attached)));
    }
    for (count, word) in resting.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(format!("{count} {word}"));
    }
    let in_phase = |phase: Phase| {
        let mut found = sessions.iter().filter(move |(_, place)| place.phase == phase);
        found.next()
    };
    if let Some((session, place)) = TROUBLE.into_iter().find_map(in_phase) {
        parts.push(detail(session, place, now));
    }
    parts.join(", ")
}

fn detail(session: &str, place: &Standing, now: Timestamp) -> String {
    let seconds = Duration::from_secs(now.since(place.since).as_secs());
    let phase = place.phase.name().replace('_', " ");
    // What helps is what somebody wants to know; why it came to this fills the line.
    let words = if place.phase == Phase::AwaitingLogin {
        help(&place.cause)
    } else {
        &place.cause
    };
    let mut cause: String = words.chars().take(LONGEST_CAUSE).collect();
    if cause.len() < words.len() {
        cause.push_str("...");
    }
    let colon = if cause.is_empty() { "" } else { ": " };
    format!("{session} {phase} {}{colon}{cause}", format_duration(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(100_000_000_000);

    fn sessions(all: &[(&str, Phase, u64, &str)]) -> Shown {
        let place = |(name, phase, ago, cause): &(&str, Phase, u64, &str)| {
            let standing = Standing {
                phase: *phase,
                since: Timestamp::from_nanos((100 - ago) * 1_000_000_000 - 1),
                cause: (*cause).to_owned(),
            };
            ((*name).to_owned(), standing)
        };
        all.iter().map(place).collect()
    }

    #[test]
    fn the_line_says_how_many_work_and_which_one_does_not() {
        let line = |all: &[(&str, Phase, u64, &str)]| summary(&sessions(all), NOW);
        assert_eq!(line(&[]), "no sessions");
        assert_eq!(line(&[("a", Phase::Attached, 50, "proven")]), "1/1 attached");
        let up = ("a", Phase::Attached, 3, "");
        let drop = ("db", Phase::Reattaching, 12, "no route");
        assert_eq!(
            line(&[up, drop, ("c", Phase::Attached, 3, ""), ("d", Phase::Attached, 3, "")]),
            "3/4 attached, db reattaching 12s: no route"
        );
        let login = (
            "web",
            Phase::AwaitingLogin,
            75,
            "the token has expired; run `aws sso login`",
        );
        assert_eq!(
            line(&[drop, login, ("e", Phase::Dormant, 1, ""), ("f", Phase::Stopped, 1, "")]),
            "0/2 attached, 1 dormant, 1 stopped, web awaiting login 1m 15s: run `aws sso login`"
        );
        assert_eq!(line(&[("e", Phase::Dormant, 1, "idle")]), "1 dormant");
    }

    #[test]
    fn each_phase_is_attached_at_rest_or_told() {
        for phase in Phase::ALL {
            let line = summary(&sessions(&[("a", phase, 1, "because")]), NOW);
            let told = line.contains("a ") && line.ends_with("1s: because");
            let known = matches!(phase, Phase::Attached | Phase::Dormant | Phase::Stopped);
            assert!(told != known, "{phase}: {line}");
        }
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let cause = "ü".repeat(300);
        let line = summary(&sessions(&[("a", Phase::Starting, 0, &cause)]), NOW);
        assert!(line.ends_with("ü...") && line.chars().count() < 140, "{line}");
    }
}
