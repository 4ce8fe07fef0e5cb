//! A shell's terminal and its session.

use std::collections::VecDeque;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{CLOSED, LocalId, Phase, ResetCause, Session, Snapshot, Trouble};
use autossm_proto::shell::Source;
use autossm_proto::wire::SizeBody;
use bytes::Bytes;
use tokio::net::UnixStream;

use super::handle::Ending;
use super::proxy::START_LIMIT;
use super::task::Supervisor;
use crate::endpoint::{Terminal, ToViewer, ViewRequest, ViewerReport};
use crate::status::{ProxyEnd, ProxyEndKind, printable};

/// Typed and not yet taken by the session; then viewers are not read.
const MOST_PENDING: usize = 64 << 10;
/// Exit codes told of one session: a program may write what looks like one, but not fill the memory of who does not read.
const MOST_EXITS: u32 = 16;
/// A drop that is over within this is not shown: nobody could read it.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often a status that counts down is drawn.
const TICK: Duration = Duration::from_secs(1);

/// The terminal of a shell, as far as its session is concerned.
#[derive(Debug)]
pub(super) struct ShellFace {
    terminal: Terminal,
    /// What the session knows it by, from its opening until the session's end.
    local: Option<LocalId>,
    /// Typed, and the session has no room yet.
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    /// Since when the session does not carry what is typed, and how much was typed since then.
    away: Option<Timestamp>,
    typed: usize,
    /// When the status is looked at again.
    tick: Option<Timestamp>,
    /// Exit codes told of this session.
    exits: u32,
}

/// Waits for a viewer, or for the end of what it was told; forever without a terminal. Cancel safe.
pub(super) async fn next_viewer(shell: &mut Option<ShellFace>) -> Option<ViewerReport> {
    match shell {
        Some(shell) => shell.terminal.next().await,
        None => std::future::pending().await,
    }
}

impl ShellFace {
    pub(super) fn new(scrollback: usize) -> Self {
        Self {
            terminal: Terminal::new(scrollback),
            local: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            away: None,
            typed: 0,
            tick: None,
            exits: 0,
        }
    }

    /// When [`Supervisor::look_at_shell`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        [self.terminal.deadline(), self.tick].into_iter().flatten().min()
    }

    pub(super) async fn drained(&mut self) {
        self.terminal.drained().await;
    }

    /// Whether all have what they were told.
    pub(super) fn is_drained(&mut self) -> bool {
        self.terminal.is_drained()
    }

    fn output(&mut self, source: Source, bytes: &Bytes) {
        match source {
            Source::Stdout => self.terminal.stdout(bytes),
            Source::Stderr => self.terminal.stderr(bytes),
        }
        let answers = self.terminal.take_answers();
        // Who asks and does not read the answers is answered no more.
        if self.pending_bytes < MOST_PENDING {
            self.type_in(answers);
        }
        if let Some(code) = self.terminal.take_exit() {
            // It waits until it was read, so that nothing can have been lost.
            self.exit(code, false);
        }
    }

    fn exit(&mut self, code: i32, dropped: bool) {
        if self.exits < MOST_EXITS {
            self.exits += 1;
            self.terminal.exit(code, dropped);
        }
    }

    fn type_in(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pending_bytes += bytes.len();
            self.pending.push_back(bytes);
        }
    }

    /// At most so many bytes of what was typed.
    fn next_typed(&mut self, room: usize) -> Option<Bytes> {
        let first = self.pending.front_mut().filter(|_| room > 0)?;
        let bytes = if first.len() <= room {
            self.pending.pop_front()?
        } else {
            first.split_to(room)
        };
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes.len());
        Some(bytes)
    }

    /// Something was typed that the session has not taken.
    pub(super) fn has_typed(&self) -> bool {
        !self.pending.is_empty()
    }

    fn forget_typed(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
        self.typed = 0;
    }
}

impl Supervisor<'_> {
    /// A session that is to be there at all times has its terminal from the beginning.
    pub(super) fn open_shell_at_start(&mut self, now: Timestamp) {
        if self.keep.settings.protocol.start == autossm_proto::session::StartWhen::AtOnce {
            self.open_shell(now);
        }
    }

    /// Gives the session its terminal, which starts it if that is what it waits for.
    pub(super) fn open_shell(&mut self, now: Timestamp) {
        if let Some(shell) = &mut self.shell
            && shell.local.is_none()
        {
            shell.local = Some(self.session.open_local(now));
        }
    }

    /// Somebody wants to look at the terminal.
    pub(super) fn attach_viewer(&mut self, stream: UnixStream, request: ViewRequest, now: Timestamp) {
        let on_demand = self.keep.settings.on_demand;
        let gone = self.farewell.is_some() || self.proxied.over || (!*self.keep.wanted && !on_demand);
        let full = self.shell.as_ref().is_some_and(|shell| shell.terminal.is_full());
        let Some(shell) = self.shell.as_mut().filter(|_| !gone && !full) else {
            let name = &self.keep.settings.name;
            let cause = if full && !gone {
                "too many look at it already; detach one of them".to_owned()
            } else if self.farewell.is_some() {
                "it is ending".to_owned()
            } else {
                format!("it is stopped; `autossm start {name}` starts it")
            };
            let end = ToViewer::End(ProxyEnd {
                end: ProxyEndKind::Stopped,
                cause,
            });
            // Nothing is before it in the connection; if it cannot be told, it sees the end.
            drop(stream.try_write(&end.encode()));
            return;
        };
        shell.terminal.attach(stream, request);
        self.fit_shell();
        self.open_shell(now);
        if on_demand && !*self.keep.wanted {
            self.proxied.start_by = Some(now.after(START_LIMIT));
            *self.keep.wanted = true;
            self.session.start(now);
        }
    }

    pub(super) fn handle_viewer(&mut self, report: Option<ViewerReport>, now: Timestamp) {
        let (Some(shell), Some(report)) = (&mut self.shell, report) else {
            return;
        };
        if let Some(typed) = shell.terminal.take(report) {
            if shell.away.is_some() {
                shell.typed += String::from_utf8_lossy(&typed).chars().count();
            }
            shell.type_in(typed);
        }
        self.fit_shell();
        self.end_unattended(now);
    }

    /// A command that nobody waits for any more.
    fn end_unattended(&mut self, now: Timestamp) {
        let attended = self.keep.settings.shell.as_ref().is_some_and(|shell| shell.attended);
        let watched = self.shell.as_ref().is_some_and(|shell| shell.terminal.is_watched());
        if attended && !watched && *self.keep.wanted && !self.proxied.over {
            (self.proxied.over, self.proxied.start_by) = (true, None);
            self.leave_unasked(Ending::Terminate, now);
        }
    }

    fn fit_shell(&mut self) {
        let size = self
            .shell
            .as_ref()
            .map(|shell| (shell.terminal.wanted_size(), shell.terminal.size()));
        if let Some((Some(_), (rows, cols))) = size {
            let (rows, cols) = (rows.into(), cols.into());
            self.session.set_size(SizeBody { cols, rows });
        }
    }

    pub(super) fn shell_output(&mut self, source: Source, bytes: &Bytes) {
        let Some(shell) = &mut self.shell else { return };
        shell.output(source, bytes);
    }

    pub(super) fn shell_exit(&mut self, code: i32) {
        let dropped = self.session.figures().drops > 0;
        if let Some(shell) = &mut self.shell {
            shell.exit(code, dropped);
        }
    }

    /// The remote side has ended the session, and all it has written was handed on.
    pub(super) fn shell_finished(&mut self) {
        let snapshot = self.session.snapshot();
        let ordinary = snapshot.phase == Phase::Attached || snapshot.cause.starts_with(CLOSED);
        let cause = if ordinary { String::new() } else { snapshot.cause };
        self.shell_end(ProxyEndKind::Closed, &cause, self.clock.now());
    }

    pub(super) fn shell_reset(&mut self, cause: ResetCause) {
        let kind = self.reset_kind(cause);
        let cause = self.session.snapshot().cause;
        self.shell_end(kind, &cause, self.clock.now());
    }

    /// Tells all who look that there is nothing more to see.
    pub(super) fn shell_end(&mut self, kind: ProxyEndKind, cause: &str, now: Timestamp) {
        let Some(shell) = &mut self.shell else { return };
        let cause = printable(cause);
        tracing::debug!(session = self.keep.settings.name, end = ?kind, cause, "the terminal's session is over");
        shell.terminal.end(&ProxyEnd { end: kind, cause }, now);
        shell.local = None;
        shell.away = None;
        shell.exits = 0;
        shell.forget_typed();
        if self.keep.settings.on_demand {
            (self.proxied.over, self.proxied.start_by) = (true, None);
        }
    }

    /// The task ends.
    pub(super) fn shell_leaves(&mut self, ending: Ending, now: Timestamp) {
        let cause = match ending {
            Ending::Detach => "the daemon is stopping; the session lives on until it times out",
            Ending::Terminate => "the session was stopped",
        };
        self.shell_end(ProxyEndKind::Stopped, cause, now);
    }

    /// What is to be done in each turn: bytes, frames, and the line that says how the session is.
    pub(super) fn look_at_shell(&mut self, now: Timestamp) {
        if self.shell.is_none() {
            return;
        }
        if self.session.phase() == Phase::Attached {
            // Of a session that starts again by itself.
            self.open_shell(now);
        }
        let Some(shell) = &mut self.shell else { return };
        if let Some(local) = shell.local {
            let written = shell.terminal.take_written();
            if written > 0 {
                self.session.handle_local_written(local, written, now);
            }
            while let Some(bytes) = shell.next_typed(self.session.local_room(local)) {
                self.session.handle_local_data(local, bytes, now);
            }
        }
        let reading = shell.pending_bytes < MOST_PENDING && self.farewell.is_none();
        shell.terminal.set_reading(reading);
        shell.show_status(&self.keep.settings.name, &self.session, now);
        shell.terminal.render(now);
    }
}

impl ShellFace {
    fn show_status(&mut self, name: &str, session: &Session, now: Timestamp) {
        let well = session.phase() == Phase::Attached && session.trouble() != Some(Trouble::AgentAway);
        if well || self.local.is_none() {
            (self.away, self.tick, self.typed) = (None, None, 0);
            return self.terminal.set_status(None);
        }
        let since = *self.away.get_or_insert(now);
        if !self.terminal.is_watched() {
            self.tick = None;
            return;
        }
        let show_at = since.after(PATIENCE);
        if now < show_at {
            self.tick = Some(show_at);
            return;
        }
        self.tick = Some(now.after(TICK));
        let typed = match self.typed {
            0 => String::new(),
            1 => "; 1 keystroke waits".to_owned(),
            typed => format!("; {typed} keystrokes wait"),
        };
        // What matters most first: a terminal may be narrow.
        let (state, cause) = describe(&session.snapshot(), now);
        let text = format!("[autossm] {name}: {state}{typed}{cause}");
        self.terminal.set_status(Some(printable(&text)));
    }
}

/// How the session is, and why, in a line.
fn describe(snapshot: &Snapshot, now: Timestamp) -> (String, String) {
    if snapshot.phase == Phase::Attached {
        return ("the instance is away".to_owned(), String::new());
    }
    let attempt = match snapshot.next_attempt {
        Some(at) => format!(
            ", attempt {} in {}s",
            snapshot.attempts.saturating_add(1),
            at.since(now).as_secs().max(1)
        ),
        None => String::new(),
    };
    (format!("{}{attempt}", snapshot.phase), format!("; {}", snapshot.cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It would fill the memory with what it never reads.
    #[test]
    fn a_program_that_asks_and_does_not_listen_is_answered_no_more() {
        let mut shell = ShellFace::new(10);
        let questions = Bytes::from("\x1b[c".repeat(1000));
        for _ in 0..100 {
            shell.output(Source::Stdout, &questions);
        }
        let pending = shell.pending_bytes;
        assert!((MOST_PENDING..MOST_PENDING + 8192).contains(&pending), "{pending}");
    }

    #[test]
    fn a_program_that_says_it_has_ended_over_and_over_is_believed_some_times() {
        let mut shell = ShellFace::new(10);
        let word = Bytes::from_static(b"\x1b]777;autossm-exit;7\x07");
        for _ in 0..100 {
            shell.output(Source::Stdout, &word);
        }
        assert_eq!(shell.exits, MOST_EXITS);
    }
}
