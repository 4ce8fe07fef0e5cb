//! Shells over drops, with somebody in front of them who types, reads, or does not read for a while.

use std::collections::VecDeque;
use std::time::Duration;

use autossm_proto::session::{Phase, Purpose, SessionConfig, Trouble};

use crate::heir::{Client, What, World};
use crate::lines::line;
use crate::wanted;

const SECOND: Duration = Duration::from_secs(1);

/// Room for a few messages, so that a local program that does not read is felt.
fn config() -> SessionConfig {
    SessionConfig {
        purpose: Purpose::Shell,
        receive_limit_per_stream: 16 << 10,
        ..SessionConfig::default()
    }
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed, seed % 5 == 4);
    world.agent.shell = true;
    world
}

fn said(world: &World) -> String {
    let said = world.agent.said.values().flatten().copied().collect();
    String::from_utf8(said).unwrap()
}

/// What is typed runs once and in order, and what the program says is read once and in order, whatever is cut when, whoever
/// reads or not.
#[test]
fn three_hundred_shells_lose_and_double_nothing() {
    let (mut drops, mut stops) = (0, 0);
    for seed in wanted().unwrap_or(0..300) {
        let mut world = world(seed);
        let count = world.rng.range(1, 60);
        let commands: Vec<String> = (0..count)
            .map(|number| match world.rng.range(0, 3) {
                0 => format!("print {}", world.rng.range(1, 40)),
                _ => format!("command {number}"),
            })
            .collect();
        let lines: VecDeque<Vec<u8>> = commands.iter().map(|command| line(command)).collect();
        let mut client = Client::new(&config(), seed, VecDeque::new(), world.now);
        world.loses = world.rng.range(0, 6);
        for typed in lines {
            client.commands.push_back(typed);
            let wait = match world.rng.range(0, 40) {
                0 => world.rng.millis(1500, 90_000),
                _ => world.rng.millis(0, 1500),
            };
            if world.rng.chance(20) {
                let cut = world.rng.millis(0, 1500);
                world.after(cut, What::Reset(world.websockets));
                drops += 1;
            }
            if world.rng.chance(5) {
                world.offline = world.now.after(world.rng.millis(0, 30_000));
            }
            client.reads = world.rng.chance(80);
            let until = world.now.after(wait);
            world.run(&mut client, until, |_| false);
            stops += usize::from(client.session.snapshot().trouble == Some(Trouble::LocalNotReading));
        }
        client.reads = true;
        (world.loses, world.offline) = (0, world.now);
        let done = |world: &World| world.agent.ran.len() == commands.len() && world.agent.unacknowledged.is_empty();
        for _ in 0..600 {
            if done(&world) {
                break;
            }
            let until = world.now.after(SECOND);
            world.run(&mut client, until, |_| false);
        }
        let snapshot = client.session.snapshot();
        assert_eq!(world.agent.ran, commands, "seed {seed}: {snapshot:?}");
        assert_eq!(
            String::from_utf8_lossy(&client.got),
            said(&world),
            "seed {seed}: {snapshot:?}"
        );
    }
    assert!(drops > 300 && stops > 100, "{drops} drops, {stops} times full");
}

/// A pager that nobody scrolls, and a drop: the session is back before anybody reads again.
#[test]
fn who_does_not_read_keeps_no_session_from_coming_back() {
    let mut world = world(1);
    let typed = VecDeque::from([line("print 500")]);
    let mut client = Client::new(&config(), 1, typed, world.now);
    client.reads = false;
    let full = |client: &Client| client.session.snapshot().trouble == Some(Trouble::LocalNotReading);
    let until = world.now.after(60 * SECOND);
    world.run(&mut client, until, full);
    assert!(full(&client), "{:?}", client.session.snapshot());
    let got = client.got.len();
    client.commands.push_back(line("typed meanwhile"));
    let until = world.now.after(10 * SECOND);
    world.run(&mut client, until, |_| false);
    let resent = client.session.figures().resent;
    let until = world.now.after(600 * SECOND);
    world.run(&mut client, until, |_| false);
    let figures = client.session.figures();
    assert_eq!(figures.resent, resent, "what is not read cannot be missed");
    assert!(figures.backlog_bytes < 100, "{figures:?}");
    for drop in 1..=100 {
        world.after(SECOND, What::Reset(world.websockets));
        let until = world.now.after(60 * SECOND);
        world.run(&mut client, until, |client| {
            client.session.figures().drops == drop && client.session.snapshot().phase == Phase::Attached
        });
        let snapshot = client.session.snapshot();
        assert_eq!(
            (snapshot.phase, snapshot.figures.drops),
            (Phase::Attached, drop),
            "{snapshot:?}"
        );
    }
    let more = client.got.len() - got;
    assert!(more <= 100 * 2048, "{more} bytes more are held");
    client.reads = true;
    let until = world.now.after(300 * SECOND);
    world.run(&mut client, until, |client| {
        client.got.ends_with(&line("ran typed meanwhile"))
    });
    assert_eq!(String::from_utf8_lossy(&client.got), said(&world));
}

/// An agent before 3.2.1041.0 says nothing of what it has had, a shell has no handshake that tells its version, and below the first
/// message there is none to ask with.
#[test]
fn a_drop_at_the_first_message_leaves_a_shell_of_an_old_agent_usable() {
    for seed in 0..20 {
        let mut world = World::new(seed, true);
        world.agent.shell = true;
        let typed = (0..5).map(|number| line(&format!("command {number}"))).collect();
        let mut client = Client::new(&config(), seed, typed, world.now);
        while world.agent.expected == 0 {
            let until = world.now.after(Duration::from_millis(1));
            world.run(&mut client, until, |_| false);
        }
        world.after(Duration::ZERO, What::Reset(world.websockets));
        let until = world.now.after(300 * SECOND);
        world.run(&mut client, until, |client| {
            client.got.ends_with(&line("ran command 4"))
        });
        let snapshot = client.session.snapshot();
        assert_eq!(
            String::from_utf8_lossy(&client.got),
            said(&world),
            "{seed}: {snapshot:?}"
        );
        assert_eq!(
            (world.agent.ran.len(), snapshot.figures.starts),
            (5, 1),
            "{seed}: {snapshot:?}"
        );
        let until = world.now.after(300 * SECOND);
        world.run(&mut client, until, |_| false);
        let snapshot = client.session.snapshot();
        assert_eq!(
            (snapshot.trouble, snapshot.figures.starts),
            (None, 1),
            "{seed}: {snapshot:?}"
        );
    }
}
