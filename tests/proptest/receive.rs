//! `ReceiveBuffer` against a model.

use std::collections::BTreeMap;

use autossm_proto::stream::{Arrival, ReceiveBuffer};
use autossm_proto::wire::{PayloadType, Uuid};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

#[derive(Clone, Debug)]
enum Operation {
    /// A number relative to the expected one.
    Near(i64, usize),
    Any(i64),
    Deliver,
    Acknowledge,
    Attach,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (-20i64..40, 0usize..100).prop_map(|(place, length)| Operation::Near(place, length)),
        1 => any::<i64>().prop_map(Operation::Any),
        3 => proptest::prelude::Just(Operation::Deliver),
        3 => proptest::prelude::Just(Operation::Acknowledge),
        1 => proptest::prelude::Just(Operation::Attach),
    ]
}

proptest! {
    #[test]
    fn every_number_is_delivered_once_in_order_and_acknowledged_each_time(operations in vec(operation(), 0..300)) {
        let mut buffer = ReceiveBuffer::default();
        let mut held: BTreeMap<u64, Bytes> = BTreeMap::new();
        let mut delivered = 0u64;
        // Numbers that came and whose acknowledge has not been polled since.
        let mut owed: Vec<u64> = Vec::new();
        for operation in operations {
            match operation {
                Operation::Near(place, length) => {
                    let number = i64::try_from(delivered).unwrap() + place;
                    let payload = Bytes::from(vec![1; length]);
                    let arrival = buffer.receive(number, Uuid::default(), PayloadType::OUTPUT, payload.clone());
                    match u64::try_from(number) {
                        Err(_) => prop_assert_eq!(arrival, Arrival::Absurd),
                        Ok(number) => {
                            let fresh = number >= delivered && !held.contains_key(&number);
                            prop_assert_eq!(arrival, if fresh { Arrival::Fresh } else { Arrival::Duplicate });
                            held.entry(number).or_insert(payload);
                            held.retain(|number, _| *number >= delivered);
                            if !owed.contains(&number) {
                                owed.push(number);
                            }
                        }
                    }
                }
                Operation::Any(number) => {
                    let before = buffer.held_memory();
                    let arrival = buffer.receive(number, Uuid::default(), PayloadType::OUTPUT, Bytes::new());
                    prop_assert_eq!(arrival, Arrival::Absurd, "{}", number);
                    prop_assert_eq!(before, buffer.held_memory());
                }
                Operation::Deliver => {
                    let polled = buffer.poll();
                    let expected = held.remove(&delivered);
                    prop_assert_eq!(polled.as_ref().map(|message| &message.payload), expected.as_ref());
                    if let Some(message) = polled {
                        prop_assert_eq!(message.number, delivered);
                        delivered += 1;
                    }
                }
                Operation::Acknowledge => match buffer.poll_ack() {
                    Some(ack) => owed.retain(|number| *number != ack.number),
                    None => prop_assert!(owed.is_empty(), "{:?} is never acknowledged", owed),
                },
                Operation::Attach => buffer.handle_attached(),
            }
            prop_assert_eq!(buffer.held_bytes(), held.values().map(Bytes::len).sum::<usize>());
            prop_assert_eq!(buffer.expected(), delivered);
        }
    }
}
