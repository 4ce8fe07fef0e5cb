//! Where local connections come in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use autossm::status::SessionStatus;
use autossm_sim::{Fault, Port, PortFault, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::support::daemon::Daemon;

/// A destination that answers four bytes with the same four.
async fn echo_four() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut four = [0; 4];
            if socket.read_exact(&mut four).await.is_ok() {
                socket.write_all(&four).await.unwrap();
            }
        }
    });
    (port, tasks)
}

async fn start(simulator: &Simulator, forward: &str) -> Daemon {
    let text = format!(
        "[session.demo]\ntarget = \"i-0123456789abcdef0\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\nforward = {forward}\n",
        simulator.endpoint_url()
    );
    Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap()
}

async fn answers(mut socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    socket.write_all(b"ping").await.unwrap();
    let mut four = [0; 4];
    socket.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
}

#[tokio::test]
async fn on_both_families_of_localhost() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let (port, _tasks) = echo_four().await;
    let daemon = start(&simulator, &format!("{{ listen = \"localhost:0\", port = {port} }}")).await;
    let session = daemon
        .wait_until("listeners", |session| !session.listeners.is_empty())
        .await
        .unwrap();
    for listener in &session.listeners {
        answers(TcpStream::connect(listener).await.unwrap()).await;
    }
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(
        session.listeners.len(),
        if has_ipv6 { 2 } else { 1 },
        "{:?}",
        session.listeners
    );
}

#[tokio::test]
async fn a_client_that_gave_up_while_waiting_is_not_delivered() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let no_data_channel = |for_ms| Fault::Port {
        port: Port::DataChannel,
        fault: PortFault::Refuse,
        for_ms,
    };
    simulator.inject(no_data_channel(None)).await.unwrap();
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = destination.local_addr().unwrap().port();
    let daemon = start(&simulator, &format!("{{ listen = \"127.0.0.1:0\", port = {port} }}")).await;
    let address = daemon.listener().await.unwrap();
    let mut patient = TcpStream::connect(address).await.unwrap();
    patient.write_all(b"patient").await.unwrap();
    let mut gave_up = Vec::new();
    for _ in 0..200 {
        gave_up.push(TcpStream::connect(address).await.unwrap());
    }
    let all = |session: &SessionStatus| session.connections == 201;
    daemon.wait_until("all are there", all).await.unwrap();
    drop(gave_up);
    let one = |session: &SessionStatus| session.connections == 1;
    daemon.wait_until("one is left", one).await.unwrap();
    simulator.inject(no_data_channel(Some(1))).await.unwrap();
    let (mut arrived, _) = destination.accept().await.unwrap();
    let mut sent = [0; 7];
    arrived.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"patient");
    assert_eq!(daemon.session().await.unwrap().connections, 1);
}

#[tokio::test]
async fn on_a_unix_socket_that_is_ours_alone() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let (port, _tasks) = echo_four().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db.sock");
    let daemon = start(
        &simulator,
        &format!("{{ listen = \"unix:{}\", port = {port} }}", path.display()),
    )
    .await;
    daemon
        .wait_until("listeners", |session| !session.listeners.is_empty())
        .await
        .unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    answers(UnixStream::connect(&path).await.unwrap()).await;
    daemon.terminate().await.unwrap();
    assert!(!path.exists(), "the socket is removed at the end");
}

#[tokio::test]
async fn to_a_remote_host_behind_the_instance() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let (port, _tasks) = echo_four().await;
    let forward = format!("{{ listen = \"127.0.0.1:0\", host = \"127.0.0.1\", port = {port} }}");
    let daemon = start(&simulator, &forward).await;
    answers(TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap()).await;
}

#[tokio::test]
async fn a_port_in_use_is_said_and_tried_again() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let (port, _tasks) = echo_four().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let daemon = start(&simulator, &format!("{{ listen = \"{address}\", port = {port} }}")).await;
    let session = daemon
        .wait_until("an error", |session| session.listener_error.is_some())
        .await
        .unwrap();
    assert!(session.listener_error.unwrap().contains(&address.to_string()));
    drop(taken);
    assert_eq!(daemon.listener().await.unwrap(), address);
    answers(TcpStream::connect(address).await.unwrap()).await;
}
