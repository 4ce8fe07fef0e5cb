//! Virtual time: what happens when, and pipes that keep order.

use std::collections::BTreeMap;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{Command, DropCause, Epoch, Outcome};
use bytes::Bytes;

use crate::fault::Fault;

/// A frame between client and service.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    /// The service closes with this code.
    Close(u16),
}

/// A message between service and agent.
#[derive(Clone, Debug)]
pub(crate) enum ToAgent {
    Message(Bytes),
    Pause,
    Start,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Command(Command),
    /// The turn of a call has come.
    Turn(Command),
    Outcome(Outcome),
    Up(Epoch, Frame),
    Down(Epoch, Frame),
    /// The client's end of a websocket fails.
    ClientLoses(Epoch, DropCause),
    /// The service notices that a client is gone.
    ServiceNotices(Epoch),
    ToAgent(u64, ToAgent),
    FromAgent(u64, Bytes),
    AgentLinkUp(u64),
    Fault(Fault),
    /// The client's machine wakes up after so long.
    Wake(Duration),
    /// A fault that lasts is over.
    Heal(Heal),
    Open(usize),
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heal {
    ClientPipes(Epoch),
    Control,
    Dials,
    Losses,
}

/// What has been scheduled, in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) now: Timestamp,
    next: u64,
    events: BTreeMap<(Timestamp, u64), Happening>,
}

impl Happening {
    /// Whether it needs the client's machine to be awake.
    pub(crate) const fn is_client(&self) -> bool {
        match self {
            Self::Command(_)
            | Self::Turn(_)
            | Self::Outcome(_)
            | Self::Down(..)
            | Self::ClientLoses(..)
            | Self::Open(_)
            | Self::Restart => true,
            Self::Up(..)
            | Self::ServiceNotices(_)
            | Self::ToAgent(..)
            | Self::FromAgent(..)
            | Self::AgentLinkUp(_)
            | Self::Fault(_)
            | Self::Wake(_)
            | Self::Heal(_) => false,
        }
    }
}

impl Queue {
    pub(crate) fn at(&mut self, at: Timestamp, happening: Happening) {
        self.next += 1;
        self.events.insert((at.max(self.now), self.next), happening);
    }

    pub(crate) fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now.after(wait), happening);
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    /// A process has died: nothing that was meant for it happens any more.
    pub(crate) fn forget_process(&mut self) {
        self.events.retain(|_, happening| match happening {
            Happening::Command(_)
            | Happening::Turn(_)
            | Happening::Outcome(_)
            | Happening::Up(..)
            | Happening::Down(..)
            | Happening::ClientLoses(..)
            | Happening::ServiceNotices(_)
            | Happening::Heal(Heal::ClientPipes(_)) => false,
            Happening::ToAgent(..)
            | Happening::FromAgent(..)
            | Happening::AgentLinkUp(_)
            | Happening::Fault(_)
            | Happening::Wake(_)
            | Happening::Heal(_)
            | Happening::Open(_)
            | Happening::Restart => true,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<Happening> {
        self.events.pop_first().map(|(_, happening)| happening)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// What is sent waits, and arrives if the pipe ever opens again.
    Stalled,
    /// What is sent is gone.
    Discarding,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    pub(crate) delay: Duration,
    pub(crate) mode: Mode,
    last: Timestamp,
    waiting: Vec<T>,
}

impl<T> Pipe<T> {
    pub(crate) const fn new(delay: Duration) -> Self {
        Self {
            delay,
            mode: Mode::Open,
            last: Timestamp::ZERO,
            waiting: Vec::new(),
        }
    }

    /// Sends; gives back the thing and when it arrives, if it does.
    pub(crate) fn send(&mut self, thing: T, now: Timestamp) -> Option<(Timestamp, T)> {
        match self.mode {
            Mode::Open => {
                self.last = self.last.max(now.after(self.delay));
                Some((self.last, thing))
            }
            Mode::Stalled => {
                self.waiting.push(thing);
                None
            }
            Mode::Discarding => None,
        }
    }

    /// Whether a sender's socket takes no more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= 200
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.mode != Mode::Open
    }

    pub(crate) fn heal(&mut self, now: Timestamp) -> Vec<(Timestamp, T)> {
        self.mode = Mode::Open;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().filter_map(|thing| self.send(thing, now)).collect()
    }
}

/// One websocket between client and service.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) up: Pipe<Frame>,
    pub(crate) down: Pipe<Frame>,
    /// The client's end is open.
    pub(crate) client_open: bool,
    /// The service's end is open.
    pub(crate) service_open: bool,
    /// It has opened a data channel with its token.
    pub(crate) accepted: bool,
    /// The kernel will give up on what a black hole swallows.
    pub(crate) doomed: bool,
}

impl Link {
    pub(crate) const fn new(delay: Duration) -> Self {
        Self {
            up: Pipe::new(delay),
            down: Pipe::new(delay),
            client_open: true,
            service_open: true,
            accepted: false,
            doomed: false,
        }
    }
}

/// The queue and the websockets.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) queue: Queue,
    pub(crate) links: BTreeMap<Epoch, Link>,
    pub(crate) delay: Duration,
}

impl Net {
    pub(crate) fn send_up(&mut self, epoch: Epoch, frame: Frame) {
        let now = self.queue.now;
        let Some(link) = self.links.get_mut(&epoch).filter(|link| link.client_open) else {
            return;
        };
        if link.up.mode == Mode::Discarding && !std::mem::replace(&mut link.doomed, true) {
            let cause = DropCause::Error {
                text: "connection timed out".to_owned(),
            };
            self.queue
                .after(Duration::from_secs(30), Happening::ClientLoses(epoch, cause));
            return;
        }
        if let Some((at, frame)) = link.up.send(frame, now) {
            self.queue.at(at, Happening::Up(epoch, frame));
        }
    }

    pub(crate) fn send_down(&mut self, epoch: Epoch, frame: Frame) {
        let now = self.queue.now;
        let Some(link) = self.links.get_mut(&epoch).filter(|link| link.service_open) else {
            return;
        };
        if let Some((at, frame)) = link.down.send(frame, now) {
            self.queue.at(at, Happening::Down(epoch, frame));
        }
    }

    /// The service says goodbye and closes: what it said before arrives first.
    pub(crate) fn bye(&mut self, epoch: Epoch) {
        self.send_down(epoch, Frame::Close(1000));
        if let Some(link) = self.links.get_mut(&epoch) {
            link.service_open = false;
            self.queue.after(Duration::ZERO, Happening::ServiceNotices(epoch));
        }
    }

    /// Both ends are gone, what was on its way is lost; each side learns of it unless a black hole is in between.
    pub(crate) fn reset(&mut self, epoch: Epoch, told: bool) {
        let Some(link) = self.links.get_mut(&epoch) else {
            return;
        };
        let (up, down) = (link.up.is_stuck(), link.down.is_stuck());
        link.service_open = false;
        self.queue.after(Duration::ZERO, Happening::ServiceNotices(epoch));
        if told && !up && !down {
            let wait = link.down.delay;
            self.queue.after(wait, Happening::ClientLoses(epoch, DropCause::Reset));
        } else if told {
            let wait = Duration::from_secs(60);
            self.queue
                .after(wait, Happening::ClientLoses(epoch, DropCause::EndOfStream));
        }
    }

    pub(crate) fn heal(&mut self, epoch: Epoch) {
        let now = self.queue.now;
        let Some(link) = self.links.get_mut(&epoch) else {
            return;
        };
        for (at, frame) in link.up.heal(now) {
            self.queue.at(at, Happening::Up(epoch, frame));
        }
        for (at, frame) in link.down.heal(now) {
            self.queue.at(at, Happening::Down(epoch, frame));
        }
    }
}
