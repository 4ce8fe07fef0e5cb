//! `ClientMessage`: the one binary frame of the data channel.
//!
//! Big-endian: a fixed header of 116 bytes, the payload's length, the payload.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::Uuid;

/// The value of the header-length field: the bytes before the payload length.
pub const HEADER_LENGTH: usize = 116;
/// The shortest frame that can hold a message: header and payload length, without a payload.
pub const MIN_FRAME: usize = HEADER_LENGTH + 4;

const TYPE_LENGTH: usize = 32;

/// What a message is for. Unknown types are ignored by both peers, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Client to agent, numbered.
    InputStreamData,
    /// Agent to client, numbered.
    OutputStreamData,
    /// Either way, for exactly one numbered message.
    Acknowledge,
    /// Service to client: the session has ended.
    ChannelClosed,
    /// Service: the other side is back.
    StartPublication,
    /// Service: the other side is away.
    PausePublication,
    /// Agent to service.
    AgentSessionState,
    /// Anything else.
    Unknown,
}

impl MessageType {
    const KNOWN: [Self; 7] = [
        Self::InputStreamData,
        Self::OutputStreamData,
        Self::Acknowledge,
        Self::ChannelClosed,
        Self::StartPublication,
        Self::PausePublication,
        Self::AgentSessionState,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
            Self::AgentSessionState => "agent_session_state",
            Self::Unknown => "unknown",
        }
    }

    /// The type of that name; names nobody knows become [`MessageType::Unknown`].
    pub fn from_name(name: &[u8]) -> Self {
        let known = Self::KNOWN.into_iter().find(|known| known.name().as_bytes() == name);
        known.unwrap_or(Self::Unknown)
    }

    /// AWS's programs write these two with an empty or arbitrary digest and never check it.
    const fn skips_digest(self) -> bool {
        matches!(self, Self::StartPublication | Self::PausePublication)
    }
}

/// What the payload of a numbered message holds. A number on the wire, so unknown ones pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u32);

impl PayloadType {
    /// Acknowledges and the service's own messages.
    pub const NONE: Self = Self(0);
    /// Data, both ways.
    pub const OUTPUT: Self = Self(1);
    /// An error text.
    pub const ERROR: Self = Self(2);
    /// A terminal size, JSON.
    pub const SIZE: Self = Self(3);
    /// A parameter.
    pub const PARAMETER: Self = Self(4);
    /// Agent: what it wants done before the session begins.
    pub const HANDSHAKE_REQUEST: Self = Self(5);
    /// Client: what was done.
    pub const HANDSHAKE_RESPONSE: Self = Self(6);
    /// Agent: the session begins.
    pub const HANDSHAKE_COMPLETE: Self = Self(7);
    /// Agent: prove that you have the data key.
    pub const ENC_CHALLENGE_REQUEST: Self = Self(8);
    /// Client: the proof. Panics the agent in a session without encryption.
    pub const ENC_CHALLENGE_RESPONSE: Self = Self(9);
    /// A number, big-endian u32: [`PayloadType::FLAG_DISCONNECT_TO_PORT`] and the others.
    pub const FLAG: Self = Self(10);
    /// Data from a command's standard error.
    pub const STD_ERR: Self = Self(11);
    /// A command's exit code as text.
    pub const EXIT_CODE: Self = Self(12);

    /// Flag: the local connection has closed (basic port sessions).
    pub const FLAG_DISCONNECT_TO_PORT: u32 = 1;
    /// Flag: the client ends the session.
    pub const FLAG_TERMINATE_SESSION: u32 = 2;
    /// Flag: the agent could not reach the destination.
    pub const FLAG_CONNECT_TO_PORT_ERROR: u32 = 3;
    /// Flag: none that an agent knows. It is acknowledged and ignored by every one, whatever its state.
    pub const FLAG_HARMLESS: u32 = 0x6175_746f;
}

/// Why a frame is not a `ClientMessage`. The frame is dropped, unacknowledged; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// Shorter than a header.
    #[error("frame of {0} bytes is shorter than a message header")]
    TooShort(usize),
    /// The header length is below 116 or beyond the frame.
    #[error("header length {0} does not fit the frame")]
    HeaderLength(u32),
    /// The type field is blank.
    #[error("message type is empty")]
    EmptyType,
    /// The creation date is zero, which both of AWS's programs refuse.
    #[error("creation date is zero")]
    NoCreatedDate,
    /// The payload does not have the digest the header states.
    #[error("payload of message {sequence_number} does not match its digest")]
    Digest {
        /// The number the damaged message claims.
        sequence_number: i64,
    },
    /// Encoding: AWS's code cannot serialize a message without a payload.
    #[error("a message needs a payload")]
    EmptyPayload,
}

/// One message of the data channel.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientMessage {
    /// What it is for.
    pub message_type: MessageType,
    /// Always 1 today.
    pub schema_version: u32,
    /// Unix milliseconds.
    pub created_date: u64,
    /// Position in its direction's stream, from 0; acknowledges carry 0. Signed in AWS's code.
    pub sequence_number: i64,
    /// Bit 0 SYN, bit 1 FIN; acknowledges carry 3. Nobody reads them.
    pub flags: u64,
    /// Names this message in its acknowledge.
    pub message_id: Uuid,
    /// How to read the payload.
    pub payload_type: PayloadType,
    /// A slice of the frame it was decoded from.
    pub payload: Bytes,
}

/// Without the payload, which is the user's.
impl fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMessage")
            .field("message_type", &self.message_type)
            .field("sequence_number", &self.sequence_number)
            .field("message_id", &self.message_id)
            .field("payload_type", &self.payload_type)
            .field("payload", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl ClientMessage {
    /// Writes the frame: one allocation, filled once.
    ///
    /// # Errors
    /// [`InvalidMessage::EmptyPayload`]; [`InvalidMessage::NoCreatedDate`].
    pub fn encode(&self) -> Result<Bytes, InvalidMessage> {
        if self.payload.is_empty() {
            return Err(InvalidMessage::EmptyPayload);
        }
        if self.created_date == 0 {
            return Err(InvalidMessage::NoCreatedDate);
        }
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut frame = BytesMut::with_capacity(MIN_FRAME.saturating_add(self.payload.len()));
        frame.put_u32(116);
        let name = self.message_type.name().as_bytes();
        frame.put_slice(name);
        frame.put_bytes(b' ', TYPE_LENGTH.saturating_sub(name.len()));
        frame.put_u32(self.schema_version);
        frame.put_u64(self.created_date);
        frame.put_i64(self.sequence_number);
        frame.put_u64(self.flags);
        frame.put_slice(&self.message_id.to_wire());
        frame.put_slice(&Sha256::digest(&self.payload));
        frame.put_u32(self.payload_type.0);
        frame.put_u32(length);
        frame.put_slice(&self.payload);
        Ok(frame.freeze())
    }

    /// Reads a frame. The payload shares the frame's memory. Like AWS's readers it takes the payload from the
    /// header's end plus 4 to the end of the frame and does not believe the length field.
    ///
    /// # Errors
    /// [`InvalidMessage`]: the caller drops the frame without acknowledging it.
    pub fn decode(frame: &Bytes) -> Result<Self, InvalidMessage> {
        let mut fields = Fields {
            rest: frame,
            total: frame.len(),
        };
        let header_length = u32::from_be_bytes(fields.take()?);
        let name: [u8; TYPE_LENGTH] = fields.take()?;
        let schema_version = u32::from_be_bytes(fields.take()?);
        let created_date = u64::from_be_bytes(fields.take()?);
        let sequence_number = i64::from_be_bytes(fields.take()?);
        let flags = u64::from_be_bytes(fields.take()?);
        let message_id = Uuid::from_wire(fields.take()?);
        let digest: [u8; 32] = fields.take()?;
        let payload_type = PayloadType(u32::from_be_bytes(fields.take()?));
        let start = usize::try_from(header_length)
            .ok()
            .and_then(|length| length.checked_add(4));
        let start = start.filter(|start| (MIN_FRAME..=frame.len()).contains(start));
        let start = start.ok_or(InvalidMessage::HeaderLength(header_length))?;
        let name = name.trim_ascii_start();
        let end = name
            .iter()
            .rposition(|byte| !matches!(byte, 0 | b' '))
            .map_or(0, |last| last.saturating_add(1));
        let name = name.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(InvalidMessage::EmptyType);
        }
        let message_type = MessageType::from_name(name);
        if created_date == 0 {
            return Err(InvalidMessage::NoCreatedDate);
        }
        let payload = frame.slice(start..);
        if !message_type.skips_digest() && !payload.is_empty() && digest != *Sha256::digest(&payload) {
            return Err(InvalidMessage::Digest { sequence_number });
        }
        Ok(Self {
            message_type,
            schema_version,
            created_date,
            sequence_number,
            flags,
            message_id,
            payload_type,
            payload,
        })
    }
}

/// Takes fixed-size fields off the front of a frame.
struct Fields<'a> {
    rest: &'a [u8],
    total: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], InvalidMessage> {
        let (field, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(InvalidMessage::TooShort(self.total))?;
        self.rest = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static [u8]) -> ClientMessage {
        ClientMessage {
            message_type: MessageType::InputStreamData,
            schema_version: 1,
            created_date: 1,
            sequence_number: 7,
            flags: 0,
            message_id: Uuid::from_random(1, 2),
            payload_type: PayloadType::OUTPUT,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn payload_shares_the_frames_memory() {
        let frame = message(b"some bytes").encode().unwrap();
        let decoded = ClientMessage::decode(&frame).unwrap();
        assert_eq!(decoded.payload.as_ptr(), frame[MIN_FRAME..].as_ptr());
    }

    #[test]
    fn a_header_length_beyond_the_frame_is_refused() {
        let mut frame = message(b"x").encode().unwrap().to_vec();
        for length in [0u32, 115, 118, 1 << 20, u32::MAX] {
            frame[..4].copy_from_slice(&length.to_be_bytes());
            let refused = ClientMessage::decode(&Bytes::from(frame.clone()));
            assert_eq!(refused, Err(InvalidMessage::HeaderLength(length)));
        }
    }

    #[test]
    fn a_damaged_payload_is_refused() {
        let mut frame = message(b"xyz").encode().unwrap().to_vec();
        *frame.last_mut().unwrap() ^= 1;
        assert_eq!(
            ClientMessage::decode(&Bytes::from(frame)),
            Err(InvalidMessage::Digest { sequence_number: 7 })
        );
    }

    #[test]
    fn empty_payloads_cannot_be_encoded() {
        assert_eq!(message(b"").encode(), Err(InvalidMessage::EmptyPayload));
    }

    proptest::proptest! {
        #[test]
        fn decoding_any_bytes_never_panics(bytes: Vec<u8>, header in 100u32..130) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_chunk_mut::<4>() {
                *first = header.to_be_bytes();
            }
            let _outcome = ClientMessage::decode(&Bytes::from(bytes));
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(payload in proptest::collection::vec(0u8.., 1..2000), sequence_number: i64, flags: u64, kind: u32) {
            let sent = ClientMessage { payload: Bytes::from(payload), sequence_number, flags, payload_type: PayloadType(kind), ..message(b"") };
            proptest::prop_assert_eq!(ClientMessage::decode(&sent.encode().unwrap()).unwrap(), sent);
        }
    }
}
