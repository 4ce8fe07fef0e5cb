//! The faults a client must survive are really there.
#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::time::{Duration, Instant};

use autossm_proto::wire::{MessageType, PayloadType};
use autossm_sim::{Config, Disturbance, Fault, LinkFault, Pick, Side, Simulator, Traffic, Way};
use common::smux::{frame, stream_data};
use common::{Client, PATIENCE, echo, field, open, resume_session, start_session};
use futures_util::SinkExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

async fn simulator() -> Simulator {
    Simulator::start(Config::default()).await.unwrap()
}

fn link(side: Side, fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault,
    }
}

fn nothing() -> Vec<u8> {
    99_u32.to_be_bytes().to_vec()
}

/// A client with an open stream to an echo.
async fn echoing(simulator: &Simulator) -> (Client, String, common::Echo) {
    let echo = echo().await;
    let (mut client, session_id) = Client::start(&simulator.endpoint_url(), echo.port).await;
    client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
    client.send(PayloadType::OUTPUT, frame(2, 3, b"hello")).await;
    client.data(3, 5).await;
    (client, session_id, echo)
}

/// The agent hands over, then acknowledges; when that fails it does not count, and hands the resend over again.
#[tokio::test]
async fn a_failed_acknowledge_delivers_twice() {
    let simulator = simulator().await;
    let (mut client, session_id, _echo) = echoing(&simulator).await;
    simulator
        .inject(link(Side::Agent, LinkFault::ResetBeforeAcknowledge))
        .await
        .unwrap();
    let number = client.send(PayloadType::OUTPUT, frame(2, 3, b"once?")).await;
    client.news_of(MessageType::PausePublication).await;
    assert!(!client.acknowledged.contains(&number));
    let again = async {
        while !client.acknowledged.contains(&number) {
            client
                .send_numbered(number, PayloadType::OUTPUT, frame(2, 3, b"once?"))
                .await;
            let _next = timeout(Duration::from_millis(50), client.acknowledge_of(number)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    assert_eq!(client.data(3, 15).await, b"helloonce?once?");
    let counters = simulator.session(&session_id).await.unwrap().counters;
    assert_eq!((counters.handed_over_twice, counters.agent_reconnects), (1, 1));
}

/// Whatever else is missing: only the oldest message comes again, ten times a second at most.
#[tokio::test]
async fn only_the_head_is_sent_again_at_every_tick() {
    let simulator = simulator().await;
    let (mut client, _, _echo) = echoing(&simulator).await;
    client.acknowledges = false;
    client.outputs.clear();
    for part in 1..=4 {
        client.send(PayloadType::OUTPUT, frame(2, 3, b"again")).await;
        client.data(3, 5 + 5 * part).await;
    }
    let head = client.outputs[0];
    let mut times = Vec::new();
    let watch = async {
        while times.len() < 5 {
            let before = client.outputs.len();
            client.receive().await.unwrap();
            if client.outputs.len() > before && client.outputs.last() == Some(&head) {
                #[expect(clippy::disallowed_methods, reason = "a test of timing")]
                times.push(Instant::now());
            }
        }
    };
    timeout(PATIENCE, watch).await.unwrap();
    let others = client.outputs.iter().filter(|number| **number != head);
    let mut others: Vec<i64> = others.copied().collect();
    others.dedup();
    assert_eq!(
        others,
        (head + 1..head + 4).collect::<Vec<_>>(),
        "each of the others came once"
    );
    let per_resend = (times[4] - times[0]) / 4;
    assert!(per_resend >= Duration::from_millis(90), "a resend every {per_resend:?}");
}

/// Connecting changes nothing at the agent: the second client goes on with the first one's numbers.
#[tokio::test]
async fn a_second_client_takes_over() {
    let simulator = simulator().await;
    let endpoint = simulator.endpoint_url();
    let (mut first, session_id, _echo) = echoing(&simulator).await;
    let grant = resume_session(&endpoint, &session_id).await.json();
    let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
        .await
        .unwrap();
    assert_eq!(first.end().await.unwrap(), Some(1000));
    first.socket = socket;
    first
        .send_until_acknowledged(PayloadType::OUTPUT, &frame(2, 3, b" again"))
        .await;
    assert_eq!(first.data(3, 11).await, b"hello again");
    let counters = simulator.session(&session_id).await.unwrap().counters;
    assert_eq!((counters.takeovers, counters.client_connects), (1, 2));
}

#[tokio::test]
async fn a_token_opens_one_data_channel_only() {
    let simulator = simulator().await;
    let grant = start_session(&simulator.endpoint_url(), 9).await;
    let (url, token) = (field(&grant, "StreamUrl"), field(&grant, "TokenValue"));
    let mut client = Client::new(open(&url, &token).await.unwrap());
    client.handshake().await;
    let mut second = Client::new(open(&url, &token).await.unwrap());
    assert_eq!(second.end().await.unwrap(), Some(1008));
    client.send_until_acknowledged(PayloadType::FLAG, &nothing()).await;
    let state = simulator.sessions().await.remove(0);
    assert_eq!((state.counters.refused_opens, state.counters.takeovers), (1, 0));
}

#[tokio::test]
async fn every_third_frame_is_lost_and_no_other() {
    let simulator = simulator().await;
    let (mut client, session_id) = Client::start(&simulator.endpoint_url(), 9).await;
    let lose = Disturbance {
        way: Way::ToService,
        ..Disturbance::new(Traffic::Lose(Pick::Every(3)))
    };
    simulator
        .inject(link(Side::Client, LinkFault::Traffic(lose)))
        .await
        .unwrap();
    let first = client.next;
    client.acknowledged.clear();
    for _ in 0..9 {
        client.send(PayloadType::FLAG, nothing()).await;
    }
    let got = async {
        while client.acknowledged.len() < 6 {
            client.receive().await.unwrap();
        }
    };
    timeout(PATIENCE, got).await.unwrap();
    assert_eq!(client.acknowledged, [0, 1, 3, 4, 6, 7].map(|number| first + number));
    let state = simulator.session(&session_id).await.unwrap();
    assert_eq!(state.agent.expected, first + 2, "the rest waits behind the first hole");
    assert_eq!(state.counters.kept_out_of_order, 4);
}

/// AWS's plugin pings as soon as it is connected, sometimes before it sends its token.
#[tokio::test]
async fn a_ping_may_come_before_the_token() {
    let simulator = simulator().await;
    let grant = start_session(&simulator.endpoint_url(), 9).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(field(&grant, "StreamUrl"))
        .await
        .unwrap();
    socket.send(Message::Ping("keepalive".into())).await.unwrap();
    socket
        .send(Message::text(common::opening(&field(&grant, "TokenValue"))))
        .await
        .unwrap();
    Client::new(socket).handshake().await;
}

/// As AWS's agent: its reader panics, and the session is silent from then on.
#[tokio::test]
async fn a_header_length_beyond_the_frame_ends_the_agents_reader() {
    let simulator = simulator().await;
    let (mut client, session_id) = Client::start(&simulator.endpoint_url(), 9).await;
    let expected = simulator.session(&session_id).await.unwrap().agent.expected;
    let mut bytes = common::input(client.next, PayloadType::FLAG, nothing())
        .encode()
        .unwrap()
        .to_vec();
    bytes[0..4].copy_from_slice(&100_000_u32.to_be_bytes());
    client.socket.send(Message::Binary(bytes.into())).await.unwrap();
    let number = client.send(PayloadType::FLAG, nothing()).await;
    assert!(
        timeout(Duration::from_millis(300), client.acknowledge_of(number))
            .await
            .is_err()
    );
    assert_eq!(simulator.session(&session_id).await.unwrap().agent.expected, expected);
}

/// As AWS's agent: without open streams the session just forwards nothing any more.
#[tokio::test]
async fn smux_of_another_version_stops_the_forward() {
    let simulator = simulator().await;
    let (mut client, session_id) = Client::start(&simulator.endpoint_url(), 9).await;
    client
        .send_until_acknowledged(PayloadType::OUTPUT, b"\x02\x00\x00\x00\x03\x00\x00\x00")
        .await;
    client
        .send_until_acknowledged(PayloadType::OUTPUT, &frame(0, 5, b""))
        .await;
    let state = simulator.session(&session_id).await.unwrap();
    assert!(!state.ended && state.counters.streams == 0);
}

/// As AWS's agent: with an open stream its FIN is the last thing the agent sends.
#[tokio::test]
async fn smux_of_another_version_ends_a_session_with_streams() {
    let simulator = simulator().await;
    let (mut client, _, _echo) = echoing(&simulator).await;
    client
        .send(PayloadType::OUTPUT, &b"\x02\x00\x00\x00\x03\x00\x00\x00"[..])
        .await;
    client.news_of(MessageType::ChannelClosed).await;
    assert!(stream_data(&client.received, 3).1);
}
