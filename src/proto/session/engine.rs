//! Attempts: how a session starts, loses its websocket, comes back and ends.

use std::time::Duration;

use super::link::Link;
use super::{
    Attempt, Command, Deadlines, DropCause, DropRecord, Epoch, Event, Failure, FailureClass, Grant, Outcome, Phase,
    ResetCause, ResumeGrant, Session, Token, Work,
};
use crate::Timestamp;

/// Least wait after a failure that only the user or the account can mend: asking more often helps nobody.
const LEAST_LOGIN: Duration = Duration::from_secs(2);
const LEAST_TARGET: Duration = Duration::from_secs(5);
const LEAST_DENIED: Duration = Duration::from_secs(10);

/// The longest wait that a service may ask for: a number with a few digits too many must not end the session.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10 * 60);
/// Characters of a cause.
const LONGEST_CAUSE: usize = 500;

impl Session {
    /// Skips the wait between attempts; an attached session drops its websocket and attaches anew, a dormant one
    /// starts.
    pub fn reconnect(&mut self, now: Timestamp) {
        match &self.work {
            Work::Up(link) => {
                let epoch = link.epoch;
                self.drop_link(epoch, DropCause::Requested, now);
            }
            Work::Waiting { .. } => {}
            Work::Idle if self.phase == Phase::Dormant => {}
            Work::Idle | Work::Calling { .. } | Work::Dialing { .. } => return,
        }
        self.backoff.reset();
        self.begin_attempt("reconnect requested", now);
    }

    /// Takes the result of a command. Stale ones are ignored.
    pub fn handle_outcome(&mut self, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Started { attempt, grant } => self.handle_started(attempt, grant, now),
            Outcome::Resumed { attempt, grant } => {
                if self.is_calling(attempt) {
                    self.handle_resumed(attempt, grant, now);
                }
            }
            Outcome::Key { attempt, grant } => self.handle_key(attempt, &grant, now),
            Outcome::Dialed { attempt, epoch } => self.handle_dialed(attempt, epoch, now),
            Outcome::Failed { attempt, failure } => {
                if self.is_fetching_key(attempt) {
                    self.handle_key_failure(&failure, now);
                } else if self.current_attempt() == Some(attempt) {
                    self.handle_failure(failure, now);
                }
            }
        }
        self.drain(now);
    }

    /// The websocket is gone.
    pub fn handle_dropped(&mut self, epoch: Epoch, cause: DropCause, now: Timestamp) {
        if !matches!(&self.work, Work::Up(link) if link.epoch == epoch) {
            return;
        }
        self.lose_link(epoch, cause, now);
        self.drain(now);
    }

    /// Closes the websocket and goes on with the next attempt.
    pub(super) fn lose_link(&mut self, epoch: Epoch, cause: DropCause, now: Timestamp) {
        let text = cause.to_string();
        let held = self.drop_link(epoch, cause, now);
        if held {
            self.backoff.reset();
            self.begin_attempt(&text, now);
        } else {
            let wait = self.backoff.next_wait();
            self.set_phase(Phase::Reattaching, text, now);
            self.wait(wait, Duration::ZERO, now);
        }
    }

    /// Closes the websocket and records the drop; says whether the link had held, or died of something that has passed.
    fn drop_link(&mut self, epoch: Epoch, cause: DropCause, now: Timestamp) -> bool {
        let work = std::mem::replace(&mut self.work, Work::Idle);
        self.commands.push_back(Command::Close { epoch });
        let backlog = self
            .live
            .as_ref()
            .map_or(0, |live| live.channel.stream().send().backlog());
        if let Some(live) = &mut self.live {
            live.handle_down(now);
        }
        let (mut held, mut noticed_after) = (false, Duration::ZERO);
        if let Work::Up(link) = &work {
            held = link.is_shaken() || (link.proven && now.since(link.since) >= self.config.link_hold);
            if cause != DropCause::Requested {
                noticed_after = now.since(link.last_inbound());
            }
            self.streak.handle_drop(&cause, link.proven, held);
        }
        self.figures.drops = self.figures.drops.saturating_add(1);
        self.history.handle_drop(DropRecord {
            at: now,
            cause,
            noticed_after,
            attempts: 0,
            recovered_after: None,
            backlog_bytes: u64::try_from(backlog).unwrap_or(u64::MAX),
        });
        held
    }

    /// Waits for the next attempt, but not past the last moments before the session may time out; at least as long as
    /// the service asked for.
    pub(super) fn wait(&mut self, wait: Duration, asked: Duration, now: Timestamp) {
        let until = now.after(wait);
        let bent = self.deadlines().map_or(until, |deadlines| deadlines.bend(until, now));
        let not_before = now.after(asked);
        self.work = Work::Waiting {
            until: bent.max(not_before),
            not_before,
        };
    }

    /// Between which times the AWS session ends by itself.
    pub(super) fn deadlines(&self) -> Option<Deadlines> {
        let live = self.live.as_ref()?;
        Some(live.activity.deadlines(self.lifetime()))
    }

    /// Starts, resumes or dials: whatever the session needs next.
    pub(super) fn begin_attempt(&mut self, cause: &str, now: Timestamp) {
        self.begin_adoption(now);
        self.attempts = self.attempts.saturating_add(1);
        self.history.handle_attempt(self.attempts);
        let attempt = self.new_attempt();
        let reusable = self.config.token_reuse;
        let phase = if self.live.as_ref().is_some_and(|live| live.channel.is_ready()) {
            Phase::Reattaching
        } else {
            Phase::Starting
        };
        // A wait for the user or the target shows as such until it is over.
        if !matches!(self.phase, Phase::AwaitingLogin | Phase::AwaitingTarget) && self.phase != phase {
            self.set_phase(phase, cause.to_owned(), now);
        }
        if self.fetch_agreed_key(attempt, now) {
            return;
        }
        let due = self.call_due(now);
        let command = match &self.live {
            None => Command::Start { attempt, due },
            Some(live) => {
                if live
                    .token
                    .as_ref()
                    .is_some_and(|token| now.since(token.since) < reusable)
                {
                    return self.dial(attempt, now);
                }
                Command::Resume {
                    attempt,
                    due,
                    session_id: live.session_id.clone(),
                }
            }
        };
        self.commands.push_back(command);
        self.work = Work::Calling {
            attempt,
            deadline: None,
        };
    }

    /// The turn of this attempt's call has come, and the call begins.
    pub fn handle_turn(&mut self, attempt: Attempt, now: Timestamp) {
        if let Work::Calling {
            attempt: current,
            deadline,
        } = &mut self.work
            && *current == attempt
        {
            deadline.get_or_insert(now.after(self.config.call_timeout));
        }
    }

    fn dial(&mut self, attempt: Attempt, now: Timestamp) {
        let Some(live) = &self.live else { return };
        let epoch = Epoch(self.next_epoch);
        self.next_epoch = self.next_epoch.saturating_add(1);
        self.commands.push_back(Command::Dial {
            attempt,
            epoch,
            stream_url: live.stream_url.clone(),
        });
        self.work = Work::Dialing {
            attempt,
            epoch,
            deadline: now.after(self.config.dial_timeout),
        };
    }

    fn handle_started(&mut self, attempt: Attempt, grant: Grant, now: Timestamp) {
        if !self.is_calling(attempt) || self.live.is_some() {
            // Nobody waits for this session any more: it must not stay open.
            self.commands.push_back(Command::Terminate {
                session_id: grant.session_id,
            });
            return;
        }
        self.figures.starts = self.figures.starts.saturating_add(1);
        let live = self.new_live(grant, now);
        self.live = Some(live);
        if self.config.session_timeout.is_none() || self.config.max_duration.is_none() {
            self.commands.push_back(Command::ReadPreferences);
        }
        self.set_phase(Phase::Starting, "session started".to_owned(), now);
        self.dial(attempt, now);
    }

    fn handle_resumed(&mut self, attempt: Attempt, grant: ResumeGrant, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let Some(secret) = grant.token.filter(|token| !token.expose().is_empty()) else {
            self.end_gone("the session has timed out".to_owned(), now);
            return;
        };
        live.token = Some(Token { secret, since: now });
        live.activity.handle_input(now);
        if let Some(url) = grant.stream_url.filter(|url| !url.is_empty()) {
            live.stream_url = url;
        }
        self.dial(attempt, now);
    }

    fn handle_dialed(&mut self, attempt: Attempt, epoch: Epoch, now: Timestamp) {
        let current = matches!(&self.work, Work::Dialing { attempt: a, epoch: e, .. } if *a == attempt && *e == epoch);
        let token = self
            .live
            .as_mut()
            .and_then(|live| live.token.as_ref().map(|token| token.secret.clone()));
        let (true, Some(live), Some(token)) = (current, &mut self.live, token) else {
            self.commands.push_back(Command::Close { epoch });
            return;
        };
        live.channel.handle_attached(&token, now);
        live.wait_for_adoption(&self.config, now);
        self.work = Work::Up(Link::new(epoch, now));
        if !live.channel.is_ready() {
            self.set_phase(Phase::Handshaking, self.config.purpose.opened().to_owned(), now);
        }
    }

    pub(super) fn handle_failure(&mut self, failure: Failure, now: Timestamp) {
        let dialing = matches!(self.work, Work::Dialing { .. });
        let Failure { class, text } = failure;
        let (phase, least) = match class {
            FailureClass::SessionGone if self.live.is_some() => {
                self.end_gone(text, now);
                return;
            }
            // A login may still come while another client's session lives; a refusal stays one.
            FailureClass::Credentials | FailureClass::TargetNotConnected if self.config.once && self.live.is_none() => {
                self.give_up(ResetCause::NotStarted(class), &text, now);
                return;
            }
            FailureClass::AccessDenied | FailureClass::Rejected
                if self.config.once && !dialing && self.is_not_begun() =>
            {
                self.end_live(false);
                self.give_up(ResetCause::NotStarted(class), &text, now);
                return;
            }
            FailureClass::Network | FailureClass::Protocol | FailureClass::SessionGone => (None, Duration::ZERO),
            FailureClass::Throttled { retry_after } => {
                let wait = self.backoff.next_wait().saturating_mul(2);
                (None, retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER).max(wait))
            }
            FailureClass::Credentials => (Some(Phase::AwaitingLogin), LEAST_LOGIN),
            FailureClass::TargetNotConnected => (Some(Phase::AwaitingTarget), LEAST_TARGET),
            FailureClass::AccessDenied if dialing => {
                // The token or the URL has gone stale: ask for new ones.
                if let Some(live) = &mut self.live {
                    live.token = None;
                }
                (None, Duration::ZERO)
            }
            FailureClass::AccessDenied | FailureClass::Rejected => (None, LEAST_DENIED),
        };
        let usual = if self.live.as_ref().is_some_and(|live| live.channel.is_ready()) {
            Phase::Reattaching
        } else {
            Phase::Starting
        };
        self.set_phase(phase.unwrap_or(usual), text, now);
        let wait = self.backoff.next_wait().max(least);
        let asked = if matches!(class, FailureClass::Throttled { .. }) {
            least
        } else {
            Duration::ZERO
        };
        self.wait(wait, asked, now);
    }

    /// The agent has answered on this websocket.
    pub(super) fn handle_proven(&mut self, now: Timestamp) {
        let Work::Up(link) = &mut self.work else {
            return;
        };
        if !std::mem::replace(&mut link.proven, true) {
            let ready = self.live.as_ref().is_some_and(|live| live.channel.is_ready());
            if ready {
                self.handle_attached(now);
            }
        }
    }

    /// Proven, and data may flow: the first time or once more.
    pub(super) fn handle_attached(&mut self, now: Timestamp) {
        if !matches!(&self.work, Work::Up(link) if link.proven) {
            return;
        }
        self.attempts = 0;
        self.history.handle_recovered(now);
        if let Some(live) = &mut self.live {
            live.handshake_deadline = None;
            live.activity.handle_up();
            live.workload.handle_late(now);
        }
        self.set_phase(Phase::Attached, "the agent answers".to_owned(), now);
        self.open_waiting(now);
    }

    pub(super) fn handle_attempt_timeout(&mut self, now: Timestamp) {
        let (attempt, text) = match &self.work {
            Work::Calling { attempt, deadline } if deadline.is_some_and(|at| at <= now) => {
                (*attempt, "no answer from the ssm endpoint")
            }
            Work::Dialing { attempt, deadline, .. } if *deadline <= now => {
                (*attempt, "the websocket could not be opened in time")
            }
            Work::Idle | Work::Waiting { .. } | Work::Calling { .. } | Work::Dialing { .. } | Work::Up(_) => return,
        };
        self.commands.push_back(Command::Abandon { attempt });
        self.handle_failure(
            Failure {
                class: FailureClass::Network,
                text: text.to_owned(),
            },
            now,
        );
    }

    pub(super) fn set_phase(&mut self, to: Phase, cause: String, now: Timestamp) {
        let cause = shortened(cause);
        let from = std::mem::replace(&mut self.phase, to);
        if from != to {
            self.since = now;
        }
        if from != to || self.cause != cause {
            self.cause.clone_from(&cause);
            self.events.push_back(Event::Phase { from, to, cause });
        }
    }

    pub(super) fn is_calling(&self, attempt: Attempt) -> bool {
        matches!(&self.work, Work::Calling { attempt: current, .. } if *current == attempt)
    }

    const fn current_attempt(&self) -> Option<Attempt> {
        match &self.work {
            Work::Calling { attempt, .. } | Work::Dialing { attempt, .. } => Some(*attempt),
            Work::Idle | Work::Waiting { .. } | Work::Up(_) => None,
        }
    }
}

/// A cause may quote the other side, which may have said a megabyte.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_CAUSE) {
        text.truncate(end);
        text.push('…');
    }
    text
}
