//! The plain path: a session from StartSession to its end.

mod common;

use autossm_proto::wire::{MessageType, PayloadType};
use autossm_sim::{Config, Simulator};
use common::smux::{frame, stream_data};
use common::{Client, call, echo, resume_session};
use serde_json::json;

#[tokio::test]
async fn bytes_go_to_the_destination_and_back() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let echo = echo().await;
    let (mut client, session_id) = Client::start(&simulator.endpoint_url(), echo.port).await;
    let text: Vec<u8> = (0_u8..=255).cycle().take(5000).collect();
    client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
    client.send(PayloadType::OUTPUT, frame(2, 3, &text)).await;
    assert_eq!(client.data(3, text.len()).await, text);
    client.send(PayloadType::OUTPUT, frame(1, 3, b"")).await;
    while !stream_data(&client.received, 3).1 {
        client.receive().await.unwrap();
    }
    let state = simulator.session(&session_id).await.unwrap();
    assert_eq!(state.counters.streams, 1);
    assert_eq!(state.counters.client_connects, 1);
    assert_eq!(state.agent.expected, client.next);
    simulator.shutdown().await;
}

#[tokio::test]
async fn terminating_tells_the_client_and_ends_the_session() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let endpoint = simulator.endpoint_url();
    let (mut client, session_id) = Client::start(&endpoint, 9).await;
    let input = json!({ "SessionId": session_id });
    assert_eq!(call(&endpoint, "TerminateSession", input).await.status, 200);
    client.news_of(MessageType::ChannelClosed).await;
    assert_eq!(client.end().await.unwrap(), Some(1000));
    let answer = resume_session(&endpoint, &session_id).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["__type"], "DoesNotExistException");
}
