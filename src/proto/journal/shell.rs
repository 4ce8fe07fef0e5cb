//! The state of a shell.

use std::collections::VecDeque;

use bytes::Bytes;

use super::State;
use crate::raw::RAW_STREAM;
use crate::shell::{RestoredShell, Source, add_run, last_runs};
use crate::wire::SizeBody;

/// What only a shell has.
#[derive(Clone, Debug, Default)]
pub(super) struct TerminalState {
    /// Whose bytes the last ones received are.
    runs: VecDeque<(Source, usize)>,
    pub(super) exit: Option<i32>,
    /// The size that was sent last.
    pub(super) told: Option<SizeBody>,
}

impl State {
    /// The shell as it was.
    pub(crate) fn shell(&self) -> RestoredShell {
        let raw = self.raw();
        RestoredShell {
            stream: raw.stream,
            taken: raw.taken,
            early: raw.early,
            runs: self.terminal.runs.clone(),
            exit: self.terminal.exit,
            told: self.terminal.told,
        }
    }

    /// Bytes of the agent.
    pub(super) fn take_shell(&mut self, source: Source, bytes: Bytes) {
        add_run(&mut self.terminal.runs, source, bytes.len());
        self.take_raw(bytes);
    }

    /// Only of what is not written yet it matters whose it is.
    pub(super) fn forget_runs(&mut self) {
        let stream = self.streams.get(&RAW_STREAM).map(|state| &state.stream);
        let untaken = stream.map_or(0, |stream| {
            stream.output.iter().map(Bytes::len).fold(0, usize::saturating_add)
        });
        if !self.terminal.runs.is_empty() {
            last_runs(&mut self.terminal.runs, untaken);
        }
    }
}
