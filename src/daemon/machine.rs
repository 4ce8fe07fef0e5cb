//! What happens to the machine: its network changes, it sleeps.

use std::time::Duration;

use autossm_proto::session::NetworkChange;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock::{Clock, SleepMeter};
use crate::transport::NetWatch;

/// How soon a wake-up is noticed: the runtime's timers stand still during sleep and go on with it.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the machine.
#[derive(Debug)]
pub(super) struct Machine {
    network: NetWatch,
    sleep: SleepMeter,
    ticks: Interval,
}

impl Machine {
    pub(super) fn watch(clock: Clock) -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            network: NetWatch::start(),
            sleep: SleepMeter::new(clock),
            ticks,
        }
    }

    /// Waits for the next change. Cancel safe.
    pub(super) async fn next(&mut self) -> NetworkChange {
        loop {
            tokio::select! {
                change = self.network.next() => return change,
                _ = self.ticks.tick() => if let Some(slept) = self.sleep.look() {
                    tracing::info!("the machine has slept for {slept:.0?}");
                    return NetworkChange::Woke;
                },
            }
        }
    }
}
