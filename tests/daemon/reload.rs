//! Another configuration while bytes move.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::Simulator;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::support::pattern::Tally;
use crate::support::traffic::{Destination, Load, exchange};

const SESSIONS: usize = 20;
/// Bytes each way and connection, at a pace that makes it last some seconds.
const BYTES: u64 = 800_000;
const PACE: u64 = 100_000;

fn session(text: &mut String, name: &str, port: u16, more: &str) {
    write!(
        text,
        "[session.{name}]\ntarget = \"i-0123456789abcdef0\"\nforward = {{ listen = \"127.0.0.1:0\", port = {port} }}\n{more}"
    )
    .unwrap();
}

fn name(index: usize) -> String {
    format!("s{index:02}")
}

/// Waits until the daemon's sessions are as described.
async fn sessions(daemon: &Daemon, holds: impl Fn(&[SessionStatus]) -> bool) -> Vec<SessionStatus> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let wait = async {
        loop {
            ticks.tick().await;
            let sessions = daemon.client().status().await.unwrap().sessions;
            if holds(&sessions) {
                return sessions;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("log:\n{}", daemon.log()))
}

fn all_attached(sessions: &[SessionStatus]) -> bool {
    let ready = |session: &SessionStatus| session.phase == Phase::Attached && !session.listeners.is_empty();
    sessions.iter().all(ready)
}

fn address(session: &SessionStatus) -> SocketAddr {
    session.listeners[0].parse().unwrap()
}

#[tokio::test]
async fn twenty_forwards_one_added_one_removed_one_changed_and_the_others_exact() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = Destination::start().await.unwrap();
    let port = destination.address.port();
    let defaults = format!(
        "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n",
        simulator.endpoint_url()
    );
    let mut text = defaults.clone();
    (0..SESSIONS).for_each(|index| session(&mut text, &name(index), port, ""));
    let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap();
    let before = sessions(&daemon, all_attached).await;

    let mut transfers = JoinSet::new();
    for (index, session) in before.iter().enumerate() {
        let (address, progress) = (address(session), Arc::clone(&destination.progress));
        let load = Load {
            key: index as u64,
            up: BYTES,
            down: BYTES,
            pace: PACE,
        };
        transfers.spawn(async move {
            let socket = TcpStream::connect(address).await.unwrap();
            (index, exchange(socket, load, &progress).await)
        });
    }
    sessions(&daemon, |sessions| {
        sessions.iter().all(|session| session.figures.bytes_up > 20_000)
    })
    .await;

    // The first is gone, the second says something else, one is new.
    let mut text = defaults;
    session(&mut text, &name(1), port, "reason = \"changed\"\n");
    (2..SESSIONS).for_each(|index| session(&mut text, &name(index), port, ""));
    session(&mut text, "new", port, "");
    daemon.write_config(&text).unwrap();
    let reloaded = daemon.client().reload().await.unwrap();
    assert_eq!(reloaded.message, "1 added, 1 removed, 1 restarted, 18 unchanged");
    let moved = destination.progress.up.load(Ordering::Relaxed);
    assert!(moved < BYTES * SESSIONS as u64, "the reload came after the transfers");

    let exact = Tally {
        expected: BYTES,
        received: BYTES,
        wrong: 0,
    };
    while let Some(ended) = transfers.join_next().await {
        let (index, tally) = ended.unwrap();
        match tally {
            Err(error) => assert!(index < 2, "{index}: {error}; log:\n{}", daemon.log()),
            Ok(tally) if index < 2 => assert!(!tally.is_exact(), "{index} should have been cut off"),
            Ok(tally) => assert_eq!(tally, exact, "{index}"),
        }
    }
    let after = sessions(&daemon, all_attached).await;
    let names: Vec<&str> = after.iter().map(|session| session.name.as_str()).collect();
    assert_eq!(names.len(), SESSIONS);
    assert!(!names.contains(&"s00") && names.contains(&"new"), "{names:?}");
    for (index, before) in before.iter().enumerate().skip(2) {
        let after = after.iter().find(|session| session.name == before.name).unwrap();
        assert_eq!(destination.tally(index as u64), Some(exact), "{index}");
        assert_eq!(after.session_id, before.session_id);
        assert_eq!((after.figures.starts, after.figures.drops), (1, 0));
        assert_eq!(after.listeners, before.listeners);
    }
    let changed = after.iter().find(|session| session.name == "s01").unwrap();
    assert_ne!(changed.session_id, before[1].session_id);
    assert!(
        TcpStream::connect(address(&before[0])).await.is_err(),
        "nobody listens there any more"
    );
    // The removed and the changed one were terminated, nothing else was.
    let ended = simulator
        .sessions()
        .await
        .iter()
        .filter(|session| session.ended)
        .count();
    assert_eq!(ended, 2);
}

#[tokio::test]
async fn a_hangup_reloads_and_a_bad_file_changes_nothing() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "");
    let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap();
    sessions(&daemon, all_attached).await;
    daemon.write_config("[session.demo]\n").unwrap();
    daemon.signal(Signal::HUP).unwrap();
    let mut events = daemon.client().events().await.unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let reload = loop {
        ticks.tick().await;
        if let Some(reload) = daemon.client().status().await.unwrap().last_reload {
            break reload;
        }
    };
    assert!(!reload.ok && reload.message.contains("missing"), "{reload:?}");
    assert!(
        daemon
            .log()
            .contains("the configuration is wrong, so nothing has changed"),
        "{}",
        daemon.log()
    );
    let session = daemon.session().await.unwrap();
    assert_eq!((session.phase, session.figures.starts), (Phase::Attached, 1));

    daemon
        .write_config(&format!("{text}on_exit = \"terminate\"\n"))
        .unwrap();
    daemon.signal(Signal::HUP).unwrap();
    loop {
        let line = events.next().await.unwrap().unwrap();
        if line.contains("1 updated") {
            break;
        }
    }
    assert_eq!(daemon.session().await.unwrap().figures.starts, 1);
    // What was updated is heeded.
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
    assert!(simulator.sessions().await.iter().all(|session| session.ended));
}

#[tokio::test]
async fn many_reloads_at_once_are_done_one_after_the_other() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "");
    let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let client = daemon.client().clone();
        asking.spawn(async move { client.reload().await });
        daemon.signal(Signal::HUP).unwrap();
    }
    while let Some(reloaded) = asking.join_next().await {
        assert_eq!(reloaded.unwrap().unwrap().message, "1 unchanged");
    }
    let attached = sessions(&daemon, all_attached).await;
    assert_eq!(attached[0].figures.starts, 1);
}
