//! An agent whose program runs each line it is given and says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::wire::{HANDSHAKE_COMPLETE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, Kind, Msg, OUTPUT};

const REQUEST: &str = r#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"23"}}}]}"#;
/// Every line has so many bytes, so that a message holds whole ones.
pub(crate) const LINE: usize = 32;

pub(crate) fn line(text: &str) -> Vec<u8> {
    format!("{text:<31}\n").into_bytes()
}

/// The agent and the program behind it.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    /// Below 3.2.1041.0: silent on what it has had.
    pub(crate) old: bool,
    /// Its clock, in milliseconds.
    pub(crate) clock: u64,
    pub(crate) expected: i64,
    pub(crate) kept: BTreeMap<i64, Msg>,
    pub(crate) requested: bool,
    /// A shell: it has no handshake, and its program greets.
    pub(crate) shell: bool,
    pub(crate) next_out: i64,
    pub(crate) unacknowledged: VecDeque<(i64, Bytes)>,
    pub(crate) ran: Vec<String>,
    /// All it has ever said, by the number.
    pub(crate) said: BTreeMap<i64, Vec<u8>>,
    pub(crate) out: Vec<Bytes>,
}

impl Agent {
    pub(crate) fn begin(&mut self) {
        if std::mem::replace(&mut self.requested, true) {
            return;
        }
        if self.shell {
            self.say(line("hello"));
        } else {
            self.send(HANDSHAKE_REQUEST, Bytes::from_static(REQUEST.as_bytes()));
        }
    }

    fn send(&mut self, payload_type: u32, payload: Bytes) {
        let number = self.next_out;
        self.next_out += 1;
        let message = Msg {
            kind: Kind::Output,
            number,
            payload_type,
            created: self.clock,
            id: [3; 16],
            payload,
        };
        self.unacknowledged.push_back((number, message.encode()));
        self.out.push(message.encode());
    }

    /// The program writes.
    fn say(&mut self, text: Vec<u8>) {
        self.said.insert(self.next_out, text.clone());
        self.send(OUTPUT, Bytes::from(text));
    }

    /// Only the oldest is sent again.
    pub(crate) fn tick(&mut self) {
        self.out
            .extend(self.unacknowledged.front().map(|(_, frame)| frame.clone()));
    }

    pub(crate) fn handle(&mut self, frame: &Bytes) {
        let message = Msg::decode(frame);
        if message.kind == Kind::Ack {
            let number = message.acknowledged();
            self.unacknowledged.retain(|(sent, _)| *sent != number);
            return;
        }
        if message.number < self.expected {
            if !self.old {
                self.out.push(message.acknowledge(self.clock).encode());
            }
        } else if message.number > self.expected {
            self.out.push(message.acknowledge(self.clock).encode());
            self.kept.insert(message.number, message);
        } else if self.process(&message) {
            self.out.push(message.acknowledge(self.clock).encode());
            self.expected += 1;
            while let Some(next) = self.kept.get(&self.expected).cloned() {
                if !self.process(&next) {
                    return;
                }
                self.kept.remove(&self.expected);
                self.expected += 1;
            }
        }
    }

    /// Numbers from then on that the client has acknowledged.
    pub(crate) fn acknowledged_from(&self, first: i64) -> BTreeSet<i64> {
        let open: BTreeSet<i64> = self.unacknowledged.iter().map(|(number, _)| *number).collect();
        (first..self.next_out).filter(|number| !open.contains(number)).collect()
    }

    /// False for what it cannot read: neither acknowledged nor counted.
    fn process(&mut self, message: &Msg) -> bool {
        match message.payload_type {
            HANDSHAKE_RESPONSE if message.payload.first() != Some(&b'{') => return false,
            HANDSHAKE_RESPONSE => {
                let body = r#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#;
                self.send(HANDSHAKE_COMPLETE, Bytes::from_static(body.as_bytes()));
            }
            OUTPUT => {
                assert_eq!(message.payload.len() % LINE, 0, "half a line");
                for command in message.payload.chunks(LINE) {
                    let command = String::from_utf8_lossy(command).trim_end().to_owned();
                    self.say(line(&format!("ran {command}")));
                    let more = command.strip_prefix("print ").and_then(|count| count.parse().ok());
                    for number in 0..more.unwrap_or(0) {
                        self.say(line(&format!("{command}: {number}")).repeat(32));
                    }
                    self.ran.push(command);
                }
            }
            _ => {}
        }
        true
    }
}
