//! The agent hands a message over, then acknowledges it; what happens between the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use autossm_proto::wire::PayloadType;
use autossm_sim::{Disturbance, Fault, LinkFault, Side, Traffic};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ANSWER;
use crate::bench::{Far, PATIENCE};
use crate::common::Client;
use crate::common::smux::frame;
use crate::programs::{AGENT, program, report};

const MESSAGES: usize = 200;
const SIZE: usize = 1000;
const RUNS: usize = 10;

/// A destination that counts.
async fn counter() -> (u16, Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = socket.read(&mut buffer).await {
            counted.fetch_add(length, Ordering::Relaxed);
        }
    });
    (port, count, tasks)
}

/// Holds a burst back before the agent, lets it go, breaks the agent's link while it works on it, and sends everything
/// unacknowledged again just as it was: the bytes that arrived beyond those sent.
async fn doubled(far: &Far, fault: LinkFault) -> usize {
    let (port, count, _tasks) = counter().await;
    let (mut client, session_id) = Client::start(&far.simulator.endpoint_url(), port).await;
    let inject = async |fault| {
        let session = Some(session_id.clone());
        let side = Side::Agent;
        far.inject(&[Fault::Link { session, side, fault }]).await;
    };
    let syn = client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
    client.acknowledge_of(syn).await;
    inject(LinkFault::Traffic(Disturbance::new(Traffic::Stall))).await;
    let first = client.next;
    let all = first..first + i64::try_from(MESSAGES).unwrap();
    client.acknowledged.clear();
    for _ in 0..MESSAGES {
        client.send(PayloadType::OUTPUT, frame(2, 3, &[7; SIZE])).await;
    }
    while far
        .simulator
        .session(&session_id)
        .await
        .unwrap()
        .counters
        .messages_from_client
        < u64::try_from(MESSAGES).unwrap()
    {}
    if fault == LinkFault::ResetBeforeAcknowledge {
        inject(fault).await;
        inject(LinkFault::Heal).await;
    } else {
        inject(LinkFault::Heal).await;
        client.acknowledge_of(first).await;
        inject(fault).await;
    }
    let repaired = async {
        loop {
            while timeout(Duration::from_millis(500), client.receive()).await.is_ok() {}
            let open: Vec<i64> = all
                .clone()
                .filter(|number| !client.acknowledged.contains(number))
                .collect();
            if open.is_empty() {
                return;
            }
            for number in open {
                client
                    .send_numbered(number, PayloadType::OUTPUT, frame(2, 3, &[7; SIZE]))
                    .await;
            }
        }
    };
    timeout(PATIENCE, repaired).await.unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let arrived = async {
        while count.load(Ordering::Relaxed) < MESSAGES * SIZE {
            ticks.tick().await;
        }
    };
    timeout(ANSWER, arrived).await.unwrap();
    count.load(Ordering::Relaxed) - MESSAGES * SIZE
}

/// With the simulator the moment is chosen, with AWS's agent it is a matter of luck, and of a busy link.
#[tokio::test]
async fn a_plain_resend_after_a_failed_acknowledge_is_delivered_twice() {
    let Some(agent) = program(AGENT) else { return };
    let ours = doubled(&Far::start(None).await, LinkFault::ResetBeforeAcknowledge).await;
    assert_eq!(ours, SIZE, "one message twice");
    let theirs = Far::start(Some(agent)).await;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(doubled(&theirs, LinkFault::Reset).await);
    }
    report(&format!("bytes AWS's agent delivered twice in {RUNS} runs: {runs:?}"));
    assert!(runs.contains(&SIZE), "{runs:?}");
    assert!(
        runs.iter().all(|bytes| *bytes <= SIZE),
        "never more than one message: {runs:?}"
    );
}
