//! Machines that give less than one hopes for.

use std::path::Path;

use autossm_sim::Simulator;
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, config};
use crate::support::traffic::{Destination, Load, exchange};

/// Connections that their clients have left are not held for long.
const QUICK: &str = "timings = { fin_grace = \"50ms\" }\n";

/// Runs the program after `prelude`.
async fn through_a_shell(prelude: &str, more: &str) -> (Simulator, Destination, Daemon) {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = Destination::start().await.unwrap();
    let text = config(&simulator.endpoint_url(), destination.address.port(), more);
    let script = format!("{prelude} exec \"$0\" \"$@\"");
    let before = ["-c", &script, env!("CARGO_BIN_EXE_autossm")];
    let daemon = Daemon::start(Path::new("/bin/sh"), &before, &text).await.unwrap();
    (simulator, destination, daemon)
}

async fn moves_bytes(destination: &Destination, daemon: &Daemon) {
    daemon.attached().await.unwrap();
    let load = Load {
        key: 1,
        up: 100_000,
        down: 100_000,
        pace: 0,
    };
    let socket = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    assert!(exchange(socket, load, &destination.progress).await.unwrap().is_exact());
}

#[tokio::test]
async fn twenty_file_descriptors_are_enough_for_one_session_and_more_clients_are_survived() {
    let (_simulator, destination, daemon) = through_a_shell("ulimit -n 20;", QUICK).await;
    moves_bytes(&destination, &daemon).await;
    let address = daemon.listener().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    while !daemon.log().contains("cannot accept local connections now") {
        ticks.tick().await;
    }
    // Who asks for the status is answered also now.
    let session = daemon.session().await.unwrap();
    assert!(session.connections > 0, "{session:?}");
    drop(clients);
    moves_bytes(&destination, &daemon).await;
    assert_eq!(daemon.session().await.unwrap().figures.starts, 1);
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let (_simulator, destination, daemon) = through_a_shell("exec 2>/dev/full;", "").await;
    moves_bytes(&destination, &daemon).await;
    daemon.client().set_log_level("trace").await.unwrap();
    moves_bytes(&destination, &daemon).await;
    assert_eq!(daemon.log(), "", "it went to the full disk");
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
}
