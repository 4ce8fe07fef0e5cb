//! The sending half: numbers messages and keeps each until it is acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::duplicates::DuplicateHabit;
use super::message::{Acknowledged, Entry, Form, Outgoing};
use crate::Timestamp;
use crate::wire::PayloadType;

/// Messages between the oldest unacknowledged number and the next one: below the 10 000 that older agents keep,
/// since what lies beyond is dropped by them.
pub const MAX_SPAN: u64 = 8000;
/// Places beyond it for messages that only find out what became of the others.
const WITNESSES: u64 = 100;
/// A message is taken for lost when one sent so many transmissions later was acknowledged: the path keeps order, a
/// few places of slack cost nothing (the packet threshold of RFC 9002, 6.1.1).
const REORDERING: u64 = 3;

/// Contradicted resends after which an agent that is silent on duplicates is taken to have processed a message. One is
/// not enough: the agent's own link may have been down for the resend and up for the message after it.
const CONTRADICTIONS: u32 = 3;

/// Numbered messages that are not all acknowledged yet.
#[derive(Clone, Debug, Default)]
pub struct SendBuffer {
    /// The number of `entries[0]`, which is the oldest unacknowledged message.
    first: u64,
    entries: VecDeque<Entry>,
    /// The next number that has not gone out on the present websocket.
    cursor: u64,
    /// Transmissions on the present websocket, in order: place to number.
    flights: BTreeMap<u64, u64>,
    next_place: u64,
    in_flight: usize,
    backlog: usize,
    /// Numbers to send again on the present websocket.
    lost: BTreeSet<u64>,
    /// The oldest message and since when later ones are acknowledged although it was sent again.
    contradicted: Option<(u64, Timestamp)>,
    duplicates: DuplicateHabit,
    /// Taken for processed without an acknowledge.
    retired: Vec<u64>,
    /// Transmissions before this place were not heard of in time.
    excused: u64,
}

impl SendBuffer {
    /// A buffer whose first message has this number and was sent before, perhaps by another process.
    /// `answers_duplicates` as far as it is known.
    pub fn restored(first: u64, answers_duplicates: Option<bool>) -> Self {
        Self {
            first,
            cursor: first,
            duplicates: DuplicateHabit::known(answers_duplicates),
            ..Self::default()
        }
    }

    /// Tells whether the agent acknowledges duplicates.
    pub const fn set_answers_duplicates(&mut self, answers: bool) {
        self.duplicates = DuplicateHabit::known(Some(answers));
    }

    /// Whether the agent acknowledges duplicates, as far as it is known.
    pub const fn answers_duplicates(&self) -> Option<bool> {
        self.duplicates.answers()
    }

    /// The number the next new message gets.
    pub fn next_number(&self) -> u64 {
        self.first
            .saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    /// The oldest number that is not acknowledged; the next number when all are.
    pub const fn oldest_unacknowledged(&self) -> u64 {
        self.first
    }

    /// Payload bytes sent or waiting and not acknowledged.
    pub const fn backlog(&self) -> usize {
        self.backlog
    }

    /// Payload bytes on the present websocket and not acknowledged.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether nothing waits for an acknowledge.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Messages written so far, each as often as it was.
    pub const fn transmissions(&self) -> u64 {
        self.next_place
    }

    /// Whether any message is on its way on the present websocket.
    pub fn is_flying(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Whether the span of numbers allows another message.
    pub fn has_span(&self) -> bool {
        self.next_number().saturating_sub(self.first) < MAX_SPAN
    }

    /// Whether it allows one whose acknowledge tells of those before it: also when those have used it up, or it could never be
    /// found out that they are lost.
    pub fn has_span_for_witness(&self) -> bool {
        self.next_number().saturating_sub(self.first) < MAX_SPAN.saturating_add(WITNESSES)
    }

    /// The numbers taken for processed without an acknowledge since the last look.
    pub fn take_retired(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.retired)
    }

    /// Takes a message: from now on it is kept until acknowledged, whatever happens to any websocket.
    pub fn push(&mut self, payload_type: PayloadType, payload: Bytes, form: Form) -> u64 {
        let number = self.next_number();
        self.backlog = self.backlog.saturating_add(payload.len());
        self.entries.push_back(Entry {
            payload_type,
            payload,
            form,
            acknowledged: false,
            contradictions: 0,
            transmissions: 0,
            flight: None,
        });
        number
    }

    /// Takes a message back from a journal: it may have been written, so it goes out in its resend form.
    pub fn push_restored(&mut self, payload_type: PayloadType, payload: Bytes, form: Form, acknowledged: bool) {
        let number = self.push(payload_type, payload, form);
        if let Some(entry) = self.entry_mut(number) {
            entry.transmissions = 1;
            entry.make_resend();
        }
        if acknowledged {
            self.acknowledge(number, Timestamp::ZERO);
        }
    }

    /// A new websocket: everything unacknowledged goes out again, in order.
    pub fn handle_attached(&mut self) {
        for entry in &mut self.entries {
            entry.flight = None;
        }
        self.flights.clear();
        self.lost.clear();
        self.in_flight = 0;
        self.cursor = self.first;
        self.contradicted = None;
        self.duplicates.handle_attached();
    }

    /// The size of the next message that wants to go out: lost ones first, then those not on this websocket yet.
    pub fn next_size(&self) -> Option<usize> {
        if self.duplicates.wants_question() {
            return Some(size_of_val(&PayloadType::FLAG_HARMLESS));
        }
        self.next_to_send()
            .and_then(|number| self.entry(number))
            .map(|entry| entry.payload.len())
    }

    /// Whether the next message is one to send again because it was lost on this websocket.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Hands out the next message and counts it as written.
    pub fn poll(&mut self, now: Timestamp) -> Option<Outgoing> {
        if self.duplicates.wants_question()
            && let Some(number) = self.first.checked_sub(1)
        {
            return Some(self.ask(number));
        }
        let number = self.next_to_send()?;
        self.lost.remove(&number);
        if number >= self.cursor {
            self.cursor = number.saturating_add(1);
        }
        let place = self.next_place;
        let entry = self.entry_mut(number)?;
        let before = entry.payload.len();
        let resent = entry.transmissions > 0;
        if entry.transmissions == 1 {
            entry.make_resend();
        }
        entry.transmissions = entry.transmissions.saturating_add(1);
        entry.flight = Some((place, now));
        let size = entry.payload.len();
        let outgoing = Outgoing {
            number,
            payload_type: entry.payload_type,
            payload: entry.payload.clone(),
            resent,
        };
        self.next_place = place.saturating_add(1);
        self.flights.insert(place, number);
        self.backlog = self.backlog.saturating_sub(before).saturating_add(size);
        self.in_flight = self.in_flight.saturating_add(size);
        Some(outgoing)
    }

    /// A duplicate of a message that was acknowledged. Should it be read all the same, since that one was only taken for
    /// processed, it changes nothing.
    fn ask(&mut self, number: u64) -> Outgoing {
        self.duplicates.handle_asked(self.next_place, number);
        self.next_place = self.next_place.saturating_add(1);
        Outgoing {
            number,
            payload_type: PayloadType::FLAG,
            payload: Bytes::copy_from_slice(&PayloadType::FLAG_HARMLESS.to_be_bytes()),
            resent: true,
        }
    }

    /// Takes an acknowledge. Numbers never sent and numbers long gone are ignored.
    pub fn acknowledge(&mut self, number: u64, now: Timestamp) -> Acknowledged {
        let Some(entry) = self.entry_mut(number) else {
            self.duplicates.handle_again(number);
            return Acknowledged::default();
        };
        if entry.acknowledged {
            return Acknowledged::default();
        }
        let flight = entry.flight.take();
        let once = entry.transmissions == 1;
        let size = entry.payload.len();
        entry.acknowledged = true;
        entry.payload = Bytes::new();
        self.backlog = self.backlog.saturating_sub(size);
        self.lost.remove(&number);
        if let Some((place, _)) = flight {
            if self.flights.remove(&place).is_some() {
                self.in_flight = self.in_flight.saturating_sub(size);
            }
            if once {
                self.judge(place, now);
            }
        }
        self.retire_front();
        Acknowledged {
            fresh: true,
            sent_once_at: flight
                .filter(|(place, _)| once && *place >= self.excused)
                .map(|(_, at)| at),
            bytes: size,
        }
    }

    /// The retransmission timer fired: so many of the oldest messages on their way go out again.
    pub fn handle_timer(&mut self, count: usize) {
        let mut oldest: Vec<(u64, u64)> = self.flights.iter().map(|(place, number)| (*number, *place)).collect();
        oldest.sort_unstable();
        for (_, place) in oldest.into_iter().take(count) {
            self.lose(place);
        }
    }

    /// Since when the oldest message is contradicted: sent again, and later ones acknowledged without it.
    pub const fn contradicted_since(&self) -> Option<Timestamp> {
        match self.contradicted {
            Some((_, since)) => Some(since),
            None => None,
        }
    }

    /// For a time nothing could be heard: what seems to have lasted long begins now, and what is on its way tells nothing of the
    /// path.
    pub const fn excuse_silence(&mut self, now: Timestamp) {
        self.excused = self.next_place;
        if let Some((_, since)) = &mut self.contradicted {
            *since = now;
        }
    }

    /// A message transmitted once, at `place`, was acknowledged: whatever was transmitted well before it and is
    /// still not acknowledged is lost, or (old agents) was processed without a word.
    fn judge(&mut self, place: u64, now: Timestamp) {
        self.duplicates.handle_later(place);
        let answers = self.duplicates.answers();
        while let Some((&earlier, &number)) = self.flights.iter().next() {
            if earlier >= place {
                break;
            }
            let again = self.entry(number).is_some_and(|entry| entry.transmissions > 1);
            // Below 0 there is nothing to ask with. Without a handshake 0 is a harmless message.
            let silent = answers.map_or(number == 0, |answers| !answers);
            if again && silent && self.contradict(number) {
                self.retire(number);
                continue;
            }
            if again && number == self.first && number > 0 {
                self.duplicates.doubt();
            }
            if !(again && silent) && earlier.saturating_add(REORDERING) > place {
                break;
            }
            if again && number == self.first && self.contradicted.is_none_or(|(head, _)| head != number) {
                self.contradicted = Some((number, now));
            }
            self.lose(earlier);
        }
    }

    /// Counts a contradiction; says whether it was the last one needed.
    fn contradict(&mut self, number: u64) -> bool {
        let Some(entry) = self.entry_mut(number) else {
            return false;
        };
        entry.contradictions = entry.contradictions.saturating_add(1);
        entry.contradictions >= CONTRADICTIONS
    }

    /// The transmission at `place` will not be acknowledged: send its message again.
    fn lose(&mut self, place: u64) {
        let Some(number) = self.flights.remove(&place) else {
            return;
        };
        let size = match self.entry_mut(number) {
            Some(entry) => {
                entry.flight = None;
                entry.payload.len()
            }
            None => 0,
        };
        self.in_flight = self.in_flight.saturating_sub(size);
        self.lost.insert(number);
    }

    /// Counts a message as processed although it was not acknowledged (agents before 3.2.1041.0).
    fn retire(&mut self, number: u64) {
        let Some(entry) = self.entry_mut(number) else {
            return;
        };
        let flight = entry.flight.take();
        let size = entry.payload.len();
        entry.acknowledged = true;
        entry.payload = Bytes::new();
        self.retired.push(number);
        self.backlog = self.backlog.saturating_sub(size);
        if let Some((place, _)) = flight {
            self.flights.remove(&place);
            self.in_flight = self.in_flight.saturating_sub(size);
        }
    }

    fn retire_front(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.acknowledged) {
            self.entries.pop_front();
            self.first = self.first.saturating_add(1);
        }
        self.cursor = self.cursor.max(self.first);
        if self.contradicted.is_some_and(|(head, _)| head < self.first) {
            self.contradicted = None;
        }
    }

    fn next_to_send(&self) -> Option<u64> {
        if let Some(number) = self.lost.first() {
            return Some(*number);
        }
        // Acknowledged entries behind a hole are skipped; there are few, and each is passed once a websocket.
        let start = usize::try_from(self.cursor.saturating_sub(self.first)).ok()?;
        let skipped = self
            .entries
            .range(start.min(self.entries.len())..)
            .position(|entry| !entry.acknowledged)?;
        self.cursor.checked_add(u64::try_from(skipped).ok()?)
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries
            .get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}
