//! What the session has to send, as numbered messages.

use bytes::Bytes;

use super::DataChannel;
use super::settle::{disconnect, harmless};
use crate::journal::{Record, SentBody};
use crate::mux::Message;
use crate::stream::Form;
use crate::wire::{PayloadType, SizeBody};

impl DataChannel {
    /// Keeps a multiplexer message for sending.
    pub fn push_message(&mut self, message: Message) {
        let number = self
            .stream
            .push(PayloadType::OUTPUT, message.payload, Form::Mux(message.kind));
        let body = SentBody::Frames(message.parts);
        self.records.push_back(Record::Sent {
            number,
            payload_type: PayloadType::OUTPUT,
            body,
        });
    }

    /// Keeps bytes of a session's one connection, or of its terminal, for sending.
    pub fn push_input(&mut self, bytes: Bytes) {
        let length = bytes.len();
        let number = self.stream.push(PayloadType::OUTPUT, bytes, Form::Same);
        self.records.push_back(Record::Sent {
            number,
            payload_type: PayloadType::OUTPUT,
            body: SentBody::Input(length),
        });
    }

    /// Tells the agent of a shell how large the terminal is.
    pub fn push_size(&mut self, size: SizeBody) {
        // A number and a number: this cannot fail.
        if let Ok(body) = serde_json::to_vec(&size) {
            self.push(PayloadType::SIZE, body.into());
        }
    }

    /// Tells the agent of a raw session that the connection is over.
    pub fn push_disconnect(&mut self) {
        self.push(PayloadType::FLAG, disconnect());
    }

    /// Sends a message that changes nothing: its acknowledge shows that the agent is there.
    pub fn push_harmless(&mut self) -> u64 {
        self.push(PayloadType::FLAG, harmless())
    }

    pub(super) fn push(&mut self, payload_type: PayloadType, payload: Bytes) -> u64 {
        let number = self.stream.push(payload_type, payload.clone(), Form::Same);
        self.records.push_back(Record::Sent {
            number,
            payload_type,
            body: SentBody::Bytes(payload),
        });
        number
    }
}
