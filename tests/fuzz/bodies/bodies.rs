//! Any JSON body: reading never panics, what was read is written so that it reads the same, and no handshake message
//! gets more than a bounded answer.

use std::fmt::Debug;

use autossm_proto::handshake::{AgentVersion, Handshake};
use autossm_proto::session::DropCause;
use autossm_proto::wire::{
    AcknowledgeBody, ChannelClosedBody, CompleteBody, HandshakeRequestBody, HandshakeResponseBody, OpenDataChannelBody,
    PayloadType, SizeBody,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const VERSION: &str = "1.2.764.0";
/// An answer repeats the request's words in its errors, escaped, and never more than this often.
const GROWTH: usize = 40;

pub(crate) fn run(data: &[u8]) {
    round_trip::<AcknowledgeBody>(data);
    round_trip::<ChannelClosedBody>(data);
    round_trip::<OpenDataChannelBody>(data);
    round_trip::<HandshakeRequestBody>(data);
    round_trip::<HandshakeResponseBody>(data);
    round_trip::<CompleteBody>(data);
    round_trip::<SizeBody>(data);
    round_trip::<DropCause>(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _parsed = AgentVersion::parse(text);
    }
    handshake(data);
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    if let Ok(body) = serde_json::from_slice::<T>(data) {
        let written = serde_json::to_vec(&body).unwrap();
        let again = serde_json::from_slice::<T>(&written).unwrap();
        // The last digit of a fraction may be rounded otherwise; nobody reads those.
        if !serde_json::from_slice(data).is_ok_and(|value: Value| has_fraction(&value)) {
            assert_eq!(again, body);
        }
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The message in every state of the handshake, under every type.
fn handshake(data: &[u8]) {
    let mut state = Handshake::AwaitingRequest;
    for payload_type in [
        PayloadType::HANDSHAKE_REQUEST,
        PayloadType::ENC_CHALLENGE_REQUEST,
        PayloadType::HANDSHAKE_COMPLETE,
    ] {
        for state in [state.clone(), Handshake::AwaitingRequest] {
            match state.handle(payload_type, data, VERSION) {
                Ok(step) => {
                    let answer = step.response.map_or(0, |response| response.len());
                    assert!(
                        answer <= 4096 + GROWTH * data.len(),
                        "{answer} bytes for {}",
                        data.len()
                    );
                    assert!(step.refused.is_none_or(|error| !error.to_string().is_empty()));
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        // A good request, so that the next type meets the state after it.
        let request = br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[]}"#;
        state = state
            .handle(PayloadType::HANDSHAKE_REQUEST, request, VERSION)
            .unwrap()
            .next;
    }
}
