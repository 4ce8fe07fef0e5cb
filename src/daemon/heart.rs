//! The watchdog of systemd: fed only when every session's task has answered, never by a timer alone.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::supervisor::SessionHandle;

/// How often the daemon looks, where nobody asks for it more often: the status line tells how long things last.
const SLOWEST: Duration = Duration::from_secs(10);
/// Questions in the watchdog's interval, so that one that is late does no harm.
const BEATS: u32 = 3;

/// Asks the sessions' tasks whether they live, one round after the other.
#[derive(Debug)]
pub(super) struct Heart {
    ticks: Interval,
    /// The service manager wants to hear of us.
    watched: bool,
    /// A round is under way: tasks that have not answered yet, each to return its session's name.
    asked: JoinSet<String>,
    missing: BTreeSet<String>,
    /// Those of this round have been complained about.
    complained: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// It is time for a round, and for a look at the status line.
    Due,
    /// Every task has answered.
    Alive,
}

impl Heart {
    /// `watchdog` is the time within which the service manager wants to hear of us, if it does.
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        let every = watchdog.map_or(SLOWEST, |watchdog| (watchdog / BEATS).min(SLOWEST));
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            watched: watchdog.is_some(),
            asked: JoinSet::new(),
            missing: BTreeSet::new(),
            complained: false,
        }
    }

    /// Waits for the next beat. Cancel safe.
    pub(super) async fn next(&mut self) -> Beat {
        loop {
            tokio::select! {
                _ = self.ticks.tick() => return Beat::Due,
                Some(answered) = self.asked.join_next() => {
                    // A question cannot fail: it is awaited, and nobody aborts it.
                    if let Ok(session) = answered {
                        self.missing.remove(&session);
                    }
                    if self.asked.is_empty() {
                        return Beat::Alive;
                    }
                }
            }
        }
    }

    /// Asks all of `sessions`, if somebody wants to know, unless some still owe an answer: then no round is complete, and the watchdog starves.
    /// A task that has ended is no task that hangs: its end was logged.
    pub(super) fn ask(&mut self, sessions: impl IntoIterator<Item = (String, SessionHandle)>) -> Option<Beat> {
        if !self.watched {
            return None;
        }
        if !self.asked.is_empty() {
            if !std::mem::replace(&mut self.complained, true) {
                let names: Vec<&str> = self.missing.iter().map(String::as_str).collect();
                tracing::warn!(
                    sessions = names.join(", "),
                    "tasks that should answer at once do not yet; under systemd's watchdog autossm is restarted if they never do",
                );
            }
            return None;
        }
        self.complained = false;
        for (session, handle) in sessions {
            self.missing.insert(session.clone());
            self.asked.spawn(async move {
                if let Err(gone) = handle.ping().await {
                    tracing::trace!(session, %gone, "no answer to wait for");
                }
                session
            });
        }
        self.asked.is_empty().then_some(Beat::Alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next beats within so long.
    async fn beats(heart: &mut Heart, within: Duration) -> Vec<Beat> {
        let mut seen = Vec::new();
        let until = tokio::time::sleep(within);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return seen,
                beat = heart.next() => seen.push(beat),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_gets_three_chances_in_its_interval() {
        let mut heart = Heart::new(Some(Duration::from_secs(3)));
        assert_eq!(beats(&mut heart, Duration::from_millis(2500)).await, [Beat::Due; 3]);
        let mut heart = Heart::new(None);
        assert_eq!(beats(&mut heart, Duration::from_secs(25)).await, [Beat::Due; 3]);
        assert_eq!(heart.ask([]), None, "nobody wants to hear of it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_that_does_not_answer_starves_it() {
        let mut heart = Heart::new(Some(Duration::from_secs(3)));
        assert_eq!(heart.ask([]), Some(Beat::Alive), "nobody can hang");
        let (hangs, queue) = SessionHandle::to_nobody();
        let (ended, no_queue) = SessionHandle::to_nobody();
        drop(no_queue);
        let all = [("hangs".to_owned(), hangs), ("ended".to_owned(), ended)];
        assert_eq!(heart.ask(all.clone()), None);
        let seen = beats(&mut heart, Duration::from_secs(60)).await;
        assert!(!seen.contains(&Beat::Alive), "{seen:?}");
        assert_eq!(heart.missing, BTreeSet::from(["hangs".to_owned()]));
        assert_eq!(heart.ask(all), None, "the round before is not over");
        // It ends in place of an answer.
        drop(queue);
        let seen = beats(&mut heart, Duration::from_millis(500)).await;
        assert!(seen.contains(&Beat::Alive), "{seen:?}");
    }
}
