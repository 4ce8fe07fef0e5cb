//! Frames captured between AWS's programs and the simulator (`captured.json`): whole conversations' parts, not only
//! what a serializer was called for.

use autossm_proto::wire::{
    AcknowledgeBody, ClientMessage, CompleteBody, HandshakeRequestBody, HandshakeResponseBody, MessageType, PayloadType,
};
use bytes::Bytes;
use serde_json::Value;

use crate::unhex;

fn captured() -> Vec<Value> {
    serde_json::from_str(include_str!("captured.json")).unwrap()
}

/// The message of a captured frame.
fn message(name: &str) -> ClientMessage {
    let captured = captured();
    let found = captured.iter().find(|vector| vector["name"] == name).unwrap();
    ClientMessage::decode(&unhex(found["hex"].as_str().unwrap())).unwrap()
}

#[test]
fn captured_frames_are_read_and_written_unchanged() {
    let mut seen = 0;
    for vector in captured() {
        let Some(hex) = vector["hex"].as_str() else { continue };
        let message = ClientMessage::decode(&unhex(hex)).unwrap();
        assert_eq!(message.message_type.name(), vector["message_type"]);
        assert_eq!(u64::from(message.payload_type.0), vector["payload_type"]);
        assert_eq!(message.encode().unwrap(), unhex(hex), "{}", vector["name"]);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn captured_bodies_are_understood() {
    let request = message("agent-handshake-request");
    assert_eq!(
        (request.sequence_number, request.flags),
        (0, 1),
        "the agent sets SYN on its number 0"
    );
    let request: HandshakeRequestBody = serde_json::from_slice(&request.payload).unwrap();
    assert_eq!(request.agent_version, "3.3.0.0");
    assert_eq!(request.requested_client_actions[0].action_type, "SessionType");
    let response: HandshakeResponseBody =
        serde_json::from_slice(&message("plugin-handshake-response").payload).unwrap();
    assert_eq!(response.client_version, "1.2.677.0");
    let complete: CompleteBody = serde_json::from_slice(&message("agent-handshake-complete").payload).unwrap();
    assert!(complete.handshake_time_to_complete > 0);
    for name in ["agent-acknowledge", "plugin-acknowledge"] {
        let message = message(name);
        assert_eq!((message.message_type, message.flags), (MessageType::Acknowledge, 3));
        let body: AcknowledgeBody = serde_json::from_slice(&message.payload).unwrap();
        assert!(body.is_sequential_message);
    }
}

/// The first stream of AWS's plugin is number 3; its SYN and its first PSH share a message.
#[test]
fn captured_smux_is_what_ours_expects() {
    assert_eq!(
        message("plugin-input-syn-psh").payload,
        Bytes::from_static(b"\x01\x00\x00\x00\x03\x00\x00\x00\x01\x02\x08\x00\x03\x00\x00\x00captured")
    );
    assert_eq!(
        message("agent-output-psh").payload,
        Bytes::from_static(b"\x01\x02\x08\x00\x03\x00\x00\x00captured")
    );
    let flag = message("plugin-terminate-flag");
    assert_eq!(flag.payload_type, PayloadType::FLAG);
    assert_eq!(flag.payload, PayloadType::FLAG_TERMINATE_SESSION.to_be_bytes().to_vec());
}

/// Both say who they are in the first frame: the plugin by its version, the agent by its instance.
#[test]
fn captured_first_frames_have_these_names() {
    let names = |name: &str| {
        let captured = captured();
        let found = captured.iter().find(|vector| vector["name"] == name).unwrap();
        let body: Value = serde_json::from_str(found["text"].as_str().unwrap()).unwrap();
        body.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let common = ["ClientId", "MessageSchemaVersion", "RequestId", "TokenValue"];
    for (name, own) in [
        ("plugin-open-data-channel", "ClientVersion"),
        ("agent-open-data-channel", "ClientInstanceId"),
    ] {
        let mut expected: Vec<&str> = common.into_iter().chain([own]).collect();
        expected.sort_unstable();
        assert_eq!(names(name), expected);
    }
}
