//! Every fault in mid-upload and in mid-download.

use autossm_sim::{BadAnswer, Call, Disturbance, Fault, LinkFault, Pick, Port, PortFault, Side, Traffic, Way};

use crate::support::traffic::Load;
use crate::{Bench, QUICK};

const UP: Load = Load {
    key: 1,
    up: 3_000_000,
    down: 20_000,
    pace: 3_000_000,
};
const DOWN: Load = Load {
    key: 2,
    up: 20_000,
    down: 1_500_000,
    pace: 3_000_000,
};

fn link(side: Side, fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault,
    }
}

fn client(fault: LinkFault) -> Fault {
    link(Side::Client, fault)
}

fn traffic(side: Side, way: Way, traffic: Traffic, for_ms: u64) -> Fault {
    link(
        side,
        LinkFault::Traffic(Disturbance {
            way,
            traffic,
            for_ms: Some(for_ms),
            persist: true,
        }),
    )
}

const fn port(port: Port, fault: PortFault, for_ms: u64) -> Fault {
    Fault::Port {
        port,
        fault,
        for_ms: Some(for_ms),
    }
}

fn close(code: u16) -> Fault {
    client(LinkFault::Close {
        code,
        reason: "Bye".to_owned(),
    })
}

/// The next three ResumeSession calls are answered so.
const fn resume(answer: BadAnswer) -> Fault {
    Fault::Answer {
        call: Call::Resume,
        times: 3,
        answer,
    }
}

/// Injects the faults when a third of each direction's transfer has gone through, in both directions.
async fn survives(faults: &[Fault]) {
    for load in [UP, DOWN] {
        let bench = Bench::start(QUICK).await;
        bench.attached().await;
        let transfer = bench.transfer(vec![load]).await;
        bench.moved((load.up + load.down) / 3).await;
        bench.inject(faults.iter().cloned()).await;
        bench.finish(transfer).await;
    }
}

/// One test a fault; the name says which.
macro_rules! survives {
    ($($name:ident: [$($fault:expr),+ $(,)?];)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                survives(&[$($fault),+]).await;
            }
        )+
    };
}

survives! {
    close_1000_of_the_hour: [close(1000)];
    close_1001_going_away: [close(1001)];
    close_1011_internal_error: [close(1011)];
    close_4000_private_code: [close(4000)];
    tcp_reset: [client(LinkFault::Reset)];
    end_of_stream_without_close: [client(LinkFault::Fin)];
    end_in_mid_frame: [client(LinkFault::CloseMidFrame { reset: false })];
    reset_in_mid_frame: [client(LinkFault::CloseMidFrame { reset: true })];
    refused_for_3_seconds: [port(Port::DataChannel, PortFault::Refuse, 3000), client(LinkFault::Reset)];
    refused_for_20_seconds: [port(Port::DataChannel, PortFault::Refuse, 20_000), client(LinkFault::Reset)];
    refused_for_60_seconds: [port(Port::DataChannel, PortFault::Refuse, 60_000), client(LinkFault::Reset)];
    control_plane_refused_for_3_seconds: [port(Port::Control, PortFault::Refuse, 3000), client(LinkFault::Reset)];
    accepted_then_reset_for_3_seconds: [port(Port::DataChannel, PortFault::AcceptThenReset, 3000), client(LinkFault::Reset)];
    accepted_then_silent_for_3_seconds: [port(Port::DataChannel, PortFault::Silent, 3000), client(LinkFault::Reset)];
    black_hole_stalls_both_ways: [traffic(Side::Client, Way::Both, Traffic::Stall, 8000)];
    black_hole_stalls_out: [traffic(Side::Client, Way::ToService, Traffic::Stall, 8000)];
    black_hole_stalls_in: [traffic(Side::Client, Way::FromService, Traffic::Stall, 8000)];
    black_hole_discards_out: [traffic(Side::Client, Way::ToService, Traffic::Discard, 3000)];
    black_hole_discards_in: [traffic(Side::Client, Way::FromService, Traffic::Discard, 300)];
    black_hole_discards_both_ways: [traffic(Side::Client, Way::Both, Traffic::Discard, 300)];
    slow_link: [traffic(Side::Client, Way::Both, Traffic::Slow { bytes_per_second: 300_000 }, 4000)];
    delay_100_ms_each_way: [traffic(Side::Client, Way::Both, Traffic::Delay { ms: 100 }, 60_000)];
    every_50th_frame_lost: [traffic(Side::Client, Way::Both, Traffic::Lose(Pick::Every(50)), 60_000)];
    every_10th_frame_doubled: [traffic(Side::Client, Way::Both, Traffic::Duplicate(Pick::Every(10)), 60_000)];
    every_10th_frame_late: [traffic(Side::Client, Way::Both, Traffic::Reorder(Pick::Every(10)), 60_000)];
    // Only towards the client: no agent checks the digest of what it gets.
    every_50th_frame_damaged: [traffic(Side::Client, Way::FromService, Traffic::Corrupt(Pick::Every(50)), 60_000)];
    agent_close: [link(Side::Agent, LinkFault::Close { code: 1000, reason: String::new() })];
    agent_reset: [link(Side::Agent, LinkFault::Reset)];
    agent_hands_over_twice: [link(Side::Agent, LinkFault::ResetBeforeAcknowledge)];
    agent_away_for_2_seconds: [link(Side::Agent, LinkFault::Away { for_ms: 2000 })];
    agent_black_hole_stalls: [traffic(Side::Agent, Way::Both, Traffic::Stall, 5000)];
    agent_every_50th_frame_lost: [traffic(Side::Agent, Way::Both, Traffic::Lose(Pick::Every(50)), 60_000)];
    resume_throttled: [resume(BadAnswer::Throttled { retry_after: Some(1) }), close(1000)];
    resume_500: [resume(BadAnswer::Status(500)), close(1000)];
    resume_503: [resume(BadAnswer::Status(503)), close(1000)];
    resume_garbage: [resume(BadAnswer::Garbage), close(1000)];
    resume_without_url: [resume(BadAnswer::NoStreamUrl), close(1000)];
    resume_with_slow_body: [resume(BadAnswer::SlowBody(500)), close(1000)];
    resume_hangs_once: [Fault::Answer { call: Call::Resume, times: 1, answer: BadAnswer::Hang }, close(1000)];
    resume_credentials_expired: [resume(BadAnswer::ExpiredCredentials), close(1000)];
    resume_access_denied_once: [
        Fault::Answer { call: Call::Resume, times: 1, answer: BadAnswer::AccessDenied },
        close(1000),
    ];
    tokens_expired: [Fault::ExpireTokens { session: None }, close(1000)];
}

/// A connection that says nothing while the faults last, and then goes on.
async fn survives_idle(faults: &[Fault], seconds: u64) {
    /// What a load sends at once.
    const CHUNK: u64 = 16 << 10;
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    let load = Load {
        key: 3,
        up: 2 * CHUNK,
        down: 2 * CHUNK,
        pace: CHUNK / seconds,
    };
    let transfer = bench.transfer(vec![load]).await;
    bench.moved(2 * CHUNK).await;
    bench.inject(faults.iter().cloned()).await;
    bench
        .daemon
        .wait_until("a drop", |session| session.figures.drops > 0)
        .await
        .unwrap();
    bench.finish(transfer).await;
}

/// The same for a connection that is idle, for so many seconds.
macro_rules! survives_idle {
    ($($name:ident: $seconds:literal s [$($fault:expr),+ $(,)?];)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                survives_idle(&[$($fault),+], $seconds).await;
            }
        )+
    };
}

survives_idle! {
    idle_close_1000_of_the_hour: 4 s [close(1000)];
    idle_tcp_reset: 4 s [client(LinkFault::Reset)];
    idle_end_of_stream_without_close: 4 s [client(LinkFault::Fin)];
    idle_refused_for_3_seconds: 6 s [port(Port::DataChannel, PortFault::Refuse, 3000), client(LinkFault::Reset)];
    idle_refused_for_20_seconds: 22 s [port(Port::DataChannel, PortFault::Refuse, 20_000), client(LinkFault::Reset)];
    idle_refused_for_60_seconds: 62 s [port(Port::DataChannel, PortFault::Refuse, 60_000), client(LinkFault::Reset)];
    idle_accepted_then_reset_for_3_seconds: 6 s [port(Port::DataChannel, PortFault::AcceptThenReset, 3000), client(LinkFault::Reset)];
    idle_black_hole_stalls_both_ways: 12 s [traffic(Side::Client, Way::Both, Traffic::Stall, 10_000)];
    idle_black_hole_discards_both_ways: 12 s [traffic(Side::Client, Way::Both, Traffic::Discard, 10_000)];
    idle_resume_throttled: 6 s [resume(BadAnswer::Throttled { retry_after: Some(1) }), close(1000)];
}

/// A session that is idle when it drops must work afterwards.
#[tokio::test]
async fn an_idle_session_comes_back() {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    for fault in [close(1000), client(LinkFault::Reset), client(LinkFault::Fin)] {
        let drops = bench.daemon.session().await.unwrap().figures.drops;
        bench.inject([fault]).await;
        bench
            .daemon
            .wait_until("a drop", |session| session.figures.drops > drops)
            .await
            .unwrap();
        bench.attached().await;
    }
    let transfer = bench
        .transfer(vec![Load {
            key: 9,
            up: 100_000,
            down: 100_000,
            pace: 0,
        }])
        .await;
    bench.finish(transfer).await;
}

/// A stalling black hole on an idle session is found by the ping alone.
#[tokio::test]
async fn an_idle_black_hole_is_noticed() {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    bench
        .inject([link(Side::Client, LinkFault::Traffic(Disturbance::new(Traffic::Stall)))])
        .await;
    let session = bench
        .daemon
        .wait_until("a drop", |session| session.figures.drops == 1)
        .await
        .unwrap();
    assert_eq!(session.history[0].cause, autossm_proto::session::DropCause::PongOverdue);
    bench.attached().await;
}

/// Many drops in one transfer over several connections, both ways.
#[tokio::test]
async fn ten_drops_in_one_transfer() {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    let loads = (1..=5)
        .map(|key| Load {
            key,
            up: 1_500_000,
            down: 600_000,
            pace: 300_000,
        })
        .collect();
    let transfer = bench.transfer(loads).await;
    for drops in 0..10 {
        bench.moved(500_000 * (drops + 1)).await;
        // While there is no link, there is nothing to cut.
        bench.attached().await;
        let fault = if drops % 2 == 0 {
            close(1000)
        } else {
            client(LinkFault::Reset)
        };
        bench.inject([fault]).await;
        bench
            .daemon
            .wait_until("a drop", |session| session.figures.drops > drops)
            .await
            .unwrap();
    }
    bench.finish(transfer).await;
}

/// Connections opened while the link is down wait and then work.
#[tokio::test]
async fn connections_opened_during_a_drop_wait_and_work() {
    let bench = Bench::start(QUICK).await;
    bench.attached().await;
    bench
        .inject([
            port(Port::DataChannel, PortFault::Refuse, 3000),
            client(LinkFault::Reset),
        ])
        .await;
    bench
        .daemon
        .wait_until("a drop", |session| session.figures.drops == 1)
        .await
        .unwrap();
    let loads = (1..=3)
        .map(|key| Load {
            key,
            up: 50_000,
            down: 50_000,
            pace: 0,
        })
        .collect();
    let transfer = bench.transfer(loads).await;
    let waiting = bench
        .daemon
        .wait_until("they wait", |session| session.connections == 3)
        .await
        .unwrap();
    assert_ne!(waiting.phase, autossm_proto::session::Phase::Attached);
    bench.finish(transfer).await;
    assert_eq!(
        bench.daemon.session().await.unwrap().figures.starts,
        1,
        "the same session all along"
    );
}
