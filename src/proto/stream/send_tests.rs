//! Backlog, resends and what acknowledges mean.

use bytes::Bytes;

use super::message::{Form, Outgoing};
use super::send::SendBuffer;
use crate::Timestamp;
use crate::mux::Kind;
use crate::wire::PayloadType;

const NOW: Timestamp = Timestamp::ZERO;

fn with(messages: usize) -> SendBuffer {
    let mut buffer = SendBuffer::default();
    for _ in 0..messages {
        buffer.push(PayloadType::OUTPUT, Bytes::from_static(b"12345"), Form::Same);
    }
    buffer
}

fn sent(buffer: &mut SendBuffer) -> Vec<u64> {
    std::iter::from_fn(|| buffer.poll(NOW))
        .map(|outgoing| outgoing.number)
        .collect()
}

#[test]
fn everything_unacknowledged_goes_out_again_in_order_on_the_next_websocket() {
    let mut buffer = with(4);
    assert_eq!(sent(&mut buffer), [0, 1, 2, 3]);
    buffer.acknowledge(1, NOW);
    buffer.handle_attached();
    assert_eq!(buffer.in_flight(), 0);
    let again: Vec<Outgoing> = std::iter::from_fn(|| buffer.poll(NOW)).collect();
    assert_eq!(
        again.iter().map(|outgoing| outgoing.number).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    assert!(again.iter().all(|outgoing| outgoing.resent));
    assert_eq!(buffer.in_flight(), 15);
}

#[test]
fn an_acknowledge_above_a_hole_keeps_the_hole() {
    let mut buffer = with(3);
    sent(&mut buffer);
    assert!(buffer.acknowledge(2, NOW).fresh);
    assert_eq!((buffer.oldest_unacknowledged(), buffer.backlog()), (0, 10));
    assert!(
        !buffer.acknowledge(2, NOW).fresh,
        "a second acknowledge says nothing new"
    );
    assert!(!buffer.acknowledge(99, NOW).fresh, "a number never sent is ignored");
    buffer.acknowledge(0, NOW);
    buffer.acknowledge(1, NOW);
    assert_eq!(
        (buffer.oldest_unacknowledged(), buffer.backlog(), buffer.in_flight()),
        (3, 0, 0)
    );
    assert!(buffer.is_empty());
}

#[test]
fn a_message_is_lost_once_three_places_later_is_acknowledged() {
    let mut buffer = with(5);
    sent(&mut buffer);
    buffer.acknowledge(1, NOW);
    buffer.acknowledge(2, NOW);
    assert!(!buffer.has_lost());
    buffer.acknowledge(3, NOW);
    assert!(buffer.has_lost());
    assert_eq!(sent(&mut buffer), [0]);
}

#[test]
fn karns_rule_gives_no_sample_for_what_was_sent_twice() {
    let mut buffer = with(2);
    sent(&mut buffer);
    buffer.handle_timer(1);
    assert_eq!(sent(&mut buffer), [0]);
    assert_eq!(buffer.acknowledge(0, NOW).sent_once_at, None);
    assert_eq!(buffer.acknowledge(1, NOW).sent_once_at, Some(NOW));
}

#[test]
fn an_old_agents_silence_about_a_duplicate_is_understood() {
    let mut buffer = with(1);
    buffer.set_answers_duplicates(false);
    sent(&mut buffer);
    // It was processed, its acknowledge was lost with the websocket.
    buffer.handle_attached();
    for later in 1..4 {
        assert!(!buffer.is_empty(), "one contradiction is not enough");
        buffer.push(PayloadType::FLAG, Bytes::from_static(b"flag"), Form::Same);
        assert_eq!(sent(&mut buffer), [0, later]);
        buffer.acknowledge(later, NOW);
    }
    assert!(buffer.is_empty());
    assert_eq!((buffer.backlog(), buffer.in_flight()), (0, 0));
}

#[test]
fn a_contradicted_head_is_remembered_until_it_is_acknowledged() {
    let mut buffer = with(1);
    sent(&mut buffer);
    for round in 0..3u64 {
        for _ in 0..4 {
            buffer.push(PayloadType::OUTPUT, Bytes::from_static(b"later"), Form::Same);
        }
        let numbers = sent(&mut buffer);
        for number in numbers.into_iter().filter(|number| *number > 0) {
            buffer.acknowledge(number, Timestamp::from_nanos(round));
        }
    }
    assert_eq!(
        buffer.contradicted_since(),
        Some(Timestamp::from_nanos(1)),
        "the first resend was contradicted then"
    );
    buffer.excuse_silence(Timestamp::from_nanos(7));
    assert_eq!(buffer.contradicted_since(), Some(Timestamp::from_nanos(7)));
    buffer.acknowledge(0, NOW);
    assert_eq!(buffer.contradicted_since(), None);
}

#[test]
fn a_mux_message_is_written_in_its_resend_form_ever_after() {
    let mut buffer = SendBuffer::default();
    let frames = [1, 0, 0, 0, 3, 0, 0, 0];
    let first = Kind::Even.first_form(&frames);
    buffer.push(PayloadType::OUTPUT, first.clone(), Form::Mux(Kind::Even));
    assert_eq!(buffer.poll(NOW).map(|outgoing| outgoing.payload), Some(first.clone()));
    for _ in 0..3 {
        buffer.handle_attached();
        let again = buffer.poll(NOW).map(|outgoing| outgoing.payload);
        assert_eq!(again, Some(Kind::Even.resend_form(&first)));
    }
    buffer.acknowledge(0, NOW);
    assert_eq!((buffer.backlog(), buffer.in_flight()), (0, 0));
}

proptest::proptest! {
    /// Any mix of events keeps the figures consistent and loses nothing.
    #[test]
    fn figures_follow_the_messages(events in proptest::collection::vec((0u8..5, 0u64..40), 1..300)) {
        let mut buffer = SendBuffer::default();
        let mut acknowledged = std::collections::BTreeSet::new();
        for (event, number) in events {
            match event {
                0 => { buffer.push(PayloadType::OUTPUT, Bytes::from_static(b"123"), Form::Same); }
                1 => { buffer.poll(NOW); }
                2 => if number < buffer.next_number() {
                    buffer.acknowledge(number, NOW);
                    acknowledged.insert(number);
                },
                3 => buffer.handle_timer(1),
                _ => buffer.handle_attached(),
            }
            let open = (0..buffer.next_number()).filter(|number| !acknowledged.contains(number)).count();
            proptest::prop_assert_eq!(buffer.backlog(), open.saturating_mul(3));
            proptest::prop_assert!(buffer.in_flight() <= buffer.backlog());
            proptest::prop_assert_eq!(buffer.in_flight() > 0, buffer.is_flying());
        }
        // The next websocket carries exactly what is not acknowledged.
        buffer.handle_attached();
        let expected: Vec<u64> = (0..buffer.next_number()).filter(|number| !acknowledged.contains(number)).collect();
        proptest::prop_assert_eq!(sent(&mut buffer), expected);
    }
}

/// A shell without a handshake, whose agent's version nobody has told: 0 was acknowledged, 1 was processed, and its acknowledge was
/// lost with the websocket.
fn in_doubt() -> SendBuffer {
    let mut buffer = with(2);
    sent(&mut buffer);
    buffer.acknowledge(0, NOW);
    buffer.handle_attached();
    buffer
}

/// What goes out in a round, after something new was typed.
fn round(buffer: &mut SendBuffer) -> (u64, Vec<u64>) {
    let new = buffer.push(PayloadType::OUTPUT, Bytes::from_static(b"x"), Form::Same);
    (new, sent(buffer))
}

#[test]
fn an_agent_whose_version_nobody_knows_is_asked_with_a_duplicate_and_understood() {
    let mut buffer = in_doubt();
    let mut asked = 0;
    for _ in 0..20 {
        let (new, numbers) = round(&mut buffer);
        asked += numbers.iter().filter(|number| **number == 0).count();
        buffer.acknowledge(new, NOW);
    }
    assert_eq!((asked, buffer.answers_duplicates()), (3, Some(false)));
    assert!(buffer.is_empty(), "{buffer:?}");
}

#[test]
fn an_agent_that_answers_a_duplicate_is_no_silent_one() {
    let mut buffer = in_doubt();
    for _ in 0..20 {
        let (new, numbers) = round(&mut buffer);
        if numbers.contains(&0) {
            buffer.acknowledge(0, NOW);
        }
        buffer.acknowledge(new, NOW);
    }
    assert_eq!(buffer.answers_duplicates(), Some(true));
    assert_eq!(
        buffer.oldest_unacknowledged(),
        1,
        "it was lost each time, and is sent until it comes"
    );
    assert!(buffer.contradicted_since().is_some());
}

/// Nothing below it was ever acknowledged, so nothing is a duplicate for certain; and it is a harmless one.
#[test]
fn the_first_message_of_all_is_not_asked_about_and_not_waited_for() {
    let mut buffer = with(1);
    sent(&mut buffer);
    buffer.handle_attached();
    let mut again = 0;
    for _ in 0..20 {
        let (new, numbers) = round(&mut buffer);
        again += numbers.iter().filter(|number| **number == 0).count();
        buffer.acknowledge(new, NOW);
    }
    assert_eq!((again, buffer.answers_duplicates()), (3, None));
    assert!(buffer.is_empty());
}

#[test]
fn what_was_not_heard_in_time_is_no_sample() {
    let mut buffer = with(2);
    sent(&mut buffer);
    buffer.excuse_silence(NOW);
    assert_eq!(buffer.acknowledge(0, NOW).sent_once_at, None);
    buffer.push(PayloadType::OUTPUT, Bytes::from_static(b"x"), Form::Same);
    sent(&mut buffer);
    assert_eq!(buffer.acknowledge(2, NOW).sent_once_at, Some(NOW));
}
