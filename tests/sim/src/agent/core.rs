//! One agent of one session: every rule it follows, and its link to the service as two queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use autossm_proto::wire::{ClientMessage, MessageType, PayloadType};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::destinations::Destination;
use super::encryption::Encryption;
use super::handshake::{self, PortProperties};
use super::port::Port;
use super::reliable::{Inbound, Outbound};
use super::shell::ShellPort;
use crate::config::AgentConfig;
use crate::counters::Counters;
use crate::message;

const RESEND_TICK: Duration = Duration::from_millis(100);
/// At the end it waits this long for acknowledges.
const END_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The control message has not arrived yet.
    NotStarted,
    /// HandshakeRequest sent.
    AwaitingResponse {
        since: Instant,
    },
    /// The client must show that it has the data key.
    AwaitingProof {
        since: Instant,
    },
    /// The response is good; HandshakeComplete is next.
    Completing {
        since: Instant,
    },
    /// HandshakeComplete is sent and the handshake not yet marked complete: input is thrown away.
    Gap {
        until: Instant,
    },
    /// The port handler is not there yet: input is not acknowledged.
    Preparing {
        until: Instant,
    },
    Ready,
    /// Waiting for the last acknowledges.
    Ending {
        until: Instant,
        reason: String,
    },
    Ended,
}

/// A message handed over, not yet acknowledged or counted.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) message: ClientMessage,
    pub(super) acknowledge: bool,
}

/// An agent; it owns its real sockets.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(super) config: AgentConfig,
    pub(super) destination: Destination,
    pub(super) properties: PortProperties,
    pub(super) encryption: Option<Encryption>,
    pub(super) counters: Arc<Counters>,
    pub(super) rng: StdRng,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) phase: Phase,
    pub(super) port: Option<Port>,
    pub(super) paused: bool,
    pub(super) link_up: bool,
    /// Armed fault: the next acknowledge of handed-over data finds the link reset.
    pub(super) reset_at_acknowledge: bool,
    /// Its reader waits for ever (second HandshakeResponse), or has panicked.
    pub(super) wedged: bool,
    pub(super) in_hand: Option<InHand>,
    /// Handed over, but the acknowledge failed, so that it was not counted.
    pub(super) uncounted: Option<i64>,
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) next_tick: Instant,
    pub(super) next_send: Instant,
    /// The pump was waiting for data: there is no lateness to catch up.
    pub(super) starved: bool,
}

impl Agent {
    pub(crate) fn new(
        config: AgentConfig,
        destination: Destination,
        properties: PortProperties,
        counters: Arc<Counters>,
        encryption: Option<Encryption>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let capacity = config.reorder_capacity.unwrap_or_else(|| config.version.capacity());
        Self {
            config,
            destination,
            properties,
            encryption,
            counters,
            rng: StdRng::seed_from_u64(seed),
            inbound: Inbound::new(capacity),
            outbound: Outbound::new(),
            phase: Phase::NotStarted,
            port: None,
            paused: false,
            link_up: true,
            reset_at_acknowledge: false,
            wedged: false,
            in_hand: None,
            uncounted: None,
            outbox: VecDeque::new(),
            next_tick: now,
            next_send: now,
            starved: true,
        }
    }

    /// Opens the session: HandshakeRequest. A second call does nothing.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.phase == Phase::NotStarted {
            let without = !self.properties.document.shakes_hands() && !self.config.handshake_for_shells;
            if without && self.encryption.is_none() {
                let until = now + self.config.ready_delay;
                self.phase = Phase::Preparing { until };
                return;
            }
            let request = self.request();
            self.phase = Phase::AwaitingResponse { since: now };
            self.send(PayloadType::HANDSHAKE_REQUEST, request, now);
        }
    }

    fn request(&self) -> Bytes {
        let encryption = self.encryption.as_ref().map(Encryption::action);
        handshake::request(self.config.version, &self.destination, &self.properties, encryption)
    }

    /// Whether it has sent its HandshakeRequest.
    pub(crate) fn has_started(&self) -> bool {
        self.phase != Phase::NotStarted
    }

    /// Whether the agent's reader takes another frame.
    pub(crate) fn wants_frame(&self) -> bool {
        self.in_hand.is_none() && !self.wedged
    }

    /// Whether its link works, as far as it knows.
    pub(crate) fn is_link_up(&self) -> bool {
        self.link_up
    }

    /// The link is gone: writes fail, what was in flight is lost.
    pub(crate) fn link_lost(&mut self) {
        self.link_up = false;
        self.reset_at_acknowledge = false;
        self.outbox.clear();
    }

    /// The link is back. The agent then believes that the client is there.
    pub(crate) fn link_restored(&mut self) {
        self.link_up = true;
        self.paused = false;
    }

    /// The link broke with acknowledges on their way.
    pub(crate) fn lose_acknowledges(&mut self, now: Instant) {
        self.outbound.lose_acknowledges(now);
    }

    /// Arms the reset between handing over and acknowledging.
    pub(crate) fn reset_at_next_acknowledge(&mut self) {
        self.reset_at_acknowledge = true;
    }

    /// The next frame for the service.
    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
    }

    /// The reason, once the agent has ended the session and could tell the service.
    pub(crate) fn poll_over(&mut self, now: Instant) -> Option<String> {
        match &mut self.phase {
            Phase::NotStarted
            | Phase::AwaitingResponse { .. }
            | Phase::AwaitingProof { .. }
            | Phase::Completing { .. }
            | Phase::Gap { .. }
            | Phase::Preparing { .. }
            | Phase::Ready
            | Phase::Ended => None,
            Phase::Ending { until, reason } => {
                let done = self.outbound.is_acknowledged() || now >= *until;
                if !done || !self.link_up {
                    return None;
                }
                let reason = std::mem::take(reason);
                self.phase = Phase::Ended;
                Some(reason)
            }
        }
    }

    /// A frame from the service.
    pub(crate) fn handle_frame(&mut self, frame: &Bytes, now: Instant) {
        let Some(received) = message::decode_unchecked(frame) else {
            self.counters.invalid_frames.up();
            if message::header_leads_out(frame) {
                tracing::error!("agent: header length beyond the frame, a real agent's reader panics");
                self.wedged = true;
            }
            return;
        };
        match received.message_type {
            MessageType::InputStreamData => self.handle_input(received, now),
            MessageType::Acknowledge => {
                self.paused = false;
                if let Some(number) = message::acknowledged_number(&received.payload) {
                    self.outbound.acknowledge(number, now);
                }
            }
            MessageType::PausePublication => self.paused = true,
            MessageType::StartPublication => self.paused = false,
            MessageType::ChannelClosed => self.end("cancelled by the service", now),
            MessageType::OutputStreamData | MessageType::AgentSessionState | MessageType::Unknown => {}
        }
    }

    /// Timers: the handshake's, the resend tick.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::AwaitingResponse { since } => {
                if now >= since + self.config.handshake_timeout {
                    self.end("Handshake timed out. Please ensure that you have the latest version of the session manager plugin.", now);
                }
            }
            Phase::AwaitingProof { since } => {
                if now >= since + self.config.handshake_timeout {
                    self.end("Timed out waiting for encryption challenge.", now);
                }
            }
            Phase::Completing { since } => {
                let took = now.saturating_duration_since(since);
                self.send(PayloadType::HANDSHAKE_COMPLETE, handshake::complete(took), now);
                let until = now + self.config.handshake_gap;
                self.phase = Phase::Gap { until };
            }
            Phase::Gap { until } if now >= until => {
                let until = until + self.config.ready_delay;
                self.phase = Phase::Preparing { until };
            }
            Phase::Preparing { until } if now >= until => {
                self.port = Some(self.open_port(now));
                self.phase = Phase::Ready;
            }
            Phase::NotStarted | Phase::Gap { .. } | Phase::Preparing { .. } => {}
            Phase::Ready | Phase::Ending { .. } | Phase::Ended => {}
        }
        if now >= self.next_tick {
            self.next_tick = now + self.scaled(RESEND_TICK);
            if !self.paused
                && let Some(frame) = self.outbound.resend(now)
            {
                self.counters.agent_resends.up();
                self.write(frame);
            }
        }
    }

    /// Moves bytes between mux and destinations. True when something moved.
    pub(crate) fn poll_port(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(port) = &mut self.port else {
            return false;
        };
        let before = port.open_connections();
        let round = match port.poll(cx, !self.paused, now) {
            Ok(round) => round,
            Err(error) => {
                tracing::warn!(?error, "agent: input is not smux version 1");
                port.break_down();
                return true;
            }
        };
        let opened = port.open_connections().saturating_sub(before);
        self.counters.streams.add(opened);
        if round.connect_failed {
            self.counters.connect_errors.up();
            let flag = PayloadType::FLAG_CONNECT_TO_PORT_ERROR.to_be_bytes();
            self.send(PayloadType::FLAG, Bytes::copy_from_slice(&flag), now);
        }
        let blocked = self.in_hand.is_some();
        self.advance(now);
        if let Some(exit) = self.port.as_mut().and_then(|port| port.take_exit(!self.paused)) {
            self.send(PayloadType::EXIT_CODE, exit, now);
        }
        let over = self.port.as_mut().and_then(Port::poll_over);
        if let Some(reason) = &over {
            self.end(reason, now);
        }
        round.progress || over.is_some() || (blocked && self.in_hand.is_none())
    }

    /// When a timer or the pump next has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::NotStarted | Phase::Ready | Phase::Ended => None,
            Phase::AwaitingResponse { since } | Phase::AwaitingProof { since } => {
                Some(since + self.config.handshake_timeout)
            }
            Phase::Completing { since } => Some(since),
            Phase::Gap { until } | Phase::Preparing { until } | Phase::Ending { until, .. } => Some(until),
        };
        let tick = (!self.outbound.is_acknowledged() && !self.paused).then_some(self.next_tick);
        let has_output = self.port.as_ref().is_some_and(|port| port.has_output());
        let pace = (has_output && !self.paused).then_some(self.next_send);
        let own = self.port.as_ref().and_then(|port| port.poll_timeout(self.next_tick));
        phase.into_iter().chain(tick).chain(pace).chain(own).min()
    }

    /// What it knows, for `/_sim/state`.
    pub(crate) fn state(&self) -> AgentState {
        AgentState {
            ready: self.phase == Phase::Ready,
            paused: self.paused,
            expected: self.inbound.expected(),
            next: self.outbound.next(),
            unacknowledged: self.outbound.backlog(),
            connections: self.port.as_ref().map_or(0, Port::open_connections),
            reading: self.wants_frame(),
            unread: self.port.as_ref().map_or(0, |port| port.unread()),
        }
    }

    /// What serves the destination: decided by the document and by what an agent of this version knows.
    fn open_port(&self, now: Instant) -> Port {
        let document = self.properties.document;
        if document.is_shell() {
            let shell = ShellPort::start(document, &self.properties.command, &self.config, now);
            return Port::Shell(Box::new(shell));
        }
        let forwards = self.properties.document.forwards();
        if forwards && self.config.version.multiplexes() {
            Port::mux(self.destination.clone())
        } else {
            Port::raw(self.destination.clone(), forwards)
        }
    }

    pub(super) fn end(&mut self, reason: &str, now: Instant) {
        if !matches!(self.phase, Phase::Ending { .. } | Phase::Ended) {
            self.port = None;
            self.phase = Phase::Ending {
                until: now + END_WAIT,
                reason: reason.to_owned(),
            };
        }
    }

    pub(super) fn scaled(&self, wait: Duration) -> Duration {
        wait / self.config.speed.max(1)
    }
}

/// The agent's state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AgentState {
    /// The port handler takes input.
    pub ready: bool,
    /// It was told that the client is away.
    pub paused: bool,
    /// The next input number.
    pub expected: i64,
    /// The next output number.
    pub next: i64,
    /// Output messages not acknowledged.
    pub unacknowledged: usize,
    /// Connections to the destination.
    pub connections: usize,
    /// Its reader takes another frame.
    pub reading: bool,
    /// Bytes of input that wait to be read as smux.
    pub unread: usize,
}
