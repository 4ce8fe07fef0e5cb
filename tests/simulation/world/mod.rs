//! Everything together: the session's host, Session Manager, one agent, the applications on both sides.

mod faults;
mod service;

use std::collections::BTreeSet;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{Attempt, Epoch, FailureClass, Phase, ResetCause, SessionConfig};

use crate::agent::{Agent, AgentConfig, FarSide};
use crate::fault::Fault;
use crate::host::Host;
use crate::kms::Kms;
use crate::local::End;
use crate::net::{Happening, Heal, Net};
use crate::plan::{Far, FarState, Manner, Plan};

/// Virtual time after which a run has failed.
const LIMIT: Timestamp = Timestamp::from_nanos(6 * 3600 * 1_000_000_000);

/// One AWS session.
#[derive(Debug)]
struct Aws {
    id: u64,
    agent: Agent,
    /// The agent's websocket; what an earlier one carried is lost.
    agent_link: u64,
    /// Opens the next data channel, once.
    token: Option<String>,
    client: Option<Epoch>,
    /// The last input or resume.
    active: Timestamp,
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) host: Host,
    side: FarSide,
    plans: Vec<Plan>,
    agent: AgentConfig,
    pub(crate) agent_delay: Duration,
    aws: Option<Aws>,
    sessions: u64,
    tokens: u64,
    calls: Option<FailureClass>,
    pub(crate) kms: Kms,
    /// The account ends sessions after so long without input.
    pub(crate) idle_out: Option<Duration>,
    /// Messages that change nothing.
    pub(crate) harmless: u64,
    /// How long a call waits for its turn.
    pub(crate) turn_delay: Duration,
    refuses: bool,
    /// Calls that are not made when their turn comes.
    abandoned: BTreeSet<Attempt>,
    /// Every so many messages vanish in the service.
    loses: Option<u64>,
    loses_acks: bool,
    /// So many data messages of the agent are still to vanish.
    hole: u64,
    carried: u64,
    slow_at: Option<(Timestamp, Duration)>,
    /// Until when the client's machine sleeps.
    asleep: Option<Timestamp>,
    /// The dead process has been dealt with.
    buried: bool,
    pub(crate) ended: u64,
    pub(crate) doubled: u64,
    /// Doubled bytes were noticed at the destination of a raw session.
    pub(crate) corrupted: bool,
    /// The end of a raw session may have come too early: told by the service, or before all was acknowledged.
    cut_short: bool,
    /// Calls have failed.
    calls_failed: bool,
    pub(crate) lost: u64,
}

impl World {
    pub(crate) fn new(config: SessionConfig, agent: AgentConfig, plans: Vec<Plan>, seed: u64) -> Self {
        let mut net = Net {
            delay: Duration::from_millis(10),
            ..Net::default()
        };
        for (key, plan) in plans.iter().enumerate() {
            net.queue.after(plan.open_at, Happening::Open(key));
        }
        let mut host = Host::new(config, seed);
        host.raw = agent.raw;
        host.session.start(Timestamp::ZERO);
        let fars = plans.iter().cloned().map(Far::new).collect();
        Self {
            net,
            host,
            side: FarSide {
                fars,
                ..FarSide::default()
            },
            plans,
            agent,
            agent_delay: Duration::from_millis(5),
            aws: None,
            sessions: 0,
            tokens: 0,
            calls: None,
            kms: Kms::default(),
            idle_out: None,
            harmless: 0,
            turn_delay: Duration::ZERO,
            refuses: false,
            abandoned: BTreeSet::new(),
            loses: None,
            loses_acks: false,
            hole: 0,
            carried: 0,
            slow_at: None,
            asleep: None,
            buried: false,
            ended: 0,
            doubled: 0,
            corrupted: false,
            cut_short: false,
            calls_failed: false,
            lost: 0,
        }
    }

    pub(crate) fn fault_at(&mut self, at: Duration, fault: Fault) {
        self.net.queue.after(at, Happening::Fault(fault));
    }

    /// From then on the agent is this far away.
    pub(crate) fn slow_agent_from(&mut self, at: Duration, delay: Duration) {
        self.slow_at = Some((self.net.queue.now.after(at), delay));
    }

    /// Runs until every connection has ended, then compares what came out with what went in.
    pub(crate) fn run(&mut self) {
        let mut turns = 0u64;
        while !self.is_done() {
            turns += 1;
            assert!(
                turns < 20_000_000,
                "the run does not end: {:?}",
                self.host.session.snapshot()
            );
            let now = self.net.queue.now;
            if let Some((at, delay)) = self.slow_at
                && at <= now
            {
                self.agent_delay = delay;
            }
            assert!(
                now < LIMIT,
                "not done in time: {:?} {:?} {:?}",
                self.host.session.snapshot(),
                self.host.locals,
                self.aws
            );
            if !self.host.dead && self.asleep.is_none() {
                self.host.due(now);
                self.host.turn(&mut self.net);
            }
            self.step_agent();
            if self.idle_end().is_some_and(|at| at <= now) {
                self.end_session(true);
            }
            if self.host.dead && !self.buried && self.asleep.is_none() {
                self.die();
            }
            let mut happened = false;
            while self.net.queue.next_at().is_some_and(|at| at <= now) {
                if let Some(happening) = self.net.queue.pop() {
                    self.happen(happening);
                    happened = true;
                }
            }
            if happened {
                // What follows from it follows now.
                continue;
            }
            let agent = self
                .aws
                .as_ref()
                .filter(|aws| !aws.ended)
                .and_then(|aws| aws.agent.next_wake(&self.side));
            let host = self.asleep.is_none().then(|| self.host.wake()).flatten();
            let events = [self.net.queue.next_at(), host, agent, self.idle_end()];
            let next = events.into_iter().flatten().min();
            let Some(next) = next else {
                let (snapshot, locals) = (self.host.session.snapshot(), &self.host.locals);
                assert!(self.is_done(), "nothing is waited for: {snapshot:?} {locals:?}");
                break;
            };
            self.net.queue.now = next.max(now);
        }
        self.verify();
    }

    fn is_done(&self) -> bool {
        let ended =
            self.host.locals.len() == self.plans.len() && self.host.locals.values().all(|local| local.end.is_some());
        // A session that is started only once leaves nothing behind, unless its process died on the way.
        let gone = self.aws.as_ref().is_none_or(|aws| aws.ended) || self.host.seen.restores > 0;
        ended && (!self.host.config.once || gone && self.host.session.snapshot().phase == Phase::Stopped)
    }

    /// The reference: each connection got exactly what its manner promises. Every byte was compared where it arrived.
    fn verify(&self) {
        for (key, local) in &self.host.locals {
            let far = &self.side.fars[*key];
            let what = format!("connection {key} {local:?} {far:?}");
            match local.end {
                Some(End::Finished) => {
                    let complete = far.state != FarState::Absent;
                    if self.agent.raw && (self.corrupted || self.cut_short) {
                        assert!(local.written <= local.plan.download, "{what}");
                        continue;
                    }
                    assert!(complete, "{what}");
                    assert_eq!(local.written, far.sent, "{what}");
                    match local.plan.manner {
                        Manner::Exchange | Manner::HalfClose => {
                            assert_eq!(
                                (local.written, far.received),
                                (local.plan.download, local.plan.upload),
                                "{what}"
                            );
                        }
                        Manner::WaitsForEof => {
                            assert_eq!(far.received, local.plan.upload, "{what}");
                        }
                        Manner::FarClosesEarly => {
                            assert_eq!(local.written, local.plan.download, "{what}");
                        }
                        Manner::Reset(_) | Manner::Refused => {}
                    }
                }
                Some(End::Reset(ResetCause::DestinationRefused)) => {
                    assert_eq!(local.plan.manner, Manner::Refused, "{what}");
                }
                Some(End::Reset(ResetCause::SessionEnded)) => assert!(self.ended > 0, "{what}"),
                Some(End::Reset(ResetCause::NotStarted(_))) => {
                    assert!(self.host.config.once && self.calls_failed, "{what}");
                }
                Some(End::Own) => assert!(matches!(local.plan.manner, Manner::Reset(_)), "{what}"),
                None => panic!("{what}"),
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.net.queue.now;
        if let Some(until) = self.asleep.filter(|_| happening.is_client()) {
            self.net.queue.at(until, happening);
            return;
        }
        match happening {
            Happening::Wake(slept) => {
                self.asleep = None;
                if !self.host.dead {
                    self.host.session.handle_slept(slept, now);
                }
            }
            Happening::Command(command) => self.command(command),
            Happening::Turn(command) => self.call(command),
            Happening::Outcome(outcome) => self.host.outcome(outcome, now),
            Happening::Up(epoch, frame) => self.up(epoch, frame),
            Happening::Down(epoch, frame) => {
                if self.host.epoch == Some(epoch) {
                    self.host.inbox.push_back((epoch, frame));
                }
            }
            Happening::ClientLoses(epoch, cause) => {
                if self.host.epoch == Some(epoch) {
                    self.host.epoch = None;
                    self.host.inbox.clear();
                    self.host.dropped(epoch, cause, now);
                }
            }
            Happening::ServiceNotices(epoch) => self.client_gone(epoch),
            Happening::ToAgent(link, message) => self.reach_agent(link, message),
            Happening::FromAgent(link, bytes) => self.carry_from_agent(link, bytes),
            Happening::AgentLinkUp(link) => {
                if let Some(aws) = self.aws.as_mut().filter(|aws| aws.agent_link == link) {
                    aws.agent.link_up = true;
                    // The service tells it at once whether anybody listens.
                    aws.agent.paused = aws.client.is_none();
                }
            }
            Happening::Fault(fault) => self.strike(&fault),
            Happening::Heal(Heal::ClientPipes(epoch)) => self.net.heal(epoch),
            Happening::Heal(Heal::Control) => self.calls = None,
            Happening::Heal(Heal::Dials) => self.refuses = false,
            Happening::Heal(Heal::Losses) => (self.loses, self.loses_acks) = (None, false),
            Happening::Open(key) => {
                if self.host.dead {
                    // The listener is down for a moment; the kernel keeps the connection in its queue.
                    self.net.queue.after(Duration::from_secs(1), Happening::Open(key));
                } else {
                    self.host.open(key, self.plans[key].clone(), now);
                }
            }
            Happening::Restart => {
                self.buried = false;
                self.abandoned.clear();
                self.host.restore(now);
            }
        }
    }
}
