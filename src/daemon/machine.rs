//! What happens to the machine: its network changes, it sleeps.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::NetworkChange;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::logind::Logind;
use crate::clock::{Clock, SAME_WAKE_UP, SleepMeter};
use crate::transport::NetWatch;

/// How soon a wake-up is noticed: the runtime's timers stand still during sleep and go on with it.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the machine.
#[derive(Debug)]
pub(super) struct Machine {
    network: NetWatch,
    clock: Clock,
    sleep: SleepMeter,
    ticks: Interval,
    logind: Logind,
    /// When a wake-up was told last.
    woke: Option<Timestamp>,
}

impl Machine {
    pub(super) fn watch(clock: Clock) -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            network: NetWatch::start(),
            clock,
            sleep: SleepMeter::new(clock),
            ticks,
            logind: Logind::listen(),
            woke: None,
        }
    }

    /// Waits for the next change. Cancel safe.
    pub(super) async fn next(&mut self) -> NetworkChange {
        loop {
            let logind = tokio::select! {
                change = self.network.next() => return change,
                _ = self.ticks.tick() => false,
                () = self.logind.woke() => true,
            };
            let slept = self.sleep.look();
            if let Some(slept) = slept {
                tracing::info!("the machine has slept for {slept:.0?}");
            }
            // The clocks and logind tell of the same wake-up, one soon after the other.
            let now = self.clock.now();
            let heard = logind && self.woke.is_none_or(|woke| now.since(woke) > SAME_WAKE_UP);
            if slept.is_some() || heard {
                self.woke = Some(now);
                return NetworkChange::Woke;
            }
        }
    }
}
