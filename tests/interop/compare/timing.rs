//! When the agent does what it does.

use std::time::{Duration, Instant};

use autossm_proto::wire::PayloadType;
use autossm_sim::{Fault, LinkFault, Side};
use tokio::time::timeout;

use super::{ANSWER, Probe, as_long, same};
use crate::bench::Far;
use crate::common::smux::frame;
use crate::common::{Client, echo, field, open, start_session};

/// Only the oldest unacknowledged message comes again.
#[tokio::test]
async fn the_head_alone_is_sent_again() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let (others, waits) = unacknowledged(&mut probe).await;
        (others, waits.len() >= 3)
    })
    .await;
}

#[tokio::test]
async fn it_is_sent_again_as_often() {
    as_long(99..1300, async |agent| {
        let mut probe = Probe::start(agent).await;
        let (_, waits) = unacknowledged(&mut probe).await;
        waits[waits.len() / 2]
    })
    .await;
}

/// Lets four answers go unacknowledged for six seconds: how many messages came again that were not the oldest one, and
/// the waits between those of the oldest, shortest first.
///
/// With AWS's agent the oldest may be an earlier one: an acknowledge that comes before it has listed its message finds
/// nothing to remove.
async fn unacknowledged(probe: &mut Probe) -> (usize, Vec<Duration>) {
    probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
    probe.client.send(PayloadType::OUTPUT, frame(2, 3, b"first")).await;
    probe.client.data(3, 5).await;
    while probe.state().await.agent.unacknowledged > 0 {}
    probe.client.acknowledges = false;
    probe.client.outputs.clear();
    for expected in [10, 15, 20, 25] {
        probe.client.send(PayloadType::OUTPUT, frame(2, 3, b"again")).await;
        probe.client.data(3, expected).await;
    }
    let mut came: Vec<(i64, Instant)> = Vec::new();
    let watch = async {
        loop {
            let before = probe.client.outputs.len();
            probe.client.receive().await.unwrap();
            let now = Instant::now();
            came.extend(probe.client.outputs[before..].iter().map(|number| (*number, now)));
        }
    };
    let _until_then = timeout(Duration::from_secs(6), watch).await;
    let head = came.iter().map(|(number, _)| *number).min().unwrap();
    let (oldest, others): (Vec<_>, Vec<_>) = came.into_iter().partition(|(number, _)| *number == head);
    let mut waits: Vec<Duration> = oldest.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    waits.sort();
    (others.len(), waits)
}

/// From HandshakeComplete to the first acknowledge of something that is not thrown away.
#[tokio::test]
async fn it_is_ready_as_soon_after_the_handshake() {
    as_long(0..500, async |agent| {
        let far = Far::start(agent).await;
        let grant = start_session(&far.simulator.endpoint_url(), 9).await;
        let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
            .await
            .unwrap();
        let mut client = Client::new(socket);
        let began = Instant::now();
        client.handshake().await;
        began.elapsed()
    })
    .await;
}

/// At most 1024 bytes a message and a message a millisecond.
#[tokio::test]
async fn it_sends_as_fast() {
    let size = 400_000;
    as_long(380..3000, async |agent| {
        let mut probe = Probe::start(agent).await;
        probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
        for _ in 0..size / 20_000 {
            probe.client.send(PayloadType::OUTPUT, frame(2, 3, &[7; 20_000])).await;
        }
        let began = Instant::now();
        probe.client.data(3, size).await;
        began.elapsed()
    })
    .await;
}

/// From a reset of its link to its next OpenDataChannel.
#[tokio::test]
async fn it_comes_back_as_soon() {
    as_long(0..1000, async |agent| {
        let probe = Probe::start(agent).await;
        let reset = Fault::Link {
            session: None,
            side: Side::Agent,
            fault: LinkFault::Reset,
        };
        let began = Instant::now();
        probe.far.inject(&[reset]).await;
        let back = async {
            while probe
                .far
                .simulator
                .session(&probe.session_id)
                .await
                .unwrap()
                .counters
                .agent_reconnects
                == 0
            {}
        };
        timeout(ANSWER, back).await.unwrap();
        began.elapsed()
    })
    .await;
}

/// Fifteen seconds for the answer, two for the last acknowledges.
#[tokio::test]
async fn a_handshake_without_answer_ends_the_session() {
    as_long(14_500..20_000, async |agent| {
        let far = Far::start(agent).await;
        let echo = echo().await;
        let grant = start_session(&far.simulator.endpoint_url(), echo.port).await;
        let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
            .await
            .unwrap();
        let client = Client::new(socket);
        let session_id = field(&grant, "SessionId");
        let mut probe = Probe {
            far,
            client,
            session_id,
            echo,
            looks: tokio::time::interval(Duration::from_millis(1)),
        };
        probe.closes(Duration::from_secs(30)).await.unwrap()
    })
    .await;
}

/// It tries six times, within six seconds and a half at most; after that the session is silent for ever.
#[tokio::test]
async fn it_gives_up() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let away = |for_ms| Fault::Link {
            session: None,
            side: Side::Agent,
            fault: LinkFault::Away { for_ms },
        };
        let mut back = Vec::new();
        for (for_ms, within) in [(1000, 10), (10_000, 20)] {
            let before = probe.state().await.counters.agent_reconnects;
            probe.far.inject(&[away(for_ms)]).await;
            let returns = async { while probe.state().await.counters.agent_reconnects == before {} };
            back.push(timeout(Duration::from_secs(within), returns).await.is_ok());
        }
        back
    })
    .await;
}
