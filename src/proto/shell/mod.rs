//! A session that carries a terminal: a shell, or a command.
//!
//! Input is one stream of bytes, each once and in order. Output comes as typed messages: standard output (a terminal's, both
//! together), standard error where the document separates them, and the exit code of a command. The terminal's size
//! goes ahead of the input that was typed in it; of several that were never sent only the last counts. As in a raw
//! session, a message that the agent hands over twice cannot be made harmless.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Timestamp;
use crate::local::{Only, RestoredStream, Stream, WorkloadEvent, WorkloadLimits};
use crate::session::{LocalId, ResetCause};
use crate::wire::SizeBody;

/// Which of a command's outputs some bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output, or a terminal's.
    Stdout,
    /// Standard error, where the document separates it.
    Stderr,
}

/// What a journal knows of a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredShell {
    /// The local terminal, unless it is gone.
    pub stream: Option<RestoredStream>,
    /// Some local terminal has had the session.
    pub taken: bool,
    /// Came before any local terminal.
    pub early: VecDeque<Bytes>,
    /// Whose bytes the last ones received are, in order.
    pub runs: VecDeque<(Source, usize)>,
    /// The exit code, if it has come.
    pub exit: Option<i32>,
    /// The size that was sent last.
    pub told: Option<SizeBody>,
}

/// A message to number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellMessage {
    /// The terminal's size.
    Size(SizeBody),
    /// Bytes that were typed.
    Input(Bytes),
}

/// The client's side of a shell.
#[derive(Debug)]
pub struct Shell {
    limits: WorkloadLimits,
    /// The local terminal.
    only: Only,
    /// Whose bytes those are that were not handed over yet, in order.
    runs: VecDeque<(Source, usize)>,
    /// The exit code, until it was told.
    exit: Option<i32>,
    exit_told: bool,
    size: Option<SizeBody>,
    told: Option<SizeBody>,
    events: VecDeque<WorkloadEvent>,
}

impl Shell {
    /// A shell that has just begun, in a terminal of this size if that is known.
    pub fn new(limits: WorkloadLimits, size: Option<SizeBody>) -> Self {
        Self {
            limits,
            only: Only::default(),
            runs: VecDeque::new(),
            exit: None,
            exit_told: false,
            size,
            told: None,
            events: VecDeque::new(),
        }
    }

    /// Goes on where a journal ends; `next_number` is the number of the session's next message.
    pub fn restore(limits: WorkloadLimits, restored: RestoredShell, next_number: u64, now: Timestamp) -> Self {
        let mut shell = Self {
            only: Only::restored(restored.taken, restored.early),
            exit: restored.exit,
            size: restored.told,
            told: restored.told,
            runs: restored.runs,
            ..Self::new(limits, None)
        };
        if let Some(restored) = restored.stream {
            let mut stream = Stream::restored(restored, next_number.checked_sub(1), now);
            stream.opened = true;
            if stream.room() > 0 {
                shell.events.push_back(WorkloadEvent::Room { local: stream.local });
            }
            shell.only.stream = Some(stream);
        }
        // The journal keeps whole runs; their beginning may have been written.
        let untaken = shell.only.untaken();
        last_runs(&mut shell.runs, untaken);
        shell.hand_over();
        shell
    }

    /// Gives the session to a local terminal; none but the first gets it.
    pub fn open(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        if !self.only.open(local, now) {
            return None;
        }
        self.events.push_back(WorkloadEvent::Room { local });
        self.hand_over();
        Some(crate::raw::RAW_STREAM)
    }

    /// Whether a local terminal has ever had the session.
    pub const fn is_taken(&self) -> bool {
        self.only.is_taken()
    }

    /// The local terminal, if it has not been told the end and does not know it by itself.
    pub fn local(&self) -> Option<LocalId> {
        self.only.local()
    }

    /// Whether a terminal is open.
    pub const fn is_open(&self) -> bool {
        self.only.stream.is_some()
    }

    /// Whether nobody can want anything of the session any more: its terminal is gone.
    pub fn is_over(&self) -> bool {
        self.only.stream.as_ref().is_some_and(|stream| stream.local_reset)
    }

    /// Bytes it would take from its local terminal now.
    pub fn room(&self, local: LocalId) -> usize {
        self.only.room(local)
    }

    /// Bytes taken from the local terminal and in no message yet.
    pub fn unframed(&self) -> usize {
        self.only.unframed()
    }

    /// Whether the local terminal leaves so much untaken that reading must stop.
    pub fn is_full(&self) -> bool {
        // An agent may change between the two outputs with each byte.
        let runs = self.runs.len().saturating_mul(size_of::<(Source, usize)>());
        self.only.untaken().saturating_add(runs) >= self.limits.per_stream
    }

    /// The terminal has this size from now on.
    pub const fn set_size(&mut self, size: SizeBody) {
        self.size = Some(size);
    }

    /// Takes bytes that were typed; says whether they belong to the session.
    pub fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) -> bool {
        self.only.handle_local_data(local, bytes, now)
    }

    /// The local terminal is gone; says whether that is news.
    pub fn handle_local_reset(&mut self, local: LocalId) -> bool {
        if !self.only.handle_local_reset(local) {
            return false;
        }
        self.runs.clear();
        true
    }

    /// The local terminal has taken so many of the bytes it was handed; says whether it is known.
    pub fn handle_local_written(&mut self, local: LocalId, bytes: usize) -> bool {
        let Some(stream) = self.only.get(local) else {
            return false;
        };
        stream.output.handle_written(bytes);
        self.hand_over();
        true
    }

    /// Takes bytes of the agent.
    pub fn handle_output(&mut self, source: Source, bytes: Bytes, now: Timestamp) {
        if self
            .only
            .stream
            .as_ref()
            .is_some_and(|stream| stream.local_reset || stream.told)
        {
            return;
        }
        add_run(&mut self.runs, source, bytes.len());
        match &mut self.only.stream {
            Some(stream) => {
                stream.touch(now);
                stream.take_output(bytes);
                self.hand_over();
            }
            None => self.only.early.push(bytes),
        }
    }

    /// The command has ended with this code, which is told after all output before it. Only the first counts.
    pub fn handle_exit(&mut self, code: i32) {
        if !self.exit_told {
            self.exit.get_or_insert(code);
            self.hand_over();
        }
    }

    /// The agent has ended the session, and nothing it sent before is missing: the local terminal gets the rest and the
    /// end, or a reset when the session ended before it was of any use. True if there was one to tell.
    pub fn handle_far_end(&mut self, ready: bool) -> bool {
        let Some(local) = self.local() else {
            return false;
        };
        let Some(stream) = &mut self.only.stream else {
            return false;
        };
        stream.told = true;
        if !ready && stream.received == 0 {
            let cause = ResetCause::SessionEnded;
            self.events.push_back(WorkloadEvent::Reset { local, cause });
            return true;
        }
        for bytes in stream.output.take_rest() {
            self.events.extend(split(&mut self.runs, local, bytes));
        }
        self.tell_exit(local);
        self.events.push_back(WorkloadEvent::Finished { local });
        true
    }

    /// Builds the next message, which gets this number.
    pub fn build(&mut self, next_number: u64) -> Option<ShellMessage> {
        if let Some(size) = self.size.filter(|size| self.told != Some(*size)) {
            self.told = Some(size);
            return Some(ShellMessage::Size(size));
        }
        let (bytes, roomy) = self.only.next_input(self.limits.payload, next_number)?;
        self.events.extend(roomy.map(|local| WorkloadEvent::Room { local }));
        Some(ShellMessage::Input(bytes))
    }

    /// The next thing the local terminal must be told.
    pub fn poll_event(&mut self) -> Option<WorkloadEvent> {
        self.events.pop_front()
    }

    fn hand_over(&mut self) {
        let Some(stream) = self.only.stream.as_mut().filter(|stream| !stream.told) else {
            return;
        };
        let local = stream.local;
        while let Some(bytes) = stream.output.poll() {
            self.events.extend(split(&mut self.runs, local, bytes));
        }
        if stream.output.is_handed_over() {
            self.tell_exit(local);
        }
    }

    fn tell_exit(&mut self, local: LocalId) {
        if let Some(code) = self.exit.take() {
            self.exit_told = true;
            self.events.push_back(WorkloadEvent::Exit { local, code });
        }
    }
}

/// Notes whose bytes come next.
pub(crate) fn add_run(runs: &mut VecDeque<(Source, usize)>, source: Source, length: usize) {
    match runs.back_mut() {
        // It would never be passed.
        _ if length == 0 => {}
        Some((last, bytes)) if *last == source => *bytes = bytes.saturating_add(length),
        _ => runs.push_back((source, length)),
    }
}

/// Keeps what is said of the last so many bytes.
pub(crate) fn last_runs(runs: &mut VecDeque<(Source, usize)>, bytes: usize) {
    let total = runs.iter().map(|(_, length)| *length).fold(0, usize::saturating_add);
    let mut passed = total.saturating_sub(bytes);
    while let Some((_, length)) = runs.front_mut().filter(|_| passed > 0) {
        let step = passed.min(*length);
        *length = length.saturating_sub(step);
        passed = passed.saturating_sub(step);
        if *length == 0 {
            runs.pop_front();
        }
    }
}

/// The bytes as events, one for each of their sources.
fn split(runs: &mut VecDeque<(Source, usize)>, local: LocalId, mut bytes: Bytes) -> Vec<WorkloadEvent> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (source, length) = runs.front().copied().unwrap_or((Source::Stdout, bytes.len()));
        let piece = bytes.split_to(length.min(bytes.len()));
        if let Some((_, left)) = runs.front_mut() {
            *left = left.saturating_sub(piece.len());
            if *left == 0 {
                runs.pop_front();
            }
        }
        if piece.is_empty() {
            continue;
        }
        events.push(match source {
            Source::Stdout => WorkloadEvent::Data { local, bytes: piece },
            Source::Stderr => WorkloadEvent::StdErr { local, bytes: piece },
        });
    }
    events
}
