//! An agent that is a program; the test itself plays it.
#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::path::Path;

use autossm_proto::wire::{ClientMessage, MessageType, PayloadType};
use autossm_sim::{Config, Disturbance, Fault, LinkFault, Port, PortFault, Side, Simulator, Traffic};
use common::{Client, PATIENCE, Socket, end_of, field, http, input, open, start_session};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// A simulator whose agents are this program.
async fn simulator(program: &str) -> Simulator {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents").join(program);
    let config = Config {
        agent_program: Some(program),
        ..Config::default()
    };
    Simulator::start(config).await.unwrap()
}

/// CreateDataChannel: the status, and the token out of the XML.
async fn create(simulator: &Simulator, session_id: &str) -> (u16, String) {
    let endpoint = format!("http://{}", simulator.agents_address());
    let head = format!("POST /v1/data-channel/{session_id} HTTP/1.1");
    let answer = http(&endpoint, &head, "{}").await.unwrap();
    let token = answer
        .body
        .split("<TokenValue>")
        .nth(1)
        .and_then(|rest| rest.split("</").next());
    (answer.status, token.unwrap_or_default().to_owned())
}

fn url(simulator: &Simulator, session_id: &str) -> String {
    let address = simulator.agents_address();
    format!("ws://{address}/v1/data-channel/{session_id}?role=publish_subscribe")
}

/// A session with a client, and the agent's websocket.
async fn connected(simulator: &Simulator) -> (Client, Socket, String) {
    let grant = start_session(&simulator.endpoint_url(), 9).await;
    let session_id = field(&grant, "SessionId");
    let client = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
        .await
        .unwrap();
    let (status, token) = create(simulator, &session_id).await;
    assert_eq!(status, 201);
    let agent = open(&url(simulator, &session_id), &token).await.unwrap();
    let ready = async {
        while !simulator.session(&session_id).await.unwrap().agent.ready {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ready).await.unwrap();
    (Client::new(client), agent, session_id)
}

fn output(number: i64, message_type: MessageType) -> Message {
    let mut message = input(number, PayloadType::OUTPUT, "from the agent");
    message.message_type = message_type;
    Message::Binary(message.encode().unwrap())
}

/// The next message of a type.
async fn next_of(socket: &mut Socket, wanted: MessageType) -> ClientMessage {
    let wait = async {
        loop {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                let message = ClientMessage::decode(&bytes).unwrap();
                if message.message_type == wanted {
                    return message;
                }
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap()
}

#[tokio::test]
async fn messages_go_both_ways_and_pings_are_answered() {
    let simulator = simulator("idle").await;
    let (mut client, mut agent, _) = connected(&simulator).await;
    agent.send(output(0, MessageType::AgentSessionState)).await.unwrap();
    agent.send(output(0, MessageType::OutputStreamData)).await.unwrap();
    let got = client.output(PayloadType::OUTPUT).await;
    assert_eq!(got.payload, "from the agent");
    assert!(
        !client.news.contains(&MessageType::AgentSessionState),
        "that was for the service"
    );
    client.send(PayloadType::OUTPUT, "from the client").await;
    let got = next_of(&mut agent, MessageType::InputStreamData).await;
    assert_eq!(got.payload, "from the client");
    agent.send(Message::Ping("keepalive".into())).await.unwrap();
    let pong = async { while !matches!(agent.next().await.unwrap().unwrap(), Message::Pong(_)) {} };
    timeout(PATIENCE, pong).await.unwrap();
}

#[tokio::test]
async fn it_is_told_that_the_client_is_away_and_back() {
    let simulator = simulator("idle").await;
    let (mut client, mut agent, session_id) = connected(&simulator).await;
    client.socket.close(None).await.unwrap();
    next_of(&mut agent, MessageType::PausePublication).await;
    client.reattach(&simulator.endpoint_url(), &session_id).await;
    next_of(&mut agent, MessageType::StartPublication).await;
}

#[tokio::test]
async fn its_tokens_open_one_websocket_and_only_its_own() {
    let simulator = simulator("idle").await;
    let (_client, _agent, session_id) = connected(&simulator).await;
    let (_, token) = create(&simulator, &session_id).await;
    let url = url(&simulator, &session_id);
    let mut good = open(&url, &token).await.unwrap();
    let mut again = open(&url, &token).await.unwrap();
    assert_eq!(
        timeout(PATIENCE, end_of(&mut again)).await.unwrap().unwrap(),
        Some(1008)
    );
    good.send(Message::Ping("x".into())).await.unwrap();
    let grant = common::resume_session(&simulator.endpoint_url(), &session_id)
        .await
        .json();
    let mut stolen = open(&url, &field(&grant, "TokenValue")).await.unwrap();
    assert_eq!(
        timeout(PATIENCE, end_of(&mut stolen)).await.unwrap().unwrap(),
        Some(1008)
    );
}

#[tokio::test]
async fn its_link_suffers_every_fault() {
    let simulator = simulator("idle").await;
    let (mut client, mut agent, session_id) = connected(&simulator).await;
    let inject = async |fault| {
        let session = Some(session_id.clone());
        simulator
            .inject(Fault::Link {
                session,
                side: Side::Agent,
                fault,
            })
            .await
            .unwrap();
    };
    inject(LinkFault::Traffic(Disturbance::new(Traffic::Discard))).await;
    agent.send(output(0, MessageType::OutputStreamData)).await.unwrap();
    inject(LinkFault::Close {
        code: 1001,
        reason: "going away".into(),
    })
    .await;
    assert_eq!(
        timeout(PATIENCE, end_of(&mut agent)).await.unwrap().unwrap(),
        Some(1001)
    );
    client.news_of(MessageType::PausePublication).await;
    let (_, token) = create(&simulator, &session_id).await;
    let mut agent = open(&url(&simulator, &session_id), &token).await.unwrap();
    client.news.clear();
    client.news_of(MessageType::StartPublication).await;
    agent.send(output(1, MessageType::OutputStreamData)).await.unwrap();
    while client.outputs.is_empty() {
        client.receive().await.unwrap();
    }
    assert_eq!(client.outputs, [1], "the first was discarded");
    inject(LinkFault::Reset).await;
    assert!(timeout(PATIENCE, end_of(&mut agent)).await.unwrap().is_err());
    assert_eq!(
        simulator.session(&session_id).await.unwrap().counters.agent_reconnects,
        1
    );
}

#[tokio::test]
async fn it_can_be_kept_away() {
    let simulator = simulator("idle").await;
    let (_client, mut agent, session_id) = connected(&simulator).await;
    let away = LinkFault::Away { for_ms: 600_000 };
    simulator
        .inject(Fault::Link {
            session: None,
            side: Side::Agent,
            fault: away,
        })
        .await
        .unwrap();
    assert!(timeout(PATIENCE, end_of(&mut agent)).await.unwrap().is_err());
    assert_eq!(create(&simulator, &session_id).await.0, 503);
    assert!(open(&url(&simulator, &session_id), "any").await.is_err());
    let refuse = Fault::Port {
        port: Port::Agents,
        fault: PortFault::Refuse,
        for_ms: None,
    };
    simulator.inject(refuse).await.unwrap();
    let endpoint = format!("http://{}", simulator.agents_address());
    assert!(http(&endpoint, "POST /v1/data-channel/x HTTP/1.1", "{}").await.is_err());
}

/// Any document will do, for the program knows its documents itself.
#[tokio::test]
async fn its_end_is_the_end_of_the_session_and_its_last_line_is_told() {
    let simulator = simulator("short").await;
    let until = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("until-{}", std::process::id()));
    let body = serde_json::json!({
        "Target": "i-0123456789abcdef0",
        "DocumentName": "My-Document",
        "Parameters": { "until": [until.to_str().unwrap()] },
    });
    let grant = common::call(&simulator.endpoint_url(), "StartSession", body)
        .await
        .json();
    let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
        .await
        .unwrap();
    let mut client = Client::new(socket);
    std::fs::write(&until, "").unwrap();
    let closed = next_of(&mut client.socket, MessageType::ChannelClosed).await;
    std::fs::remove_file(&until).unwrap();
    let closed: serde_json::Value = serde_json::from_slice(&closed.payload).unwrap();
    assert_eq!(closed["Output"], "told i-0123456789abcdef0 and My-Document");
    assert_eq!(client.end().await.unwrap(), Some(1000));
    assert!(simulator.sessions().await.remove(0).ended);
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_start() {
    let config = Config {
        agent_program: Some("/nowhere/agent".into()),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let body = serde_json::json!({ "Target": "i-0123456789abcdef0", "DocumentName": "AWS-StartPortForwardingSession" });
    let answer = common::call(&simulator.endpoint_url(), "StartSession", body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("/nowhere/agent"), "{}", answer.body);
}
