//! What it means that a websocket was not read for a while.

use std::time::Duration;

use bytes::BytesMut;

use super::hostile_tests::{NOW, causes, handshaking, inbound_of};
use super::{Epoch, Inbound, Phase, Reading, Session, SessionConfig, Transmit};
use crate::Timestamp;
use crate::journal::Record;
use crate::mux::{FrameCommand, put_frame};
use crate::wire::{MessageType, PayloadType, testing};

/// Attached, and multiplexed.
fn attached() -> Session {
    let mut session = handshaking(SessionConfig {
        receive_limit_per_stream: 10_000,
        ..SessionConfig::default()
    });
    let request = br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"80","type":"LocalPortForwarding"}}}]}"#;
    let data = MessageType::OutputStreamData;
    inbound_of(&mut session, data, 0, (PayloadType::HANDSHAKE_REQUEST, request));
    inbound_of(&mut session, data, 1, (PayloadType::HANDSHAKE_COMPLETE, b"{}"));
    while session.poll_transmit(NOW).is_some() {}
    for number in 0..2 {
        session.handle_inbound(Epoch(1), Inbound::Binary(testing::acknowledge(number)), NOW);
    }
    session.handle_flushed(Epoch(1), NOW);
    session.handle_timeout(later(1));
    assert_eq!(session.phase(), Phase::Attached);
    assert!(wait(&mut session, later(40), true) > 1, "it is known to answer pings");
    session
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

/// Does what is due until then, each ping answered or none; how many went out.
fn wait(session: &mut Session, until: Timestamp, answered: bool) -> usize {
    let mut pings = 0usize;
    while let Some(due) = session.poll_timeout().filter(|due| due.at <= until) {
        session.handle_timeout(due.at);
        while let Some(frame) = session.poll_transmit(due.at) {
            let Transmit::Ping(payload) = frame else { continue };
            pings = pings.saturating_add(1);
            session.handle_flushed(Epoch(1), due.at);
            if answered {
                session.handle_inbound(Epoch(1), Inbound::Pong(payload), due.at);
            }
        }
    }
    pings
}

/// The pings of that time have no answer yet because nobody has read it.
#[test]
fn a_local_client_that_goes_while_it_holds_reading_up_leaves_the_link_alone() {
    let mut session = attached();
    let local = session.open_local(later(40));
    let opened = std::iter::from_fn(|| session.poll_record());
    let mut streams = opened.filter_map(|record| {
        if let Record::Opened { stream, .. } = record {
            Some(stream)
        } else {
            None
        }
    });
    let stream = streams.next().unwrap();
    while session.poll_transmit(later(40)).is_some() {}
    let mut frames = BytesMut::new();
    put_frame(&mut frames, FrameCommand::Psh, stream, &[b'x'; 20_000]);
    let data = MessageType::OutputStreamData;
    inbound_of(&mut session, data, 2, (PayloadType::OUTPUT, &frames));
    assert_eq!(session.reading(), Reading::Stopped);
    causes(&mut session);
    assert!(wait(&mut session, later(140), false) >= 6, "it is asked all the same");
    session.handle_local_reset(local, later(140));
    assert_eq!(session.reading(), Reading::Open);
    wait(&mut session, later(141), false);
    assert_eq!((session.phase(), causes(&mut session)), (Phase::Attached, vec![]));
}
