//! Finds the number that the agent of a session expects next, when another client has left the session.
//!
//! The agent acknowledges every number but the expected one: a lower one as a duplicate, a higher one as kept. So messages
//! it cannot read are sent under all numbers from 0 on; the one that is never acknowledged is the expected one. They go on
//! far beyond it, so that what the other client had sent there, and the agent has kept, is overwritten: else it would
//! be handed over in the middle of ours. What is left of them is skipped when the real message with that number comes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::Timestamp;

/// Candidates on their way at once.
const WINDOW: usize = 512;
/// A probe is taken for lost, or for not acknowledged, when one sent so many places later was.
const REORDERING: u64 = 3;
/// So many times the last number must be passed over to count as not acknowledged: a wrong one would be the end of all
/// order.
const ROUNDS: u32 = 8;
/// So many times each of several numbers must be passed over to count as such.
const MANY_ROUNDS: u32 = 24;
/// Without any acknowledge for so long all is sent again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the scan has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The agent expects this number.
    Expected(u64),
    /// It acknowledges no number that it has had: it is too old to be asked.
    TooOld,
    /// Nothing was ever sent in this session, so it cannot show whether it acknowledges what it has had.
    Untouched,
}

/// The search for the expected number.
#[derive(Debug)]
pub(super) struct Scan {
    /// It goes on so far beyond the expected number: no client has had more messages under way.
    sweep: u64,
    /// The next number that was never sent.
    next: u64,
    /// Not acknowledged: how many times each was passed over.
    open: BTreeMap<u64, u32>,
    /// To be sent again.
    again: VecDeque<u64>,
    /// On their way, in the order they were sent: place and number.
    flights: VecDeque<(u64, u64)>,
    next_place: u64,
    /// The highest number acknowledged.
    highest: Option<u64>,
    /// So many of those sent last were it.
    witnesses: u64,
    quiet_since: Timestamp,
}

impl Scan {
    pub(super) const fn new(sweep: u64) -> Self {
        Self {
            sweep,
            next: 0,
            open: BTreeMap::new(),
            again: VecDeque::new(),
            flights: VecDeque::new(),
            next_place: 0,
            highest: None,
            witnesses: 0,
            quiet_since: Timestamp::ZERO,
        }
    }

    /// A new websocket: what was on its way is lost.
    pub(super) fn handle_attached(&mut self, now: Timestamp) {
        self.flights.clear();
        self.again = self.open.keys().copied().collect();
        for rounds in self.open.values_mut() {
            *rounds = 0;
        }
        self.quiet_since = now;
    }

    /// The number of the next probe to write.
    pub(super) fn poll(&mut self) -> Option<u64> {
        if self.flights.len() >= WINDOW {
            return None;
        }
        let enough = self.enough();
        let undecided = |number: &u64| self.open.get(number).is_none_or(|rounds| *rounds < enough);
        while self.again.front().is_some_and(|number| !undecided(number)) {
            self.again.pop_front();
        }
        let number = match self.again.pop_front() {
            Some(number) => number,
            None if self.goes_on() => {
                let number = self.next;
                self.next = number.saturating_add(1);
                self.open.insert(number, 0);
                number
            }
            // Whether the last ones are passed over is shown by one that is surely acknowledged.
            None if self.witnesses <= REORDERING && self.found().is_none() => {
                let witness = self.highest?;
                self.witnesses = self.witnesses.saturating_add(1);
                self.put(witness);
                return Some(witness);
            }
            None => return None,
        };
        self.witnesses = 0;
        self.put(number);
        Some(number)
    }

    fn put(&mut self, number: u64) {
        self.flights.push_back((self.next_place, number));
        self.next_place = self.next_place.saturating_add(1);
    }

    /// The agent has acknowledged a number.
    pub(super) fn handle_acknowledge(&mut self, number: u64, now: Timestamp) {
        let Some(at) = self.flights.iter().position(|(_, sent)| *sent == number) else {
            return;
        };
        self.quiet_since = now;
        let place = self.flights.remove(at).map_or(0, |(place, _)| place);
        self.open.remove(&number);
        self.highest = self.highest.max(Some(number));
        while let Some((earlier, passed)) = self.flights.front().copied() {
            if earlier.saturating_add(REORDERING) > place {
                break;
            }
            self.flights.pop_front();
            if let Some(rounds) = self.open.get_mut(&passed) {
                *rounds = rounds.saturating_add(1);
                self.again.push_back(passed);
            }
        }
    }

    /// When silence ends.
    pub(super) fn timeout(&self) -> Timestamp {
        self.quiet_since.after(PATIENCE)
    }

    /// Sends all again that nobody has answered, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if now < self.timeout() || self.found().is_some() {
            return;
        }
        self.flights.clear();
        let enough = self.enough();
        let undecided = self.open.iter().filter(|(_, rounds)| **rounds < enough);
        self.again = undecided.map(|(number, _)| *number).collect();
        self.witnesses = 0;
        self.quiet_since = now;
    }

    /// What is known when everything has been asked.
    pub(super) fn found(&self) -> Option<Found> {
        if self.goes_on() || self.open.values().any(|rounds| *rounds < self.enough()) {
            return None;
        }
        let (first, more) = (*self.open.keys().next()?, self.open.len() > 1);
        Some(match (first, more) {
            (_, true) => Found::TooOld,
            (0, false) => Found::Untouched,
            (number, false) => Found::Expected(number),
        })
    }

    /// How many times each number must be passed over.
    fn enough(&self) -> u32 {
        if self.open.len() > 1 { MANY_ROUNDS } else { ROUNDS }
    }

    /// Whether numbers are left to be asked: until far beyond the lowest that is not acknowledged.
    fn goes_on(&self) -> bool {
        let lowest = self.open.keys().next();
        lowest.is_none_or(|lowest| self.next <= lowest.saturating_add(self.sweep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: u64 = 2000;

    /// An agent that expects a number, behind a path that loses so many percent of probes and acknowledges.
    fn scan(expected: u64, acknowledges_lower: bool, loses: u64) -> (Option<Found>, u64) {
        let (mut scan, mut now, mut state) = (Scan::new(SWEEP), Timestamp::ZERO, expected);
        let mut lost = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 100 < loses
        };
        scan.handle_attached(now);
        for _turn in 0..1000 {
            let mut answers = Vec::new();
            while let Some(number) = scan.poll() {
                let silent = number == expected || (number < expected && !acknowledges_lower);
                if !silent && !lost() {
                    answers.push(number);
                }
            }
            for number in answers {
                if !lost() {
                    scan.handle_acknowledge(number, now);
                }
            }
            if let Some(found) = scan.found() {
                return (Some(found), scan.next_place);
            }
            now = now.after(PATIENCE);
            scan.handle_timeout(now);
        }
        (None, scan.next_place)
    }

    #[test]
    fn the_number_that_is_never_acknowledged_is_the_expected_one() {
        for expected in [1, 2, 3, 511, 512, 513, 3000] {
            let (found, probes) = scan(expected, true, 0);
            assert_eq!(found, Some(Found::Expected(expected)));
            assert!(probes < expected + SWEEP + 100, "{probes} probes for {expected}");
            for loses in [1, 5, 20] {
                assert_eq!(
                    scan(expected, true, loses).0,
                    Some(Found::Expected(expected)),
                    "{expected}, loses {loses} %"
                );
            }
        }
    }

    #[test]
    fn an_agent_that_cannot_be_asked_is_told_from_one_that_can() {
        assert_eq!(scan(0, true, 0).0, Some(Found::Untouched));
        for expected in [1, 2, 300] {
            assert_eq!(scan(expected, false, 0).0, Some(Found::TooOld), "{expected}");
        }
    }
}
