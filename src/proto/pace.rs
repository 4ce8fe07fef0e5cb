//! The pace of calls that sessions of one account and region share: whose turn it is, and when.
//!
//! AWS publishes no quotas for Session Manager's calls. A workstation with a thousand sessions whose network has just
//! come back would meet one all the same, and a throttled ResumeSession is a session that waits. So the calls go out
//! evenly, those first whose session ends soonest, and slower for a while when the service says that it is too much.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Timestamp;
use crate::time::{Reason, Wakeup};

/// Between two calls when there are many: ten a second.
const USUAL: Duration = Duration::from_millis(100);
/// So many go out at once after a quiet time: an ordinary workstation's sessions never wait for one another.
const BURST: u32 = 20;
/// However often the service says that it is too much.
const SLOWEST: Duration = Duration::from_secs(2);
/// Calls under way at the same time are refused together; that is one refusal.
const ONE_REFUSAL: Duration = Duration::from_secs(1);
/// After so long without a refusal the pace doubles again.
const RECOVERY: Duration = Duration::from_secs(10);
/// The longest silence that one refusal may ask of all sessions.
const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// A place in the queue: sooner due, sooner served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    due: Timestamp,
    number: u64,
}

/// The queue, and the clock that serves it.
#[derive(Debug)]
pub struct Pace {
    queue: BTreeSet<Ticket>,
    next_number: u64,
    /// Between two calls at present.
    interval: Duration,
    /// When the calls let go so far would all have been let go at an even pace (the theoretical arrival time of GCRA).
    even: Timestamp,
    /// Nobody is served before.
    hold: Timestamp,
    /// When the interval was last changed.
    changed: Timestamp,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            queue: BTreeSet::new(),
            next_number: 0,
            interval: USUAL,
            even: Timestamp::ZERO,
            hold: Timestamp::ZERO,
            changed: Timestamp::ZERO,
        }
    }
}

impl Pace {
    /// Queues up for a call that should go out by `due`.
    pub fn ask(&mut self, due: Timestamp) -> Ticket {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let ticket = Ticket { due, number };
        self.queue.insert(ticket);
        ticket
    }

    /// Leaves the queue.
    pub fn withdraw(&mut self, ticket: Ticket) {
        self.queue.remove(&ticket);
    }

    /// Who is served next.
    pub fn first(&self) -> Option<Ticket> {
        self.queue.first().copied()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The service has refused a call because there were too many.
    pub fn handle_throttled(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        let hold = now.after(retry_after.unwrap_or_default().min(LONGEST_HOLD));
        self.hold = self.hold.max(hold);
        if now.since(self.changed) >= ONE_REFUSAL || self.changed == Timestamp::ZERO {
            self.interval = self.interval.saturating_mul(2).min(SLOWEST);
            self.changed = now;
        }
    }

    /// The next one whose turn has come; it has left the queue.
    pub fn poll_turn(&mut self, now: Timestamp) -> Option<Ticket> {
        if self.turn_at()? > now {
            return None;
        }
        if self.interval > USUAL && now.since(self.changed) >= RECOVERY {
            self.interval = self.interval.checked_div(2).unwrap_or(USUAL).max(USUAL);
            self.changed = now;
        }
        self.even = self.even.max(now).after(self.interval);
        self.queue.pop_first()
    }

    /// When the next turn comes, while anybody waits.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        self.turn_at().map(|at| Wakeup {
            at,
            reason: Reason::Turn,
        })
    }

    fn turn_at(&self) -> Option<Timestamp> {
        self.first()?;
        // While the service complains nothing goes out in a burst.
        let burst = if self.interval > USUAL {
            Duration::ZERO
        } else {
            self.interval.saturating_mul(BURST.saturating_sub(1))
        };
        let at = self.even.checked_before(burst).unwrap_or(Timestamp::ZERO);
        Some(at.max(self.hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000).after(Duration::from_millis(ms))
    }

    /// When each of those that wait is served, in order.
    fn serve(pace: &mut Pace, mut now: Timestamp) -> Vec<(Ticket, u128)> {
        let mut served = Vec::new();
        while let Some(wakeup) = pace.poll_timeout() {
            now = now.max(wakeup.at);
            let ticket = pace.poll_turn(now).unwrap();
            served.push((ticket, now.since(at(0)).as_millis()));
        }
        served
    }

    #[test]
    fn a_few_go_at_once_and_many_go_evenly() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.ask(at(60_000));
        }
        let times: Vec<u128> = serve(&mut pace, at(0)).iter().map(|(_, at)| *at).collect();
        assert!(times[..20].iter().all(|at| *at == 0), "{times:?}");
        assert_eq!(times[20..24], [100, 200, 300, 400]);
        assert_eq!(times[99], 8000);
        // Two seconds later as many may go at once again.
        for _ in 0..21 {
            pace.ask(at(60_000));
        }
        let times: Vec<u128> = serve(&mut pace, at(10_000)).iter().map(|(_, at)| *at).collect();
        assert_eq!((times[19], times[20]), (10_000, 10_100));
    }

    #[test]
    fn who_is_due_soonest_goes_first_and_equals_go_in_the_order_they_came() {
        let mut pace = Pace::default();
        let [late, soon, gone, same] = [900, 300, 100, 300].map(|ms| pace.ask(at(ms)));
        pace.withdraw(gone);
        let order: Vec<Ticket> = serve(&mut pace, at(0)).iter().map(|(ticket, _)| *ticket).collect();
        assert_eq!(order, [soon, same, late]);
        assert_eq!((pace.poll_timeout(), pace.poll_turn(at(0))), (None, None));
    }

    #[test]
    fn a_refusal_slows_all_down_and_is_forgotten() {
        let mut pace = Pace::default();
        pace.handle_throttled(Some(Duration::from_secs(2)), at(0));
        // Of the same moment: the same refusal.
        pace.handle_throttled(None, at(300));
        pace.handle_throttled(None, at(999));
        for _ in 0..80 {
            pace.ask(at(0));
        }
        let times: Vec<u128> = serve(&mut pace, at(0)).iter().map(|(_, at)| *at).collect();
        assert_eq!(
            times[..4],
            [2000, 2200, 2400, 2600],
            "held, then half as fast, without a burst"
        );
        let last = times[79] - times[78];
        assert_eq!(last, 100, "ten seconds without a refusal: as before");
        // Refusals without end have an end.
        for second in 100..200 {
            pace.handle_throttled(Some(Duration::MAX), at(second * 1000));
        }
        for _ in 0..3 {
            pace.ask(at(0));
        }
        let times: Vec<u128> = serve(&mut pace, at(199_000)).iter().map(|(_, at)| *at).collect();
        assert_eq!(times[0], 229_000);
        assert!(times[2] - times[1] <= 2000);
    }
}
