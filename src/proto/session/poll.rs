//! Frames in, frames out, timers.

use super::link::{Link, Outlook};
use super::{CLOSED, Command, Epoch, Event, Inbound, Live, Purpose, Session, SessionConfig, Transmit, Work};
use crate::channel::{ChannelEvent, Hearing};
use crate::handshake::Carriage;
use crate::journal::Record;
use crate::time::{Reason, Timestamp, Wakeup, earliest};

/// What is said of a session of another kind than it should be of.
const NO_PORT: &str = "the session is a shell, it is not a port session: check the document and its parameters";
const NO_SHELL: &str = "the session is for a port, it is not a shell or command: check the document and its parameters";

impl Session {
    /// Takes a frame of the websocket with this epoch.
    pub fn handle_inbound(&mut self, epoch: Epoch, frame: Inbound, now: Timestamp) {
        let Work::Up(link) = &mut self.work else {
            return;
        };
        let Some(live) = self.live.as_mut().filter(|_| link.epoch == epoch) else {
            return;
        };
        link.handle_inbound(now);
        self.last_read = now;
        match frame {
            Inbound::Binary(bytes) => live.channel.handle_frame(&bytes, now),
            Inbound::Pong(payload) => link.handle_pong(&payload, &mut live.pongs, now),
            Inbound::Other => {}
        }
        self.drain(now);
        self.end_if_overfull(now);
    }

    /// Everything that `poll_transmit` returned for this epoch has left the websocket's queue.
    pub fn handle_flushed(&mut self, epoch: Epoch, now: Timestamp) {
        if let Work::Up(link) = &mut self.work
            && link.epoch == epoch
        {
            link.handle_flushed(now);
        }
    }

    /// The next frame to write, while a websocket is up.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit> {
        let Work::Up(link) = &mut self.work else {
            return None;
        };
        let live = self.live.as_mut()?;
        if !live.channel.has_opened() {
            live.spend_token();
            return live.channel.poll_transmit(now);
        }
        if let Some(ping) = link.poll_ping(now) {
            return Some(Transmit::Ping(ping));
        }
        let before = live.channel.stream().send().transmissions();
        let resent = live.channel.stream().counters().0;
        let mut transmit = live.channel.poll_transmit(now);
        if transmit.is_none()
            && live.channel.wants_message(self.config.payload_limit)
            && live.workload.build(&mut live.channel)
        {
            transmit = live.channel.poll_transmit(now);
        }
        link.set_flying(live.channel.stream().send(), now);
        if live.channel.stream().send().transmissions() != before {
            live.activity.handle_input(now);
        }
        if live.channel.stream().counters().0 != resent && live.workload.is_taken() {
            live.repeated = Some(now);
        }
        self.drain_locals();
        self.drain_records();
        transmit
    }

    /// The next deadline, with its reason.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let work = match &self.work {
            Work::Idle => None,
            Work::Waiting { until, .. } => Some(Wakeup {
                at: *until,
                reason: Reason::Retry,
            }),
            Work::Calling { deadline, .. } => deadline.map(Self::attempt_timeout),
            Work::Dialing { deadline, .. } => Some(Self::attempt_timeout(*deadline)),
            Work::Up(link) => self.live.as_ref().and_then(|live| {
                let stream = live.channel.stream();
                let retransmit = live.channel.poll_timeout(self.hearing());
                let fin = Self::may_finish(link, live)
                    .then(|| live.workload.end_at(stream.send().oldest_unacknowledged()))
                    .flatten();
                let fin = fin.map(|at| Wakeup {
                    at,
                    reason: Reason::FinGrace,
                });
                let wedged = stream
                    .send()
                    .contradicted_since()
                    .filter(|_| self.hearing() == Hearing::Answers);
                let wedged = wedged.map(|since| Wakeup {
                    at: since.after(self.config.wedged_after),
                    reason: Reason::Wedged,
                });
                let alive = link.wakeup(
                    &self.config,
                    &live.pongs,
                    Self::outlook(live, self.hearing() != Hearing::Deaf),
                );
                let keepalive = Self::keepalive_at(&self.config, link, live);
                let keepalive = keepalive.map(|at| Wakeup {
                    at,
                    reason: Reason::Keepalive,
                });
                earliest(earliest(retransmit, fin), earliest(earliest(wedged, alive), keepalive))
            }),
        };
        let handshake = self.live.as_ref().and_then(|live| live.handshake_deadline);
        let key = self.key_retry_at().map(|at| Wakeup {
            at,
            reason: Reason::Retry,
        });
        earliest(
            earliest(work, key),
            handshake.map(|at| Wakeup {
                at,
                reason: Reason::HandshakeTimeout,
            }),
        )
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.note_reading(now);
        if self
            .live
            .as_ref()
            .and_then(|live| live.handshake_deadline)
            .is_some_and(|at| at <= now)
        {
            self.end_handshake(now);
        }
        if self.key_retry_at().is_some_and(|at| at <= now) {
            self.fetch_new_key(now);
        }
        match &self.work {
            Work::Waiting { until, .. } if *until <= now => {
                let cause = self.cause.clone();
                self.attempt_or_rest(&cause, now);
            }
            Work::Up(_) => self.handle_link_timeout(now),
            Work::Idle | Work::Waiting { .. } => {}
            Work::Calling { .. } | Work::Dialing { .. } => self.handle_attempt_timeout(now),
        }
        self.drain(now);
    }

    /// The next effect to carry out.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next thing local connections or the log must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next journal record: to be stored before the effects polled after it.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    fn handle_link_timeout(&mut self, now: Timestamp) {
        let hearing = self.hearing();
        let Work::Up(link) = &mut self.work else {
            return;
        };
        let Some(live) = &mut self.live else { return };
        let epoch = link.epoch;
        if link.proven && now.since(link.since) >= self.config.link_hold {
            self.streak.forget();
        }
        let since = live
            .channel
            .stream()
            .send()
            .contradicted_since()
            .filter(|_| hearing == Hearing::Answers);
        if since.is_some_and(|since| since.after(self.config.wedged_after) <= now) {
            let cause =
                "the agent acknowledges later data but not the oldest: the session is wedged, a new one is started";
            self.end(cause, true, now);
            return;
        }
        live.channel.handle_timeout(hearing, now);
        if Self::may_finish(link, live) {
            let send = live.channel.stream().send();
            let (oldest, next) = (send.oldest_unacknowledged(), send.next_number());
            if live.workload.handle_timeout(oldest, next, now) {
                live.channel.push_harmless();
            }
        }
        if Self::keepalive_at(&self.config, link, live).is_some_and(|at| at <= now) {
            live.activity.handle_keepalive(now);
            live.channel.push_harmless();
        }
        let outlook = Self::outlook(live, hearing != Hearing::Deaf);
        if let Some(cause) = link.handle_timeout((&self.config, &live.pongs), outlook, now) {
            self.lose_link(epoch, cause, now);
        }
    }

    fn outlook(live: &Live, reads: bool) -> Outlook {
        Outlook {
            rto: live.channel.stream().rtt().base_rto(),
            away: live.channel.is_agent_away(),
            reads,
        }
    }

    /// When the session is sent something harmless, so that AWS does not end it for being idle.
    fn keepalive_at(config: &SessionConfig, link: &Link, live: &Live) -> Option<Timestamp> {
        let every = config.idle_keepalive?;
        let useful = link.proven && live.channel.is_ready() && !live.channel.is_agent_away();
        useful.then(|| live.activity.idle_since().after(every))
    }

    const fn attempt_timeout(at: Timestamp) -> Wakeup {
        Wakeup {
            at,
            reason: Reason::AttemptTimeout,
        }
    }

    /// A held-back FIN may go out only while answers could come: not unproven, not behind a missing message.
    fn may_finish(link: &Link, live: &Live) -> bool {
        link.proven && !live.channel.is_agent_away() && live.channel.stream().received().held_memory() == 0
    }

    /// Passes on what the parts have said, until they are quiet.
    pub(super) fn drain(&mut self, now: Timestamp) {
        loop {
            self.drain_records();
            let Some(event) = self.live.as_mut().and_then(|live| live.channel.poll_event()) else {
                break;
            };
            self.handle_channel_event(event, now);
        }
        if let Some(live) = &mut self.live {
            let open = matches!(&self.work, Work::Up(link) if Self::may_finish(link, live));
            live.workload
                .handle_acknowledged(live.channel.stream().send().oldest_unacknowledged(), open, now);
        }
        self.drain_locals();
        self.note_reading(now);
        if self.live.as_ref().is_some_and(|live| live.workload.is_over()) {
            self.end(CLOSED, true, now);
        }
        if let (Work::Up(link), Some(live)) = (&mut self.work, &self.live) {
            link.set_flying(live.channel.stream().send(), now);
        }
    }

    fn drain_records(&mut self) {
        if let Some(live) = &mut self.live {
            while let Some(record) = live.channel.poll_record() {
                if matches!(record, Record::Adopted { .. }) {
                    // Only now is there something that a new process could go on with.
                    self.records.push_back(Record::Started {
                        session_id: live.session_id.clone(),
                        client_id: live.channel.client_id(),
                    });
                }
                self.records.push_back(record);
            }
        }
    }

    fn handle_channel_event(&mut self, event: ChannelEvent, now: Timestamp) {
        match event {
            ChannelEvent::Proven => self.handle_proven(now),
            ChannelEvent::Agreed(carriage) => {
                if (carriage == Carriage::Shell) != (self.config.purpose == Purpose::Shell) {
                    let cause = match self.config.purpose {
                        Purpose::Connections => NO_PORT,
                        Purpose::Shell => NO_SHELL,
                    };
                    self.end(cause, true, now);
                    return;
                }
                let (limits, size) = (self.workload_limits(), self.size);
                if let Some(live) = &mut self.live {
                    live.workload.agree(carriage, limits, size);
                }
                self.open_waiting(now);
            }
            ChannelEvent::NotAdopted { reason } => self.refuse_adoption(&reason, now),
            ChannelEvent::KeyWanted => self.fetch_new_key(now),
            ChannelEvent::Ready => self.handle_attached(now),
            ChannelEvent::Payload(payload) => {
                let Some(live) = &mut self.live else { return };
                if let Err(error) = live.workload.handle_payload(payload, now) {
                    let cause = format!("{error}: the session cannot go on, a new one is started");
                    self.end(&cause, true, now);
                }
            }
            ChannelEvent::StdErr(bytes) => {
                if let Some(live) = &mut self.live {
                    live.workload.handle_stderr(bytes, now);
                }
            }
            ChannelEvent::ExitCode(code) => {
                if let Some(live) = &mut self.live {
                    live.workload.handle_exit(code);
                }
            }
            ChannelEvent::Late => {
                if let Some(live) = &mut self.live {
                    live.workload.handle_late(now);
                }
            }
            ChannelEvent::Refused => {
                if let Some(live) = &mut self.live {
                    live.workload.handle_refused();
                }
            }
            ChannelEvent::Ended { session_id, .. } if !self.is_own(session_id.as_deref()) => {
                if let Some(live) = &mut self.live {
                    live.channel.count_ignored();
                }
            }
            ChannelEvent::Ended { reason, .. } => self.handle_far_end(reason.as_deref(), now),
            ChannelEvent::Failed { reason } => self.end(&reason, true, now),
        }
    }

    /// Whether a word about this session is about ours; one that names none is.
    fn is_own(&self, session_id: Option<&str>) -> bool {
        let own = self.live.as_ref().map(|live| live.session_id.as_str());
        session_id.is_none_or(|id| id.is_empty() || own == Some(id))
    }
}
