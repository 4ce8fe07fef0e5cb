//! One way of one link: a queue in which traffic can be held, slowed, delayed, lost, doubled, swapped or damaged.
//!
//! Pure: time is an argument, and every random choice comes from the seed of its disturbance.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::fault::{Pick, Traffic};

/// Bytes a lane holds before it pushes back: about what a connection's socket buffers hold.
const CAPACITY: usize = 256 << 10;
/// The same with a delay, so that the delay does not also limit the rate.
const CAPACITY_WITH_DELAY: usize = 64 << 20;

/// What travels on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A binary message.
    Message(Bytes),
    /// Raw websocket bytes of a pong on its way back to the client; only the black holes and delays touch it.
    Pong(Bytes),
}

impl Frame {
    fn len(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Pong(bytes) => bytes.len(),
        }
    }
}

/// One way of one link.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    queue: VecDeque<(Option<Instant>, Frame)>,
    bytes: usize,
    disturbances: Vec<Active>,
    /// A message that waits for the one that follows it.
    overtaken: Option<Frame>,
    last_due: Option<Instant>,
    /// When a lane with a limited rate has finished sending what it was given.
    free_at: Option<Instant>,
}

#[derive(Debug)]
struct Active {
    traffic: Traffic,
    until: Option<Instant>,
    persist: bool,
    counted: u64,
    rng: StdRng,
}

impl Active {
    fn picks(&mut self, pick: Pick) -> bool {
        match pick {
            Pick::Every(n) => {
                self.counted += 1;
                self.counted.is_multiple_of(n.max(1))
            }
            Pick::Chance { probability, .. } => self.rng.random_bool(probability.clamp(0.0, 1.0)),
        }
    }
}

impl Lane {
    /// Adds a disturbance to those there are.
    pub(crate) fn disturb(&mut self, traffic: Traffic, until: Option<Instant>, persist: bool) {
        let seed = match traffic {
            Traffic::Lose(Pick::Chance { seed, .. })
            | Traffic::Duplicate(Pick::Chance { seed, .. })
            | Traffic::Reorder(Pick::Chance { seed, .. })
            | Traffic::Corrupt(Pick::Chance { seed, .. }) => seed,
            Traffic::Stall
            | Traffic::Discard
            | Traffic::Slow { .. }
            | Traffic::Delay { .. }
            | Traffic::Lose(Pick::Every(_))
            | Traffic::Duplicate(Pick::Every(_))
            | Traffic::Reorder(Pick::Every(_))
            | Traffic::Corrupt(Pick::Every(_)) => 0,
        };
        self.disturbances.push(Active {
            traffic,
            until,
            persist,
            counted: 0,
            rng: StdRng::seed_from_u64(seed),
        });
    }

    /// Ends all disturbances. What is queued becomes deliverable at once.
    pub(crate) fn heal(&mut self) {
        self.disturbances.clear();
        self.settle();
    }

    /// The connection is gone: what was in flight is lost, disturbances end unless they persist.
    pub(crate) fn cut(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.overtaken = None;
        self.last_due = None;
        self.free_at = None;
        self.disturbances.retain(|active| active.persist);
    }

    /// The sender is gone: what is in flight still arrives, disturbances end unless they persist.
    pub(crate) fn finish(&mut self) {
        self.disturbances.retain(|active| active.persist);
        if self.disturbances.is_empty() {
            self.settle();
        }
    }

    /// Ends disturbances whose time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let before = self.disturbances.len();
        self.disturbances
            .retain(|active| active.until.is_none_or(|until| until > now));
        if self.disturbances.is_empty() && before > 0 {
            self.settle();
        }
        let reorders = |active: &Active| matches!(active.traffic, Traffic::Reorder(_));
        if !self.disturbances.iter().any(reorders)
            && let Some(late) = self.overtaken.take()
        {
            self.append(self.last_due, late);
        }
    }

    /// When [`Lane::pop`] or [`Lane::handle_timeout`] next has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.disturbances.iter().filter_map(|active| active.until).min();
        let due = if self.is_stalled() {
            None
        } else {
            self.queue.front().and_then(|(due, _)| *due)
        };
        expiry.into_iter().chain(due).min()
    }

    /// Whether nothing moves.
    pub(crate) fn is_stalled(&self) -> bool {
        self.disturbances.iter().any(|active| active.traffic == Traffic::Stall)
    }

    /// Whether the sender may go on.
    pub(crate) fn has_room(&self) -> bool {
        let delayed = self
            .disturbances
            .iter()
            .any(|active| matches!(active.traffic, Traffic::Delay { .. }));
        let capacity = if delayed { CAPACITY_WITH_DELAY } else { CAPACITY };
        self.bytes < capacity && !self.is_stalled()
    }

    /// Sends a frame on its way, or not.
    pub(crate) fn push(&mut self, mut frame: Frame, now: Instant) {
        if self.disturbances.is_empty() {
            self.append(None, frame);
            return;
        }
        let mut sent = now;
        let mut delay = Duration::ZERO;
        let mut copies = 1_u32;
        let mut overtaken = false;
        let is_message = matches!(frame, Frame::Message(_));
        let size = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        for active in &mut self.disturbances {
            match active.traffic {
                Traffic::Stall => {}
                Traffic::Discard => return,
                Traffic::Slow { bytes_per_second } => {
                    let micros = size.saturating_mul(1_000_000) / bytes_per_second.max(1);
                    sent = sent.max(self.free_at.unwrap_or(sent)) + Duration::from_micros(micros);
                    self.free_at = Some(sent);
                }
                Traffic::Delay { ms } => delay += Duration::from_millis(ms),
                Traffic::Lose(pick) => {
                    if is_message && active.picks(pick) {
                        return;
                    }
                }
                Traffic::Duplicate(pick) => {
                    copies += u32::from(is_message && active.picks(pick));
                }
                Traffic::Reorder(pick) => overtaken |= is_message && active.picks(pick),
                Traffic::Corrupt(pick) => {
                    if is_message && active.picks(pick) {
                        frame = corrupted(frame);
                    }
                }
            }
        }
        let due = (sent + delay).max(self.last_due.unwrap_or(now));
        self.last_due = Some(due);
        if overtaken && self.overtaken.is_none() {
            self.overtaken = Some(frame);
            return;
        }
        for _ in 1..copies {
            self.append(Some(due), frame.clone());
        }
        self.append(Some(due), frame);
        if let Some(late) = self.overtaken.take() {
            self.append(Some(due), late);
        }
    }

    /// The next frame that has arrived.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Frame> {
        let (due, _) = self.queue.front()?;
        if due.is_some_and(|due| due > now) || self.is_stalled() {
            return None;
        }
        self.take()
    }

    /// The next frame whether it has arrived or not, unless the lane is stalled.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        if self.is_stalled() {
            return None;
        }
        let (_, frame) = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.len());
        Some(frame)
    }

    fn append(&mut self, due: Option<Instant>, frame: Frame) {
        self.bytes += frame.len();
        self.queue.push_back((due, frame));
    }

    fn settle(&mut self) {
        if let Some(late) = self.overtaken.take() {
            self.append(None, late);
        }
        for (due, _) in &mut self.queue {
            *due = None;
        }
        self.last_due = None;
        self.free_at = None;
    }
}

fn corrupted(frame: Frame) -> Frame {
    match frame {
        Frame::Message(bytes) => {
            let mut damaged = BytesMut::from(&bytes[..]);
            if let Some(last) = damaged.last_mut() {
                *last ^= 0x01;
            }
            Frame::Message(damaged.freeze())
        }
        Frame::Pong(bytes) => Frame::Pong(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn frame(n: u8) -> Frame {
        Frame::Message(Bytes::copy_from_slice(&[n]))
    }

    fn drain(lane: &mut Lane, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| lane.pop(now))
            .map(|frame| match frame {
                Frame::Message(bytes) | Frame::Pong(bytes) => bytes[0],
            })
            .collect()
    }

    fn pass(traffic: Traffic, frames: u8) -> Vec<u8> {
        let now = clock::now();
        let mut lane = Lane::default();
        lane.disturb(traffic, None, false);
        for n in 0..frames {
            lane.push(frame(n), now);
        }
        drain(&mut lane, now)
    }

    #[test]
    fn every_kind_of_picking_does_what_it_says() {
        assert_eq!(pass(Traffic::Lose(Pick::Every(3)), 7), [0, 1, 3, 4, 6]);
        assert_eq!(pass(Traffic::Duplicate(Pick::Every(2)), 4), [0, 1, 1, 2, 3, 3]);
        assert_eq!(pass(Traffic::Reorder(Pick::Every(3)), 6), [0, 1, 3, 2, 4]);
        assert_eq!(pass(Traffic::Corrupt(Pick::Every(2)), 4), [0, 0, 2, 2]);
        assert_eq!(pass(Traffic::Discard, 4), [0_u8; 0]);
    }

    #[test]
    fn a_seed_replays_its_choices() {
        let lose = |seed| {
            let pick = Pick::Chance { probability: 0.3, seed };
            pass(Traffic::Lose(pick), 100)
        };
        assert_eq!(lose(1), lose(1));
        assert_ne!(lose(1), lose(2));
        assert!((50..90).contains(&lose(1).len()));
    }

    #[test]
    fn a_stall_holds_everything_and_gives_it_back() {
        let now = clock::now();
        let mut lane = Lane::default();
        lane.push(frame(1), now);
        lane.disturb(Traffic::Stall, Some(now + Duration::from_secs(1)), false);
        lane.push(frame(2), now);
        assert_eq!(lane.pop(now), None);
        assert!(!lane.has_room());
        assert_eq!(lane.poll_timeout(), Some(now + Duration::from_secs(1)));
        lane.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(drain(&mut lane, now), [1, 2]);
    }

    #[test]
    fn delay_and_rate_keep_the_order() {
        let now = clock::now();
        let mut lane = Lane::default();
        lane.disturb(Traffic::Delay { ms: 20 }, None, false);
        lane.disturb(Traffic::Slow { bytes_per_second: 100 }, None, false);
        lane.push(frame(1), now);
        lane.push(frame(2), now);
        assert_eq!(lane.pop(now + Duration::from_millis(29)), None);
        assert_eq!(drain(&mut lane, now + Duration::from_millis(30)), [1]);
        assert_eq!(lane.poll_timeout(), Some(now + Duration::from_millis(40)));
        assert_eq!(drain(&mut lane, now + Duration::from_millis(40)), [2]);
    }

    #[test]
    fn a_cut_loses_what_is_in_flight_and_ends_what_does_not_persist() {
        let now = clock::now();
        let mut lane = Lane::default();
        lane.disturb(Traffic::Discard, None, false);
        lane.disturb(Traffic::Delay { ms: 1 }, None, true);
        lane.push(frame(0), now);
        lane.cut();
        lane.push(frame(1), now);
        assert_eq!(lane.pop(now), None);
        assert_eq!(drain(&mut lane, now + Duration::from_millis(1)), [1]);
    }
}
