//! One session: its client link, its agent's link and its agent, driven by one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use autossm_proto::wire::MessageType;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::agent_link::AgentLink;
use super::client_link::ClientLink;
use super::contract::{Command, Shared};
use super::socket::{ClientSocket, Farewell};
use crate::agent::Agent;
use crate::clock;
use crate::config::Config;
use crate::fault::{LinkFault, Side};
use crate::lane::Frame;
use crate::message;

/// Rounds before the task lets others run.
const ROUNDS: usize = 32;
/// An agent starts at the latest this long after StartSession, and earlier with its first client.
const AGENT_START: Duration = Duration::from_secs(1);
const IDLE_TEXT: &str = "Your session timed out due to inactivity";
const DURATION_TEXT: &str = "Your session has reached its maximum duration";

/// The task of one session.
#[derive(Debug)]
pub(crate) struct SessionTask {
    shared: Arc<Shared>,
    config: Arc<Config>,
    commands: mpsc::Receiver<Command>,
    client: ClientLink,
    link: AgentLink,
    agent: Agent,
    rng: StdRng,
    started: Instant,
    /// Last client input or ResumeSession.
    active: Instant,
    /// When the current client connected.
    attached: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl SessionTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: Arc<Config>,
        commands: mpsc::Receiver<Command>,
        agent: Agent,
        seed: u64,
        now: Instant,
    ) -> Self {
        let link = AgentLink::new(config.agent.reconnect_delay);
        Self {
            shared,
            config,
            commands,
            client: ClientLink::default(),
            link,
            agent,
            rng: StdRng::seed_from_u64(seed),
            started: now,
            active: now,
            attached: None,
            sleep: Box::pin(sleep_until(now)),
        }
    }

    /// Runs until the session has ended and its last connection is closed.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.shared.connected.store(false, Ordering::Relaxed);
        tracing::info!(session = %self.shared.session_id, "session is over");
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            if self.is_ended() {
                return self.client.poll_ended(cx);
            }
            let now = clock::now();
            let mut progress = self.poll_commands(cx, now);
            self.handle_timeout(now);
            let read = self.client.poll_read(cx, now, &self.shared.counters);
            progress |= read.progress | self.route_up(now);
            progress |= self.run_agent(cx, now);
            progress |= self.route_down(now);
            let written = self.client.poll_write(cx, now, &self.shared.counters);
            progress |= written.progress;
            if read.gone || written.gone {
                self.client_gone(now);
            }
            if !progress && !self.arm(cx) {
                let _all_ended = self.client.poll_ended(cx);
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sleeps until the next deadline; true when that is now.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.poll_timeout() else {
            return false;
        };
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let after = |start: Option<Instant>, wait: Option<Duration>| Some(start? + wait?);
        let start = (!self.agent.has_started()).then_some(self.started + AGENT_START);
        [
            after(self.attached, self.config.close_after),
            after(Some(self.active), self.config.idle_timeout),
            after(Some(self.started), self.config.max_duration),
            start,
            self.link.poll_timeout(),
            self.client.up.poll_timeout(),
            self.client.down.poll_timeout(),
            self.agent.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.up.handle_timeout(now);
        self.client.down.handle_timeout(now);
        if self.link.handle_timeout(now) {
            self.agent_back(now);
        }
        if now >= self.started + AGENT_START {
            self.agent.start(now);
        }
        self.agent.handle_timeout(now);
        let passed = |start: Option<Instant>, wait: Option<Duration>| {
            start.zip(wait).is_some_and(|(start, wait)| now >= start + wait)
        };
        if passed(self.attached, self.config.close_after) {
            let reason = "Bye".to_owned();
            self.end_client(Farewell::Close { code: 1000, reason }, now);
        }
        if passed(Some(self.active), self.config.idle_timeout) {
            self.end(Some(IDLE_TEXT));
        } else if passed(Some(self.started), self.config.max_duration) {
            self.end(Some(DURATION_TEXT));
        } else if let Some(reason) = self.agent.poll_over(now) {
            self.end(Some(&reason));
        }
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            progress = true;
            match command {
                Command::Attach(socket) => self.attach(*socket, now),
                Command::Touch => self.active = now,
                Command::Fault(side, fault, done) => {
                    match side {
                        Side::Client => self.client_fault(fault, now),
                        Side::Agent => self.agent_fault(fault, now),
                    }
                    answer(done, ());
                }
                Command::End(announce, done) => {
                    self.end(announce.as_deref());
                    answer(done, ());
                }
                Command::Inspect(reply) => answer(reply, self.agent.state()),
            }
        }
        progress
    }

    fn attach(&mut self, socket: ClientSocket, now: Instant) {
        let counters = &self.shared.counters;
        counters.client_connects.up();
        if self.client.attach(socket) {
            counters.takeovers.up();
        }
        self.shared.connected.store(true, Ordering::Relaxed);
        self.attached = Some(now);
        tracing::info!(session = %self.shared.session_id, "client connected");
        if self.link.is_up() {
            self.tell_agent(MessageType::StartPublication, now);
        } else {
            self.tell_client(MessageType::PausePublication, now);
        }
        self.agent.start(now);
    }

    fn end_client(&mut self, farewell: Farewell, now: Instant) {
        if self.client.end(farewell) {
            self.client_gone(now);
        }
    }

    fn client_gone(&mut self, now: Instant) {
        tracing::info!(session = %self.shared.session_id, "client disconnected");
        self.shared.connected.store(false, Ordering::Relaxed);
        self.attached = None;
        self.tell_agent(MessageType::PausePublication, now);
    }

    /// Client to agent, as far as the agent's link.
    fn route_up(&mut self, now: Instant) -> bool {
        let mut progress = false;
        while !self.link.is_up() || self.link.down.has_room() {
            let Some(frame) = self.client.up.pop(now) else {
                break;
            };
            progress = true;
            match frame {
                Frame::Message(bytes) => {
                    if is_input(&bytes) {
                        self.active = now;
                    }
                    if self.link.is_up() {
                        self.link.down.push(Frame::Message(bytes), now);
                    } else {
                        self.shared.counters.dropped_agent_away.up();
                    }
                }
                pong @ Frame::Pong(_) => self.client.down.push(pong, now),
            }
        }
        progress
    }

    fn run_agent(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        while self.agent.wants_frame()
            && (!self.link.is_up() || self.link.up.has_room())
            && let Some(Frame::Message(frame)) = self.link.down.pop(now)
        {
            progress = true;
            self.agent.handle_frame(&frame, now);
            self.transmit(now);
        }
        progress |= self.agent.poll_port(cx, now);
        if self.link.up.has_room() {
            progress |= self.agent.pump(now);
        }
        self.transmit(now);
        progress
    }

    /// What the agent wrote goes on its link; a link it lost is taken down on this side too.
    fn transmit(&mut self, now: Instant) {
        while let Some(frame) = self.agent.poll_transmit() {
            self.link.up.push(Frame::Message(frame), now);
        }
        if self.link.is_up() && !self.agent.is_link_up() {
            self.agent_away(now);
        }
    }

    /// Agent to client, as far as the client's lane.
    fn route_down(&mut self, now: Instant) -> bool {
        let mut progress = false;
        while !self.client.is_connected() || self.client.down.has_room() {
            let Some(Frame::Message(frame)) = self.link.up.pop(now) else {
                break;
            };
            progress = true;
            if self.client.is_connected() {
                self.client.push(frame, now);
            } else {
                self.shared.counters.dropped_client_away.up();
            }
        }
        progress
    }

    fn client_fault(&mut self, fault: LinkFault, now: Instant) {
        match fault {
            LinkFault::Close { code, reason } => {
                self.end_client(Farewell::Close { code, reason }, now);
            }
            LinkFault::Reset => self.end_client(Farewell::Reset, now),
            LinkFault::Fin => self.end_client(Farewell::Fin, now),
            LinkFault::CloseMidFrame { reset } => {
                self.end_client(Farewell::MidFrame { reset }, now);
            }
            LinkFault::Traffic(disturbance) => self.client.disturb(&disturbance, now),
            LinkFault::Heal => self.client.heal(),
            LinkFault::ResetBeforeAcknowledge | LinkFault::Away { .. } => {
                tracing::warn!(?fault, "this fault exists on the agent's side only, ignored");
            }
        }
    }

    fn agent_fault(&mut self, fault: LinkFault, now: Instant) {
        match fault {
            LinkFault::Close { .. } => {
                // In an orderly close what the agent wrote before still arrives.
                while let Some(Frame::Message(frame)) = self.link.up.take() {
                    self.client.push(frame, now);
                }
                self.agent_away(now);
            }
            LinkFault::Reset | LinkFault::Fin | LinkFault::CloseMidFrame { .. } => {
                self.agent_away(now);
            }
            LinkFault::ResetBeforeAcknowledge => self.agent.reset_at_next_acknowledge(),
            LinkFault::Away { for_ms } => {
                self.link.refuse(now + Duration::from_millis(for_ms));
                self.agent_away(now);
            }
            LinkFault::Traffic(disturbance) => self.link.disturb(&disturbance, now),
            LinkFault::Heal => self.link.heal(),
        }
    }

    fn agent_away(&mut self, now: Instant) {
        tracing::info!(session = %self.shared.session_id, "agent's link is down");
        self.agent.link_lost();
        self.link.cut(now);
        self.tell_client(MessageType::PausePublication, now);
    }

    fn agent_back(&mut self, now: Instant) {
        tracing::info!(session = %self.shared.session_id, "agent's link is back");
        self.shared.counters.agent_reconnects.up();
        self.agent.link_restored();
        self.tell_client(MessageType::StartPublication, now);
        if !self.client.is_connected() {
            self.tell_agent(MessageType::PausePublication, now);
        }
    }

    fn tell_agent(&mut self, news: MessageType, now: Instant) {
        let frame = self.own_message(news, Bytes::from_static(b"{}"));
        if self.link.is_up() {
            self.link.down.push(Frame::Message(frame), now);
        }
    }

    fn tell_client(&mut self, news: MessageType, now: Instant) {
        let frame = self.own_message(news, Bytes::from_static(b"{}"));
        self.client.push(frame, now);
    }

    fn own_message(&mut self, message_type: MessageType, payload: Bytes) -> Bytes {
        message::encode(&message::new(&mut self.rng, message_type, payload))
    }

    fn is_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed)
    }

    fn end(&mut self, announce: Option<&str>) {
        if self.shared.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        // Whoever waits for an answer of this task learns at once that there will be none.
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
        let last = announce.map(|text| {
            let body = message::channel_closed(&self.shared.session_id, text);
            self.own_message(MessageType::ChannelClosed, body)
        });
        self.client.close_with(last);
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

/// Whether a frame is client input, which keeps a session from idling out.
fn is_input(frame: &Bytes) -> bool {
    frame
        .get(4..21)
        .is_some_and(|name| name == MessageType::InputStreamData.name().as_bytes())
}
