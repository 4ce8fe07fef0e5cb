//! Frames as an agent sends them, for tests.

use bytes::Bytes;

use super::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};

/// A frame with this number and payload.
pub(crate) fn frame(message_type: MessageType, number: i64, (payload_type, payload): (PayloadType, &[u8])) -> Bytes {
    let message = ClientMessage {
        message_type,
        schema_version: 1,
        created_date: 1,
        sequence_number: number,
        flags: 0,
        message_id: Uuid::from_random(1, 2),
        payload_type,
        payload: Bytes::copy_from_slice(payload),
    };
    message.encode().unwrap()
}

/// The acknowledge of what the client has sent under this number.
pub(crate) fn acknowledge(number: i64) -> Bytes {
    let body = AcknowledgeBody {
        acknowledged_message_type: "input_stream_data".to_owned(),
        acknowledged_message_id: Uuid::default(),
        acknowledged_message_sequence_number: number,
        is_sequential_message: true,
    };
    let body = serde_json::to_vec(&body).unwrap();
    frame(MessageType::Acknowledge, 0, (PayloadType::NONE, &body))
}
