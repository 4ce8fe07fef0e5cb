use std::time::Duration;

use super::*;

const LOCAL: LocalId = LocalId(1);

fn limits() -> WorkloadLimits {
    WorkloadLimits {
        payload: 1024,
        per_stream: 64 << 10,
        total: 64 << 10,
        fin_grace: Duration::from_secs(10),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(seconds))
}

fn events(raw: &mut Raw) -> Vec<WorkloadEvent> {
    std::iter::from_fn(|| raw.poll_event()).collect()
}

fn data(bytes: &'static [u8]) -> WorkloadEvent {
    WorkloadEvent::Data {
        local: LOCAL,
        bytes: Bytes::from_static(bytes),
    }
}

fn open() -> Raw {
    let mut raw = Raw::new(limits());
    assert_eq!(raw.open(LOCAL, at(0)), Some(RAW_STREAM));
    assert_eq!(events(&mut raw), [WorkloadEvent::Room { local: LOCAL }]);
    raw
}

#[test]
fn the_first_connection_gets_what_came_before_it_and_no_other_gets_anything() {
    let mut raw = Raw::new(limits());
    raw.handle_payload(Bytes::from_static(b"SSH-2.0-"), at(0));
    raw.handle_payload(Bytes::from_static(b"x\r\n"), at(0));
    assert_eq!(raw.open(LOCAL, at(0)), Some(RAW_STREAM));
    let all: Vec<u8> = events(&mut raw)
        .into_iter()
        .filter_map(|event| match event {
            WorkloadEvent::Data { bytes, .. } => Some(bytes),
            WorkloadEvent::StdErr { .. }
            | WorkloadEvent::Exit { .. }
            | WorkloadEvent::Finished { .. }
            | WorkloadEvent::Reset { .. }
            | WorkloadEvent::Room { .. } => None,
        })
        .flatten()
        .collect();
    assert_eq!(all, b"SSH-2.0-x\r\n");
    assert_eq!(raw.open(LocalId(2), at(0)), None);
    assert_eq!(raw.room(LocalId(2)), 0);
    assert!(!raw.handle_local_data(LocalId(2), Bytes::from_static(b"x"), at(0)));
}

#[test]
fn bytes_go_out_as_they_are_in_messages_within_the_limit() {
    let mut raw = open();
    let bytes: Vec<u8> = (0..3000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    assert!(raw.handle_local_data(LOCAL, Bytes::from(bytes.clone()), at(0)));
    let mut sent = Vec::new();
    for number in 0.. {
        match raw.build(number) {
            Some(RawMessage::Input(piece)) => {
                assert!(piece.len() <= 1024);
                sent.extend_from_slice(&piece);
            }
            Some(RawMessage::Disconnect) => panic!("nobody has closed"),
            None => break,
        }
    }
    assert_eq!(sent, bytes);
}

#[test]
fn a_reader_that_does_not_read_stops_the_session() {
    let mut raw = Raw::new(limits());
    raw.handle_payload(Bytes::from(vec![1; 64 << 10]), at(0));
    assert!(raw.is_full(), "also before a connection is there");
    raw.open(LOCAL, at(0));
    assert!(raw.is_full());
    events(&mut raw);
    assert!(raw.handle_local_written(LOCAL, 1));
    assert!(!raw.is_full());
}

#[test]
fn a_half_close_waits_for_silence_and_its_proof_then_the_agent_is_told() {
    let mut raw = open();
    raw.handle_local_data(LOCAL, Bytes::from_static(b"GET"), at(0));
    assert!(raw.handle_local_eof(LOCAL, at(0)));
    assert!(!raw.handle_local_eof(LOCAL, at(0)), "told twice is no news");
    assert!(matches!(raw.build(0), Some(RawMessage::Input(_))));
    assert_eq!(raw.end_at(0), None, "not acknowledged");
    raw.handle_acknowledged(1, true, at(1));
    assert_eq!(raw.end_at(1), Some(at(11)));
    raw.handle_payload(Bytes::from_static(b"answer"), at(5));
    assert_eq!(events(&mut raw), [data(b"answer")]);
    assert_eq!(raw.end_at(1), None, "not written yet");
    raw.handle_local_written(LOCAL, 6);
    assert_eq!(raw.end_at(1), Some(at(15)));
    assert!(!raw.handle_timeout(1, 1, at(14)));
    assert!(raw.handle_timeout(1, 1, at(15)));
    assert_eq!(raw.build(2), None, "silence may be a dead link");
    raw.handle_acknowledged(2, true, at(16));
    assert_eq!(raw.build(2), Some(RawMessage::Disconnect));
    assert_eq!(events(&mut raw), [WorkloadEvent::Finished { local: LOCAL }]);
    assert!(!raw.is_over());
    raw.handle_acknowledged(3, true, at(17));
    assert!(raw.is_over() && !raw.is_open());
}

#[test]
fn an_answer_takes_back_an_end_that_was_about_to_be_told() {
    let mut raw = open();
    raw.handle_local_eof(LOCAL, at(0));
    assert!(raw.handle_timeout(0, 0, at(10)));
    raw.handle_acknowledged(1, true, at(11));
    raw.handle_payload(Bytes::from_static(b"late"), at(11));
    assert_eq!(raw.build(1), None);
    assert_eq!(events(&mut raw), [data(b"late")]);
}

#[test]
fn a_reset_drops_what_was_not_sent_and_is_told_at_once() {
    let mut raw = open();
    raw.handle_local_data(LOCAL, Bytes::from_static(b"x"), at(0));
    assert!(raw.handle_local_reset(LOCAL));
    assert!(!raw.handle_local_reset(LOCAL));
    raw.handle_payload(Bytes::from_static(b"nobody reads this"), at(0));
    assert_eq!(raw.build(0), Some(RawMessage::Disconnect));
    assert_eq!((events(&mut raw), raw.build(1)), (vec![], None));
    assert_eq!(raw.local(), None);
    assert!(raw.is_open(), "until the agent knows");
}

#[test]
fn the_far_end_hands_over_everything_whatever_was_written() {
    let mut raw = open();
    let whole = 400 << 10;
    for _ in 0..400 {
        raw.handle_payload(Bytes::from(vec![7; 1 << 10]), at(0));
    }
    let handed = |events: &[WorkloadEvent]| -> usize {
        let lengths = events.iter().map(|event| match event {
            WorkloadEvent::Data { bytes, .. } => bytes.len(),
            WorkloadEvent::StdErr { .. }
            | WorkloadEvent::Exit { .. }
            | WorkloadEvent::Finished { .. }
            | WorkloadEvent::Reset { .. }
            | WorkloadEvent::Room { .. } => 0,
        });
        lengths.sum()
    };
    let first = handed(&events(&mut raw));
    assert!(first < whole, "only so much before it is written");
    assert!(raw.handle_far_end(true));
    let rest = events(&mut raw);
    assert_eq!(first.checked_add(handed(&rest)), Some(whole));
    assert_eq!(rest.last(), Some(&WorkloadEvent::Finished { local: LOCAL }));
    assert!(!raw.handle_far_end(true), "told once");
}

#[test]
fn a_destination_that_was_never_reached_is_a_reset() {
    let mut raw = open();
    raw.handle_refused();
    assert!(raw.handle_far_end(true));
    let cause = ResetCause::DestinationRefused;
    assert_eq!(events(&mut raw), [WorkloadEvent::Reset { local: LOCAL, cause }]);
    assert!(!Raw::new(limits()).handle_far_end(true), "nobody was there");
}

#[test]
fn a_session_that_ends_before_it_was_ready_and_said_nothing_is_a_reset() {
    let mut raw = open();
    assert!(raw.handle_far_end(false));
    let cause = ResetCause::SessionEnded;
    assert_eq!(events(&mut raw), [WorkloadEvent::Reset { local: LOCAL, cause }]);
    let mut raw = open();
    raw.handle_payload(Bytes::from_static(b"Not allowed at this time"), at(0));
    events(&mut raw);
    assert!(raw.handle_far_end(false));
    assert_eq!(events(&mut raw), [WorkloadEvent::Finished { local: LOCAL }]);
}
