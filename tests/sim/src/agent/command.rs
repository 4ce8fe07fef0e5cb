//! Commands without a terminal.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::task::{Context, Poll};

use autossm_proto::wire::PayloadType;
use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child, Command};

use super::shell::READ_SIZE;
use super::utf8::Carry;

type Pipe = Pin<Box<dyn AsyncRead + Send>>;

/// A command whose output comes through pipes.
pub(super) struct Piped {
    child: Child,
    stdout: Outlet,
    stderr: Outlet,
    /// Outputs go out apart and at once, the exit code behind them; else all together once the command has ended.
    separate: bool,
    /// The code, once it has ended; -1 when a signal that was not sent through the session ended it.
    exit: Option<i32>,
    exit_sent: bool,
    /// A signal was sent: the agent's reader waits for the command's end.
    signalled: bool,
}

struct Outlet {
    pipe: Option<Pipe>,
    carry: Carry,
    read: BytesMut,
    /// It is read no more.
    done: bool,
}

impl fmt::Debug for Piped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piped")
            .field("exit", &self.exit)
            .finish_non_exhaustive()
    }
}

impl Piped {
    pub(super) fn start(command: &str, separate: bool) -> io::Result<Self> {
        let words = split(command);
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Without a shell, but for one that lets both outputs go into one pipe.
        let mut process = if separate {
            let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            let mut process = Command::new(program);
            process.args(arguments);
            process
        } else {
            let mut process = Command::new("sh");
            process.args(["-c", "exec \"$@\" 2>&1", "sh"]).args(words);
            process
        };
        let mut child = process
            .env_clear()
            .env("PATH", path)
            .env("HOME", "/")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().map(|pipe| Box::pin(pipe) as Pipe);
        let stderr = child.stderr.take().map(|pipe| Box::pin(pipe) as Pipe);
        Ok(Self {
            child,
            stdout: Outlet::new(stdout),
            stderr: Outlet::new(stderr),
            separate,
            exit: None,
            exit_sent: false,
            signalled: false,
        })
    }

    /// Only control characters of the input matter.
    pub(super) fn signal(&mut self, payload: &[u8]) {
        let signal = payload.iter().find_map(|byte| match byte {
            0x03 => Some(Signal::INT),
            0x1c => Some(Signal::QUIT),
            0x1a => Some(Signal::TSTP),
            _ => None,
        });
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let (Some(signal), Some(pid)) = (signal, pid.and_then(Pid::from_raw)) {
            self.signalled = true;
            if let Err(error) = kill_process(pid, signal) {
                tracing::debug!(%error, "agent: the signal did not reach the command");
            }
        }
    }

    pub(super) const fn is_blocked(&self) -> bool {
        self.signalled && self.exit.is_none()
    }

    pub(super) fn has_output(&self) -> bool {
        let waits = self.separate || self.exit.is_some();
        waits && !(self.stdout.read.is_empty() && self.stderr.read.is_empty())
    }

    pub(super) fn take_output(&mut self) -> Option<(PayloadType, Bytes)> {
        if !self.has_output() {
            return None;
        }
        let take = |outlet: &mut Outlet| {
            let count = outlet.read.len().min(READ_SIZE);
            (count > 0).then(|| outlet.read.split_to(count).freeze())
        };
        if let Some(bytes) = take(&mut self.stdout) {
            return Some((PayloadType::OUTPUT, bytes));
        }
        take(&mut self.stderr).map(|bytes| (PayloadType::STD_ERR, bytes))
    }

    /// The exit code, once it is its turn. Without a client it is not sent.
    pub(super) fn take_exit(&mut self, active: bool) -> Option<Bytes> {
        let code = self.exit.filter(|_| self.separate && !self.has_output())?;
        let first = !std::mem::replace(&mut self.exit_sent, true);
        (first && active).then(|| Bytes::from(format!("EXIT_CODE: {code}")))
    }

    pub(super) fn is_over(&self) -> bool {
        self.exit.is_some() && !self.has_output() && (self.exit_sent || !self.separate)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, active: bool) -> bool {
        // What runs without a client is given up as soon as it has said something.
        let gives_up = self.separate && !active;
        let limit = if self.separate { 1 } else { usize::MAX };
        let mut progress = self.stdout.poll(cx, limit, gives_up);
        progress |= self.stderr.poll(cx, limit, gives_up);
        if self.exit.is_none() && self.stdout.done && self.stderr.done {
            let ended = pin!(self.child.wait()).poll(cx);
            if let Poll::Ready(ended) = ended {
                let code = ended.ok().and_then(|status| status.code()).unwrap_or(-1);
                // Who has sent the signal has waited for the command's end, and then nobody else can.
                self.exit = Some(if self.signalled { 1 } else { code });
                progress = true;
            }
        }
        progress
    }
}

/// The words of a command as the agent's `shlex` finds them.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(rest.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { rest.next() } else { Some(c) });
                }
            }
            '\\' => word.get_or_insert_default().extend(rest.next()),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Outlet {
    fn new(pipe: Option<Pipe>) -> Self {
        Self {
            done: pipe.is_none(),
            pipe,
            carry: Carry::default(),
            read: BytesMut::new(),
        }
    }

    /// Reads while there is less than `limit` to send.
    fn poll(&mut self, cx: &mut Context<'_>, limit: usize, gives_up: bool) -> bool {
        let mut progress = false;
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.done && self.read.len() < limit) {
            let mut buffer = [0; READ_SIZE];
            let mut room = ReadBuf::new(&mut buffer);
            match pipe.as_mut().poll_read(cx, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    let passed = self.carry.pass(room.filled());
                    self.read.extend_from_slice(&passed);
                    // The pipe stays open: a command that writes more waits for ever.
                    self.done = gives_up;
                }
                Poll::Ready(_) => self.done = true,
            }
            progress = true;
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(
            split(r#"sh -c 'a b'\''c' "d \" e" f\ g ''"#),
            ["sh", "-c", "a b'c", "d \" e", "f g", ""]
        );
    }
}
