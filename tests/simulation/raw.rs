//! What AWS's agent does with a session that is not multiplexed, and the runs that try it.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{FailureClass, Phase, SessionConfig};
use bytes::Bytes;

use crate::agent::{Agent, AgentConfig, AgentOut, FarSide};
use crate::fault::Fault;
use crate::plan::{Far, FarState, Manner, Plan};
use crate::rng::{Pattern, Rng};
use crate::seeds_of;
use crate::world::World;

/// The name of the one stream.
const STREAM: u32 = 1;
/// How long the agent waits for the last acknowledges before it ends the session.
const END_WAIT: Duration = Duration::from_secs(2);

/// The agent's one connection to the destination.
#[derive(Debug, Default)]
pub(crate) struct RawPort {
    connected: bool,
    /// It is over: once everything is sent, the session ends.
    closed: bool,
    ending: Option<Timestamp>,
    over: bool,
    /// The destination was given something twice and has noticed it.
    pub(crate) corrupted: bool,
    /// The session ended before all output was acknowledged.
    pub(crate) tail_lost: bool,
}

impl Agent {
    /// What HandshakeRequest says of the session.
    pub(crate) fn raw_properties(old: bool) -> &'static str {
        if old {
            // Before 3.0.197.0 nothing is multiplexed, whatever the document says.
            r#"{"portNumber":"80","type":"LocalPortForwarding"}"#
        } else {
            r#"{"portNumber":"22"}"#
        }
    }

    /// Whose connection it is: the one that got the session, or the only one there will be.
    fn raw_key(side: &FarSide) -> Option<usize> {
        let only = (side.fars.len() == 1 && side.taken.is_empty()).then_some(0);
        side.streams.get(&STREAM).copied().or(only)
    }

    fn connect_raw(&mut self, side: &mut FarSide, now: Timestamp) {
        if self.raw.connected || self.ready_at().is_none_or(|at| at > now) {
            return;
        }
        let Some(key) = Self::raw_key(side) else { return };
        self.raw.connected = true;
        let plan = side.fars[key].plan.clone();
        side.fars[key] = Far::new(plan);
        if side.fars[key].plan.manner == Manner::Refused {
            side.fars[key].state = FarState::Refused;
            self.raw.closed = true;
        } else {
            side.fars[key].open(now);
            self.open.insert(STREAM, key);
        }
    }

    /// Bytes for the destination; false when there is none.
    pub(crate) fn raw_input(&mut self, payload: &Bytes, side: &mut FarSide, now: Timestamp) -> bool {
        self.connect_raw(side, now);
        let Some(key) = self.open.get(&STREAM).copied() else {
            return false;
        };
        let far = &mut side.fars[key];
        let fits = far.received + payload.len() as u64 <= far.plan.upload;
        if fits && Pattern::up(key).bytes(far.received, payload.len()) == payload[..] {
            far.receive(payload.len(), now);
        } else {
            // As ssh does: a byte too many is a wrong checksum.
            assert!(self.doubled > 0, "upload of connection {key} at {}", far.received);
            self.raw.corrupted = true;
            self.close_raw(FarState::Finished, side);
        }
        true
    }

    /// DisconnectToPort.
    pub(crate) fn raw_disconnect(&mut self, side: &mut FarSide, now: Timestamp) {
        self.connect_raw(side, now);
        self.close_raw(FarState::Closed, side);
    }

    fn close_raw(&mut self, state: FarState, side: &mut FarSide) {
        if let Some(key) = self.open.remove(&STREAM) {
            side.fars[key].state = state;
        }
        self.raw.closed = true;
    }

    /// The destination has closed by itself.
    pub(crate) const fn raw_finished(&mut self) {
        self.raw.closed = true;
    }

    /// Whether it takes messages no more.
    pub(crate) const fn raw_is_ending(&self) -> bool {
        self.raw.ending.is_some()
    }

    pub(crate) fn wake_raw(&mut self, side: &mut FarSide, now: Timestamp) {
        self.connect_raw(side, now);
        if self.raw.closed && self.smux_out.is_empty() && self.raw.ending.is_none() {
            self.raw.ending = Some(now.after(END_WAIT));
        }
        if self.raw_over_at().is_some_and(|at| at <= now) {
            self.raw.over = true;
            self.raw.tail_lost = !self.outgoing.is_empty();
            self.out.push(AgentOut::Failed);
        }
    }

    pub(crate) fn next_raw_wake(&self, side: &FarSide) -> Option<Timestamp> {
        let connects = !self.raw.connected && Self::raw_key(side).is_some();
        let connect = self.ready_at().filter(|_| connects);
        let ends = self.raw.closed && self.smux_out.is_empty() && self.raw.ending.is_none();
        let ends = ends.then_some(Timestamp::ZERO);
        [connect, ends, self.raw_over_at()].into_iter().flatten().min()
    }

    fn raw_over_at(&self) -> Option<Timestamp> {
        let until = self.raw.ending.filter(|_| self.link_up && !self.raw.over)?;
        Some(if self.outgoing.is_empty() {
            Timestamp::ZERO
        } else {
            until
        })
    }
}

fn raw_agent() -> AgentConfig {
    AgentConfig {
        raw: true,
        ..AgentConfig::default()
    }
}

/// As ssh uses it: the session exists for this one connection.
fn once() -> SessionConfig {
    SessionConfig {
        once: true,
        ..SessionConfig::default()
    }
}

fn single(plan: Plan) -> World {
    World::new(once(), raw_agent(), vec![plan], 1)
}

/// A random scenario with one connection; for every other seed as ssh uses it.
fn scenario(seed: u64) -> World {
    let mut rng = Rng::new(seed ^ 0x7261_7700);
    let old = rng.chance(15);
    let agent = AgentConfig {
        old,
        gap: rng.micros(0, 20_000),
        ready_delay: if rng.chance(30) {
            rng.millis(0, 4000)
        } else {
            Duration::ZERO
        },
        ..raw_agent()
    };
    let mut plan = Plan::random(&mut rng);
    let config = if seed.is_multiple_of(2) {
        plan.open_at = Duration::ZERO;
        once()
    } else {
        SessionConfig::default()
    };
    let mut world = World::new(config, agent, vec![plan], seed);
    world.net.delay = rng.millis(0, 150);
    world.agent_delay = rng.millis(0, 100);
    for _ in 0..rng.range(0, 12) {
        let fault = Fault::random(&mut rng, old);
        world.fault_at(rng.millis(0, 40_000), fault);
    }
    world
}

#[test]
fn raw_seeds_0_to_600() {
    seeds_of(0..600, scenario);
}

#[test]
fn raw_seeds_600_to_1200() {
    seeds_of(600..1200, scenario);
}

#[test]
fn raw_seeds_1200_to_1800() {
    seeds_of(1200..1800, scenario);
}

#[test]
fn nothing_goes_wrong_in_a_raw_session() {
    for manner in [Manner::Exchange, Manner::HalfClose, Manner::FarClosesEarly] {
        let mut world = single(Plan::plain(manner, 300_000, 300_000));
        world.run();
        let figures = world.host.session.figures();
        assert_eq!((figures.drops, figures.resent), (0, 0));
        assert_eq!(world.host.session.snapshot().phase, Phase::Stopped);
        assert_eq!(world.host.session.figures().starts, 1, "once is once");
    }
}

/// sshd says its version before any client is there to read it.
#[test]
fn what_the_destination_says_first_is_there_when_the_connection_comes() {
    let plan = Plan {
        open_at: Duration::from_secs(3),
        ..Plan::plain(Manner::Exchange, 20, 40)
    };
    let mut world = World::new(SessionConfig::default(), raw_agent(), vec![plan], 1);
    world.run();
    assert_eq!(world.host.session.figures().starts, 1);
}

#[test]
fn a_local_close_or_reset_ends_the_raw_session() {
    for manner in [Manner::WaitsForEof, Manner::Reset(100)] {
        let mut world = single(Plan::plain(manner, 50_000, 5000));
        world.run();
        let cause = world.host.session.snapshot().cause;
        assert!(
            ["the connection is over", "the session has ended: over"].contains(&cause.as_str()),
            "{cause}"
        );
        assert_eq!(world.ended, 1, "{manner:?}: no orphan");
    }
}

#[test]
fn a_drop_in_each_step_of_a_raw_handshake() {
    for ms in 0..300 {
        let mut world = single(Plan::plain(Manner::Exchange, 5000, 5000));
        world.fault_at(Duration::from_millis(ms), Fault::Rst);
        world.run();
    }
}

#[test]
fn a_process_replaced_at_any_record_of_a_raw_session() {
    for manner in [Manner::Exchange, Manner::WaitsForEof, Manner::FarClosesEarly] {
        let plan = Plan {
            // A slow reader: the session is over while the client still has to be given something.
            read_chunk: 500,
            gap: Duration::from_millis(20),
            ..Plan::plain(manner, 6000, 6000)
        };
        let mut whole = single(plan.clone());
        whole.run();
        let records = whole.host.journal.len();
        assert!(records > 10, "{records} records");
        for record in 1..records {
            let mut world = single(plan.clone());
            world.host.kill_at = Some(record);
            world.run();
            assert_eq!(world.host.seen.restores, 1);
        }
    }
}

/// Nothing can prevent it in a raw session; what ends then must say why.
#[test]
fn double_delivery_is_noticed_by_the_destination_and_the_user_is_told_why() {
    let mut corrupted = 0;
    for start in 0..20 {
        let mut world = single(Plan::plain(Manner::Exchange, 400_000, 1000));
        for cut in 0..10 {
            world.fault_at(Duration::from_millis(300 + start * 7 + cut * 150), Fault::CutAtHandover);
        }
        world.run();
        if world.corrupted {
            corrupted += 1;
            let cause = world.host.session.snapshot().cause;
            assert!(cause.contains("handed over twice"), "{cause}");
        }
    }
    assert!(corrupted > 10, "noticed {corrupted} times");
}

/// A forward through an agent that cannot multiplex: one connection, then a new session for the next.
#[test]
fn connections_through_an_old_agent_get_a_session_each() {
    let agent = AgentConfig {
        old: true,
        ..raw_agent()
    };
    let plans = vec![Plan::plain(Manner::Exchange, 20_000, 20_000); 3];
    let mut world = World::new(SessionConfig::default(), agent, plans, 1);
    world.run();
    assert_eq!(world.host.session.figures().starts, 3);
}

#[test]
fn a_session_that_is_started_once_does_not_wait_for_what_waiting_does_not_mend() {
    for class in [
        FailureClass::Credentials,
        FailureClass::AccessDenied,
        FailureClass::TargetNotConnected,
        FailureClass::Rejected,
    ] {
        let mut world = single(Plan::plain(Manner::Exchange, 100, 100));
        world.fault_at(Duration::ZERO, Fault::Calls(class, Duration::from_secs(3600)));
        world.run();
        let stopped = world.host.session.snapshot().since;
        assert!(stopped < Timestamp::ZERO.after(Duration::from_secs(1)), "{stopped:?}");
        assert_eq!(world.host.session.figures().starts, 0);
    }
    let mut world = single(Plan::plain(Manner::Exchange, 100, 100));
    world.fault_at(
        Duration::ZERO,
        Fault::Calls(FailureClass::Network, Duration::from_secs(60)),
    );
    world.run();
    assert_eq!(world.host.session.figures().starts, 1, "a network is waited for");
}

/// Once it runs, everything is waited for.
#[test]
fn a_login_is_waited_for_while_a_raw_session_runs() {
    let mut world = single(Plan::plain(Manner::Exchange, 2_000_000, 1_000_000));
    let outage = Duration::from_secs(120);
    world.fault_at(
        Duration::from_millis(400),
        Fault::Calls(FailureClass::Credentials, outage),
    );
    world.fault_at(Duration::from_millis(401), Fault::Rst);
    world.run();
    assert_eq!(world.host.session.figures().drops, 1);
}
