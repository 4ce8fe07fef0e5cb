//! Round-trip time and the retransmission timer: RFC 6298, whose rule 3 is Karn's.
//!
//! AWS's programs cap the timer at one second, which makes a slow link resend without end. The websocket is TCP:
//! while it lives nothing is lost except where the service drops, so the cap here is high.

use std::time::Duration;

/// Before the first sample (RFC 6298, 2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The agent acknowledges at once, so RFC 6298's minimum of one second would only slow recovery down.
const MIN_RTO: Duration = Duration::from_millis(200);
/// RFC 6298, 2.5: at least 60 s.
const MAX_RTO: Duration = Duration::from_secs(60);
/// While the peer may not be ready it ignores messages without a trace; asking often is right then.
const UNPROVEN_RTO: Duration = Duration::from_millis(200);

/// Estimates round-trip time from acknowledges of messages that were sent exactly once.
#[derive(Clone, Debug, Default)]
pub struct RttEstimator {
    smoothed: Option<Duration>,
    variance: Duration,
    /// Doublings since the last sample (RFC 6298, 5.5 to 5.7).
    backed_off: u32,
}

impl RttEstimator {
    /// Takes the time between the only transmission of a message and its acknowledge.
    pub fn sample(&mut self, rtt: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variance = divided(rtt, 2);
            }
            Some(smoothed) => {
                let difference = smoothed.abs_diff(rtt);
                self.variance = divided(self.variance.saturating_mul(3).saturating_add(difference), 4);
                self.smoothed = Some(divided(smoothed.saturating_mul(7).saturating_add(rtt), 8));
            }
        }
        self.backed_off = 0;
    }

    /// The timer has fired: the next one waits twice as long.
    pub const fn back_off(&mut self) {
        self.backed_off = self.backed_off.saturating_add(1);
    }

    /// Timers since the last sample.
    pub const fn backed_off(&self) -> u32 {
        self.backed_off
    }

    /// A new websocket: what was backed off on the old one says nothing about this one.
    pub const fn forget_backoff(&mut self) {
        self.backed_off = 0;
    }

    /// Smoothed round-trip time; none before the first sample.
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The timer without its doublings.
    pub fn base_rto(&self) -> Duration {
        match self.smoothed {
            None => INITIAL_RTO,
            Some(smoothed) => {
                let margin = self.variance.saturating_mul(4).max(Duration::from_millis(10));
                smoothed.saturating_add(margin).clamp(MIN_RTO, MAX_RTO)
            }
        }
    }

    /// How long to wait for an acknowledge before sending again; `proven` is false until the peer has answered.
    pub fn rto(&self, proven: bool) -> Duration {
        if !proven {
            return UNPROVEN_RTO
                .saturating_mul(1u32 << self.backed_off.min(3))
                .min(INITIAL_RTO);
        }
        self.base_rto()
            .saturating_mul(1u32 << self.backed_off.min(16))
            .min(MAX_RTO)
    }
}

/// Division by a number that is never 0.
fn divided(time: Duration, by: u32) -> Duration {
    time.checked_div(by).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn follows_rfc_6298() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.rto(true), INITIAL_RTO);
        rtt.sample(400 * MS);
        assert_eq!(rtt.rto(true), 1200 * MS, "srtt + 4 * (srtt / 2)");
        rtt.sample(800 * MS);
        assert_eq!(rtt.smoothed(), Some(450 * MS));
        assert_eq!(rtt.rto(true), 1450 * MS, "450 + 4 * 250");
    }

    #[test]
    fn doubles_until_a_sample_and_never_passes_its_cap() {
        let mut rtt = RttEstimator::default();
        rtt.sample(100 * MS);
        let first = rtt.rto(true);
        rtt.back_off();
        assert_eq!(rtt.rto(true), first * 2);
        for _ in 0..100 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(true), MAX_RTO);
        rtt.sample(100 * MS);
        assert!(rtt.rto(true) < first * 2);
    }

    #[test]
    fn an_unproven_peer_is_asked_often() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.rto(false), UNPROVEN_RTO);
        for _ in 0..9 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(false), INITIAL_RTO);
    }
}
