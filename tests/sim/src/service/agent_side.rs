//! The agent behind a session with its link: the simulator's own, or a program outside.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::agent_link::AgentLink;
use super::outside::OutsideAgent;
use super::socket::PeerSocket;
use crate::agent::{Agent, AgentState};
use crate::counters::Counters;
use crate::fault::LinkFault;
use crate::lane::Frame;

/// How the agent's link has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up {
        /// It was up before.
        again: bool,
    },
    Down,
}

/// The agent's side of a session.
#[derive(Debug)]
pub(crate) enum AgentSide {
    /// The simulator's own agent; its link is inside the process.
    Inside(Box<InsideAgent>),
    /// A program; its link is a websocket.
    Outside(Box<OutsideAgent>),
}

/// The simulator's own agent and its link.
#[derive(Debug)]
pub(crate) struct InsideAgent {
    link: AgentLink,
    agent: Agent,
}

impl AgentSide {
    pub(crate) fn inside(agent: Agent, reconnect_delay: Duration) -> Self {
        let link = AgentLink::new(reconnect_delay);
        Self::Inside(Box::new(InsideAgent { link, agent }))
    }

    /// The session starts, as far as the agent is told.
    pub(crate) fn start(&mut self, now: Instant) {
        if let Self::Inside(inside) = self {
            inside.agent.start(now);
        }
    }

    /// Whether [`AgentSide::start`] has nothing to do any more.
    pub(crate) fn has_started(&self) -> bool {
        match self {
            Self::Inside(inside) => inside.agent.has_started(),
            Self::Outside(_) => true,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        match self {
            Self::Inside(inside) => inside.link.is_up(),
            Self::Outside(outside) => outside.link.is_connected(),
        }
    }

    /// Whether [`AgentSide::push`] should be called now; a link that is down takes and loses everything.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Inside(inside) => !inside.link.is_up() || inside.link.down.has_room(),
            Self::Outside(outside) => !outside.link.is_connected() || outside.link.down.has_room(),
        }
    }

    /// A message for the agent; false when its link is down.
    pub(crate) fn push(&mut self, frame: Bytes, now: Instant) -> bool {
        let up = self.is_up();
        match self {
            Self::Inside(inside) if up => inside.link.down.push(Frame::Message(frame), now),
            Self::Outside(outside) => outside.link.push(frame, now),
            Self::Inside(_) => {}
        }
        up
    }

    /// The next message for the client that has arrived.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Bytes> {
        match self {
            Self::Inside(inside) => message(inside.link.up.pop(now)?),
            Self::Outside(outside) => outside.pop(now),
        }
    }

    /// The next message for the client whether it has arrived or not.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        match self {
            Self::Inside(inside) => message(inside.link.up.take()?),
            Self::Outside(_) => None,
        }
    }

    /// Lets it work. True when something moved.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>, now: Instant, counters: &Arc<Counters>) -> (bool, Option<Link>) {
        match self {
            Self::Inside(inside) => inside.run(cx, now),
            Self::Outside(outside) => outside.run(cx, now, counters),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Link> {
        match self {
            Self::Inside(inside) => inside.handle_timeout(now),
            Self::Outside(outside) => {
                outside.link.up.handle_timeout(now);
                outside.link.down.handle_timeout(now);
                None
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = match self {
            Self::Inside(inside) => [inside.link.poll_timeout(), inside.agent.poll_timeout()],
            Self::Outside(outside) => [outside.link.up.poll_timeout(), outside.link.down.poll_timeout()],
        };
        timeouts.into_iter().flatten().min()
    }

    /// The reason, once the agent has ended the session.
    pub(crate) fn poll_over(&mut self, now: Instant) -> Option<String> {
        match self {
            Self::Inside(inside) => inside.agent.poll_over(now),
            Self::Outside(outside) => outside.over.take(),
        }
    }

    /// The agent's websocket; only one outside has such a thing.
    pub(crate) fn attach(&mut self, socket: PeerSocket) -> Option<Link> {
        match self {
            Self::Inside(_) => None,
            Self::Outside(outside) => Some(outside.attach(socket)),
        }
    }

    pub(crate) fn fault(&mut self, fault: LinkFault, now: Instant) -> Option<Link> {
        match self {
            Self::Inside(inside) => inside.fault(fault, now),
            Self::Outside(outside) => outside.link.fault(fault, now).then_some(Link::Down),
        }
    }

    /// The session is over; `last` is the message that says so.
    pub(crate) fn end(&mut self, last: Option<&Bytes>) {
        if let Self::Outside(outside) = self {
            outside.link.close_with(last.cloned());
        }
    }

    /// Whether no ended connection is still busy ending.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Inside(_) => Poll::Ready(()),
            Self::Outside(outside) => outside.link.poll_ended(cx),
        }
    }

    pub(crate) fn state(&self) -> AgentState {
        match self {
            Self::Inside(inside) => inside.agent.state(),
            Self::Outside(outside) => AgentState {
                ready: outside.link.is_connected(),
                ..AgentState::default()
            },
        }
    }
}

impl InsideAgent {
    fn run(&mut self, cx: &mut Context<'_>, now: Instant) -> (bool, Option<Link>) {
        let mut progress = false;
        let mut change = None;
        while self.agent.wants_frame()
            && (!self.link.is_up() || self.link.up.has_room())
            && let Some(Frame::Message(frame)) = self.link.down.pop(now)
        {
            progress = true;
            self.agent.handle_frame(&frame, now);
            let lost = self.transmit(now);
            change = change.or(lost);
        }
        progress |= self.agent.poll_port(cx, now);
        if self.link.up.has_room() {
            progress |= self.agent.pump(now);
        }
        let lost = self.transmit(now);
        (progress, change.or(lost))
    }

    /// What the agent wrote goes on its link; a link it lost is taken down on this side too.
    fn transmit(&mut self, now: Instant) -> Option<Link> {
        while let Some(frame) = self.agent.poll_transmit() {
            self.link.up.push(Frame::Message(frame), now);
        }
        let lost = self.link.is_up() && !self.agent.is_link_up();
        lost.then(|| self.away(now))
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<Link> {
        let back = self.link.handle_timeout(now);
        if back {
            self.agent.link_restored();
        }
        self.agent.handle_timeout(now);
        back.then_some(Link::Up { again: true })
    }

    fn fault(&mut self, fault: LinkFault, now: Instant) -> Option<Link> {
        match fault {
            LinkFault::Close { .. } => {}
            LinkFault::Reset | LinkFault::Fin | LinkFault::CloseMidFrame { .. } => {
                self.agent.lose_acknowledges(now);
            }
            LinkFault::Away { for_ms } => {
                self.agent.lose_acknowledges(now);
                self.link.refuse(now + Duration::from_millis(for_ms));
            }
            LinkFault::ResetBeforeAcknowledge => {
                self.agent.reset_at_next_acknowledge();
                return None;
            }
            LinkFault::Traffic(disturbance) => {
                self.link.disturb(&disturbance, now);
                return None;
            }
            LinkFault::Heal => {
                self.link.heal();
                return None;
            }
        }
        Some(self.away(now))
    }

    fn away(&mut self, now: Instant) -> Link {
        self.agent.link_lost();
        self.link.cut(now);
        Link::Down
    }
}

fn message(frame: Frame) -> Option<Bytes> {
    match frame {
        Frame::Message(bytes) => Some(bytes),
        // The link inside has no pings.
        Frame::Pong(_) => None,
    }
}
