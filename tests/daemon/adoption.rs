//! A session whose daemon was killed, taken over by another one that knows nothing but its id.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use autossm_proto::session::Phase;
use autossm_sim::Simulator;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::daemon::{Daemon, config};

const PROGRAM: &str = env!("CARGO_BIN_EXE_autossm");

async fn daemon(text: &str) -> Daemon {
    Daemon::start(Path::new(PROGRAM), &[], text).await.unwrap()
}

/// The first session there is.
async fn session_id(simulator: &Simulator) -> String {
    simulator.sessions().await[0].session_id.clone()
}

/// A daemon that takes this session over.
async fn successor(simulator: &Simulator, port: u16, session_id: &str) -> Daemon {
    let more = format!("session_id = \"{session_id}\"\n");
    daemon(&config(&simulator.endpoint_url(), port, &more)).await
}

#[tokio::test]
async fn the_connection_of_a_killed_daemon_goes_on_with_another() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = destination.local_addr().unwrap().port();
    let defaults = format!(
        "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n",
        simulator.endpoint_url()
    );
    let first = daemon(&defaults).await;
    let mut proxy = Command::new(PROGRAM)
        .args(["proxy", "i-0123456789abcdef0", &port.to_string()])
        .env_clear()
        // With keys of its own it would not ask the daemon.
        .envs(
            first
                .environment()
                .into_iter()
                .filter(|(name, _)| !name.starts_with("AWS_")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut far, _) = destination.accept().await.unwrap();
    let mut near = (proxy.stdin.take().unwrap(), proxy.stdout.take().unwrap());
    for number in 0..200u32 {
        let sent = number.to_be_bytes();
        near.0.write_all(&sent).await.unwrap();
        let mut came = [0; 4];
        far.read_exact(&mut came).await.unwrap();
        assert_eq!(came, sent);
        far.write_all(&came).await.unwrap();
        near.1.read_exact(&mut came).await.unwrap();
        assert_eq!(came, sent);
    }
    // What is not acknowledged when the first is killed comes again, as it must.
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while simulator.sessions().await[0].agent.unacknowledged > 0 {
        ticks.tick().await;
    }
    first.signal(Signal::KILL).unwrap();
    drop(first.ended().await.unwrap());
    let second = successor(&simulator, port, &session_id(&simulator).await).await;
    second.attached().await.unwrap();
    let mut client = TcpStream::connect(second.listener().await.unwrap()).await.unwrap();
    client.write_all(b"once and only once").await.unwrap();
    let mut came = [0; 18];
    far.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"once and only once");
    far.write_all(b"the answer").await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"the answer");
    far.write_all(b"!").await.unwrap();
    drop(far);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"!", "nothing came twice");
    second
        .wait_until("stopped", |session| session.phase == Phase::Stopped)
        .await
        .unwrap();
    assert_eq!(simulator.calls().start, 1, "nothing follows its end");
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_left_alone() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let first = daemon(&config(&simulator.endpoint_url(), 9, "")).await;
    first.attached().await.unwrap();
    let forward = session_id(&simulator).await;
    for (session_id, why) in [
        (
            forward.as_str(),
            "it is a port forward, whose streams belong to the client",
        ),
        ("sim-nobody", "it has ended, or is in another account"),
    ] {
        let second = successor(&simulator, 9, session_id).await;
        let session = second
            .wait_until("a refusal", |session| session.phase == Phase::Stopped)
            .await
            .unwrap();
        assert!(
            session.cause.contains("cannot be taken over") && session.cause.contains(why),
            "{session:?}"
        );
    }
    assert!(!simulator.sessions().await[0].ended, "it belongs to the first");
    assert_eq!(first.session().await.unwrap().figures.drops, 0);
}
