//! When an AWS session is there: it idles out, ends, sleeps until somebody connects, or is kept from idling.

use std::time::Duration;

use autossm_proto::session::{OnEnd, Phase, SessionConfig, StartWhen};

use crate::agent::AgentConfig;
use crate::fault::Fault;
use crate::plan::{Manner, Plan};
use crate::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// One connection now and one at `later`, and an account that ends sessions after 20 idle minutes.
fn two_connections(config: SessionConfig, later: Duration) -> World {
    let first = Plan::plain(Manner::Exchange, 5000, 5000);
    let second = Plan {
        open_at: later,
        ..first
    };
    let mut world = World::new(config, AgentConfig::default(), vec![first, second], 1);
    world.idle_out = Some(20 * MINUTE);
    world
}

#[test]
fn a_session_that_idles_out_sleeps_until_somebody_connects() {
    let mut world = two_connections(SessionConfig::default(), 300 * MINUTE);
    world.run();
    // A quiet afternoon is not fifteen StartSessions.
    assert_eq!(world.host.session.figures().starts, 2);
    assert!(world.host.phases.contains(&Phase::Dormant), "{:?}", world.host.phases);
    assert_eq!(world.ended, 1);
}

#[test]
fn a_session_that_shall_be_there_is_started_anew_each_time() {
    let config = SessionConfig {
        on_end: OnEnd::Restart,
        ..SessionConfig::default()
    };
    let mut world = two_connections(config.clone(), 300 * MINUTE);
    world.run();
    let starts = world.host.session.figures().starts;
    assert!((14..=16).contains(&starts), "{starts}");
    assert!(!world.host.phases.contains(&Phase::Dormant));
    // Also when its first start waited for somebody.
    let config = SessionConfig {
        start: StartWhen::OnConnect,
        ..config
    };
    let mut world = two_connections(config, 300 * MINUTE);
    world.run();
    assert_eq!(world.host.phases[0], Phase::Dormant);
    assert!(world.host.session.figures().starts >= 14);
}

#[test]
fn a_kept_session_does_not_idle_out_and_is_sent_no_more_than_that_takes() {
    let config = SessionConfig {
        idle_keepalive: Some(5 * MINUTE),
        ..SessionConfig::default()
    };
    let mut world = two_connections(config, 300 * MINUTE);
    world.run();
    assert_eq!((world.host.session.figures().starts, world.ended), (1, 0));
    // One every five minutes, and a few for the attach and for what the connections needed.
    let harmless = world.harmless;
    assert!((58..=64).contains(&harmless), "{harmless}");
}

#[test]
fn local_connections_of_a_session_that_ends_are_reset_and_a_new_session_follows() {
    let slow = Plan {
        gap: Duration::from_secs(1),
        write_chunk: 10,
        ..Plan::plain(Manner::Exchange, 5000, 5000)
    };
    for (on_end, phase) in [(OnEnd::Auto, Phase::Ended), (OnEnd::Dormant, Phase::Dormant)] {
        let config = SessionConfig {
            on_end,
            ..SessionConfig::default()
        };
        let mut world = World::new(config, AgentConfig::default(), vec![slow.clone()], 1);
        world.fault_at(Duration::from_secs(5), Fault::End(true));
        world.run();
        let last = world.host.session.snapshot().phase;
        assert_eq!(last, phase, "{on_end:?}");
    }
}

#[test]
fn a_session_that_stops_at_its_end_is_wanted_no_more() {
    let config = SessionConfig {
        on_end: OnEnd::Stop,
        ..SessionConfig::default()
    };
    let mut world = World::new(
        config,
        AgentConfig::default(),
        vec![Plan::plain(Manner::Exchange, 500_000, 5_000_000)],
        1,
    );
    world.fault_at(Duration::from_secs(2), Fault::End(true));
    world.run();
    let session = &world.host.session;
    assert!(!session.is_wanted());
    assert_eq!(
        (session.snapshot().phase, session.figures().starts),
        (Phase::Stopped, 1)
    );
    assert_eq!(session.poll_timeout(), None);
}
