//! What a data channel really writes.

use std::time::Duration;

use bytes::Bytes;

use super::{ChannelEvent, DataChannel, Hearing, RestoredChannel, Settle};
use crate::Timestamp;
use crate::handshake::{AgentVersion, Agreement, Carriage, Handshake};
use crate::journal::Record;
use crate::session::{Secret, Transmit};
use crate::stream::{Form, Identity, MAX_SPAN, ReceiveBuffer, ReliableStream, SendBuffer};
use crate::wire::{ClientMessage, MessageType, PayloadType, Uuid, testing};

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}

fn acknowledge(channel: &mut DataChannel, number: i64, now: Timestamp) {
    channel.handle_frame(&testing::acknowledge(number), now);
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
    output(&mut channel, 0, b"$ ", at(0));
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

/// An agent that says nothing about duplicates has had the 8000 messages that a drop made doubtful: only messages behind
/// them, of which there is no place for more, can tell.
#[test]
fn an_old_agents_silence_is_understood_at_a_full_span() {
    let mut send = SendBuffer::restored(2, Some(false));
    for _ in 0..MAX_SPAN {
        send.push_restored(PayloadType::OUTPUT, Bytes::from_static(b"x"), Form::Same, false);
    }
    let identity = Identity::new(1, Duration::from_secs(1));
    let restored = RestoredChannel {
        stream: ReliableStream::restored(identity, send, ReceiveBuffer::restored(2, [])),
        handshake: Handshake::Complete(Agreement {
            agent: AgentVersion::parse("3.1.0.0").unwrap(),
            agent_version: String::new(),
            carriage: Carriage::Raw,
            encryption: None,
        }),
        settle: Settle::Done,
        response_due: None,
        challenge_due: None,
    };
    let mut channel = DataChannel::restored(restored, Uuid::default(), "1.2.0.0".to_owned());
    channel.handle_attached(&Secret::new("token".to_owned()), at(0));
    let mut now = at(0);
    for _ in 0..100 {
        if channel.stream().send().is_empty() {
            break;
        }
        for message in written(&mut channel, now) {
            if message.sequence_number >= 2 + i64::try_from(MAX_SPAN).unwrap() {
                acknowledge(&mut channel, message.sequence_number, now);
            }
        }
        if let Some(due) = channel.poll_timeout(Hearing::Answers) {
            now = due.at;
            channel.handle_timeout(Hearing::Answers, now);
        }
    }
    assert!(
        channel.stream().send().is_empty(),
        "{} left",
        channel.stream().send().backlog()
    );
    let retired = std::iter::from_fn(|| channel.poll_record());
    let retired = retired.filter(|record| matches!(record, Record::Acknowledged { number } if *number < 2 + MAX_SPAN));
    assert_eq!(
        retired.count(),
        usize::try_from(MAX_SPAN).unwrap(),
        "a journal knows it, too"
    );
}

/// A session of another client, whose agent expects number 1.
fn adopting() -> DataChannel {
    let identity = Identity::new(1, Duration::from_secs(1));
    let mut channel = DataChannel::adopting(identity, Uuid::default(), "1.2.0.0".to_owned(), (Carriage::Shell, 10));
    channel.handle_attached(&Secret::new("token".to_owned()), at(0));
    channel
}

fn output(channel: &mut DataChannel, number: i64, payload: &[u8], now: Timestamp) {
    let frame = testing::frame(MessageType::OutputStreamData, number, (PayloadType::OUTPUT, payload));
    channel.handle_frame(&frame, now);
}

/// The search for its place goes on until that is found.
fn adopt(channel: &mut DataChannel) -> Timestamp {
    let mut now = at(0);
    while channel.is_adopting() {
        let probes: Vec<i64> = std::iter::from_fn(|| channel.poll_transmit(now))
            .filter_map(|frame| match frame {
                Transmit::Binary(frame) => Some(ClientMessage::decode(&frame).unwrap().sequence_number),
                Transmit::Text(_) | Transmit::Ping(_) => None,
            })
            .collect();
        for number in probes.into_iter().filter(|number| *number != 1) {
            acknowledge(channel, number, now);
        }
        if channel.is_adopting() {
            now = channel.poll_timeout(Hearing::Answers).unwrap().at;
            channel.handle_timeout(Hearing::Answers, now);
        }
    }
    now
}

fn payloads(channel: &mut DataChannel) -> usize {
    let events = std::iter::from_fn(|| channel.poll_event());
    events.filter(|event| matches!(event, ChannelEvent::Payload(_))).count()
}

#[test]
fn what_comes_while_the_place_is_sought_is_kept_up_to_a_bound() {
    let mut channel = adopting();
    let large = vec![b'x'; 1 << 20];
    for number in 5..25 {
        output(&mut channel, number, &large, at(0));
    }
    let now = adopt(&mut channel);
    channel.handle_timeout(Hearing::Answers, now.after(Duration::from_secs(2)));
    assert_eq!(payloads(&mut channel), 16);
}

/// What is missing below the first own message may never come; but a machine that slept, or did not read, cannot know.
#[test]
fn a_sleep_passes_over_no_hole() {
    let mut channel = adopting();
    output(&mut channel, 10, b"ten", at(0));
    let now = adopt(&mut channel);
    let later = |ms: u64| now.after(Duration::from_millis(ms));
    channel.handle_timeout(Hearing::Answers, later(1200));
    assert_eq!(payloads(&mut channel), 1);
    output(&mut channel, 12, b"twelve", later(1300));
    channel.excuse_silence(later(100_000));
    channel.handle_timeout(Hearing::Answers, later(100_000));
    assert_eq!(payloads(&mut channel), 0);
    channel.handle_timeout(Hearing::Deaf, later(200_000));
    assert_eq!(payloads(&mut channel), 0);
    output(&mut channel, 11, b"eleven", later(200_001));
    assert_eq!(payloads(&mut channel), 2);
}
