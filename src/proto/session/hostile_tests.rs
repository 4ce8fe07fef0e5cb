//! What a hostile service or agent may not do to a session.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Attempt, Backoff, Command, DropCause, Epoch, Event, Failure, FailureClass, Grant, Inbound, KeyGrant, LocalId,
    Outcome, Phase, Reading, ResumeGrant, Secret, Session, SessionConfig,
};
use crate::Timestamp;
use crate::cipher::DataKey;
use crate::journal::Record;
use crate::wire::{ClientMessage, MessageType, PayloadType, Uuid, testing};

pub(super) const NOW: Timestamp = Timestamp::from_nanos(1);
const CANARY: &str = "canary";

#[derive(Debug)]
struct Steady;

impl Backoff for Steady {
    fn next_wait(&mut self) -> Duration {
        Duration::from_secs(1)
    }

    fn reset(&mut self) {}
}

fn grant() -> Grant {
    Grant {
        session_id: "ada-1".to_owned(),
        token: Secret::new(CANARY.to_owned()),
        stream_url: format!("wss://host/v1/data-channel/ada-1?X-Amz-Signature={CANARY}"),
    }
}

/// A session whose websocket has just opened.
pub(super) fn handshaking(config: SessionConfig) -> Session {
    let mut session = Session::new(config, Box::new(Steady), 1, Duration::from_secs(1));
    session.start(NOW);
    let attempt = Attempt(1);
    session.handle_outcome(
        Outcome::Started {
            attempt,
            grant: grant(),
        },
        NOW,
    );
    let epoch = Epoch(1);
    session.handle_outcome(Outcome::Dialed { attempt, epoch }, NOW);
    while session.poll_transmit(NOW).is_some() {}
    assert_eq!(causes(&mut session).len(), 3);
    session
}

fn inbound(session: &mut Session, message_type: MessageType, number: i64, payload: &[u8]) {
    inbound_of(session, message_type, number, (PayloadType::OUTPUT, payload));
}

pub(super) fn inbound_of(session: &mut Session, message_type: MessageType, number: i64, payload: (PayloadType, &[u8])) {
    let frame = testing::frame(message_type, number, payload);
    session.handle_inbound(Epoch(1), Inbound::Binary(frame), NOW);
}

/// The phases since the last look, each with its cause.
pub(super) fn causes(session: &mut Session) -> Vec<(Phase, String)> {
    let events = std::iter::from_fn(|| session.poll_event());
    let phase = |event| match event {
        Event::Phase { to, cause, .. } => Some((to, cause)),
        Event::Data { .. }
        | Event::StdErr { .. }
        | Event::Exit { .. }
        | Event::Finished { .. }
        | Event::Reset { .. }
        | Event::Room { .. } => None,
    };
    events.filter_map(phase).collect()
}

#[test]
fn channel_closed_for_another_session_is_ignored() {
    let mut session = handshaking(SessionConfig::default());
    let ignored = session.figures().ignored;
    inbound(
        &mut session,
        MessageType::ChannelClosed,
        0,
        br#"{"SessionId":"bob-1","Output":"bye"}"#,
    );
    assert_eq!(causes(&mut session), []);
    assert_eq!(session.figures().ignored, ignored + 1);
    inbound(
        &mut session,
        MessageType::ChannelClosed,
        0,
        br#"{"SessionId":"ada-1","Output":"bye"}"#,
    );
    assert_eq!(
        causes(&mut session),
        [(Phase::Ended, "the session has ended: bye".to_owned())]
    );
}

#[test]
fn channel_closed_without_a_session_is_meant_for_this_one() {
    for body in ["{}", r#"{"SessionId":"","Output":""}"#, "no JSON"] {
        let mut session = handshaking(SessionConfig::default());
        inbound(&mut session, MessageType::ChannelClosed, 0, body.as_bytes());
        assert_eq!(
            causes(&mut session),
            [(Phase::Ended, "the session has ended: no reason given".to_owned())]
        );
    }
}

#[test]
fn a_cause_quotes_no_megabyte_of_the_peer() {
    let mut session = handshaking(SessionConfig::default());
    let body = format!(r#"{{"Output":"{}"}}"#, "ü".repeat(100_000));
    inbound(&mut session, MessageType::ChannelClosed, 0, body.as_bytes());
    let (phase, cause) = causes(&mut session).remove(0);
    assert_eq!((phase, cause.chars().count()), (Phase::Ended, 501));
    assert_eq!(session.snapshot().cause, cause);
}

/// Reading is slowed first, for an agent that refills a hole; what no agent could have sent ends the session.
#[test]
fn a_hole_that_is_never_filled_ends_the_session_at_a_bound() {
    let config = SessionConfig {
        reorder_limit: 100_000,
        ..SessionConfig::default()
    };
    let mut session = handshaking(config);
    let mut slowed = None;
    for number in 1..1000 {
        inbound(&mut session, MessageType::OutputStreamData, number, &[0; 1000]);
        if slowed.is_none() && session.reading() != Reading::Open {
            slowed = Some(number);
        }
        if let Some((phase, cause)) = causes(&mut session).pop() {
            assert_eq!(phase, Phase::Ended);
            assert!(cause.contains("out of order"));
            assert!(slowed.is_some_and(|slowed| (50..100).contains(&slowed)), "{slowed:?}");
            assert!((300..400).contains(&number), "{number}");
            let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
            assert!(commands.contains(&Command::Terminate {
                session_id: "ada-1".to_owned()
            }));
            return;
        }
    }
    panic!("the session holds everything");
}

#[test]
fn a_retry_after_of_years_is_minutes() {
    let mut session = Session::new(SessionConfig::default(), Box::new(Steady), 1, Duration::from_secs(1));
    session.start(NOW);
    let class = FailureClass::Throttled {
        retry_after: Some(Duration::from_secs(u64::MAX)),
    };
    let failure = Failure {
        class,
        text: "throttled".to_owned(),
    };
    let attempt = Attempt(1);
    session.handle_outcome(Outcome::Failed { attempt, failure }, NOW);
    let due = session.poll_timeout().unwrap().at;
    assert_eq!(due, NOW.after(Duration::from_secs(600)));
}

/// The user's bytes are nobody's to print, wherever they are on their way.
#[test]
fn nothing_prints_the_bytes_of_users() {
    let mut session = handshaking(SessionConfig::default());
    let payload = Bytes::from_static(CANARY.as_bytes());
    inbound(&mut session, MessageType::OutputStreamData, 7, &payload);
    let records: Vec<Record> = std::iter::from_fn(|| session.poll_record()).collect();
    let message = ClientMessage {
        message_type: MessageType::OutputStreamData,
        schema_version: 1,
        created_date: 1,
        sequence_number: 7,
        flags: 0,
        message_id: Uuid::default(),
        payload_type: PayloadType::OUTPUT,
        payload: payload.clone(),
    };
    let printed = format!(
        "{session:?} {records:?} {message:?} {:?} {:?}",
        Inbound::Binary(payload.clone()),
        Event::Data {
            local: LocalId(1),
            bytes: payload
        },
    );
    assert!(
        printed.contains("Received(7") && printed.contains("6 bytes"),
        "{printed}"
    );
    // As text and as the list of its numbers.
    assert!(
        !printed.contains(CANARY) && !printed.contains("99, 97, 110"),
        "{printed}"
    );
}

#[test]
fn nothing_prints_a_token_or_the_query_of_an_address() {
    let mut session = handshaking(SessionConfig::default());
    let resumed = ResumeGrant {
        token: Some(Secret::new(CANARY.to_owned())),
        stream_url: Some(grant().stream_url),
    };
    let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
    assert!(matches!(
        &commands[..],
        [Command::Start { .. }, Command::ReadPreferences, Command::Dial { .. }]
    ));
    let attempt = Attempt(1);
    let printed = format!(
        "{session:?} {commands:?} {:?} {resumed:?} {:?} {:?}",
        grant(),
        Outcome::Resumed {
            attempt,
            grant: resumed.clone()
        },
        session.snapshot(),
    );
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(printed.contains("wss://host/v1/data-channel/ada-1"));
}

/// What is to be sealed and comes before there is a key could be anybody's.
#[test]
fn output_that_waits_in_plain_text_for_the_key_ends_the_session() {
    let mut session = handshaking(SessionConfig::default());
    while session.poll_command().is_some() {}
    inbound(&mut session, MessageType::OutputStreamData, 5, b"rm -rf");
    let request = br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22"}}},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}}]}"#;
    let request = (PayloadType::HANDSHAKE_REQUEST, &request[..]);
    inbound_of(&mut session, MessageType::OutputStreamData, 0, request);
    let Some(Command::FetchKey { attempt, .. }) = session.poll_command() else {
        panic!("no key is asked for");
    };
    assert_eq!(causes(&mut session), []);
    let grant = KeyGrant {
        key: DataKey::new(vec![7; 64]).unwrap(),
        cipher_text_key: "a2V5".to_owned(),
        nonce: [0; 12],
    };
    session.handle_outcome(Outcome::Key { attempt, grant }, NOW);
    let (phase, cause) = causes(&mut session).remove(0);
    assert_eq!(phase, Phase::Ended);
    assert!(cause.contains("in plain text"), "{cause}");
}

/// Under new numbers it may say so for ever; each question would cost a task, and the account money.
#[test]
fn a_wish_for_a_key_that_comes_again_asks_kms_once() {
    let mut session = handshaking(SessionConfig::default());
    while session.poll_command().is_some() {}
    let request = br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"22"}}},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}}]}"#;
    for number in 0..100 {
        let request = (PayloadType::HANDSHAKE_REQUEST, &request[..]);
        inbound_of(&mut session, MessageType::OutputStreamData, number, request);
    }
    let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
    let [Command::FetchKey { attempt, .. }] = commands[..] else {
        panic!("{commands:?}");
    };
    let failure = Failure {
        class: FailureClass::Network,
        text: "no route".to_owned(),
    };
    session.handle_outcome(Outcome::Failed { attempt, failure }, NOW);
    let again = (PayloadType::HANDSHAKE_REQUEST, &request[..]);
    inbound_of(&mut session, MessageType::OutputStreamData, 100, again);
    assert_eq!(session.poll_command(), None, "it waits");
    session.handle_timeout(NOW.after(Duration::from_secs(1)));
    assert!(matches!(session.poll_command(), Some(Command::FetchKey { .. })));
}

/// What follows a session's end overnight is no recovery of its last drop.
#[test]
fn a_drop_that_ended_its_session_never_recovers() {
    let mut session = handshaking(SessionConfig::default());
    session.handle_dropped(Epoch(1), DropCause::Reset, NOW);
    let attempt = Attempt(2);
    let failure = Failure {
        class: FailureClass::SessionGone,
        text: "gone".to_owned(),
    };
    session.handle_timeout(NOW.after(Duration::from_secs(1)));
    session.handle_outcome(Outcome::Failed { attempt, failure }, NOW);
    let before = session.snapshot().history;
    session.handle_timeout(NOW.after(Duration::from_secs(100)));
    let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
    let attempt = match commands.last() {
        Some(Command::Start { attempt, .. }) => *attempt,
        other => panic!("{other:?}"),
    };
    session.handle_outcome(
        Outcome::Started {
            attempt,
            grant: grant(),
        },
        NOW,
    );
    session.handle_outcome(
        Outcome::Dialed {
            attempt,
            epoch: Epoch(2),
        },
        NOW,
    );
    session.handle_proven(NOW);
    session.handle_attached(NOW);
    assert_eq!((before.len(), before[0].recovered_after), (1, None));
    assert_eq!(session.snapshot().history, before);
}
