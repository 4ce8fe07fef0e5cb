//! Helpers that take their time.

use std::process::Stdio;

use autossm_proto::session::Phase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::credentials::{TARGET, hanging_helper, helper_profile, printing, working};
use crate::home::is_alive;
use crate::login::workplace;
use crate::support::daemon::PATIENCE;

#[tokio::test]
async fn a_helper_that_hangs_is_killed_with_its_group() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let pid = hanging_helper(&home);
    let daemon = working(&home).await;
    daemon
        .until_phase(
            Phase::Starting,
            "credential_process of profile `work` does not answer, going on to wait",
        )
        .await;
    let pids = std::fs::read_to_string(&pid).unwrap();
    assert!(pids.split_whitespace().all(is_alive), "it is given its time");
    daemon
        .awaits_login("credential_process did not answer within 60s and was killed")
        .await;
    daemon
        .until("both are gone", async || !pids.split_whitespace().any(is_alive))
        .await;
}

#[tokio::test]
async fn a_helper_that_takes_longer_than_a_call_is_run_once_and_used() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let slow = format!("echo run >> \"$HOME/runs\"\nsleep 12\n{}", printing(&home, "AKIA"));
    let script = home.script("helper", &slow);
    home.aws_config(&helper_profile(&script));
    let daemon = working(&home).await;
    daemon.until_phase(Phase::Starting, "going on to wait").await;
    daemon.attached().await;
    assert_eq!(std::fs::read_to_string(home.path("runs")).unwrap().lines().count(), 1);
}

/// Without a daemon, where the session is for one connection and gives up when a login is needed.
#[tokio::test]
async fn a_helper_that_takes_ten_seconds_is_waited_for() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let slow = format!("sleep 10\n{}", printing(&home, "AKIA"));
    home.aws_config(&helper_profile(&home.script("helper", &slow)));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let mut proxy = home.command(&["proxy", "--profile", "work", TARGET, &port]);
    let mut child = proxy
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let greet = async {
        let (mut stream, _) = server.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).await.unwrap();
        said
    };
    let said = tokio::time::timeout(PATIENCE, greet).await.unwrap();
    assert_eq!(&said, b"hello");
}
