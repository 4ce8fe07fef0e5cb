//! A session whose client was killed at a random moment, and another client that takes it over: its commands run exactly
//! once. The agent here is one of a line-wise program; what matters is who has which number.

use std::collections::VecDeque;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass, Phase, Purpose, SessionConfig};

use crate::heir::{Client, What, World};
use crate::lines::line;

/// What the session carries makes no difference to its numbers.
fn adopting(seed: u64) -> SessionConfig {
    let purpose = if seed.is_multiple_of(2) {
        Purpose::Connections
    } else {
        Purpose::Shell
    };
    SessionConfig {
        purpose,
        adopt: Some("s-1".to_owned()),
        adopt_sweep: 500,
        once: true,
        ..SessionConfig::default()
    }
}

/// A session whose client has sent commands until it was killed.
fn left_behind(seed: u64, old: bool) -> World {
    let mut world = World::new(seed, old);
    let count = world.rng.range(1, 300);
    let commands = (0..count).map(|number| line(&format!("first {number}"))).collect();
    let mut client = Client::new(&SessionConfig::default(), seed, commands, world.now);
    world.run(&mut client, world.now.after(Duration::from_secs(5)), |client| {
        client.session.snapshot().phase == Phase::Attached
    });
    let killed = world.now.after(world.rng.millis(0, 2000));
    world.loses = world.rng.range(0, 8);
    world.run(&mut client, killed, |_| false);
    world.loses = 0;
    world.kill();
    world
}

#[test]
fn the_next_command_of_200_sessions_taken_over_runs_exactly_once() {
    let (mut left_over, mut resets) = (0, 0);
    for seed in 0..200 {
        let mut world = left_behind(seed, false);
        left_over += usize::from(!world.agent.kept.is_empty());
        let commands: Vec<String> = (0..5).map(|number| format!("second {number}")).collect();
        let lines = commands.iter().map(|command| line(command)).collect();
        let wait = world.rng.millis(300, 5000);
        world.wait(wait);
        // What the first client has not acknowledged is the second one's, and all that follows.
        let first = world
            .agent
            .unacknowledged
            .front()
            .map_or(world.agent.next_out, |(number, _)| *number);
        let acknowledged = world.agent.acknowledged_from(first);
        let mut client = Client::new(&adopting(seed), seed ^ 0xff, lines, world.now);
        for _ in 0..world.rng.range(0, 3) {
            let wait = world.rng.millis(0, 4000);
            let websocket = world.websockets + world.rng.range(1, 3);
            world.after(wait, What::Reset(websocket));
            resets += 1;
        }
        let expected: Vec<u8> = commands
            .iter()
            .flat_map(|command| line(&format!("ran {command}")))
            .collect();
        world.run(&mut client, world.now.after(Duration::from_secs(900)), |client| {
            client.got.ends_with(&expected)
        });
        let second: Vec<&String> = world.agent.ran.iter().filter(|ran| ran.starts_with("second")).collect();
        assert_eq!(
            second,
            commands.iter().collect::<Vec<_>>(),
            "seed {seed}: {:?}",
            client.session.snapshot()
        );
        let said = world
            .agent
            .said
            .range(first..)
            .filter(|(number, _)| !acknowledged.contains(*number));
        let said: Vec<u8> = said.flat_map(|(_, said)| said.iter().copied()).collect();
        let (got, said) = (String::from_utf8_lossy(&client.got), String::from_utf8_lossy(&said));
        assert_eq!(got, said, "seed {seed}: {:?}", client.session.snapshot());
        assert!(
            client.got.ends_with(&expected),
            "seed {seed}: {:?}",
            client.session.snapshot()
        );
    }
    assert!(
        left_over > 20 && resets > 50,
        "{left_over} with what was left over, {resets} resets"
    );
}

#[test]
fn what_cannot_be_taken_over_is_left_alone_with_a_reason() {
    let refused = |mut world: World| {
        let mut client = Client::new(&adopting(1), 1, VecDeque::new(), world.now);
        world.run(&mut client, world.now.after(Duration::from_secs(120)), |client| {
            client.session.snapshot().phase == Phase::Stopped
        });
        assert!(!world.ended, "it belongs to somebody else");
        client.session.snapshot().cause
    };
    let cause = refused(left_behind(7, true));
    assert!(
        cause.contains("cannot be taken over") && cause.contains("3.2.1041.0"),
        "{cause}"
    );
    let mut untouched = World::new(7, false);
    untouched.agent.requested = true;
    let cause = refused(untouched);
    assert!(cause.contains("nothing was ever sent in it"), "{cause}");
}

/// The time in which the place must be found is that of a websocket: without network nothing is sought.
#[test]
fn a_drop_in_mid_search_and_a_long_outage_only_delay_it() {
    let mut world = left_behind(11, false);
    world.wait(Duration::from_secs(3));
    let command = line("second");
    let mut client = Client::new(&adopting(0), 3, VecDeque::from([command]), world.now);
    world.run(&mut client, world.now.after(Duration::from_secs(60)), |client| {
        client.session.snapshot().phase == Phase::Handshaking
    });
    world.offline = world.now.after(Duration::from_secs(300));
    world.after(Duration::from_millis(1), What::Reset(world.websockets));
    world.run(&mut client, world.now.after(Duration::from_secs(600)), |client| {
        client.got.ends_with(&line("ran second"))
    });
    assert!(
        client.got.ends_with(&line("ran second")),
        "{:?}",
        client.session.snapshot()
    );
}

/// What no waiting mends is said at once, and the session stays whose it is.
#[test]
fn a_refusal_ends_an_adoption() {
    for (class, phase) in [
        (FailureClass::AccessDenied, Phase::Stopped),
        (FailureClass::Rejected, Phase::Stopped),
        (FailureClass::Credentials, Phase::AwaitingLogin),
    ] {
        let mut world = left_behind(11, false);
        world.refusal = Some(Failure {
            class,
            text: "refused".to_owned(),
        });
        let mut client = Client::new(&adopting(1), 3, VecDeque::new(), world.now);
        world.run(&mut client, world.now.after(Duration::from_secs(5)), |client| {
            client.session.snapshot().phase == phase
        });
        let snapshot = client.session.snapshot();
        assert_eq!((snapshot.phase, snapshot.cause.as_str()), (phase, "refused"));
        assert!(!world.ended);
    }
}
