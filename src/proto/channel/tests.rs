//! What a data channel really writes.

use std::time::Duration;

use bytes::Bytes;

use super::{DataChannel, Hearing};
use crate::Timestamp;
use crate::session::{Secret, Transmit};
use crate::stream::{Identity, ReliableStream};
use crate::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}

fn frame(message_type: MessageType, number: i64, payload_type: PayloadType, payload: &[u8]) -> Bytes {
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

fn acknowledge(channel: &mut DataChannel, number: i64, now: Timestamp) {
    let body = AcknowledgeBody {
        acknowledged_message_type: "input_stream_data".to_owned(),
        acknowledged_message_id: Uuid::default(),
        acknowledged_message_sequence_number: number,
        is_sequential_message: true,
    };
    let body = serde_json::to_vec(&body).unwrap();
    let frame = frame(MessageType::Acknowledge, 0, PayloadType::NONE, &body);
    channel.handle_frame(&frame, now);
}

/// The messages that go out now, acknowledges left out.
fn written(channel: &mut DataChannel, now: Timestamp) -> Vec<ClientMessage> {
    let frames = std::iter::from_fn(|| channel.poll_transmit(now));
    let messages = frames.filter_map(|frame| match frame {
        Transmit::Binary(frame) => ClientMessage::decode(&frame).ok(),
        Transmit::Text(_) | Transmit::Ping(_) => None,
    });
    messages
        .filter(|message| message.message_type == MessageType::InputStreamData)
        .collect()
}

/// A shell whose agent tells no version, in use.
fn shell() -> DataChannel {
    let stream = ReliableStream::new(Identity::new(1, Duration::from_secs(1)));
    let mut channel = DataChannel::new(stream, Uuid::default(), "1.2.0.0".to_owned());
    channel.handle_attached(&Secret::new("token".to_owned()), at(0));
    let prompt = frame(MessageType::OutputStreamData, 0, PayloadType::OUTPUT, b"$ ");
    channel.handle_frame(&prompt, at(0));
    for message in written(&mut channel, at(0)) {
        acknowledge(&mut channel, message.sequence_number, at(0));
    }
    channel.handle_timeout(Hearing::Answers, at(100));
    assert!(channel.is_ready() && channel.stream().send().is_empty());
    channel
}

/// After a drop, of what was typed before it only the later part is acknowledged.
#[test]
fn the_question_reaches_the_wire_and_its_answer_counts() {
    for answers in [true, false] {
        let mut channel = shell();
        channel.push_input(Bytes::from_static(b"ls"));
        let typed = written(&mut channel, at(200))[0].sequence_number;
        channel.handle_detached();
        channel.handle_attached(&Secret::new("token".to_owned()), at(300));
        let mut asked = 0;
        for turn in 0..20 {
            channel.push_input(Bytes::from_static(b"x"));
            // An agent that answers duplicates has never had what was typed before the drop.
            for message in written(&mut channel, at(400 + turn)) {
                let number = message.sequence_number;
                if number < typed {
                    asked += 1;
                    assert_eq!(message.payload, super::settle::harmless());
                }
                if number > typed || (number < typed && answers) {
                    acknowledge(&mut channel, number, at(400 + turn));
                }
            }
        }
        let send = channel.stream().send();
        assert_eq!(send.answers_duplicates(), Some(answers));
        assert_eq!(asked, if answers { 1 } else { 3 });
        let oldest = send.oldest_unacknowledged();
        assert_eq!(oldest == typed.unsigned_abs(), answers, "{oldest}");
    }
}
