//! How many bytes may be in flight: a window driven by round-trip time.
//!
//! The path behind the websocket is TCP, so nothing signals congestion by loss; it shows as a growing round trip.
//! The window grows while messages come back about as fast as they ever did, and shrinks when they queue, so that
//! a ping or a keystroke is not stuck behind megabytes.

use std::time::Duration;

use crate::Timestamp;

/// Enough for a hundred small messages at once.
const INITIAL: usize = 128 << 10;
const MINIMUM: usize = 32 << 10;
const MAXIMUM: usize = 4 << 20;
/// Bytes the window grows in one round trip once it has met queueing.
const GAIN: usize = 16 << 10;
/// Queueing that is accepted: what an interactive user does not notice.
const TARGET_QUEUE: Duration = Duration::from_millis(40);
/// The lowest round trip must have been seen again within this, or it is measured anew: the path may have become longer.
const LIFETIME: Duration = Duration::from_secs(15);

/// The send window in bytes.
#[derive(Clone, Debug)]
pub struct Window {
    size: usize,
    slow_start: bool,
    /// The round trip of the path without a queue, as far as known.
    base: Option<Duration>,
    /// When a message last came back about as fast as that.
    confirmed: Timestamp,
    /// At most one decrease in a round trip.
    next_decrease: Timestamp,
    probe: Option<Probe>,
}

/// A measurement of the path's round trip: with only the minimum in flight nothing of ours can queue. Without it, the
/// queue of a slow link would count as the path's length after a while, and again, and so grow without end.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The window to go on with.
    saved: usize,
    /// Since when no more than the minimum is in flight.
    drained: Option<Timestamp>,
    lowest: Option<Duration>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: INITIAL,
            slow_start: true,
            base: None,
            confirmed: Timestamp::ZERO,
            next_decrease: Timestamp::ZERO,
            probe: None,
        }
    }
}

impl Window {
    /// Bytes that may be in flight.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// A new websocket, perhaps over another network: measure again, from a modest size.
    pub fn restart(&mut self) {
        let size = self.probe.map_or(self.size, |probe| probe.saved).min(INITIAL);
        *self = Self {
            size,
            ..Self::default()
        };
    }

    /// `bytes` sent once were acknowledged after `rtt`; `in_flight` is what was in flight before that.
    pub fn handle_acknowledged(&mut self, bytes: usize, in_flight: usize, rtt: Duration, now: Timestamp) {
        let base = self.base.map_or(rtt, |base| base.min(rtt));
        self.base = Some(base);
        let queued = rtt.saturating_sub(base);
        if queued <= base.checked_div(16).unwrap_or_default() {
            self.confirmed = now;
        }
        if self.probe.is_some() {
            self.measure(in_flight, rtt, now);
        } else if now.since(self.confirmed) > LIFETIME {
            self.begin_probe();
        } else if queued > TARGET_QUEUE.max(base.checked_div(4).unwrap_or_default()) {
            self.shrink(rtt, now);
        } else if in_flight >= self.size / 2 {
            // Only a window that was used may grow.
            let growth = if self.slow_start {
                bytes
            } else {
                bytes.saturating_mul(GAIN).checked_div(self.size).unwrap_or_default()
            };
            self.size = self.size.saturating_add(growth).min(MAXIMUM);
        }
    }

    fn shrink(&mut self, rtt: Duration, now: Timestamp) {
        if self.size == MINIMUM {
            // So little cannot queue so long, unless the link is slow or the path has become longer: measure.
            self.begin_probe();
        } else if now >= self.next_decrease {
            self.size = (self.size / 8).saturating_mul(7).max(MINIMUM);
            self.slow_start = false;
            self.next_decrease = now.after(rtt);
        }
    }

    fn begin_probe(&mut self) {
        self.probe = Some(Probe {
            saved: self.size,
            drained: None,
            lowest: None,
        });
        self.size = MINIMUM;
    }

    /// Takes a sample of a measurement, and ends it a round trip after the first that was sent behind little.
    fn measure(&mut self, in_flight: usize, rtt: Duration, now: Timestamp) {
        let Some(probe) = &mut self.probe else { return };
        let Some(drained) = probe.drained else {
            probe.drained = (in_flight <= MINIMUM).then_some(now);
            return;
        };
        let since = now.since(drained);
        if since < rtt {
            return;
        }
        let lowest = probe.lowest.map_or(rtt, |lowest| lowest.min(rtt));
        probe.lowest = Some(lowest);
        if since >= lowest.saturating_mul(2) {
            self.size = probe.saved;
            self.slow_start = self.base.is_some_and(|base| lowest > base);
            self.base = Some(lowest);
            self.confirmed = now;
            self.probe = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn acknowledge(window: &mut Window, times: usize, rtt: Duration, from: Timestamp) -> Timestamp {
        let mut now = from;
        for _ in 0..times {
            now = now.after(MS);
            window.handle_acknowledged(1000, window.size(), rtt, now);
        }
        now
    }

    #[test]
    fn grows_to_its_maximum_while_nothing_queues() {
        let mut window = Window::default();
        acknowledge(&mut window, 10_000, 20 * MS, Timestamp::ZERO);
        assert_eq!(window.size(), MAXIMUM);
    }

    #[test]
    fn shrinks_when_messages_queue_and_keeps_a_minimum() {
        let mut window = Window::default();
        let now = acknowledge(&mut window, 3000, 20 * MS, Timestamp::ZERO);
        let grown = window.size();
        let now = acknowledge(&mut window, 100, 200 * MS, now);
        assert!(window.size() < grown, "one decrease in a round trip");
        acknowledge(&mut window, 2000, 200 * MS, now);
        assert!(window.size() < grown / 2);
    }

    /// The largest window in the last ten of fifteen minutes on a link of 1 Mbit/s, whose queue is what is in flight.
    #[test]
    fn the_queue_of_a_slow_link_does_not_become_the_length_of_the_path() {
        let mut window = Window::default();
        let (mut now, mut largest) = (Timestamp::ZERO, 0);
        while now < Timestamp::ZERO.after(900_000 * MS) {
            now = now.after(8 * MS);
            let queued = u32::try_from(window.size() / 1000).unwrap() * 8 * MS;
            window.handle_acknowledged(1000, window.size(), 20 * MS + queued, now);
            if now > Timestamp::ZERO.after(300_000 * MS) {
                largest = largest.max(window.size());
            }
        }
        assert!(largest < 2 * MINIMUM, "{largest}");
    }

    #[test]
    fn a_path_that_has_become_longer_is_filled_again() {
        let mut window = Window::default();
        let now = acknowledge(&mut window, 5000, 20 * MS, Timestamp::ZERO);
        assert_eq!(window.size(), MAXIMUM);
        // Another way, 200 ms longer, on the same websocket.
        let now = acknowledge(&mut window, 9000, 220 * MS, now);
        assert!(window.size() < MAXIMUM, "at first it looks like a queue");
        acknowledge(&mut window, 5000, 220 * MS, now);
        assert_eq!(window.size(), MAXIMUM);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut window = Window::default();
        for _ in 0..1000 {
            window.handle_acknowledged(100, 100, 20 * MS, Timestamp::ZERO);
        }
        assert_eq!(window.size(), INITIAL);
    }
}
