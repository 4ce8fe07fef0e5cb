//! How soon a drop is noticed and how soon the session is back, exactly, in virtual time. What it takes on real
//! sockets is measured by the soak and by the two hosts of `tests/daemon/hosts`.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{DropCause, DropRecord, NetworkChange, SessionConfig};

use crate::agent::AgentConfig;
use crate::fault::Fault;
use crate::plan::{Manner, Plan};
use crate::world::World;

/// One way of the path, as `World` has it by default.
const ONE_WAY: Duration = Duration::from_millis(10);
const STRIKE: Duration = Duration::from_secs(2);
/// Five round trips and 100 ms: a call (its own TCP connection: two), the dial (two), the proof.
const BACK: Duration = Duration::from_millis(5 * 20 + 100);

/// A connection that is busy both ways for a good while, and one much later, so that there is time to be idle.
fn world(busy: bool) -> World {
    let first = if busy {
        Plan {
            write_chunk: 5000,
            gap: Duration::from_millis(30),
            far_chunk: 5000,
            far_gap: Duration::from_millis(30),
            ..Plan::plain(Manner::Exchange, 800_000, 800_000)
        }
    } else {
        Plan::plain(Manner::Exchange, 1000, 1000)
    };
    let last = Plan {
        open_at: Duration::from_secs(90),
        ..Plan::plain(Manner::Exchange, 1000, 1000)
    };
    let world = World::new(SessionConfig::default(), AgentConfig::default(), vec![first, last], 1);
    assert_eq!(world.net.delay, ONE_WAY);
    world
}

/// The first drop after this fault, and how long after it.
fn first_drop(mut world: World, fault: Fault) -> (Duration, DropRecord) {
    world.fault_at(STRIKE, fault);
    world.run();
    let history = world.host.session.snapshot().history;
    let record = history.first().expect("a drop").clone();
    (record.at.since(Timestamp::ZERO.after(STRIKE)), record)
}

#[test]
fn close_and_reset_are_noticed_when_they_arrive_and_the_session_is_back_in_five_round_trips() {
    for busy in [true, false] {
        for fault in [Fault::Close(1000), Fault::Close(1001), Fault::Rst] {
            let (noticed, record) = first_drop(world(busy), fault);
            // An idle link has held for 2 s only, so its first wait is drawn below 100 ms.
            assert!(noticed <= ONE_WAY, "{noticed:?}: {record:?}");
            let back = record.recovered_after.unwrap();
            assert!(back <= BACK + Duration::from_millis(100), "{back:?}");
            assert_eq!(record.attempts, 1);
        }
    }
}

#[test]
fn a_silent_black_hole_is_noticed_within_6_seconds_under_traffic() {
    let long = Duration::from_secs(60);
    for (up, down) in [(true, true), (false, true)] {
        for fault in [Fault::Stall(up, down, long), Fault::Discard(up, down, long)] {
            let text = format!("{fault:?}");
            let (noticed, record) = first_drop(world(true), fault);
            assert!(noticed <= Duration::from_secs(6), "{text}: {noticed:?}");
            assert_eq!(record.cause, DropCause::BacklogStalled, "{text}");
        }
    }
}

#[test]
fn a_silent_black_hole_is_noticed_within_interval_and_timeout_when_idle() {
    let config = SessionConfig::default();
    let long = Duration::from_secs(60);
    for (up, down) in [(true, true), (true, false), (false, true)] {
        let (noticed, record) = first_drop(world(false), Fault::Stall(up, down, long));
        assert!(noticed <= config.ping_interval + config.ping_timeout, "{noticed:?}");
        assert_eq!(record.cause, DropCause::PongOverdue);
    }
}

/// The network is away for ten minutes.
fn away(announced: bool) -> Duration {
    let mut world = world(true);
    let returns = Duration::from_secs(600);
    world.fault_at(STRIKE, Fault::Refuse(returns));
    world.fault_at(STRIKE, Fault::Rst);
    let usable = STRIKE + returns + Duration::from_millis(1);
    if announced {
        world.fault_at(usable, Fault::Network(NetworkChange::Route));
    }
    world.run();
    let record = world.host.session.snapshot().history[0].clone();
    let back = record.at.after(record.recovered_after.unwrap());
    back.since(Timestamp::ZERO.after(usable))
}

#[test]
fn a_network_whose_return_the_kernel_tells_is_used_within_five_round_trips() {
    let back = away(true);
    assert!(back <= BACK, "{back:?}");
}

#[test]
fn a_network_whose_return_nobody_tells_is_used_within_the_cap() {
    let back = away(false);
    // The simulation's waits have the default's cap of 15 s.
    assert!(back <= Duration::from_secs(15) + BACK, "{back:?}");
}

/// Of a changed route the probe's verdict comes two seconds later, of a vanished address at once.
#[test]
fn a_route_that_changes_under_a_dead_link_is_noticed_within_the_probes_two_seconds() {
    let mut world = world(true);
    world.fault_at(STRIKE, Fault::Stall(true, true, Duration::from_secs(60)));
    let told = STRIKE + Duration::from_millis(100);
    world.fault_at(told, Fault::Network(NetworkChange::Route));
    world.run();
    let record = world.host.session.snapshot().history[0].clone();
    let noticed = record.at.since(Timestamp::ZERO.after(told));
    assert!(noticed <= Duration::from_millis(2100), "{noticed:?}");
    assert!(record.recovered_after.unwrap() <= BACK, "{record:?}");
}
