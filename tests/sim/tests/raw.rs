//! Sessions without a multiplexer: AWS-StartSSHSession, and forwards through agents too old for one.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use autossm_proto::wire::{MessageType, PayloadType};
use autossm_sim::{AgentConfig, Config, Simulator};
use common::{Client, echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SSH: &str = "AWS-StartSSHSession";
const FORWARD: &str = "AWS-StartPortForwardingSession";

async fn old_agent() -> Simulator {
    let agent = AgentConfig {
        version: "3.0.196.0".parse().unwrap(),
        ..AgentConfig::default()
    };
    let config = Config {
        agent,
        ..Config::default()
    };
    Simulator::start(config).await.unwrap()
}

#[tokio::test]
async fn bytes_go_as_they_are_and_the_clients_close_ends_the_session() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let echo = echo().await;
    let (mut client, session_id) = Client::start_with(&simulator.endpoint_url(), SSH, echo.port).await;
    let text: Vec<u8> = (0_u8..=255).cycle().take(5000).collect();
    client.send(PayloadType::OUTPUT, text.clone()).await;
    assert_eq!(client.raw(text.len()).await, text);
    client.send(PayloadType::FLAG, 1_u32.to_be_bytes().to_vec()).await;
    client.news_of(MessageType::ChannelClosed).await;
    assert!(simulator.session(&session_id).await.unwrap().ended);
}

#[tokio::test]
async fn the_destinations_close_ends_the_session_after_all_it_said() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut client, _) = Client::start_with(&simulator.endpoint_url(), SSH, port).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(&[7; 4000]).await.unwrap();
    drop(server);
    client.news_of(MessageType::ChannelClosed).await;
    assert_eq!(client.received, [7; 4000]);
}

#[tokio::test]
async fn a_destination_that_refuses_ends_the_session_with_a_reason() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let grant = common::start_document(&simulator.endpoint_url(), SSH, port).await;
    let url = common::field(&grant, "StreamUrl");
    let socket = common::open(&url, &common::field(&grant, "TokenValue")).await.unwrap();
    let mut client = Client::new(socket);
    // It ends before the port takes anything, and with it the wait for an acknowledge.
    let mut shaken = tokio::task::JoinSet::new();
    shaken.spawn(async move { client.handshake().await });
    assert!(shaken.join_next().await.unwrap().is_err());
}

#[tokio::test]
async fn an_old_agent_connects_again_when_input_comes() {
    let simulator = old_agent().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut client, session_id) = Client::start_with(&simulator.endpoint_url(), FORWARD, port).await;
    let mut byte = [0];
    for number in [1, 2] {
        client.send(PayloadType::OUTPUT, vec![number]).await;
        let (mut server, _) = listener.accept().await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, [number]);
        client.send(PayloadType::FLAG, 1_u32.to_be_bytes().to_vec()).await;
        assert_eq!(server.read(&mut byte).await.unwrap(), 0, "closed at the destination");
    }
    assert!(!simulator.session(&session_id).await.unwrap().ended);
}
