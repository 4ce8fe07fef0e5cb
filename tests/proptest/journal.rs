//! A journal that is torn off at any place restores to something that can go on.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::handshake::Carriage;
use autossm_proto::journal::{Record, SentBody, State};
use autossm_proto::mux::{FrameCommand, FramePart};
use autossm_proto::session::{Backoff, LocalId, Session, SessionConfig};
use autossm_proto::wire::{PayloadType, Uuid};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

#[derive(Debug)]
struct Steady;

impl Backoff for Steady {
    fn next_wait(&mut self) -> Duration {
        Duration::from_secs(1)
    }

    fn reset(&mut self) {}
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

/// Any record, in no order that a session would write.
fn record() -> impl Strategy<Value = Record> {
    let stream = 0u32..12;
    let number = 1u64..30;
    let kind = (0u32..13).prop_map(PayloadType);
    let command = prop_oneof![
        Just(FrameCommand::Syn),
        Just(FrameCommand::Fin),
        Just(FrameCommand::Psh)
    ];
    let parts = vec((command, stream.clone(), 0usize..50), 0..4).prop_map(|parts| {
        let part = |(command, stream, length)| FramePart {
            command,
            stream,
            length,
        };
        SentBody::Frames(parts.into_iter().map(part).collect())
    });
    prop_oneof![
        Just(Record::Started {
            session_id: "ada-1".to_owned(),
            client_id: Uuid::default()
        }),
        (stream.clone(), 1u64..9).prop_map(|(stream, local)| Record::Opened {
            stream,
            local: LocalId(local)
        }),
        (stream.clone(), bytes()).prop_map(|(stream, bytes)| Record::Input { stream, bytes }),
        stream.clone().prop_map(|stream| Record::LocalEof { stream }),
        stream.clone().prop_map(|stream| Record::LocalReset { stream }),
        stream.clone().prop_map(|stream| Record::Finished { stream }),
        (0..40u64, any::<bool>()).prop_map(|(number, shell)| Record::Adopted {
            number,
            carriage: if shell { Carriage::Shell } else { Carriage::Raw },
        }),
        (0..40u64).prop_map(|number| Record::OutputBegins { number }),
        (stream, any::<u64>()).prop_map(|(stream, bytes)| Record::Written { stream, bytes }),
        (
            number.clone(),
            kind.clone(),
            prop_oneof![
                parts,
                (0usize..50).prop_map(SentBody::Input),
                bytes().prop_map(SentBody::Bytes)
            ]
        )
            .prop_map(|(number, payload_type, body)| Record::Sent {
                number,
                payload_type,
                body
            }),
        number.clone().prop_map(|number| Record::Acknowledged { number }),
        (number, kind, bytes()).prop_map(|(number, payload_type, payload)| Record::Received {
            number,
            message_id: Uuid::default(),
            payload_type,
            payload,
        }),
        Just(Record::Ended),
    ]
}

/// The agent's first message: the records that follow belong to a multiplexed or to a raw session.
fn handshake(raw: bool) -> Record {
    let properties = if raw { "{}" } else { r#"{"type":"LocalPortForwarding"}"# };
    let request = format!(
        r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"Port","Properties":{properties}}}}}]}}"#
    );
    Record::Received {
        number: 0,
        message_id: Uuid::default(),
        payload_type: PayloadType::HANDSHAKE_REQUEST,
        payload: Bytes::from(request),
    }
}

proptest! {
    #[test]
    fn any_records_restore_without_a_panic(raw in any::<bool>(), records in vec(record(), 0..60)) {
        let config = SessionConfig::default();
        let mut state = State::new(config.client_version.clone());
        state.apply(Record::Started { session_id: "ada-1".to_owned(), client_id: Uuid::default() });
        state.apply(handshake(raw));
        for record in records {
            state.apply(record);
        }
        state.correct_written(|local| local.0);
        let now = Timestamp::from_nanos(1);
        let session = Session::new(config, Box::new(Steady), 1, Duration::from_secs(1));
        let mut session = session.restore(&state, (1..9).map(LocalId), now);
        session.start(now);
        while session.poll_record().is_some() || session.poll_event().is_some() || session.poll_command().is_some() {}
        session.handle_timeout(now.after(Duration::from_secs(1000)));
        assert!(!session.snapshot().cause.is_empty());
    }
}
