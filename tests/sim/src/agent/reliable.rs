//! The agent's numbering, with all its weaknesses (protocol.md, section 4).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use autossm_proto::wire::ClientMessage;
use bytes::Bytes;
use tokio::time::Instant;

/// What the agent's code calls OutgoingMessageBufferCapacity: beyond it messages are sent and not kept.
const OUTGOING_CAPACITY: usize = 100_000;
const INITIAL_RTT: f64 = 0.1;
const CLOCK_GRANULARITY: f64 = 0.01;
const INITIAL_RTO: Duration = Duration::from_millis(200);
const MAX_RTO: Duration = Duration::from_secs(1);
/// Acknowledges so recent would still be on their way over a real link when it breaks: measured with AWS's agent,
/// some of them always are.
const IN_FLIGHT: Duration = Duration::from_millis(5);

/// What the number of an input message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Hand it over, then acknowledge, then count it.
    Expected,
    /// Acknowledge, then keep it.
    Ahead,
    /// Ahead, but there is no room: say nothing.
    Full,
    /// Processed before.
    Duplicate,
}

/// Client to agent.
#[derive(Debug)]
pub(crate) struct Inbound {
    expected: i64,
    kept: HashMap<i64, ClientMessage>,
    capacity: usize,
}

impl Inbound {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            expected: 0,
            kept: HashMap::new(),
            capacity,
        }
    }

    pub(crate) const fn expected(&self) -> i64 {
        self.expected
    }

    pub(crate) fn classify(&self, number: i64) -> Verdict {
        match number.cmp(&self.expected) {
            std::cmp::Ordering::Equal => Verdict::Expected,
            std::cmp::Ordering::Less => Verdict::Duplicate,
            std::cmp::Ordering::Greater if self.kept.len() < self.capacity => Verdict::Ahead,
            std::cmp::Ordering::Greater => Verdict::Full,
        }
    }

    /// Keeps a message whose acknowledge has been written.
    pub(crate) fn keep(&mut self, message: ClientMessage) {
        self.kept.insert(message.sequence_number, message);
    }

    /// The expected message, if it was kept. It stays kept until [`Inbound::count`]: as in the agent, one that
    /// cannot be processed is tried again only after the next message that can.
    pub(crate) fn next_kept(&self) -> Option<&ClientMessage> {
        self.kept.get(&self.expected)
    }

    /// The expected message has been handed over and, if it came by itself, acknowledged.
    pub(crate) fn count(&mut self) {
        self.kept.remove(&self.expected);
        self.expected += 1;
    }
}

/// Agent to client.
#[derive(Debug)]
pub(crate) struct Outbound {
    next: i64,
    unacknowledged: VecDeque<Sent>,
    /// Acknowledged just now, oldest acknowledge first.
    recent: VecDeque<(Instant, Sent)>,
    rtt: f64,
    variation: f64,
    rto: Duration,
}

#[derive(Debug)]
struct Sent {
    number: i64,
    frame: Bytes,
    at: Instant,
}

impl Outbound {
    pub(crate) const fn new() -> Self {
        Self {
            next: 0,
            unacknowledged: VecDeque::new(),
            recent: VecDeque::new(),
            rtt: INITIAL_RTT,
            variation: 0.0,
            rto: INITIAL_RTO,
        }
    }

    /// The number of the next message.
    pub(crate) const fn next(&self) -> i64 {
        self.next
    }

    pub(crate) fn is_acknowledged(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    pub(crate) fn backlog(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Lists the message with the next number, whether or not its write succeeded.
    pub(crate) fn list(&mut self, frame: Bytes, now: Instant) {
        if self.unacknowledged.len() < OUTGOING_CAPACITY {
            let number = self.next;
            self.unacknowledged.push_back(Sent { number, frame, at: now });
        }
        self.next += 1;
    }

    /// Selective, by number alone.
    pub(crate) fn acknowledge(&mut self, number: i64, now: Instant) {
        let found = self.unacknowledged.binary_search_by_key(&number, |sent| sent.number);
        let Some(sent) = found.ok().and_then(|at| self.unacknowledged.remove(at)) else {
            return;
        };
        let sample = now.saturating_duration_since(sent.at).as_secs_f64();
        self.variation = 0.75 * self.variation + 0.25 * (self.rtt - sample).abs();
        self.rtt = 0.875 * self.rtt + 0.125 * sample;
        let rto = self.rtt + CLOCK_GRANULARITY.max(4.0 * self.variation);
        self.rto = Duration::from_secs_f64(rto).min(MAX_RTO);
        self.recent.push_back((now, sent));
        while self.recent.front().is_some_and(|(at, _)| *at + IN_FLIGHT < now) {
            self.recent.pop_front();
        }
    }

    /// The link broke: acknowledges that were on their way are lost with it.
    pub(crate) fn lose_acknowledges(&mut self, now: Instant) {
        let lost = self.recent.drain(..).filter(|(at, _)| *at + IN_FLIGHT >= now);
        self.unacknowledged.extend(lost.map(|(_, sent)| sent));
        self.unacknowledged.make_contiguous().sort_by_key(|sent| sent.number);
    }

    /// At a tick: the head of the list and nothing else, when it is older than the RTO.
    pub(crate) fn resend(&mut self, now: Instant) -> Option<Bytes> {
        let head = self.unacknowledged.front_mut()?;
        if now.saturating_duration_since(head.at) <= self.rto {
            return None;
        }
        head.at = now;
        Some(head.frame.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn only_the_head_is_resent_and_only_after_the_rto() {
        let now = clock::now();
        let mut outbound = Outbound::new();
        for byte in [b"0", b"1", b"2"] {
            outbound.list(Bytes::from_static(byte), now);
        }
        assert_eq!(outbound.resend(now + INITIAL_RTO), None);
        let late = now + Duration::from_millis(201);
        assert_eq!(outbound.resend(late).unwrap(), "0");
        assert_eq!(outbound.resend(late + Duration::from_millis(100)), None);
        outbound.acknowledge(1, late);
        let later = late + MAX_RTO + Duration::from_millis(1);
        assert_eq!(outbound.resend(later).unwrap(), "0");
        outbound.acknowledge(0, later);
        assert_eq!(outbound.resend(later + MAX_RTO).unwrap(), "2");
    }

    #[test]
    fn a_broken_link_loses_the_latest_acknowledges() {
        let now = clock::now();
        let mut outbound = Outbound::new();
        for byte in [b"0", b"1", b"2"] {
            outbound.list(Bytes::from_static(byte), now);
        }
        outbound.acknowledge(0, now);
        let later = now + IN_FLIGHT + Duration::from_millis(1);
        outbound.acknowledge(1, later);
        outbound.lose_acknowledges(later);
        let numbers: Vec<i64> = outbound.unacknowledged.iter().map(|sent| sent.number).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn the_rto_never_exceeds_a_second() {
        let now = clock::now();
        let mut outbound = Outbound::new();
        outbound.list(Bytes::new(), now);
        outbound.acknowledge(0, now + Duration::from_secs(60));
        assert_eq!(outbound.rto, MAX_RTO);
    }
}
