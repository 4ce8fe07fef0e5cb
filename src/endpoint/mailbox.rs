//! What a session orders a pump to do: a queue that merges.
//!
//! Not a channel, because a channel's bound counts messages and this one must count bytes: the session never has more
//! than its own limit of bytes handed over and not reported as written, in however many pieces. Sending can thus
//! neither fail for want of space nor wait, which keeps the session's task from waiting for a slow local client, and a
//! grant or a reset never queues behind data.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// One order to a pump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PumpCommand {
    /// Write these bytes after those before.
    Write(Bytes),
    /// Read so many bytes more.
    Grant(usize),
    /// Write what is left, end our direction, let the client read it, close.
    Finish,
    /// Forget what is left and reset the connection.
    Reset,
}

/// The pump has ended; its connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local connection is gone")]
pub struct PumpGone;

/// Everything ordered since the last look.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// To write, in order.
    pub(super) writes: VecDeque<Bytes>,
    /// To read in addition.
    pub(super) grant: usize,
    /// How to end, once that is known.
    pub(super) end: Option<End>,
}

/// How a connection is to end. A reset overrides a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After all that is left.
    Finish,
    /// At once.
    Reset,
}

/// The session's side.
#[derive(Debug)]
pub struct OrderSender(Arc<Mailbox>);

/// The pump's side.
#[derive(Debug)]
pub struct OrderReader(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    orders: Orders,
    /// An end was ordered, taken or not.
    ended: bool,
    pump_gone: bool,
}

/// A new mailbox for one pump.
pub fn orders() -> (OrderSender, OrderReader) {
    let mailbox = Arc::new(Mailbox::default());
    (OrderSender(Arc::clone(&mailbox)), OrderReader(mailbox))
}

impl OrderSender {
    /// Hands an order over; never waits.
    ///
    /// # Errors
    /// The pump has ended. For the session that is a reset by the local client, unless it knows better.
    pub fn send(&self, command: PumpCommand) -> Result<(), PumpGone> {
        let mut state = self.0.state();
        if state.pump_gone {
            return Err(PumpGone);
        }
        state.add(command);
        drop(state);
        self.0.arrived.notify_one();
        Ok(())
    }
}

impl Drop for OrderSender {
    /// A session that is gone cannot finish anything: its connections are reset.
    fn drop(&mut self) {
        let mut state = self.0.state();
        if !state.ended && !state.pump_gone {
            state.add(PumpCommand::Reset);
            drop(state);
            self.0.arrived.notify_one();
        }
    }
}

impl OrderReader {
    /// Waits until something was ordered since the last [`take`](Self::take). Cancel safe.
    pub(super) async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    /// Takes everything ordered so far.
    pub(super) fn take(&self) -> Orders {
        std::mem::take(&mut self.0.state().orders)
    }
}

impl Drop for OrderReader {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.pump_gone = true;
        state.orders = Orders::default();
    }
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the state is whole between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, command: PumpCommand) {
        let orders = &mut self.orders;
        match command {
            PumpCommand::Write(bytes) => orders.writes.push_back(bytes),
            PumpCommand::Grant(bytes) => orders.grant = orders.grant.saturating_add(bytes),
            PumpCommand::Finish => {
                orders.end = orders.end.or(Some(End::Finish));
                self.ended = true;
            }
            PumpCommand::Reset => {
                orders.end = Some(End::Reset);
                self.ended = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_merged_and_writes_keep_their_order() {
        let (sender, reader) = orders();
        for command in [
            PumpCommand::Write(Bytes::from_static(b"a")),
            PumpCommand::Grant(3),
            PumpCommand::Write(Bytes::from_static(b"b")),
            PumpCommand::Grant(4),
            PumpCommand::Finish,
        ] {
            sender.send(command).unwrap();
        }
        let taken = reader.take();
        assert_eq!(taken.writes, ["a", "b"]);
        assert_eq!(taken.grant, 7);
        assert_eq!(taken.end, Some(End::Finish));
        let empty = reader.take();
        assert!(empty.writes.is_empty());
        assert_eq!((empty.grant, empty.end), (0, None));
    }

    #[test]
    fn a_reset_overrides_a_finish_and_not_the_other_way() {
        let (sender, reader) = orders();
        sender.send(PumpCommand::Finish).unwrap();
        sender.send(PumpCommand::Reset).unwrap();
        sender.send(PumpCommand::Finish).unwrap();
        assert_eq!(reader.take().end, Some(End::Reset));
    }

    #[test]
    fn a_session_that_goes_away_leaves_a_reset_but_keeps_a_finish() {
        let (sender, reader) = orders();
        drop(sender);
        assert_eq!(reader.take().end, Some(End::Reset));

        let (sender, reader) = orders();
        sender.send(PumpCommand::Finish).unwrap();
        assert_eq!(reader.take().end, Some(End::Finish));
        drop(sender);
        assert_eq!(reader.take().end, None);
    }

    #[test]
    fn an_order_to_a_pump_that_ended_fails() {
        let (sender, reader) = orders();
        drop(reader);
        assert_eq!(sender.send(PumpCommand::Grant(1)), Err(PumpGone));
    }
}
