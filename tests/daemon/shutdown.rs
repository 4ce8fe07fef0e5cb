//! Signals: how the daemon ends, and what else it can be told.

use std::path::Path;
use std::time::Duration;

use autossm::control::Order;
use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Disturbance, Fault, LinkFault, Port, PortFault, Side, Simulator, Traffic, Way};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Bench;
use crate::support::daemon::{Daemon, PATIENCE, config};

#[tokio::test]
async fn a_detached_session_can_be_resumed() {
    let bench = Bench::start("on_exit = \"detach\"\n").await;
    bench.attached().await;
    let address = bench.daemon.listener().await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"x").await.unwrap();
    bench
        .daemon
        .wait_until("a byte", |session| {
            session.figures.bytes_up == 1 && session.figures.backlog_bytes == 0
        })
        .await
        .unwrap();
    let Bench { simulator, daemon, .. } = bench;
    daemon.signal(Signal::TERM).unwrap();
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset,
        "an end would look like all there is"
    );
    let sessions = simulator.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert!(!sessions[0].ended, "{sessions:?}");
    let lives_on = format!("AWS session {} lives on", sessions[0].session_id);
    assert!(log.contains(&lives_on), "{log}");
}

/// Nobody attaches any more.
const fn no_data_channel() -> Fault {
    Fault::Port {
        port: Port::DataChannel,
        fault: PortFault::Refuse,
        for_ms: None,
    }
}

/// A daemon whose destination collects, its link disturbed; `bytes` are taken from a local client, then it is told to
/// end. Gives how many bytes arrived, and the log.
async fn ends_with_a_backlog(traffic: Traffic, bytes: usize) -> (usize, String) {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = config(&simulator.endpoint_url(), destination.local_addr().unwrap().port(), "");
    let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap();
    daemon.attached().await.unwrap();
    let mut client = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    client.write_all(b"!").await.unwrap();
    let (mut arrived, _) = destination.accept().await.unwrap();
    assert_eq!(arrived.read_u8().await.unwrap(), b'!');
    let disturbance = Disturbance {
        way: Way::ToService,
        ..Disturbance::new(traffic)
    };
    let fault = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Traffic(disturbance),
    };
    simulator.inject(fault).await.unwrap();
    if traffic == Traffic::Discard {
        // A dead link is noticed at about the time that a daemon waits at its end; the next one would deliver everything.
        simulator.inject(no_data_channel()).await.unwrap();
    }
    client.write_all(&vec![b'x'; bytes]).await.unwrap();
    let taken = |session: &autossm::status::SessionStatus| session.figures.bytes_up > bytes as u64;
    daemon.wait_until("all bytes taken", taken).await.unwrap();
    daemon.signal(Signal::TERM).unwrap();
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let mut count = 0;
    let mut buffer = vec![0; 64 << 10];
    while count < bytes {
        match tokio::time::timeout(Duration::from_secs(2), arrived.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => count += length,
            Ok(_) | Err(_) => break,
        }
    }
    (count, log)
}

#[tokio::test]
async fn what_was_taken_is_delivered_before_the_end() {
    let slow = Traffic::Slow {
        bytes_per_second: 40_000,
    };
    let (arrived, log) = ends_with_a_backlog(slow, 60_000).await;
    assert_eq!(arrived, 60_000, "{log}");
}

#[tokio::test]
async fn a_backlog_that_nobody_acknowledges_does_not_hold_the_daemon() {
    let (arrived, log) = ends_with_a_backlog(Traffic::Discard, 10_000).await;
    assert_eq!(arrived, 0, "{log}");
    assert!(
        log.contains("not all that local connections have sent was delivered in time"),
        "{log}"
    );
}

/// Ends it; there must not have been anything to wait for.
async fn ends_with_nothing_to_deliver(daemon: Daemon) {
    daemon.signal(Signal::TERM).unwrap();
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("not all that local connections have sent"), "{log}");
}

#[tokio::test]
async fn a_shell_that_is_not_attached_ends_at_once() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    simulator.inject(no_data_channel()).await.unwrap();
    let text = format!(
        "[session.build]\ntarget = \"i-0123456789abcdef0\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\nshell = {{}}\n",
        simulator.endpoint_url()
    );
    let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
        .await
        .unwrap();
    let has_terminal = |session: &autossm::status::SessionStatus| session.connections == 1;
    daemon.wait_until("a terminal", has_terminal).await.unwrap();
    ends_with_nothing_to_deliver(daemon).await;
}

#[tokio::test]
async fn an_idle_client_of_a_session_that_is_away_has_nothing_to_be_delivered() {
    let bench = Bench::start("").await;
    bench.attached().await;
    let _client = TcpStream::connect(bench.daemon.listener().await.unwrap())
        .await
        .unwrap();
    let open =
        |session: &autossm::status::SessionStatus| session.connections == 1 && session.figures.backlog_bytes == 0;
    bench.daemon.wait_until("an open connection", open).await.unwrap();
    let reset = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    bench.inject([no_data_channel(), reset]).await;
    let away = |session: &autossm::status::SessionStatus| session.phase == Phase::Reattaching;
    bench.daemon.wait_until("away", away).await.unwrap();
    ends_with_nothing_to_deliver(bench.daemon).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = config(&simulator.endpoint_url(), destination.local_addr().unwrap().port(), "");
    let daemon = Daemon::unheard(Path::new(env!("CARGO_BIN_EXE_autossm")), &text)
        .await
        .unwrap();
    let mut client = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    // Two lines a message are more than a pipe holds.
    let sent = vec![b'x'; 2 << 20];
    let arrives = async {
        let (mut arrived, _) = destination.accept().await.unwrap();
        let mut got = vec![0; sent.len()];
        arrived.read_exact(&mut got).await.unwrap();
    };
    let sends = client.write_all(&sent);
    let ((), written) = tokio::time::timeout(PATIENCE, async { tokio::join!(arrives, sends) })
        .await
        .unwrap();
    written.unwrap();
    daemon.client().status().await.unwrap();
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
}

#[tokio::test]
async fn an_order_during_the_last_calls_starts_nothing() {
    let bench = Bench::start("on_exit = \"terminate\"\n").await;
    bench.attached().await;
    let hang = Fault::Answer {
        call: Call::Terminate,
        times: 1,
        answer: BadAnswer::Hang,
    };
    bench.inject([hang]).await;
    let Bench { simulator, daemon, .. } = bench;
    daemon.signal(Signal::TERM).unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while simulator.calls().terminate == 0 {
        ticks.tick().await;
    }
    for order in [Order::Start, Order::Restart, Order::Reconnect] {
        let refused = daemon.client().order("demo", order).await.unwrap_err();
        assert!(refused.to_string().contains("ending"), "{order:?}: {refused}");
    }
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!((code, simulator.calls().start), (Some(0), 1), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let bench = Bench::start("on_exit = \"terminate\"\n").await;
    bench.attached().await;
    bench
        .inject([Fault::Answer {
            call: Call::Terminate,
            times: 1,
            answer: BadAnswer::Hang,
        }])
        .await;
    let mut events = bench.daemon.client().events().await.unwrap();
    bench.daemon.signal(Signal::TERM).unwrap();
    while !events.next().await.unwrap().unwrap().contains("\"stopping\"") {}
    bench.daemon.signal(Signal::INT).unwrap();
    let (code, log) = bench.daemon.ended().await.unwrap();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");
}

#[tokio::test]
async fn user_signal_1_reconnects_everything() {
    let bench = Bench::start("").await;
    bench.attached().await;
    bench.daemon.signal(Signal::USR1).unwrap();
    bench
        .daemon
        .wait_until("back again", |session| {
            session.figures.drops == 1 && session.phase == Phase::Attached
        })
        .await
        .unwrap();
    let cause = bench.daemon.session().await.unwrap().history[0].cause_text.clone();
    assert_eq!(cause, "reconnect requested");
}
