//! A session on demand: for the one connection that `autossm proxy` brings, and gone with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{CLOSED, FailureClass, LocalId, Phase, ResetCause};

use super::handle::Ending;
use super::task::Supervisor;
use super::terminal::ShellFace;
use crate::endpoint::LocalSocket;
use crate::status::{ProxyEnd, ProxyEndKind, printable};

/// How long a start may take, network and all; who waits for a login prompt wants to know by then.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
/// Ends that are remembered until somebody asks; who asks does it at once.
const REMEMBERED: usize = 256;

/// How connections ended, for those who brought them.
#[derive(Clone, Debug, Default)]
pub struct ProxyEnds(Arc<Mutex<VecDeque<(String, ProxyEnd)>>>);

impl ProxyEnds {
    /// How the connection of this session ended; told once.
    pub fn take(&self, session: &str) -> Option<ProxyEnd> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = ends.iter().position(|(name, _)| name == session)?;
        ends.remove(place).map(|(_, end)| end)
    }

    /// Only the first word on a session counts.
    pub(super) fn note(&self, session: &str, end: ProxyEnd) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.iter().any(|(name, _)| name == session) {
            return;
        }
        if ends.len() >= REMEMBERED {
            ends.pop_front();
        }
        ends.push_back((session.to_owned(), end));
    }
}

/// The one connection, as far as its session is concerned.
#[derive(Debug, Default)]
pub(super) struct Proxied {
    /// Its name, once it is there.
    local: Option<LocalId>,
    /// Until when the session must be attached; none once it was.
    pub(super) start_by: Option<Timestamp>,
    /// It is over: the session's task ends when its pump has.
    pub(super) over: bool,
}

impl Proxied {
    /// The next deadline.
    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        self.start_by
    }
}

impl Supervisor<'_> {
    /// Whether this session is for one connection only.
    pub(super) fn is_proxied(&self) -> bool {
        self.keep.settings.is_proxied()
    }

    /// The connection has come: only now is there somebody who can be told what becomes of the session.
    pub(super) fn attach_local(&mut self, socket: LocalSocket, now: Timestamp) {
        if !self.is_proxied() || self.proxied.local.is_some() || self.farewell.is_some() {
            return;
        }
        let local = self.session.open_local(now);
        self.proxied.local = Some(local);
        self.proxied.start_by = Some(now.after(START_LIMIT));
        self.router.open(local, socket);
        *self.keep.wanted = true;
        self.session.start(now);
    }

    /// The start has taken too long.
    pub(super) fn look_at_start(&mut self, now: Timestamp) {
        if self.proxied.start_by.is_some_and(|by| by <= now) {
            let cause = format!("no session within {START_LIMIT:?}: {}", self.session.snapshot().cause);
            self.note_proxy_end(ProxyEndKind::Unreachable, &cause);
            self.shell_end(ProxyEndKind::Unreachable, &cause, now);
            self.proxied.start_by = None;
            self.leave_at_once(now);
        }
    }

    /// A phase was reached.
    pub(super) fn follow_phase(&mut self, to: Phase) {
        if to == Phase::Attached {
            self.proxied.start_by = None;
        }
    }

    /// The far side has closed, and its last bytes are on their way to the client.
    pub(super) fn proxy_finished(&mut self) {
        if !self.is_proxied() {
            return;
        }
        let snapshot = self.session.snapshot();
        let ordinary = snapshot.phase == Phase::Attached || snapshot.cause == CLOSED;
        let cause = if ordinary { "" } else { &snapshot.cause };
        self.note_proxy_end(ProxyEndKind::Closed, cause);
        (self.proxied.over, self.proxied.start_by) = (true, None);
    }

    /// The core has reset the connection.
    pub(super) fn proxy_reset(&mut self, cause: ResetCause) {
        if !self.is_proxied() {
            return;
        }
        let kind = self.reset_kind(cause);
        let cause = self.session.snapshot().cause;
        self.note_proxy_end(kind, &cause);
        (self.proxied.over, self.proxied.start_by) = (true, None);
    }

    /// What a reset means to who has brought the connection.
    pub(super) fn reset_kind(&self, cause: ResetCause) -> ProxyEndKind {
        match cause {
            _ if !*self.keep.wanted || self.farewell.is_some() => ProxyEndKind::Stopped,
            ResetCause::DestinationRefused => ProxyEndKind::Refused,
            ResetCause::NotStarted(class) => kind_of(class),
            // The agent of a raw session says that it cannot connect by ending it before it was of any use.
            ResetCause::SessionEnded if self.is_proxied() && self.proxied.start_by.is_some() => ProxyEndKind::Refused,
            ResetCause::SessionEnded => ProxyEndKind::Lost,
        }
    }

    /// The client is gone, so nobody needs the session any more.
    pub(super) fn proxy_client_gone(&mut self, now: Timestamp) {
        if self.is_proxied() {
            self.note_proxy_end(ProxyEndKind::Closed, "");
            (self.proxied.over, self.proxied.start_by) = (true, None);
            self.leave_unasked(Ending::Terminate, now);
        }
    }

    /// Ends the task once its one connection has been served to the end.
    pub(super) fn look_at_proxy(&mut self, now: Timestamp) {
        if self.proxied.over
            && self.farewell.is_none()
            && self.proxied.local.is_none_or(|local| !self.router.serves(local))
            && self.shell.as_mut().is_none_or(ShellFace::is_drained)
        {
            self.leave_unasked(Ending::Terminate, now);
        }
    }

    fn note_proxy_end(&self, end: ProxyEndKind, cause: &str) {
        // Who looks at a shell is told by its terminal, and asks no more.
        if !self.is_proxied() {
            return;
        }
        let cause = printable(cause);
        let session = &self.keep.settings.name;
        tracing::debug!(session, ?end, cause, "the connection is over");
        self.keep.ends.note(session, ProxyEnd { end, cause });
    }
}

/// Only what ends a session that is started once.
const fn kind_of(class: FailureClass) -> ProxyEndKind {
    match class {
        FailureClass::Credentials => ProxyEndKind::LoginNeeded,
        FailureClass::AccessDenied => ProxyEndKind::Denied,
        FailureClass::TargetNotConnected => ProxyEndKind::TargetOffline,
        FailureClass::Rejected => ProxyEndKind::Rejected,
        FailureClass::Network | FailureClass::Throttled { .. } | FailureClass::SessionGone | FailureClass::Protocol => {
            ProxyEndKind::Unreachable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(cause: &str) -> ProxyEnd {
        ProxyEnd {
            end: ProxyEndKind::Lost,
            cause: cause.to_owned(),
        }
    }

    #[test]
    fn the_first_word_on_an_end_counts_and_is_told_once() {
        let ends = ProxyEnds::default();
        ends.note("a", end("first"));
        ends.note("a", end("second"));
        assert_eq!(ends.take("b"), None);
        assert_eq!(ends.take("a"), Some(end("first")));
        assert_eq!(ends.take("a"), None);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let ends = ProxyEnds::default();
        for number in 0..=REMEMBERED {
            ends.note(&number.to_string(), end(""));
        }
        assert_eq!(ends.take("0"), None);
        assert!(ends.take("1").is_some());
    }
}
