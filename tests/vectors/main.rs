//! Byte vectors made by AWS's own serializers (`vectors.json`), read and written by our codec.
#![expect(clippy::unwrap_used, reason = "test code")]

mod captured;
mod kms;
mod smux;

use autossm_proto::wire::{
    AcknowledgeBody, ChallengeBody, ChannelClosedBody, ClientMessage, CompleteBody, HandshakeRequestBody,
    HandshakeResponseBody, InvalidMessage, MessageType, PayloadType, SizeBody, Uuid,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Every vector of the file.
fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The message a vector's fields describe.
fn described(fields: &Value) -> ClientMessage {
    let number = |name: &str| fields[name].as_u64().unwrap();
    let payload = match fields["PayloadHex"].as_str() {
        Some(hex) => unhex(hex),
        None => Bytes::from(fields["PayloadJSON"].as_str().unwrap().to_owned()),
    };
    ClientMessage {
        message_type: MessageType::from_name(fields["MessageType"].as_str().unwrap().as_bytes()),
        schema_version: u32::try_from(number("SchemaVersion")).unwrap(),
        created_date: number("CreatedDate"),
        sequence_number: fields["SequenceNumber"].as_i64().unwrap(),
        flags: number("Flags"),
        message_id: Uuid::parse(fields["MessageId"].as_str().unwrap()).unwrap(),
        payload_type: PayloadType(u32::try_from(number("PayloadType")).unwrap()),
        payload,
    }
}

#[test]
fn messages_are_read_and_written_as_awss_programs_do() {
    let mut seen = 0;
    for vector in vectors()
        .iter()
        .filter(|vector| !vector["fields"]["MessageType"].is_null())
    {
        let name = vector["name"].as_str().unwrap();
        let message = described(&vector["fields"]);
        if name == "payload-empty" {
            assert_eq!(message.encode(), Err(InvalidMessage::EmptyPayload));
        } else {
            let frame = unhex(vector["hex"].as_str().unwrap());
            assert_eq!(message.encode().unwrap(), frame, "{name}: encode");
            assert_eq!(ClientMessage::decode(&frame).unwrap(), message, "{name}: decode");
        }
        seen += 1;
    }
    assert_eq!(seen, 41, "every ClientMessage vector was checked");
}

/// Reads a JSON body and checks that writing it again gives the same bytes.
fn round_trip<T: DeserializeOwned + Serialize>(json: &str) -> T {
    let body: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&body).unwrap(), json);
    body
}

#[test]
fn bodies_are_read_and_written_as_awss_programs_do() {
    let mut seen = Vec::new();
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap().to_owned();
        let Some(json) = vector["fields"]["PayloadJSON"].as_str() else {
            continue;
        };
        match name.as_str() {
            "size" => assert_eq!(round_trip::<SizeBody>(json), SizeBody { cols: 80, rows: 24 }),
            "acknowledge-of-input_stream_data" | "agent-acknowledge" => {
                assert_eq!(
                    round_trip::<AcknowledgeBody>(json).acknowledged_message_sequence_number,
                    42
                );
            }
            "handshake-response-sessiontype" | "handshake-response-kms" | "handshake-response-failed" => {
                assert_eq!(round_trip::<HandshakeResponseBody>(json).client_version, "1.2.677.0");
            }
            "agent-handshake-request-port" | "agent-handshake-request-shell-kms" => {
                let body: HandshakeRequestBody = serde_json::from_str(json).unwrap();
                assert_eq!(body.agent_version, "3.3.1142.0");
                assert_eq!(body.requested_client_actions[0].action_type, "SessionType");
            }
            "agent-handshake-complete" => {
                assert_eq!(round_trip::<CompleteBody>(json).handshake_time_to_complete, 123_456_789);
            }
            "agent-channel-closed" => {
                let body: ChannelClosedBody = serde_json::from_str(json).unwrap();
                assert_eq!(body.session_id.as_deref(), Some("lab-session-0"));
            }
            "agent-enc-challenge-request" => {
                assert_eq!(round_trip::<ChallengeBody>(json).challenge.len(), 124);
            }
            // Bodies that a client neither reads nor writes; their frames are checked above.
            "agent-session-state" | "agent-pause-publication" => {}
            other => panic!("vector {other} has a body nobody checks"),
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), 13, "{seen:?}");
}
