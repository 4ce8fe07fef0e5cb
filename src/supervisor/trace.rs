//! A line for each message, at TRACE: its kind, its number and its length, never what it carries.

use autossm_proto::session::{Inbound, Transmit};
use tracing::Level;

/// Where a message's header has its name and its number (`autossm_proto::wire`).
const NAME: std::ops::Range<usize> = 4..36;
const NUMBER: std::ops::Range<usize> = 48..56;

/// It goes to the websocket.
pub(super) fn sent(session: &str, frame: &Transmit) {
    if tracing::enabled!(Level::TRACE) {
        match frame {
            Transmit::Text(_) => tracing::trace!(session, kind = "open_data_channel", "sent"),
            Transmit::Ping(_) => tracing::trace!(session, kind = "ping", "sent"),
            Transmit::Binary(bytes) => message(session, bytes, "sent"),
        }
    }
}

/// It came from the websocket.
pub(super) fn received(session: &str, frame: &Inbound) {
    if tracing::enabled!(Level::TRACE) {
        match frame {
            Inbound::Pong(_) => tracing::trace!(session, kind = "pong", "received"),
            Inbound::Other => tracing::trace!(session, kind = "other", "received"),
            Inbound::Binary(bytes) => message(session, bytes, "received"),
        }
    }
}

fn message(session: &str, frame: &[u8], what: &str) {
    let (kind, number) = header(frame);
    tracing::trace!(session, kind, number, bytes = frame.len(), "{what}");
}

/// The name and number of what may be no message at all.
fn header(frame: &[u8]) -> (&str, Option<i64>) {
    let name = frame.get(NAME).map(<[u8]>::trim_ascii).unwrap_or_default();
    let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    let number = frame.get(NUMBER).and_then(|bytes| bytes.try_into().ok());
    match std::str::from_utf8(name) {
        Ok(name) if is_name => (name, number.map(i64::from_be_bytes)),
        Ok(_) | Err(_) => ("no message", None),
    }
}

#[cfg(test)]
mod tests {
    use autossm_proto::wire::{ClientMessage, MessageType, PayloadType, Uuid};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_message_is_known_by_its_header_and_nothing_else_is() {
        let message = ClientMessage {
            message_type: MessageType::from_name(b"input_stream_data"),
            schema_version: 1,
            created_date: 1,
            sequence_number: 77,
            flags: 0,
            message_id: Uuid::from_wire([7; 16]),
            payload_type: PayloadType(1),
            payload: Bytes::from_static(b"secret"),
        };
        assert_eq!(header(&message.encode().unwrap()), ("input_stream_data", Some(77)));
        for nonsense in [
            &b""[..],
            &[0; 200],
            &[b'\n'; 200],
            b"GET / HTTP/1.1\r\nhost: somewhere.example.org\r\n\r\n\r\n\r\n\r\n\r\n",
        ] {
            assert_eq!(header(nonsense), ("no message", None));
        }
    }
}
