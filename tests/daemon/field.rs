//! What users of AWS's plugin have reported, by the number of the report in aws/session-manager-plugin.

use std::time::Duration;

use autossm_proto::session::Phase;
use autossm_sim::{Config, Disturbance, Fault, LinkFault, Port, PortFault, Side, Simulator, Traffic, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::support::traffic::Load;
use crate::{Bench, QUICK};

const fn client(fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side: Side::Client,
        fault,
    }
}

/// "Eventually dies silently": the service closes with 1000 "Bye" every hour, here every second, and each time it is one
/// resume, whatever has been before.
#[tokio::test]
async fn field_135_a_close_1000_every_hour_for_many_hours() {
    let settings = Config {
        close_after: Some(Duration::from_secs(1)),
        ..Config::default()
    };
    let bench = Bench::with(settings, QUICK).await;
    bench.attached().await;
    let load = Load {
        key: 1,
        up: 800_000,
        down: 800_000,
        pace: 80_000,
    };
    let transfer = bench.transfer(vec![load]).await;
    bench.finish(transfer).await;
    let session = bench.daemon.session().await.unwrap();
    assert!(session.figures.drops >= 5, "{session:?}");
    assert_eq!(session.figures.starts, 1, "one session all along");
    assert!(
        session
            .history
            .iter()
            .all(|drop| drop.cause_text == "closed by the service (1000 Bye)")
    );
    let calls = bench.simulator.calls();
    assert!(calls.resume <= session.figures.drops + 1, "one call each: {calls:?}");
}

/// After a resume the agent's log says "Unexpected sequence message received" for ever, and a message lost later never
/// comes: an acknowledge was lost in the drop, and AWS's plugin does not acknowledge twice.
#[tokio::test]
async fn field_139_what_comes_again_after_a_resume_is_acknowledged_again() {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    let load = Load {
        key: 1,
        up: 20_000,
        down: 600_000,
        pace: 60_000,
    };
    let transfer = bench.transfer(vec![load]).await;
    for round in 1..=3 {
        bench.moved(60_000 * round).await;
        bench.attached().await;
        let duplicates = bench.daemon.session().await.unwrap().figures.duplicates;
        // Acknowledges vanish, then the connection goes.
        let acknowledges = Disturbance {
            way: Way::ToService,
            traffic: Traffic::Discard,
            for_ms: None,
            persist: false,
        };
        bench.inject([client(LinkFault::Traffic(acknowledges))]).await;
        bench
            .daemon
            .wait_until("what had come comes again", |session| {
                session.figures.duplicates > duplicates
            })
            .await
            .unwrap();
        bench.inject([client(LinkFault::Reset)]).await;
        bench
            .daemon
            .wait_until("a drop", |session| session.figures.drops >= round)
            .await
            .unwrap();
    }
    bench.finish(transfer).await;
    // And then it is at peace: nothing is left that it would send again.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let peace = async {
        while bench.simulator.sessions().await[0].agent.unacknowledged > 0 {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, peace).await.is_ok());
}

/// "Hangs for ever when the endpoint does not respond": accepted, and then silence, on both of AWS's endpoints.
#[tokio::test]
async fn field_47_an_unresponsive_endpoint_is_noticed_said_and_survived() {
    let bench = Bench::start(
        "timings = { ping_interval = \"2s\", ping_timeout = \"2s\", call_timeout = \"2s\", dial_timeout = \"2s\" }\n",
    )
    .await;
    bench.attached().await;
    let load = Load {
        key: 1,
        up: 600_000,
        down: 60_000,
        pace: 200_000,
    };
    let transfer = bench.transfer(vec![load]).await;
    bench.moved(200_000).await;
    let silent = |port| Fault::Port {
        port,
        fault: PortFault::Silent,
        for_ms: None,
    };
    bench
        .inject([
            silent(Port::Control),
            silent(Port::DataChannel),
            client(LinkFault::Traffic(Disturbance::new(Traffic::Stall))),
        ])
        .await;
    let session = bench
        .daemon
        .wait_until("it says so", |session| {
            let said = ["no answer from", "in time"]
                .iter()
                .any(|text| session.cause.contains(text));
            session.phase == Phase::Reattaching && session.attempts >= 2 && said
        })
        .await
        .unwrap();
    assert!(session.may_end_in_ms.is_some(), "and how long there is left");
    assert_eq!(session.connections, 1, "the local connection waits");
    bench.inject([Fault::Heal]).await;
    bench.finish(transfer).await;
}

/// A resumed session that shows no data: whoever speaks first after the resume, here the far side, is heard.
#[tokio::test]
async fn field_102_a_resumed_session_shows_what_the_far_side_says_first() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = config(&simulator.endpoint_url(), far.local_addr().unwrap().port(), QUICK);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_autossm"));
    let daemon = Daemon::start(program, &[], &text).await.unwrap();
    let mut near = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    let (mut far, _) = far.accept().await.unwrap();
    let mut heard = [0; 5];
    for (drops, said) in (1..).zip([b"first", b"again", b"third"]) {
        simulator.inject(client(LinkFault::Reset)).await.unwrap();
        daemon
            .wait_until("back", |session| {
                session.figures.drops == drops && session.phase == Phase::Attached
            })
            .await
            .unwrap();
        far.write_all(said).await.unwrap();
        let read = tokio::time::timeout(PATIENCE, near.read_exact(&mut heard)).await;
        assert!(read.is_ok(), "silent after resume {drops}; log:\n{}", daemon.log());
        assert_eq!(&heard, said);
    }
}
