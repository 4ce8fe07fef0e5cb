//! The turns of all sessions of one account: the pure [`Pace`] under the daemon's clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::pace::{Pace, Ticket};
use tokio::sync::Notify;

use crate::clock::Clock;

/// Shared by the sessions of one account. Nobody runs it: who is first in the queue keeps the time for all.
#[derive(Debug)]
pub(super) struct Turns {
    clock: Clock,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    pace: Pace,
    /// Those that wait, each with what wakes it.
    waiting: BTreeMap<Ticket, Arc<Notify>>,
}

/// A place in the queue, left when it is dropped.
struct Place<'a> {
    turns: &'a Turns,
    ticket: Ticket,
    woken: Arc<Notify>,
}

enum Look {
    /// It is this one's turn.
    Mine,
    /// It is the next one, at this time.
    Next(Timestamp),
    /// Others come first.
    Behind,
}

impl Turns {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            queue: Mutex::default(),
        }
    }

    /// Waits for a turn to make a call that should go out by `due`. Dropped, it leaves the queue.
    pub(super) async fn turn(&self, due: Timestamp) {
        let place = self.enter(due);
        loop {
            match place.look() {
                Look::Mine => return,
                Look::Next(at) => tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    () = place.woken.notified() => {}
                },
                Look::Behind => place.woken.notified().await,
            }
        }
    }

    /// The service has refused a call because there were too many.
    pub(super) fn throttled(&self, retry_after: Option<Duration>) {
        let now = self.clock.now();
        self.lock().pace.handle_throttled(retry_after, now);
    }

    fn enter(&self, due: Timestamp) -> Place<'_> {
        let woken = Arc::new(Notify::new());
        let mut queue = self.lock();
        let ticket = queue.pace.ask(due);
        queue.waiting.insert(ticket, Arc::clone(&woken));
        Place {
            turns: self,
            ticket,
            woken,
        }
    }

    /// Nothing in here can be left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Lets all go whose turn has come.
    fn serve(&mut self, now: Timestamp) {
        while let Some(ticket) = self.pace.poll_turn(now) {
            if let Some(woken) = self.waiting.remove(&ticket) {
                woken.notify_one();
            }
        }
    }

    /// Somebody keeps the time again.
    fn wake_first(&self) {
        if let Some(woken) = self.pace.first().and_then(|first| self.waiting.get(&first)) {
            woken.notify_one();
        }
    }
}

impl Place<'_> {
    fn look(&self) -> Look {
        let now = self.turns.clock.now();
        let mut queue = self.turns.lock();
        queue.serve(now);
        if !queue.waiting.contains_key(&self.ticket) {
            return Look::Mine;
        }
        match queue.pace.poll_timeout() {
            Some(wakeup) if queue.pace.first() == Some(self.ticket) => Look::Next(wakeup.at),
            Some(_) | None => Look::Behind,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.lock();
        if queue.waiting.remove(&self.ticket).is_some() {
            queue.pace.withdraw(self.ticket);
        }
        // This one may have been the one that kept the time, or have been let go by it.
        queue.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn everybody_gets_a_turn_and_who_leaves_holds_nobody_up() {
        let turns = Arc::new(Turns::new(Clock));
        let start = Clock.now();
        let served = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let mut leaving = Vec::new();
        for index in 0..30_u64 {
            let (turns, served) = (Arc::clone(&turns), Arc::clone(&served));
            let task = tasks.spawn(async move {
                turns.turn(start.after(Duration::from_secs(index))).await;
                served.fetch_add(1, Ordering::Relaxed);
            });
            if index % 3 == 2 {
                leaving.push(task);
            }
        }
        // Those that were let go at once are through; of the others some give up, the first of the queue among them.
        while served.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        for task in leaving {
            task.abort();
        }
        while let Some(ended) = tasks.join_next().await {
            assert!(ended.is_ok() || ended.is_err_and(|error| error.is_cancelled()));
        }
        assert!((20..=30).contains(&served.load(Ordering::Relaxed)));
        let queue = turns.lock();
        assert!(queue.waiting.is_empty() && queue.pace.is_empty());
    }
}
