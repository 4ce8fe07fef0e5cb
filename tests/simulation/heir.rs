//! A client with one local connection, and all that is between it and an agent that outlives it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{
    Command, Epoch, Event, Failure, FailureClass, Grant, Inbound, LocalId, Outcome, Reading, ResumeGrant, Secret,
    Session, SessionConfig, Transmit,
};
use bytes::Bytes;

use crate::host::fresh_session;
use crate::lines::{Agent, LINE};
use crate::rng::Rng;

const TICK: Duration = Duration::from_millis(100);

/// One client with one local connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) local: LocalId,
    pub(crate) commands: VecDeque<Vec<u8>>,
    pub(crate) got: Vec<u8>,
    pub(crate) epoch: Option<Epoch>,
    /// Whether the local program reads.
    pub(crate) reads: bool,
    /// Bytes it has been given and has not read.
    untaken: usize,
    /// Arrived over this websocket, and not read by the session.
    socket: VecDeque<Inbound>,
}

impl Client {
    pub(crate) fn new(config: &SessionConfig, seed: u64, commands: VecDeque<Vec<u8>>, now: Timestamp) -> Self {
        let mut session = fresh_session(config, seed);
        session.start(now);
        let local = session.open_local(now);
        Self {
            session,
            local,
            commands,
            got: Vec::new(),
            epoch: None,
            reads: true,
            untaken: 0,
            socket: VecDeque::new(),
        }
    }

    /// Reads of its websocket what the session wants to read now.
    fn receive(&mut self, now: Timestamp) {
        while let Some(epoch) = self.epoch
            && match self.session.reading() {
                Reading::Open => true,
                Reading::At(at) => at <= now,
                Reading::Stopped => false,
            }
            && let Some(frame) = self.socket.pop_front()
        {
            self.session.handle_inbound(epoch, frame, now);
            self.tell_local(now);
        }
    }

    /// Hands out what has come.
    fn tell_local(&mut self, now: Timestamp) {
        while let Some(event) = self.session.poll_event() {
            crate::trace!(now, "{event:?}");
            if let Event::Data { bytes, .. } = event {
                self.got.extend_from_slice(&bytes);
                self.untaken += bytes.len();
            }
        }
        if self.reads && self.untaken > 0 {
            self.session
                .handle_local_written(self.local, std::mem::take(&mut self.untaken), now);
        }
    }

    /// When its session wants to be woken.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let timer = self.session.poll_timeout().map(|wakeup| wakeup.at);
        match self.session.reading() {
            Reading::At(at) if at > now => timer.into_iter().chain([at]).min(),
            Reading::At(_) | Reading::Open | Reading::Stopped => timer,
        }
    }

    /// Does what the session wants; gives its commands and its frames.
    pub(crate) fn turn(&mut self, now: Timestamp) -> (Vec<Command>, Vec<Transmit>) {
        let (mut wanted, mut frames) = (Vec::new(), Vec::new());
        loop {
            while self.session.poll_record().is_some() {}
            while let Some(command) = self.session.poll_command() {
                wanted.push(command);
            }
            self.receive(now);
            self.tell_local(now);
            if self.session.local_room(self.local) > LINE
                && let Some(command) = self.commands.pop_front()
            {
                self.session.handle_local_data(self.local, Bytes::from(command), now);
                continue;
            }
            let Some(frame) = self.session.poll_transmit(now) else {
                break;
            };
            frames.push(frame);
        }
        if let Some(epoch) = self.epoch {
            self.session.handle_flushed(epoch, now);
        }
        (wanted, frames)
    }
}

#[derive(Debug)]
pub(crate) enum What {
    Outcome(Outcome),
    /// To the service, over this websocket.
    Up(u64, Bytes),
    ToAgent(Bytes),
    Down(u64, Inbound),
    Reset(u64),
}

/// The service, and what is on its way.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) queue: BTreeMap<(Timestamp, u64), What>,
    pub(crate) next: u64,
    pub(crate) rng: Rng,
    pub(crate) delay: Duration,
    pub(crate) agent: Agent,
    pub(crate) next_tick: Timestamp,
    /// The websockets, by number; each client's epochs begin anew.
    pub(crate) websockets: u64,
    pub(crate) attached: Option<u64>,
    /// Percent of the client's messages that vanish.
    pub(crate) loses: u64,
    pub(crate) ended: bool,
    /// Until then no call arrives.
    pub(crate) offline: Timestamp,
    /// What ResumeSession answers in place of a token.
    pub(crate) refusal: Option<Failure>,
}

impl World {
    pub(crate) fn new(seed: u64, old: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x6164_6f70);
        Self {
            now: Timestamp::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            delay: rng.millis(1, 60),
            rng,
            agent: Agent {
                old,
                clock: 1,
                ..Agent::default()
            },
            next_tick: Timestamp::ZERO,
            websockets: 0,
            attached: None,
            loses: 0,
            ended: false,
            offline: Timestamp::ZERO,
            refusal: None,
        }
    }

    pub(crate) fn after(&mut self, wait: Duration, what: What) {
        self.next += 1;
        self.queue.insert((self.now.after(wait), self.next), what);
    }

    /// Runs until then, or until `done`.
    pub(crate) fn run(&mut self, client: &mut Client, until: Timestamp, done: impl Fn(&Client) -> bool) {
        while self.now < until && !done(client) {
            self.settle(client);
            let due = client.due(self.now);
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let next = due.into_iter().chain(event).chain([self.next_tick, until]).min();
            self.now = self.now.max(next.unwrap_or(until));
            if self.next_tick <= self.now {
                self.next_tick = self.now.after(TICK);
                self.agent.tick();
            }
            client.session.handle_timeout(self.now);
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let what = entry.remove();
                self.happen(client, what);
                self.settle(client);
            }
        }
    }

    pub(crate) fn happen(&mut self, client: &mut Client, what: What) {
        self.agent.clock = 1_700_000_000_000 + self.now.as_nanos() / 1_000_000;
        let (now, delay) = (self.now, self.delay);
        match what {
            What::Outcome(outcome) => {
                if let Outcome::Dialed { epoch, .. } = outcome {
                    self.websockets += 1;
                    client.epoch = Some(epoch);
                    client.socket.clear();
                }
                client.session.handle_outcome(outcome, now);
            }
            What::Up(websocket, frame) if self.attached == Some(websocket) => {
                if !self.rng.chance(self.loses) {
                    self.after(delay, What::ToAgent(frame));
                }
            }
            What::Up(..) => {}
            What::ToAgent(frame) => self.agent.handle(&frame),
            What::Down(websocket, frame) => {
                if client.epoch.is_some() && self.websockets == websocket {
                    client.socket.push_back(frame);
                }
            }
            What::Reset(websocket) => {
                if let Some(epoch) = client.epoch.filter(|_| self.websockets == websocket) {
                    self.attached = None;
                    client
                        .session
                        .handle_dropped(epoch, autossm_proto::session::DropCause::Reset, now);
                }
            }
        }
    }

    pub(crate) fn settle(&mut self, client: &mut Client) {
        let (wanted, frames) = client.turn(self.now);
        for command in wanted {
            self.command(client, command);
        }
        for frame in frames {
            match frame {
                // The newest websocket takes the session over.
                Transmit::Text(_) => {
                    self.attached = Some(self.websockets);
                    self.agent.begin();
                }
                Transmit::Binary(bytes) => self.after(self.delay, What::Up(self.websockets, bytes)),
                Transmit::Ping(payload) => {
                    self.after(self.delay * 2, What::Down(self.websockets, Inbound::Pong(payload)));
                }
            }
        }
        for frame in std::mem::take(&mut self.agent.out) {
            if let Some(websocket) = self.attached {
                self.after(self.delay * 2, What::Down(websocket, Inbound::Binary(frame)));
            }
        }
    }

    pub(crate) fn command(&mut self, client: &mut Client, command: Command) {
        let token = || Secret::new("token".to_owned());
        let outcome = match command {
            Command::Start { attempt, .. } => Outcome::Started {
                attempt,
                grant: Grant {
                    session_id: "s-1".to_owned(),
                    token: token(),
                    stream_url: "wss://service".to_owned(),
                },
            },
            Command::Resume {
                attempt, session_id, ..
            } => {
                assert_eq!(session_id, "s-1");
                let away = Failure {
                    class: FailureClass::Network,
                    text: "no route".to_owned(),
                };
                let away = (self.now < self.offline).then_some(away);
                if let Some(failure) = away.or_else(|| self.refusal.clone()) {
                    return self.after(self.delay, What::Outcome(Outcome::Failed { attempt, failure }));
                }
                let grant = ResumeGrant {
                    token: Some(token()),
                    stream_url: Some("wss://service".to_owned()),
                };
                Outcome::Resumed { attempt, grant }
            }
            Command::Dial { attempt, epoch, .. } => Outcome::Dialed { attempt, epoch },
            Command::Terminate { .. } => {
                self.ended = true;
                return;
            }
            Command::Close { .. } => {
                client.epoch = None;
                return;
            }
            Command::FetchKey { .. } | Command::Abandon { .. } | Command::ReadPreferences => return,
        };
        self.after(self.delay, What::Outcome(outcome));
    }

    /// Nobody is there: what is on its way arrives.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            self.now = entry.key().0;
            if let What::ToAgent(frame) = entry.remove() {
                self.agent.handle(&frame);
                self.agent.out.clear();
            }
        }
        (self.now, self.next_tick) = (until, until);
    }

    /// The client's process is gone; of what it has under way some still arrives.
    pub(crate) fn kill(&mut self) {
        self.attached = None;
        let lost_from = self.now.after(self.rng.millis(0, 100));
        self.queue.retain(|(at, _), what| match what {
            What::ToAgent(_) => *at < lost_from,
            What::Up(..) | What::Outcome(_) | What::Down(..) | What::Reset(_) => false,
        });
    }
}
