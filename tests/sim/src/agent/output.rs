//! What the agent writes: acknowledges, and destination bytes at its pace.

use std::time::Duration;

use autossm_proto::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType};
use bytes::Bytes;
use tokio::time::Instant;

use super::core::Agent;
use crate::message;

/// What the agent reads from its smux session before it sends a message.
const READ_SIZE: usize = 1024;
const PACE: Duration = Duration::from_millis(1);
/// How far the pace may catch up after a late timer, so that its average is exact.
const CATCH_UP: Duration = Duration::from_millis(20);

impl Agent {
    /// Sends destination bytes at the agent's pace. True when something was sent.
    pub(crate) fn pump(&mut self, now: Instant) -> bool {
        let mut sent = false;
        while !self.paused && now >= self.next_send {
            let Some(port) = &mut self.port else { break };
            let Some((payload_type, data)) = port.take_output(READ_SIZE) else {
                self.starved = true;
                break;
            };
            let last = port.is_broken();
            let base = if self.starved {
                now
            } else {
                self.next_send.max(now.checked_sub(CATCH_UP).unwrap_or(now))
            };
            self.starved = false;
            self.next_send = base + self.scaled(PACE);
            self.send(payload_type, data, now);
            sent = true;
            if last {
                self.end("", now);
            }
        }
        sent
    }

    /// False when it could not be written.
    pub(super) fn acknowledge(&mut self, received: &ClientMessage) -> bool {
        let body = AcknowledgeBody {
            acknowledged_message_type: received.message_type.name().to_owned(),
            acknowledged_message_id: received.message_id,
            acknowledged_message_sequence_number: received.sequence_number,
            is_sequential_message: true,
        };
        let payload = serde_json::to_vec(&body).unwrap_or_default().into();
        let mut acknowledge = message::new(&mut self.rng, MessageType::Acknowledge, payload);
        acknowledge.flags = 3;
        self.write(message::encode(&acknowledge))
    }

    /// Numbers, sends (unless paused) and lists a data message.
    pub(super) fn send(&mut self, payload_type: PayloadType, payload: Bytes, now: Instant) {
        let payload = match &mut self.encryption {
            Some(encryption) => encryption.sealed(payload_type, payload),
            None => payload,
        };
        let mut data = message::new(&mut self.rng, MessageType::OutputStreamData, payload);
        data.sequence_number = self.outbound.next();
        data.flags = u64::from(data.sequence_number == 0);
        data.payload_type = payload_type;
        let frame = message::encode(&data);
        if !self.paused {
            self.write(frame.clone());
        }
        self.outbound.list(frame, now);
    }

    /// False when the link cannot be written to.
    pub(super) fn write(&mut self, frame: Bytes) -> bool {
        if self.link_up {
            self.outbox.push_back(frame);
        }
        self.link_up
    }
}
