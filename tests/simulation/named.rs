//! Named cases.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{NetworkChange, SessionConfig};

use crate::agent::AgentConfig;
use crate::fault::Fault;
use crate::plan::{Manner, Plan};
use crate::world::World;

fn plain(upload: u64, download: u64) -> World {
    let plans = vec![Plan::plain(Manner::Exchange, upload, download)];
    World::new(SessionConfig::default(), AgentConfig::default(), plans, 1)
}

#[test]
fn nothing_goes_wrong() {
    let mut world = plain(300_000, 300_000);
    world.run();
    assert_eq!((world.host.seen.drops, world.host.session.figures().resent), (0, 0));
}

#[test]
fn a_drop_in_each_step_of_the_handshake() {
    for ms in 0..300 {
        let mut world = plain(5000, 5000);
        world.fault_at(Duration::from_millis(ms), Fault::Rst);
        world.run();
    }
}

#[test]
fn every_acknowledge_lost() {
    let mut world = plain(200_000, 200_000);
    world.fault_at(Duration::from_millis(100), Fault::LoseAcks(Duration::from_secs(5)));
    world.run();
    assert!(world.lost > 0);
}

#[test]
fn double_delivery() {
    let mut doubled = 0;
    for start in 0..20 {
        let mut world = plain(400_000, 1000);
        for cut in 0..10 {
            world.fault_at(Duration::from_millis(300 + start * 7 + cut * 150), Fault::CutAtHandover);
        }
        world.run();
        doubled += world.doubled;
    }
    assert!(doubled > 20, "the agent handed over twice {doubled} times");
}

#[test]
fn minutes_of_round_trip_time_to_the_agent() {
    let mut world = plain(3_000_000, 3_000_000);
    // Beyond the handshake's 15 s the agent gives up, so the delay comes afterwards.
    world.net.delay = Duration::from_millis(20);
    world.slow_agent_from(Duration::from_millis(1500), Duration::from_secs(60));
    world.run();
    assert_eq!(world.host.seen.drops, 0, "slow is not dead");
}

#[test]
fn a_session_that_ends_in_mid_transfer() {
    for told in [true, false] {
        let mut world = plain(1_000_000, 1_000_000);
        world.fault_at(Duration::from_millis(600), Fault::End(told));
        world.run();
        assert_eq!(world.ended, 1);
    }
}

#[test]
fn a_process_replaced_at_any_record() {
    let mut whole = plain(6000, 6000);
    whole.run();
    let records = whole.host.journal.len();
    assert!(records > 30, "{records} records");
    for record in 1..records {
        let mut world = plain(6000, 6000);
        world.host.kill_at = Some(record);
        world.run();
        assert_eq!(world.host.seen.restores, 1);
    }
}

#[test]
fn a_hole_of_5000_messages() {
    let mut world = plain(1000, 8_000_000);
    world.fault_at(Duration::from_millis(600), Fault::Hole(5000));
    world.run();
    assert_eq!(world.lost, 5000);
    assert!(world.host.seen.most_reorder > 2_000_000, "{:?}", world.host.seen);
}

#[test]
fn connections_that_end_while_no_process_is_there() {
    // Others come all the time, also while the session is not attached again yet.
    let later = (1..30).map(|nth| Plan {
        open_at: Duration::from_millis(250 * nth),
        ..Plan::plain(Manner::Exchange, 200, 200)
    });
    let plans: Vec<Plan> = std::iter::once(Plan::plain(Manner::Reset(3), 36, 500))
        .chain(later)
        .collect();
    let start = || {
        let mut world = World::new(SessionConfig::default(), AgentConfig::default(), plans.clone(), 1);
        world.net.delay = Duration::from_millis(200);
        world
    };
    let mut whole = start();
    whole.run();
    for record in 1..whole.host.journal.len() {
        let mut world = start();
        world.host.kill_at = Some(record);
        world.run();
        assert_eq!(world.host.seen.restores, 1);
    }
}

/// The client has closed its half and waits for the answer.
fn waits_for_its_answer() -> World {
    let plan = Plan {
        answer_delay: Duration::from_millis(3500),
        ..Plan::plain(Manner::HalfClose, 3000, 3000)
    };
    World::new(SessionConfig::default(), AgentConfig::default(), vec![plan], 1)
}

#[test]
fn a_dead_link_is_no_silence() {
    let mut world = waits_for_its_answer();
    // Everything is acknowledged, nothing flies, the next ping is far away: only the held-back FIN wants to go out.
    let at = Duration::from_millis(1500);
    world.fault_at(at, Fault::Stall(true, true, Duration::from_secs(14)));
    world.run();
}

#[test]
fn an_answer_that_waits_behind_a_refill_is_waited_for() {
    let other = Plan {
        far_chunk: 500,
        far_gap: Duration::from_millis(10),
        ..Plan::plain(Manner::Exchange, 1000, 120_000)
    };
    let waiting = Plan {
        answer_delay: Duration::from_millis(3500),
        ..Plan::plain(Manner::HalfClose, 3000, 3000)
    };
    let mut world = World::new(
        SessionConfig::default(),
        AgentConfig::default(),
        vec![other, waiting],
        1,
    );
    // The agent speaks into nothing for a while, and then has only its oldest message to send again and again.
    world.fault_at(
        Duration::from_millis(700),
        Fault::Discard(false, true, Duration::from_millis(4000)),
    );
    world.run();
    assert!(world.host.seen.drops <= 1, "{:?}", world.host.seen);
}

#[test]
fn a_short_sleep_drops_nothing() {
    let mut world = plain(500_000, 500_000);
    // Longer than every ping, probe and timer.
    let at = Duration::from_millis(500);
    world.fault_at(at, Fault::Sleep(Duration::from_secs(90)));
    world.run();
    assert_eq!(world.host.seen.drops, 0);
}

#[test]
fn a_sleep_in_every_step_of_the_handshake() {
    for ms in (0..300).step_by(3) {
        let mut world = plain(5000, 5000);
        world.fault_at(Duration::from_millis(ms), Fault::Sleep(Duration::from_secs(10)));
        world.run();
    }
}

/// How long after this moment the session was attached again.
fn recovered_after(world: &World, drop: usize, moment: Duration) -> Duration {
    let record = &world.host.session.snapshot().history[drop];
    let back = record.at.after(record.recovered_after.unwrap());
    back.since(Timestamp::ZERO.after(moment))
}

#[test]
fn a_lid_closed_for_half_an_hour_is_back_at_once() {
    let mut world = plain(100_000, 1_000_000);
    world.fault_at(Duration::from_millis(500), Fault::Sleep(Duration::from_secs(1800)));
    world.fault_at(Duration::from_millis(700), Fault::Close(1000));
    world.run();
    let woke = Duration::from_millis(500) + Duration::from_secs(1800);
    let back = recovered_after(&world, 0, woke);
    // Ten milliseconds each way: a call, a dial and the proof.
    assert!(back < Duration::from_millis(200), "{back:?}");
    assert_eq!(world.host.seen.drops, 1);
}

#[test]
fn a_network_that_returns_is_used_at_once() {
    let mut world = plain(100_000, 1_000_000);
    let returns = Duration::from_secs(600);
    world.fault_at(Duration::from_millis(500), Fault::Refuse(returns));
    world.fault_at(Duration::from_millis(501), Fault::Rst);
    let told = returns + Duration::from_millis(510);
    world.fault_at(told, Fault::Network(NetworkChange::Route));
    world.run();
    let back = recovered_after(&world, 0, told);
    // Five round trips of 20 ms and 100 ms.
    assert!(back < Duration::from_millis(200), "{back:?}");
}

/// Each wake-up finds a dead link that had not held: none of them waits longer for those before it.
#[test]
fn a_flapping_lid_is_back_at_once_each_time() {
    let mut world = plain(100_000, 7_000_000);
    let naps = 10;
    for nap in 0..naps {
        let closed = Duration::from_secs(1) + Duration::from_secs(6) * nap;
        world.fault_at(closed, Fault::Sleep(Duration::from_secs(5)));
        world.fault_at(closed + Duration::from_millis(200), Fault::Rst);
    }
    world.run();
    assert_eq!(world.host.session.figures().drops, 10);
    for nap in 0..10 {
        let woke = Duration::from_secs(6) * u32::try_from(nap + 1).unwrap();
        let back = recovered_after(&world, nap, woke);
        assert!(back < Duration::from_millis(200), "nap {nap}: {back:?}");
    }
}

/// The soak showed it: the agent's link takes a whole flight with it, and there is no new data whose acknowledge would
/// tell. One message a timer, and each timer twice as long as the last, were hours.
#[test]
fn a_whole_flight_lost_behind_the_service_is_back_within_seconds() {
    for upload in [3000, 60_000, 120_000] {
        let plan = Plan {
            open_at: Duration::from_secs(1),
            ..Plan::plain(Manner::Exchange, upload, 1000)
        };
        let mut world = World::new(SessionConfig::default(), AgentConfig::default(), vec![plan], 1);
        world.agent_delay = Duration::from_millis(30);
        world.fault_at(Duration::from_millis(1020), Fault::AgentCut(Duration::from_millis(50)));
        world.run();
        assert_eq!(world.host.session.figures().drops, 0, "the client's websocket was well");
        assert!(world.host.session.figures().resent > 0);
        let took = world.net.queue.now.since(Timestamp::ZERO);
        assert!(took < Duration::from_secs(10), "{upload} bytes: {took:?}");
    }
}
