//! One deadline on the boot-time clock.

use std::pin::Pin;
use std::time::Duration;

use autossm_proto::Timestamp;
use tokio::time::{Sleep, sleep};

use crate::clock::Clock;

/// The runtime's timers stand still while the machine sleeps, so none is trusted for longer than this.
const SLICE: Duration = Duration::from_secs(5);

/// A timer that is armed again only when it would come too late: deadlines move back with every message, and a wake-up
/// that finds nothing due is cheaper than arming each time.
#[derive(Debug)]
pub(super) struct Timer {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends; none once it has.
    armed: Option<Timestamp>,
}

impl Timer {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sleep: Box::pin(sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// Returns once the clock has reached the deadline; never, without one. Cancel safe.
    pub(super) async fn reached(&mut self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        loop {
            let now = self.clock.now();
            if now >= deadline {
                return;
            }
            let wanted = deadline.min(now.after(SLICE));
            if self.armed.is_none_or(|armed| armed > wanted) {
                self.sleep.set(sleep(wanted.since(now)));
                self.armed = Some(wanted);
            }
            self.sleep.as_mut().await;
            self.armed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_is_never_reached_early_and_an_earlier_one_replaces_it() {
        let mut timer = Timer::new(Clock);
        let start = Clock.now();
        let far = start.after(Duration::from_secs(3600));
        tokio::select! {
            biased;
            () = timer.reached(Some(far)) => panic!("an hour early"),
            () = tokio::task::yield_now() => {}
        }
        let near = start.after(Duration::from_millis(20));
        timer.reached(Some(near)).await;
        let now = Clock.now();
        assert!(now >= near);
        assert!(now.since(start) < SLICE, "waited for the later deadline");
    }

    #[tokio::test]
    async fn a_later_deadline_keeps_the_armed_timer_and_still_waits() {
        let mut timer = Timer::new(Clock);
        let start = Clock.now();
        let first = start.after(Duration::from_millis(10));
        tokio::select! {
            biased;
            () = timer.reached(Some(first)) => panic!("early"),
            () = tokio::task::yield_now() => {}
        }
        let later = start.after(Duration::from_millis(30));
        timer.reached(Some(later)).await;
        assert!(Clock.now() >= later);
    }

    #[tokio::test]
    async fn the_past_is_reached_at_once() {
        Timer::new(Clock).reached(Some(Timestamp::ZERO)).await;
    }
}
