//! Sessions that end, and destinations that are not there.

use std::io::ErrorKind;

use autossm_proto::session::Phase;
use autossm_sim::{Fault, LinkFault, ResumeOfEnded, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, config};
use crate::support::traffic::Load;
use crate::{Bench, QUICK};
use autossm_sim::Simulator;

/// Ends the session in mid-transfer: local connections are reset, the listener stays, the next session works.
async fn ends(faults: Vec<Fault>) {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    let address = bench.daemon.listener().await.unwrap();
    let mut transfer = bench
        .transfer(vec![Load {
            key: 1,
            up: 1 << 30,
            down: 0,
            pace: 500_000,
        }])
        .await;
    bench.moved(100_000).await;
    bench.inject(faults).await;
    let error = transfer.tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    let session = bench
        .daemon
        .wait_until("a new session", |s| s.figures.starts == 2 && s.phase == Phase::Attached)
        .await
        .unwrap();
    assert_eq!(session.listeners, [address.to_string()], "the listener stays");
    let transfer = bench
        .transfer(vec![Load {
            key: 2,
            up: 50_000,
            down: 50_000,
            pace: 0,
        }])
        .await;
    bench.finish(transfer).await;
}

#[tokio::test]
async fn a_session_closed_by_the_service() {
    let announce = Some("terminated by an administrator".to_owned());
    ends(vec![Fault::EndSession {
        session: None,
        announce,
        resume: ResumeOfEnded::DoesNotExist,
    }])
    .await;
}

#[tokio::test]
async fn a_session_that_is_gone_at_resume() {
    ends(vec![Fault::EndSession {
        session: None,
        announce: None,
        resume: ResumeOfEnded::DoesNotExist,
    }])
    .await;
}

#[tokio::test]
async fn a_session_that_has_timed_out_at_resume() {
    ends(vec![Fault::EndSession {
        session: None,
        announce: None,
        resume: ResumeOfEnded::EmptyToken,
    }])
    .await;
}

#[tokio::test]
async fn a_destination_that_refuses_resets_the_connection_and_nothing_else() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    // Bound and not listening: refuses, and nobody else can take it while the test runs.
    let refusing = tokio::net::TcpSocket::new_v4().unwrap();
    refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = refusing.local_addr().unwrap().port();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_autossm"));
    let daemon = Daemon::start(program, &[], &config(&simulator.endpoint_url(), port, ""))
        .await
        .unwrap();
    let address = daemon.listener().await.unwrap();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let _maybe_reset_already = socket.write_all(b"hello").await;
        let error = socket.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let session = daemon.session().await.unwrap();
    assert_eq!((session.phase, session.figures.starts), (Phase::Attached, 1));
}

#[tokio::test]
async fn a_terminated_daemon_leaves_no_session_behind() {
    let bench = Bench::start("on_exit = \"terminate\"\n").await;
    bench.attached().await;
    let Bench { simulator, daemon, .. } = bench;
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
    let sessions = simulator.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert!(sessions.iter().all(|session| session.ended), "{sessions:?}");
}

#[tokio::test]
async fn the_user_can_ask_for_a_reconnect() {
    let bench = Bench::start("").await;
    bench.attached().await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_autossm"))
        .args(["reconnect", "demo"])
        .envs(bench.daemon.environment())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    bench
        .daemon
        .wait_until("back again", |s| s.figures.drops == 1 && s.phase == Phase::Attached)
        .await
        .unwrap();
    bench
        .inject([Fault::Link {
            session: None,
            side: Side::Client,
            fault: LinkFault::Reset,
        }])
        .await;
    bench
        .daemon
        .wait_until("back again", |s| s.figures.drops == 2 && s.phase == Phase::Attached)
        .await
        .unwrap();
}
