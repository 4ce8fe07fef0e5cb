//! AWS's agent behind the simulator, autossm in front: every fault on either side of the service, every byte counted.

use autossm_sim::{Disturbance, Fault, LinkFault, Pick, Port, PortFault, Side, Traffic, Way};

use crate::bench::{Bench, Outcome, PATIENCE};
use crate::programs::{AGENT, program, report};
use crate::support::traffic::Load;

const MB: u64 = 1_000_000;

/// Towards the agent, slow enough that a fault finds it under way.
const fn up(bytes: u64) -> Load {
    Load {
        key: 1,
        up: bytes,
        down: 20_000,
        pace: 5_000_000,
    }
}

/// From the agent, which sends about 1 MB/s at best.
const fn down(bytes: u64) -> Load {
    Load {
        key: 2,
        up: 20_000,
        down: bytes,
        pace: 0,
    }
}

fn link(side: Side, fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault,
    }
}

fn close(side: Side, code: u16) -> Fault {
    let reason = "Bye".to_owned();
    link(side, LinkFault::Close { code, reason })
}

fn traffic(side: Side, traffic: Traffic, for_ms: Option<u64>) -> Fault {
    let disturbance = Disturbance {
        way: Way::Both,
        traffic,
        for_ms,
        persist: true,
    };
    link(side, LinkFault::Traffic(disturbance))
}

/// New connections of this side are treated so for a while, and the present one is reset.
fn door(side: Side, fault: PortFault, for_ms: u64) -> [Fault; 2] {
    let port = match side {
        Side::Client => Port::DataChannel,
        Side::Agent => Port::Agents,
    };
    let fault = Fault::Port {
        port,
        fault,
        for_ms: Some(for_ms),
    };
    [fault, link(side, LinkFault::Reset)]
}

async fn survives(remote: bool, load: Load, faults: &[Fault]) {
    let Some(agent) = program(AGENT) else { return };
    let bench = Bench::start(agent, remote).await;
    let took = bench.survives(load, faults).await;
    let state = bench.far.simulator.sessions().await.remove(0);
    let counters = state.counters;
    assert!(!state.ended, "the same session all along");
    let (clients, agents) = ends(faults);
    assert!(
        counters.client_connects > clients && counters.agent_reconnects >= agents,
        "{counters:?}"
    );
    report(&format!(
        "exact, {} bytes up and {} down in {:.1} s; clients {} agents again {} resumes {}",
        load.up,
        load.down,
        took.as_secs_f64(),
        counters.client_connects,
        counters.agent_reconnects,
        counters.resumes,
    ));
}

/// How many more websockets there must be after these faults, clients' and agents'.
fn ends(faults: &[Fault]) -> (u64, u64) {
    let ended = |wanted| {
        let ends = faults.iter().filter(|fault| {
            matches!(fault, Fault::Link { side, fault, .. } if *side == wanted && !matches!(fault, LinkFault::Traffic(_)))
        });
        ends.count() as u64
    };
    (ended(Side::Client), ended(Side::Agent))
}

/// Two tests a fault: in mid-upload and in mid-download.
macro_rules! survives {
    ($($name:ident: $up:expr, $down:expr, $faults:expr;)+) => {
        $(
            mod $name {
                use super::*;

                #[tokio::test]
                async fn upload() {
                    survives(false, up($up), &$faults).await;
                }

                #[tokio::test]
                async fn download() {
                    survives(false, down($down), &$faults).await;
                }
            }
        )+
    };
}

survives! {
    nothing: 20 * MB, 20 * MB, [];
    client_close_1000: 20 * MB, 20 * MB, [close(Side::Client, 1000)];
    client_close_1001: 20 * MB, 20 * MB, [close(Side::Client, 1001)];
    client_reset: 20 * MB, 20 * MB, [link(Side::Client, LinkFault::Reset)];
    client_fin: 20 * MB, 20 * MB, [link(Side::Client, LinkFault::Fin)];
    client_refused_3_seconds: 20 * MB, 20 * MB, door(Side::Client, PortFault::Refuse, 3000);
    client_refused_20_seconds: 20 * MB, 20 * MB, door(Side::Client, PortFault::Refuse, 20_000);
    client_refused_60_seconds: 20 * MB, 20 * MB, door(Side::Client, PortFault::Refuse, 60_000);
    client_accepted_then_reset: 20 * MB, 20 * MB, door(Side::Client, PortFault::AcceptThenReset, 3000);
    client_stalled: 20 * MB, 20 * MB, [traffic(Side::Client, Traffic::Stall, Some(8000))];
    // What a discarding black hole swallows of the agent's output comes back at ten messages a second.
    client_discarded: 20 * MB, 4 * MB, [traffic(Side::Client, Traffic::Discard, Some(1000))];
    client_every_50th_lost: 20 * MB, 10 * MB, [traffic(Side::Client, Traffic::Lose(Pick::Every(50)), None)];
    client_delayed_100_ms: 20 * MB, 20 * MB, [traffic(Side::Client, Traffic::Delay { ms: 100 }, None)];
    client_tokens_spent: 20 * MB, 20 * MB, [Fault::ExpireTokens { session: None }, close(Side::Client, 1000)];
    agent_close_1000: 20 * MB, 20 * MB, [close(Side::Agent, 1000)];
    agent_close_1001: 20 * MB, 20 * MB, [close(Side::Agent, 1001)];
    agent_reset: 20 * MB, 20 * MB, [link(Side::Agent, LinkFault::Reset)];
    agent_fin: 20 * MB, 20 * MB, [link(Side::Agent, LinkFault::Fin)];
    agent_ended_in_mid_frame: 20 * MB, 20 * MB, [link(Side::Agent, LinkFault::CloseMidFrame { reset: false })];
    // It writes on into nothing while it is away, and refills that at ten messages a second.
    agent_refused_3_seconds: 20 * MB, 4 * MB, door(Side::Agent, PortFault::Refuse, 3000);
    agent_accepted_then_reset: 20 * MB, 4 * MB, door(Side::Agent, PortFault::AcceptThenReset, 2000);
    agent_stalled: 20 * MB, 20 * MB, [traffic(Side::Agent, Traffic::Stall, Some(8000))];
    agent_discarded: 20 * MB, 4 * MB, [traffic(Side::Agent, Traffic::Discard, Some(1000))];
    agent_every_50th_lost: 20 * MB, 10 * MB, [traffic(Side::Agent, Traffic::Lose(Pick::Every(50)), None)];
    agent_delayed_100_ms: 20 * MB, 20 * MB, [traffic(Side::Agent, Traffic::Delay { ms: 100 }, None)];
    agent_tokens_spent: 20 * MB, 20 * MB, [Fault::ExpireTokens { session: None }, link(Side::Agent, LinkFault::Reset)];
}

#[tokio::test]
async fn a_remote_host_uploads() {
    survives(true, up(20 * MB), &[close(Side::Client, 1000)]).await;
}

#[tokio::test]
async fn a_remote_host_downloads() {
    survives(true, down(20 * MB), &[close(Side::Client, 1000)]).await;
}

/// Each reset comes while the agent works on a burst that was held back before it: nine in ten of these make it hand a
/// message over twice (`compare::doubles`); the resend forms make that harmless.
#[tokio::test]
async fn thirty_resets_of_the_agents_side_double_nothing() {
    let Some(agent) = program(AGENT) else { return };
    let bench = Bench::start(agent, false).await;
    let address = bench.daemon.listener().await.unwrap();
    for key in 100..130 {
        let before = bench.far.moved();
        let transfer = bench.far.transfer(address, Load { key, ..up(5 * MB) });
        bench.far.until_moved(before + MB).await;
        bench.far.inject(&[traffic(Side::Agent, Traffic::Stall, None)]).await;
        let from_client = async || {
            bench
                .far
                .simulator
                .sessions()
                .await
                .remove(0)
                .counters
                .messages_from_client
        };
        let held_from = from_client().await;
        while from_client().await < held_from + 100 {}
        let moved = bench.far.moved();
        bench.far.inject(&[link(Side::Agent, LinkFault::Heal)]).await;
        bench.far.until_moved(moved + 1).await;
        bench.far.inject(&[link(Side::Agent, LinkFault::Reset)]).await;
        let (up, down, _) = bench.far.finish(transfer, PATIENCE).await.unwrap();
        assert!(
            up.is_exact() && down.is_exact(),
            "up {up:?} down {down:?}\n{}",
            bench.daemon.log()
        );
    }
    let sessions = bench.far.simulator.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].counters.agent_reconnects, 30);
    report("30 uploads of 5 MB, each with a reset of the agent's side in a burst: all exact");
}

/// AWS's agent tries for six seconds at most, then never again: the session is silent, and that is shown. Nothing local
/// breaks, since whoever gives up first would decide that the bytes are lost.
#[tokio::test]
async fn an_agent_that_gave_up_is_shown_as_away() {
    let Some(agent) = program(AGENT) else { return };
    let bench = Bench::start(agent, false).await;
    let address = bench.daemon.listener().await.unwrap();
    let transfer = bench.far.transfer(address, up(20 * MB));
    bench.far.until_moved(5 * MB).await;
    bench.far.inject(&door(Side::Agent, PortFault::Refuse, 20_000)).await;
    let outcome = bench.far.outcome(transfer).await;
    assert_eq!(outcome, Outcome::Stuck);
    let session = bench.daemon.session().await.unwrap();
    assert!(session.agent_away && session.connections == 1, "{session:?}");
    let state = bench.far.simulator.sessions().await.remove(0);
    assert_eq!((state.counters.agent_reconnects, state.ended), (0, false));
    report(&format!("away, the local connection open, phase {:?}", session.phase));
}
