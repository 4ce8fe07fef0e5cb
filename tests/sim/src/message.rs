//! Messages as the agent and the service write and read them.

use autossm_proto::wire::{
    AcknowledgeBody, ClientMessage, HEADER_LENGTH, InvalidMessage, MIN_FRAME, MessageType, PayloadType, Uuid,
};
use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::clock;

/// A message without number, flags or payload type.
pub(crate) fn new(rng: &mut StdRng, message_type: MessageType, payload: Bytes) -> ClientMessage {
    ClientMessage {
        message_type,
        schema_version: 1,
        created_date: clock::unix_millis(),
        sequence_number: 0,
        flags: 0,
        message_id: Uuid::from_random(rng.random(), rng.random()),
        payload_type: PayloadType::NONE,
        payload,
    }
}

/// The frame of a message whose payload is known not to be empty.
pub(crate) fn encode(message: &ClientMessage) -> Bytes {
    message.encode().unwrap_or_default()
}

/// Reads a frame as the agent does: without looking at the digest.
pub(crate) fn decode_unchecked(frame: &Bytes) -> Option<ClientMessage> {
    match ClientMessage::decode(frame) {
        Ok(message) => Some(message),
        Err(InvalidMessage::Digest { .. }) => {
            let mut repaired = BytesMut::from(&frame[..]);
            let digest = Sha256::digest(frame.get(MIN_FRAME..)?);
            repaired
                .get_mut(HEADER_LENGTH - 36..HEADER_LENGTH - 4)?
                .copy_from_slice(&digest);
            ClientMessage::decode(&repaired.freeze()).ok()
        }
        Err(
            InvalidMessage::TooShort(_)
            | InvalidMessage::HeaderLength(_)
            | InvalidMessage::EmptyType
            | InvalidMessage::NoCreatedDate
            | InvalidMessage::EmptyPayload,
        ) => None,
    }
}

/// Whether the header length of a long enough frame leads out of it.
pub(crate) fn header_leads_out(frame: &[u8]) -> bool {
    let announced = frame.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    frame.len() >= HEADER_LENGTH && usize::try_from(announced).is_ok_and(|length| length >= frame.len())
}

/// The number an acknowledge is for; AWS's agent matches by it alone.
pub(crate) fn acknowledged_number(payload: &[u8]) -> Option<i64> {
    let body: AcknowledgeBody = serde_json::from_slice(payload).ok()?;
    Some(body.acknowledged_message_sequence_number)
}

/// The payload of `channel_closed`; the text is for the user.
pub(crate) fn channel_closed(session_id: &str, text: &str) -> Bytes {
    let body = json!({
        "MessageId": "",
        "CreatedDate": clock::unix_millis().to_string(),
        "DestinationId": "",
        "SessionId": session_id,
        "MessageType": MessageType::ChannelClosed.name(),
        "SchemaVersion": 1,
        "Output": text,
    });
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_agent_reads_damaged_payloads() {
        let mut rng = StdRng::seed_from_u64(1);
        let payload = Bytes::from_static(b"payload");
        let message = new(&mut rng, MessageType::InputStreamData, payload);
        let mut frame = encode(&message).to_vec();
        *frame.last_mut().unwrap() ^= 1;
        let frame = Bytes::from(frame);
        assert!(ClientMessage::decode(&frame).is_err());
        assert_eq!(decode_unchecked(&frame).unwrap().payload, "payloae");
    }
}
