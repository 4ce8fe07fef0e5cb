//! Signs of life of one websocket.

use std::time::Duration;

use bytes::Bytes;

use super::{DropCause, Epoch, SessionConfig};
use crate::stream::{RttEstimator, SendBuffer};
use crate::time::{Reason, Timestamp, Wakeup};

/// A probe's answer is due this soon: data is waiting.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Unacknowledged data and silence for this long ask for a probe, or four retransmission timers if that is longer.
const STALL: Duration = Duration::from_secs(3);
/// Signs of life for this long while the oldest message stays unacknowledged: the agent takes nothing.
const STUCK: Duration = Duration::from_secs(10);
/// What comes so soon after the network changed may have been on its way before: no sign of life.
const ECHO: Duration = Duration::from_millis(500);
/// Pings whose pong is still recognised.
const REMEMBERED_PINGS: usize = 8;

/// What this endpoint is known to do about pings; it outlives the websocket.
#[derive(Clone, Debug, Default)]
pub(super) struct PongHabit {
    /// Only an endpoint that has ever answered a ping may be declared dead for not answering one.
    answers: bool,
    rtt: RttEstimator,
}

impl PongHabit {
    /// A path with minutes of delay is slow, not dead.
    fn patience(&self, least: Duration) -> Duration {
        match self.rtt.smoothed() {
            Some(_) => least.max(self.rtt.base_rto().saturating_mul(2)),
            None => least,
        }
    }
}

#[derive(Debug)]
struct Ping {
    queued: Timestamp,
    /// When it left the websocket's queue.
    flushed: Option<Timestamp>,
    probe: bool,
}

/// A ping to write.
#[derive(Clone, Copy, Debug)]
struct DuePing {
    since: Timestamp,
    probe: bool,
}

/// One live websocket as the core sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) epoch: Epoch,
    pub(super) since: Timestamp,
    /// The agent itself has answered.
    pub(super) proven: bool,
    /// Some pong has come on this websocket: the service is there.
    pong_seen: bool,
    last_inbound: Timestamp,
    /// Since when something unacknowledged is on its way.
    flying_since: Option<Timestamp>,
    /// The oldest of it, and since when it is that.
    oldest: Option<(u64, Timestamp)>,
    /// The ping whose answer is waited for.
    ping: Option<Ping>,
    due: Option<DuePing>,
    sent: Vec<(u64, Timestamp)>,
    next_nonce: u64,
    /// When the network changed under it, or the machine slept; none once a ping sent since then has been answered.
    shaken: Option<Timestamp>,
    /// It has changed once more while that ping was out: its answer is asked for again then.
    shaken_again: bool,
}

/// What may be expected of a websocket now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    /// The stream's retransmission timer without its doublings.
    pub(super) rto: Duration,
    /// The service has told that the agent is away, so that only the service itself is expected to answer.
    pub(super) away: bool,
    /// Frames are read as they come; else an answer may be there, and silence proves nothing.
    pub(super) reads: bool,
}

impl Link {
    pub(super) fn new(epoch: Epoch, now: Timestamp) -> Self {
        Self {
            epoch,
            since: now,
            proven: false,
            pong_seen: false,
            last_inbound: now,
            flying_since: None,
            oldest: None,
            ping: None,
            // The first ping goes out at once: it tells whether this endpoint answers them.
            due: Some(DuePing {
                since: now,
                probe: false,
            }),
            sent: Vec::new(),
            next_nonce: epoch.0 << 32,
            shaken: None,
            shaken_again: false,
        }
    }

    /// The network has changed or the machine has slept: whether it lives is asked at once, and should it be dead, then
    /// of that.
    pub(super) fn shake(&mut self, now: Timestamp) {
        let asked = |ping: &Ping| ping.probe && self.shaken.is_some_and(|shaken| shaken <= ping.queued);
        if self.ping.as_ref().is_some_and(asked) {
            // Its deadline stands, else a network that changes for ever would hide a dead websocket.
            self.shaken_again = true;
            return;
        }
        self.shaken = Some(now);
        if !self.due.is_some_and(|due| due.probe) {
            self.probe(now);
        }
    }

    /// Whether its death would be no sign that the next one dies as well.
    pub(super) const fn is_shaken(&self) -> bool {
        self.shaken.is_some()
    }

    /// Asks for a sign of life, with the deadline of a probe from now on.
    fn probe(&mut self, now: Timestamp) {
        self.ping = None;
        self.due = Some(DuePing {
            since: now,
            probe: true,
        });
    }

    /// The machine has slept: nothing that seems overdue was late.
    pub(super) fn handle_slept(&mut self, now: Timestamp) {
        self.probe(now);
        self.sent.clear();
        self.last_inbound = now;
        self.flying_since = self.flying_since.map(|_| now);
        self.oldest = self.oldest.map(|(number, _)| (number, now));
        if !self.proven {
            self.since = now;
        }
    }

    /// When the last frame came.
    pub(super) const fn last_inbound(&self) -> Timestamp {
        self.last_inbound
    }

    /// Any frame is a sign of life.
    pub(super) fn handle_inbound(&mut self, now: Timestamp) {
        self.last_inbound = now;
        let echo = self.shaken.is_some_and(|shaken| now.since(shaken) < ECHO);
        if !echo && self.ping.as_ref().is_some_and(|ping| ping.flushed.is_some()) {
            self.ping = None;
        }
    }

    pub(super) fn handle_pong(&mut self, payload: &[u8], habit: &mut PongHabit, now: Timestamp) {
        let Some(nonce) = payload.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)) else {
            return;
        };
        if let Some((_, at)) = self.sent.iter().find(|(sent, _)| *sent == nonce) {
            habit.answers = true;
            habit.rtt.sample(now.since(*at));
            self.pong_seen = true;
            // The answer to a ping from before may have been on its way while all was well.
            if self.shaken.is_some_and(|shaken| *at >= shaken) {
                self.shaken = None;
                self.ping = None;
                if std::mem::take(&mut self.shaken_again) {
                    self.shake(now);
                }
            }
        }
    }

    /// Everything written so far has left the websocket's queue.
    pub(super) const fn handle_flushed(&mut self, now: Timestamp) {
        if let Some(ping) = &mut self.ping
            && ping.flushed.is_none()
        {
            ping.flushed = Some(now);
        }
    }

    /// Reading goes on after it was stopped: what could not be read does not count.
    pub(super) fn handle_reading_resumed(&mut self, now: Timestamp) {
        self.last_inbound = now;
        self.ping = None;
        // Their answers have waited: they tell nothing of the path.
        self.sent.clear();
    }

    /// Takes what is on its way unacknowledged, after every change.
    pub(super) fn set_flying(&mut self, send: &SendBuffer, now: Timestamp) {
        if !send.is_flying() {
            (self.flying_since, self.oldest) = (None, None);
            return;
        }
        self.flying_since.get_or_insert(now);
        let oldest = send.oldest_unacknowledged();
        if self.oldest.is_none_or(|(number, _)| number != oldest) {
            self.oldest = Some((oldest, now));
        }
    }

    /// Frames come, but the oldest message stays unacknowledged.
    pub(super) fn is_stuck(&self) -> bool {
        self.oldest
            .is_some_and(|(_, since)| self.last_inbound.since(since) >= STUCK)
    }

    pub(super) fn poll_ping(&mut self, now: Timestamp) -> Option<Bytes> {
        let probe = self.due.take()?.probe;
        let nonce = self.next_nonce;
        self.next_nonce = nonce.wrapping_add(1);
        if self.sent.len() >= REMEMBERED_PINGS {
            self.sent.remove(0);
        }
        self.sent.push((nonce, now));
        self.ping = Some(Ping {
            queued: now,
            flushed: None,
            probe,
        });
        Some(Bytes::copy_from_slice(&nonce.to_be_bytes()))
    }

    /// The next deadline.
    pub(super) fn wakeup(&self, config: &SessionConfig, habit: &PongHabit, outlook: Outlook) -> Option<Wakeup> {
        let verdict = self.verdict_at(config, habit, outlook).map(|(at, _)| Wakeup {
            at,
            reason: Reason::PongTimeout,
        });
        let unproven = self.unproven_at(config, habit, outlook);
        let unproven = unproven.map(|at| Wakeup {
            at,
            reason: Reason::AttemptTimeout,
        });
        let ask = self
            .due
            .is_none()
            .then(|| self.ask_at(config, outlook))
            .map(|(wakeup, _)| wakeup);
        [verdict, unproven, ask]
            .into_iter()
            .flatten()
            .min_by_key(|wakeup| wakeup.at)
    }

    /// Acts on what is due; an answer means that the websocket is dead.
    pub(super) fn handle_timeout(
        &mut self,
        (config, habit): (&SessionConfig, &PongHabit),
        outlook: Outlook,
        now: Timestamp,
    ) -> Option<DropCause> {
        if let Some((at, cause)) = self.verdict_at(config, habit, outlook)
            && at <= now
        {
            return Some(cause);
        }
        if self.unproven_at(config, habit, outlook).is_some_and(|at| at <= now) {
            return Some(DropCause::NotProven);
        }
        let (wakeup, probe) = self.ask_at(config, outlook);
        if self.due.is_none() && wakeup.at <= now {
            self.due = Some(DuePing { since: now, probe });
        }
        None
    }

    /// When the ping on its way condemns the websocket, or the one that cannot even be queued, and for what.
    fn verdict_at(
        &self,
        config: &SessionConfig,
        habit: &PongHabit,
        outlook: Outlook,
    ) -> Option<(Timestamp, DropCause)> {
        let due = self.due.and_then(|due| self.stalled_at(config, habit, due));
        let out = self
            .ping
            .as_ref()
            .and_then(|ping| self.overdue_at((config, habit), outlook, ping));
        [due, out].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What TCP cannot send fills the socket, and then a ping cannot leave either.
    fn stalled_at(
        &self,
        config: &SessionConfig,
        habit: &PongHabit,
        DuePing { since, probe }: DuePing,
    ) -> Option<(Timestamp, DropCause)> {
        let least = if probe && habit.answers {
            PROBE_TIMEOUT
        } else {
            config.ping_interval
        };
        (self.last_inbound <= since).then(|| (since.after(habit.patience(least)), DropCause::WriteStalled))
    }

    fn overdue_at(
        &self,
        (config, habit): (&SessionConfig, &PongHabit),
        outlook: Outlook,
        ping: &Ping,
    ) -> Option<(Timestamp, DropCause)> {
        match ping.flushed {
            None => {
                let unsent = DuePing {
                    since: ping.queued,
                    probe: ping.probe,
                };
                self.stalled_at(config, habit, unsent)
            }
            // Its answer may be there, unread.
            Some(_) if !outlook.reads => None,
            Some(_) if !habit.answers => None,
            Some(flushed) if ping.probe => {
                Some((flushed.after(habit.patience(PROBE_TIMEOUT)), DropCause::BacklogStalled))
            }
            Some(flushed) => Some((
                flushed.after(habit.patience(config.ping_timeout)),
                DropCause::PongOverdue,
            )),
        }
    }

    /// When an attach that nobody has answered is given up. A pong shows that the service is there, and then only
    /// the agent is silent, which a new websocket cannot mend.
    fn unproven_at(&self, config: &SessionConfig, habit: &PongHabit, outlook: Outlook) -> Option<Timestamp> {
        let waiting = !self.proven && !self.pong_seen && !outlook.away && outlook.reads;
        waiting.then(|| self.since.after(habit.patience(config.prove_timeout)))
    }

    /// When the next ping is due, and whether it is a probe.
    fn ask_at(&self, config: &SessionConfig, outlook: Outlook) -> (Wakeup, bool) {
        let asked = self.ping.as_ref().map(|ping| ping.queued);
        let since = asked.map_or(self.last_inbound, |asked| asked.max(self.last_inbound));
        let regular = Wakeup {
            at: since.after(config.ping_interval),
            reason: Reason::Ping,
        };
        // Where answers are not read, it is TCP that tells of a dead peer, and only to who writes.
        if asked.is_some() || !outlook.reads {
            return (regular, false);
        }
        let stalled = self.flying_since.map(|flying| {
            let at = flying
                .max(self.last_inbound)
                .after(STALL.max(outlook.rto.saturating_mul(4)));
            Wakeup {
                at,
                reason: Reason::BacklogProbe,
            }
        });
        match stalled {
            Some(stalled) if stalled.at < regular.at => (stalled, true),
            Some(_) | None => (regular, false),
        }
    }
}
