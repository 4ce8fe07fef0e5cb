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
/// The lowest round trip is believed for one to two of these.
const HALF_LIFETIME: Duration = Duration::from_secs(15);

/// The send window in bytes.
#[derive(Clone, Debug)]
pub struct Window {
    size: usize,
    slow_start: bool,
    /// The lowest round trip of the present and of the previous `HALF_LIFETIME`.
    base: [Option<Duration>; 2],
    base_since: Timestamp,
    /// At most one decrease in a round trip.
    next_decrease: Timestamp,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: INITIAL,
            slow_start: true,
            base: [None; 2],
            base_since: Timestamp::ZERO,
            next_decrease: Timestamp::ZERO,
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
        let size = self.size.min(INITIAL);
        *self = Self {
            size,
            ..Self::default()
        };
    }

    /// `bytes` sent once were acknowledged after `rtt`; `in_flight` is what was in flight before that.
    pub fn handle_acknowledged(&mut self, bytes: usize, in_flight: usize, rtt: Duration, now: Timestamp) {
        let base = self.lowest(rtt, now);
        let queued = rtt.saturating_sub(base);
        if queued > TARGET_QUEUE.max(base.checked_div(4).unwrap_or_default()) {
            if now >= self.next_decrease {
                self.size = (self.size / 8).saturating_mul(7).max(MINIMUM);
                self.slow_start = false;
                self.next_decrease = now.after(rtt);
            }
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

    /// The lowest round trip of late, this one included.
    fn lowest(&mut self, rtt: Duration, now: Timestamp) -> Duration {
        let [present, previous] = &mut self.base;
        if now.since(self.base_since) > HALF_LIFETIME {
            *previous = present.take();
            self.base_since = now;
        }
        let lowest = present.map_or(rtt, |present| present.min(rtt));
        *present = Some(lowest);
        previous.map_or(lowest, |previous| previous.min(lowest))
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
        acknowledge(&mut window, 10_000, 200 * MS, now);
        assert_eq!(window.size(), MINIMUM);
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
