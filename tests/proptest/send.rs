//! `SendBuffer` against a model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::stream::{Form, SendBuffer};
use autossm_proto::wire::PayloadType;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

#[derive(Clone, Debug)]
enum Operation {
    Push(usize),
    Poll,
    Acknowledge(u64),
    Attach,
    Timer,
    Wait(u64),
    Silent(bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (1usize..300).prop_map(Operation::Push),
        4 => proptest::prelude::Just(Operation::Poll),
        4 => prop_oneof![0u64..40, any::<u64>()].prop_map(Operation::Acknowledge),
        1 => proptest::prelude::Just(Operation::Attach),
        1 => proptest::prelude::Just(Operation::Timer),
        1 => (0u64..100_000).prop_map(Operation::Wait),
        1 => any::<bool>().prop_map(Operation::Silent),
    ]
}

proptest! {
    #[test]
    fn every_message_is_kept_until_it_is_acknowledged(operations in vec(operation(), 0..200)) {
        let mut buffer = SendBuffer::default();
        let mut now = Timestamp::from_nanos(1);
        // What was pushed and not acknowledged, and what has gone out on the present websocket.
        let mut kept: BTreeMap<u64, Bytes> = BTreeMap::new();
        let mut written: BTreeSet<u64> = BTreeSet::new();
        let mut ever: BTreeSet<u64> = BTreeSet::new();
        let mut pushed = 0;
        // An agent that is silent on duplicates lets messages be retired by the acknowledge of later ones.
        let mut silent = false;
        for operation in operations {
            match operation {
                Operation::Push(length) => {
                    let payload = Bytes::from(vec![u8::try_from(pushed % 256).unwrap(); length]);
                    prop_assert_eq!(buffer.push(PayloadType::OUTPUT, payload.clone(), Form::Same), pushed);
                    kept.insert(pushed, payload);
                    pushed += 1;
                }
                Operation::Poll => {
                    let expected = buffer.next_size();
                    let polled = buffer.poll(now);
                    prop_assert_eq!(polled.as_ref().map(|message| message.payload.len()), expected);
                    if let Some(message) = polled {
                        prop_assert_eq!(Some(&message.payload), kept.get(&message.number));
                        prop_assert_eq!(message.resent, !ever.insert(message.number));
                        written.insert(message.number);
                    } else if !silent {
                        prop_assert!(kept.keys().all(|number| written.contains(number)), "something is never sent");
                    }
                }
                Operation::Acknowledge(number) => {
                    let number = if number < 40 { buffer.oldest_unacknowledged().saturating_add(number) } else { number };
                    let outcome = buffer.acknowledge(number, now);
                    let known = kept.remove(&number);
                    if !silent {
                        prop_assert_eq!(outcome.fresh, known.is_some());
                    }
                }
                Operation::Attach => {
                    buffer.handle_attached();
                    written.clear();
                }
                Operation::Timer => buffer.handle_timer(1),
                Operation::Wait(micros) => now = now.after(Duration::from_micros(micros)),
                Operation::Silent(is) => {
                    buffer.set_answers_duplicates(!is);
                    silent |= is;
                }
            }
            if silent {
                // Numbers may be retired unacknowledged: only the order of things remains.
                kept.retain(|number, _| *number >= buffer.oldest_unacknowledged());
            } else {
                prop_assert_eq!(buffer.backlog(), kept.values().map(Bytes::len).sum::<usize>());
                prop_assert_eq!(buffer.is_empty(), kept.is_empty());
                prop_assert_eq!(buffer.oldest_unacknowledged(), kept.keys().next().copied().unwrap_or(pushed));
            }
            prop_assert!(buffer.in_flight() <= buffer.backlog());
            prop_assert_eq!(buffer.next_number(), pushed);
            prop_assert!(buffer.in_flight() == 0 || buffer.is_flying());
        }
    }
}
