//! Streams: order, ends, room and bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{FrameCommand, Mux, put_frame};
use crate::Timestamp;
use crate::local::{WorkloadEvent, WorkloadLimits};
use crate::session::{LocalId, ResetCause};

const NOW: Timestamp = Timestamp::ZERO;
const GRACE: Duration = Duration::from_secs(10);
const LOCAL: LocalId = LocalId(1);
const STREAM: u32 = 3;

fn mux() -> Mux {
    let mut mux = Mux::new(WorkloadLimits {
        payload: 1024,
        per_stream: 1000,
        total: 3000,
        fin_grace: GRACE,
    });
    mux.open(LOCAL, NOW);
    events(&mut mux);
    mux
}

fn events(mux: &mut Mux) -> Vec<WorkloadEvent> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}

/// Frames of everything that can be built now.
fn built(mux: &mut Mux) -> Vec<(FrameCommand, u32, usize)> {
    let messages = std::iter::from_fn(|| mux.build(7));
    messages
        .flat_map(|message| message.parts)
        .map(|part| (part.command, part.stream, part.length))
        .collect()
}

fn from_agent(mux: &mut Mux, command: FrameCommand, stream: u32, data: &[u8]) {
    let mut frame = BytesMut::new();
    put_frame(&mut frame, command, stream, data);
    mux.handle_payload(frame.freeze(), NOW).unwrap();
}

#[test]
fn a_message_never_exceeds_the_limit_in_its_resend_form() {
    let mut mux = mux();
    mux.handle_local_data(LOCAL, Bytes::from(vec![1; 5000]), NOW);
    let mut data = 0;
    while let Some(message) = mux.build(0) {
        assert!(message.kind.resend_form(&message.payload).len() <= 1024);
        data += message.parts.iter().map(|part| part.length).sum::<usize>();
    }
    assert_eq!(data, 5000);
}

#[test]
fn many_small_writes_share_a_message_and_streams_take_turns() {
    let mut mux = mux();
    let other = LocalId(2);
    mux.open(other, NOW);
    for local in [LOCAL, other] {
        mux.handle_local_data(local, Bytes::from_static(b"key"), NOW);
    }
    let message = mux.build(0).unwrap();
    let streams: Vec<u32> = message.parts.iter().map(|part| part.stream).collect();
    assert_eq!(streams, [3, 3, 5, 5], "SYN and data of both in one message");
    assert!(mux.build(1).is_none());
    mux.handle_local_data(LOCAL, Bytes::from(vec![1; 60_000]), NOW);
    mux.handle_local_data(other, Bytes::from_static(b"key"), NOW);
    mux.build(2);
    let second = mux.build(3).unwrap();
    assert_eq!(
        second.parts[0].stream, 5,
        "a keystroke waits for one message, not for 60 kB"
    );
}

#[test]
fn fin_waits_for_acknowledges_and_for_quiet() {
    let mut mux = mux();
    mux.handle_local_data(LOCAL, Bytes::from_static(b"question"), NOW);
    built(&mut mux);
    mux.handle_local_eof(LOCAL, NOW);
    assert_eq!(mux.fin_at(7), None, "message 7 is not acknowledged");
    let due = NOW.after(GRACE);
    assert_eq!(mux.fin_at(8), Some(due));
    assert!(!mux.handle_timeout(8, 8, Timestamp::from_nanos(due.as_nanos() - 1)));
    assert!(
        mux.handle_timeout(8, 8, due),
        "a message must prove that the silence is none of the link's"
    );
    assert_eq!(mux.fin_at(8), None);
    assert_eq!(built(&mut mux), []);
    // An answer that comes before the proof takes the FIN back.
    from_agent(&mut mux, FrameCommand::Psh, STREAM, b"late answer");
    mux.handle_acknowledged(9, true, due);
    assert_eq!(built(&mut mux), []);
    mux.handle_local_written(LOCAL, 11);
    let due = due.after(GRACE);
    assert!(mux.handle_timeout(9, 9, due));
    // So does a new link: an answer may have been lost with the old one.
    mux.handle_late(due);
    mux.handle_acknowledged(10, true, due);
    assert_eq!(built(&mut mux), []);
    let due = due.after(GRACE);
    assert!(mux.handle_timeout(10, 10, due));
    mux.handle_acknowledged(11, true, due);
    assert_eq!(built(&mut mux), [(FrameCommand::Fin, STREAM, 0)]);
    assert_eq!(events(&mut mux).last(), Some(&WorkloadEvent::Finished { local: LOCAL }));
    assert!(mux.is_empty());
}

#[test]
fn a_reset_sends_fin_at_once() {
    let mut mux = mux();
    mux.handle_local_data(LOCAL, Bytes::from_static(b"question"), NOW);
    built(&mut mux);
    mux.handle_local_data(LOCAL, Bytes::from_static(b"dropped like a kernel does"), NOW);
    mux.handle_local_reset(LOCAL);
    assert_eq!(built(&mut mux), [(FrameCommand::Fin, STREAM, 0)]);
    from_agent(&mut mux, FrameCommand::Psh, STREAM, b"late");
    assert_eq!(
        events(&mut mux),
        [WorkloadEvent::Room { local: LOCAL }],
        "nothing is delivered to it any more"
    );
}

#[test]
fn the_end_comes_after_all_data() {
    let mut mux = mux();
    built(&mut mux);
    from_agent(&mut mux, FrameCommand::Psh, STREAM, b"answer");
    from_agent(&mut mux, FrameCommand::Fin, STREAM, b"");
    from_agent(&mut mux, FrameCommand::Psh, STREAM, b"after the end");
    let data = WorkloadEvent::Data {
        local: LOCAL,
        bytes: Bytes::from_static(b"answer"),
    };
    assert_eq!(events(&mut mux)[1..], [data, WorkloadEvent::Finished { local: LOCAL }]);
    assert!(!mux.is_empty(), "not everything is written yet");
    mux.handle_local_written(LOCAL, 6);
    assert!(mux.is_empty());
}

#[test]
fn a_refused_destination_is_the_next_end_of_a_silent_stream() {
    let mut mux = mux();
    mux.open(LocalId(2), NOW);
    built(&mut mux);
    from_agent(&mut mux, FrameCommand::Psh, 5, b"x");
    events(&mut mux);
    mux.handle_refused();
    from_agent(&mut mux, FrameCommand::Fin, 5, b"");
    from_agent(&mut mux, FrameCommand::Fin, STREAM, b"");
    let reset = WorkloadEvent::Reset {
        local: LOCAL,
        cause: ResetCause::DestinationRefused,
    };
    assert_eq!(events(&mut mux), [WorkloadEvent::Finished { local: LocalId(2) }, reset]);
}

/// Its client gave up before the destination refused.
#[test]
fn a_refusal_of_a_stream_that_is_gone_is_nobody_elses() {
    let mut mux = mux();
    mux.open(LocalId(2), NOW);
    built(&mut mux);
    mux.handle_local_reset(LOCAL);
    built(&mut mux);
    events(&mut mux);
    mux.handle_refused();
    from_agent(&mut mux, FrameCommand::Fin, STREAM, b"");
    from_agent(&mut mux, FrameCommand::Fin, 5, b"");
    assert_eq!(events(&mut mux), [WorkloadEvent::Finished { local: LocalId(2) }]);
}

#[test]
fn untaken_bytes_stop_the_reading_and_taking_them_starts_it() {
    let mut mux = mux();
    from_agent(&mut mux, FrameCommand::Psh, STREAM, &[1; 999]);
    assert!(!mux.is_full());
    from_agent(&mut mux, FrameCommand::Psh, STREAM, &[1; 1]);
    assert!(mux.is_full());
    mux.handle_local_written(LOCAL, 1);
    assert!(!mux.is_full());
}

#[test]
fn every_stream_gets_room_again() {
    let mut mux = mux();
    let locals: Vec<LocalId> = (2..60).map(LocalId).collect();
    for local in &locals {
        mux.open(*local, NOW);
    }
    // The others take all there is; one that has nothing waiting still gets some.
    for local in &locals {
        let room = mux.room(*local);
        mux.handle_local_data(*local, Bytes::from(vec![1; room]), NOW);
    }
    assert!(mux.room(LOCAL) > 0);
    events(&mut mux);
    while mux.build(0).is_some() {}
    let again: Vec<WorkloadEvent> = events(&mut mux);
    for local in locals {
        assert!(again.contains(&WorkloadEvent::Room { local }), "{local:?}");
        assert!(mux.room(local) > 0);
    }
}

proptest::proptest! {
    /// Whatever an agent sends, it is an error or not, but never a panic or unbounded.
    #[test]
    fn any_payload_is_survived(payloads: Vec<Vec<u8>>) {
        let mut mux = mux();
        for payload in payloads {
            if mux.handle_payload(Bytes::from(payload), NOW).is_err() { break; }
        }
    }
}

/// A hostile agent could fill the memory with one byte for a connection that does not read in each large message.
#[test]
fn a_small_part_of_a_message_does_not_keep_the_message() {
    let mut mux = mux();
    let mut payload = BytesMut::new();
    put_frame(&mut payload, FrameCommand::Psh, STREAM, &[1; 700]);
    put_frame(&mut payload, FrameCommand::Psh, 99, &[2; 30_000]);
    let payload = payload.freeze();
    mux.handle_payload(payload.clone(), NOW).unwrap();
    let [WorkloadEvent::Data { bytes, .. }] = &events(&mut mux)[..] else {
        panic!("one piece of data");
    };
    let kept = payload.as_ptr_range();
    assert!(bytes.len() == 700 && !kept.contains(&bytes.as_ptr()));
}

/// Found by the fuzz target `mux`: the second word put the FIN on hold again while it was due, and then nothing took it
/// back when data came; the connection was told its end twice.
#[test]
fn a_local_end_of_file_counts_once() {
    let mut mux = mux();
    built(&mut mux);
    assert!(mux.handle_local_eof(LOCAL, NOW).is_some());
    mux.handle_acknowledged(8, true, NOW);
    let late = NOW.after(GRACE);
    assert!(mux.handle_timeout(8, 8, late));
    mux.handle_acknowledged(9, true, late);
    assert!(mux.has_frames(), "the FIN is due");
    assert!(mux.handle_local_eof(LOCAL, late).is_none());
    from_agent(&mut mux, FrameCommand::Psh, STREAM, b"late");
    from_agent(&mut mux, FrameCommand::Fin, STREAM, b"");
    assert_eq!(built(&mut mux), []);
    let ends = events(&mut mux)
        .into_iter()
        .filter(|event| matches!(event, WorkloadEvent::Finished { .. }));
    assert_eq!(ends.count(), 1);
}
