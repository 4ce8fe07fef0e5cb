//! What a session's bytes are for: the multiplexer's streams, one connection, or a terminal.

use bytes::Bytes;

use crate::Timestamp;
use crate::channel::DataChannel;
use crate::handshake::Carriage;
use crate::local::{WorkloadEvent, WorkloadLimits};
use crate::mux::{InvalidFrame, Mux};
use crate::raw::{RAW_STREAM, Raw, RawMessage};
use crate::session::LocalId;
use crate::shell::{Shell, ShellMessage, Source};
use crate::wire::SizeBody;

/// The workload of one AWS session. Which one it is, the agent says in its first message.
#[derive(Debug)]
pub(super) enum Workload {
    Mux(Box<Mux>),
    Raw(Box<Raw>),
    Shell(Box<Shell>),
}

impl Workload {
    /// Until the agent has said something else.
    pub(super) fn new(limits: WorkloadLimits) -> Self {
        Self::Mux(Box::new(Mux::new(limits)))
    }

    /// The agent has said what it is; nothing has been carried yet.
    pub(super) fn agree(&mut self, carriage: Carriage, limits: WorkloadLimits, size: Option<SizeBody>) {
        match (carriage, &self) {
            (Carriage::Raw, Self::Mux(mux)) if mux.is_empty() => *self = Self::Raw(Box::new(Raw::new(limits))),
            (Carriage::Shell, Self::Mux(mux)) if mux.is_empty() => {
                *self = Self::Shell(Box::new(Shell::new(limits, size)));
            }
            (Carriage::Multiplexed | Carriage::Raw | Carriage::Shell, _) => {}
        }
    }

    /// The terminal's size, where there is one.
    pub(super) fn set_size(&mut self, size: SizeBody) {
        if let Self::Shell(shell) = self {
            shell.set_size(size);
        }
    }

    /// Bytes of a command's standard error.
    pub(super) fn handle_stderr(&mut self, bytes: Bytes, now: Timestamp) {
        if let Self::Shell(shell) = self {
            shell.handle_output(Source::Stderr, bytes, now);
        }
    }

    /// A command's exit code.
    pub(super) fn handle_exit(&mut self, code: i32) {
        if let Self::Shell(shell) = self {
            shell.handle_exit(code);
        }
    }

    /// The connection's end ends the session.
    pub(super) const fn is_single(&self) -> bool {
        matches!(self, Self::Raw(_) | Self::Shell(_))
    }

    /// It carries the bytes of a connection as they are.
    pub(super) const fn is_raw(&self) -> bool {
        matches!(self, Self::Raw(_))
    }

    /// Whether a local connection has ever had a session for a single one.
    pub(super) fn is_taken(&self) -> bool {
        match self {
            Self::Mux(_) => false,
            Self::Raw(raw) => raw.is_taken(),
            Self::Shell(shell) => shell.is_taken(),
        }
    }

    /// The agent knows that the one connection is over.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Mux(_) => false,
            Self::Raw(raw) => raw.is_over(),
            Self::Shell(shell) => shell.is_over(),
        }
    }

    pub(super) fn open(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        match self {
            Self::Mux(mux) => mux.open(local, now),
            Self::Raw(raw) => raw.open(local, now),
            Self::Shell(shell) => shell.open(local, now),
        }
    }

    /// Every local connection that has a stream and has not been told its end.
    pub(super) fn locals(&self) -> Vec<LocalId> {
        match self {
            Self::Mux(mux) => mux.locals().collect(),
            Self::Raw(raw) => raw.local().into_iter().collect(),
            Self::Shell(shell) => shell.local().into_iter().collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Mux(mux) => mux.len(),
            Self::Raw(raw) => usize::from(raw.is_open()),
            Self::Shell(shell) => usize::from(shell.is_open()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn room(&self, local: LocalId) -> usize {
        match self {
            Self::Mux(mux) => mux.room(local),
            Self::Raw(raw) => raw.room(local),
            Self::Shell(shell) => shell.room(local),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Mux(mux) => mux.is_full(),
            Self::Raw(raw) => raw.is_full(),
            Self::Shell(shell) => shell.is_full(),
        }
    }

    /// Bytes taken from local connections and in no message yet.
    pub(super) fn unframed(&self) -> usize {
        match self {
            Self::Mux(mux) => mux.unframed(),
            Self::Raw(raw) => raw.unframed(),
            Self::Shell(shell) => shell.unframed(),
        }
    }

    /// Its stream, if the bytes were taken.
    pub(super) fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) -> Option<u32> {
        match self {
            Self::Mux(mux) => mux.handle_local_data(local, bytes, now),
            Self::Raw(raw) => raw.handle_local_data(local, bytes, now).then_some(RAW_STREAM),
            Self::Shell(shell) => shell.handle_local_data(local, bytes, now).then_some(RAW_STREAM),
        }
    }

    pub(super) fn handle_local_eof(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        match self {
            Self::Mux(mux) => mux.handle_local_eof(local, now),
            Self::Raw(raw) => raw.handle_local_eof(local, now).then_some(RAW_STREAM),
            // What is typed has an end only with its terminal.
            Self::Shell(_) => None,
        }
    }

    pub(super) fn handle_local_reset(&mut self, local: LocalId) -> Option<u32> {
        match self {
            Self::Mux(mux) => mux.handle_local_reset(local),
            Self::Raw(raw) => raw.handle_local_reset(local).then_some(RAW_STREAM),
            Self::Shell(shell) => shell.handle_local_reset(local).then_some(RAW_STREAM),
        }
    }

    pub(super) fn handle_local_written(&mut self, local: LocalId, bytes: usize) -> Option<u32> {
        match self {
            Self::Mux(mux) => mux.handle_local_written(local, bytes),
            Self::Raw(raw) => raw.handle_local_written(local, bytes).then_some(RAW_STREAM),
            Self::Shell(shell) => shell.handle_local_written(local, bytes).then_some(RAW_STREAM),
        }
    }

    pub(super) fn handle_acknowledged(&mut self, oldest_unacknowledged: u64, open: bool, now: Timestamp) {
        match self {
            Self::Mux(mux) => mux.handle_acknowledged(oldest_unacknowledged, open, now),
            Self::Raw(raw) => raw.handle_acknowledged(oldest_unacknowledged, open, now),
            Self::Shell(_) => {}
        }
    }

    pub(super) fn handle_late(&mut self, now: Timestamp) {
        match self {
            Self::Mux(mux) => mux.handle_late(now),
            Self::Raw(raw) => raw.handle_late(now),
            Self::Shell(_) => {}
        }
    }

    pub(super) const fn handle_refused(&mut self) {
        match self {
            Self::Mux(mux) => mux.handle_refused(),
            Self::Raw(raw) => raw.handle_refused(),
            Self::Shell(_) => {}
        }
    }

    pub(super) fn handle_payload(&mut self, payload: Bytes, now: Timestamp) -> Result<(), InvalidFrame> {
        match self {
            Self::Mux(mux) => mux.handle_payload(payload, now),
            Self::Raw(raw) => {
                raw.handle_payload(payload, now);
                Ok(())
            }
            Self::Shell(shell) => {
                shell.handle_output(Source::Stdout, payload, now);
                Ok(())
            }
        }
    }

    /// The agent has ended the session and nothing of its output is missing; its stream, if a connection was told.
    pub(super) fn handle_far_end(&mut self, ready: bool) -> Option<u32> {
        match self {
            Self::Mux(_) => None,
            Self::Raw(raw) => raw.handle_far_end(ready).then_some(RAW_STREAM),
            Self::Shell(shell) => shell.handle_far_end(ready).then_some(RAW_STREAM),
        }
    }

    /// Hands the next message to the channel; false when there is none.
    pub(super) fn build(&mut self, channel: &mut DataChannel) -> bool {
        let number = channel.stream().send().next_number();
        match self {
            Self::Mux(mux) => mux.build(number).map(|message| channel.push_message(message)),
            Self::Raw(raw) => raw.build(number).map(|message| match message {
                RawMessage::Input(bytes) => channel.push_input(bytes),
                RawMessage::Disconnect => channel.push_disconnect(),
            }),
            Self::Shell(shell) => shell.build(number).map(|message| match message {
                ShellMessage::Size(size) => channel.push_size(size),
                ShellMessage::Input(bytes) => channel.push_input(bytes),
            }),
        }
        .is_some()
    }

    /// When the grace period of the next held-back end is over.
    pub(super) fn end_at(&self, oldest_unacknowledged: u64) -> Option<Timestamp> {
        match self {
            Self::Mux(mux) => mux.fin_at(oldest_unacknowledged),
            Self::Raw(raw) => raw.end_at(oldest_unacknowledged),
            Self::Shell(_) => None,
        }
    }

    /// True asks for a harmless message, whose acknowledge releases held-back ends.
    pub(super) fn handle_timeout(&mut self, oldest_unacknowledged: u64, next_number: u64, now: Timestamp) -> bool {
        match self {
            Self::Mux(mux) => mux.handle_timeout(oldest_unacknowledged, next_number, now),
            Self::Raw(raw) => raw.handle_timeout(oldest_unacknowledged, next_number, now),
            Self::Shell(_) => false,
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<WorkloadEvent> {
        match self {
            Self::Mux(mux) => mux.poll_event(),
            Self::Raw(raw) => raw.poll_event(),
            Self::Shell(shell) => shell.poll_event(),
        }
    }
}
