//! One session: its client's link and its agent's side, driven by one task.

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

use super::agent_side::{AgentSide, Link};
use super::contract::{Command, Shared};
use super::socket::{Farewell, PeerSocket};
use super::socket_link::SocketLink;
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
    client: SocketLink,
    agent: AgentSide,
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
        agent: AgentSide,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            shared,
            config,
            commands,
            client: SocketLink::new(Side::Client),
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
                let (client, agent) = (self.client.poll_ended(cx), self.agent.poll_ended(cx));
                return if client.is_ready() { agent } else { client };
            }
            let now = clock::now();
            let mut progress = self.poll_commands(cx, now);
            self.handle_timeout(now);
            let read = self.client.poll_read(cx, now, &self.shared.counters);
            progress |= read.progress | self.route_up(now);
            let (moved, change) = self.agent.run(cx, now, &self.shared.counters);
            progress |= moved;
            self.agent_changed(change, now);
            progress |= self.route_down(now);
            let written = self.client.poll_write(cx, now, &self.shared.counters);
            progress |= written.progress;
            if read.gone || written.gone {
                self.client_gone(now);
            }
            if !progress && !self.arm(cx) {
                let _all_ended = (self.client.poll_ended(cx), self.agent.poll_ended(cx));
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
        if now >= self.started + AGENT_START {
            self.agent.start(now);
        }
        let change = self.agent.handle_timeout(now);
        self.agent_changed(change, now);
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
                Command::Attach(Side::Client, socket) => self.attach(*socket, now),
                Command::Attach(Side::Agent, socket) => {
                    let change = self.agent.attach(*socket);
                    self.agent_changed(change, now);
                }
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

    fn attach(&mut self, socket: PeerSocket, now: Instant) {
        let counters = &self.shared.counters;
        counters.client_connects.up();
        if self.client.attach(socket) {
            counters.takeovers.up();
        }
        self.shared.connected.store(true, Ordering::Relaxed);
        self.attached = Some(now);
        tracing::info!(session = %self.shared.session_id, "client connected");
        if self.agent.is_up() {
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
        while self.agent.has_room() {
            let Some(frame) = self.client.up.pop(now) else {
                break;
            };
            progress = true;
            match frame {
                Frame::Message(bytes) => {
                    if is_input(&bytes) {
                        self.active = now;
                    }
                    if !self.agent.push(bytes, now) {
                        self.shared.counters.dropped_agent_away.up();
                    }
                }
                pong @ Frame::Pong(_) => self.client.down.push(pong, now),
            }
        }
        progress
    }

    /// Agent to client, as far as the client's lane.
    fn route_down(&mut self, now: Instant) -> bool {
        let mut progress = false;
        while !self.client.is_connected() || self.client.down.has_room() {
            let Some(frame) = self.agent.pop(now) else {
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
        if let LinkFault::Away { .. } = fault {
            tracing::warn!(?fault, "this fault exists on the agent's side only, ignored");
        } else if self.client.fault(fault, now) {
            self.client_gone(now);
        }
    }

    fn agent_fault(&mut self, fault: LinkFault, now: Instant) {
        if let LinkFault::Away { for_ms } = fault {
            self.shared.refuse_agent_until(now + Duration::from_millis(for_ms));
        }
        if let LinkFault::Close { .. } = fault {
            // In an orderly close what the agent wrote before still arrives.
            while let Some(frame) = self.agent.take() {
                self.client.push(frame, now);
            }
        }
        let change = self.agent.fault(fault, now);
        self.agent_changed(change, now);
    }

    /// The client and, when it is back, the agent are told.
    fn agent_changed(&mut self, change: Option<Link>, now: Instant) {
        match change {
            Some(Link::Down) => {
                tracing::info!(session = %self.shared.session_id, "agent's link is down");
                self.tell_client(MessageType::PausePublication, now);
            }
            Some(Link::Up { again }) => {
                tracing::info!(session = %self.shared.session_id, again, "agent's link is up");
                if again {
                    self.shared.counters.agent_reconnects.up();
                }
                self.tell_client(MessageType::StartPublication, now);
                if !self.client.is_connected() {
                    self.tell_agent(MessageType::PausePublication, now);
                }
            }
            None => {}
        }
    }

    fn tell_agent(&mut self, news: MessageType, now: Instant) {
        let frame = self.own_message(news, Bytes::from_static(b"{}"));
        self.agent.push(frame, now);
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
        self.agent.end(last.as_ref());
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
