//! The agent's shells and commands: a pty, or pipes, with what its code does to their output.
//!
//! Read in AWS's `agent/session/shell/shell.go`: a pty is read 1024 bytes at a time and only while the client is there; its
//! bytes pass through a decoder of UTF-8 that is not exact. A command with separate outputs is given up when it writes
//! while the client is away. Input of a command without a terminal is searched for signals, never handed over.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use autossm_proto::wire::{PayloadType, SizeBody};
use bytes::{Buf, Bytes, BytesMut};
use pty_process::{Command, Pty, Size};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::Child;
use tokio::time::Instant;

use super::command::Piped;
use super::handshake::Document;
use super::utf8::Carry;
use crate::config::AgentConfig;

/// What the agent reads before it sends a message.
pub(super) const READ_SIZE: usize = 1024;
/// An agent's shell sends nothing for its first second.
const FIRST_OUTPUT: Duration = Duration::from_secs(1);

/// A shell or a command with its processes.
pub(crate) struct ShellPort {
    serving: Serving,
    /// Nothing is read before.
    read_from: Instant,
    output: BytesMut,
    over: bool,
}

enum Serving {
    Terminal(Box<Terminal>),
    Piped(Box<Piped>),
    /// It could not be started, for this reason.
    Failed(String),
}

struct Terminal {
    pty: Pty,
    /// Killed with its value.
    _child: Child,
    carry: Carry,
    /// The input message that is being written.
    input: Bytes,
}

impl fmt::Debug for ShellPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShellPort")
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl ShellPort {
    /// Starts the shell, or `command`.
    pub(crate) fn start(document: Document, command: &str, config: &AgentConfig, now: Instant) -> Self {
        let started = match document {
            Document::Command { separate } => {
                Piped::start(command, separate).map(|piped| Serving::Piped(Box::new(piped)))
            }
            Document::Interactive => terminal(config, Some(command)).map(|own| Serving::Terminal(Box::new(own))),
            Document::Shell | Document::Forward | Document::ForwardToHost | Document::Ssh => {
                terminal(config, None).map(|own| Serving::Terminal(Box::new(own)))
            }
        };
        Self {
            read_from: match started {
                Ok(Serving::Terminal(_)) => now + FIRST_OUTPUT / config.speed.max(1),
                _ => now,
            },
            serving: started.unwrap_or_else(|error| Serving::Failed(format!("Unable to start command: {error}\n"))),
            output: BytesMut::new(),
            over: false,
        }
    }

    /// The payload of an input message.
    pub(crate) fn write(&mut self, payload: Bytes) {
        match &mut self.serving {
            Serving::Terminal(terminal) => terminal.input = payload,
            Serving::Piped(piped) => piped.signal(&payload),
            Serving::Failed(_) => {}
        }
    }

    /// A Size message.
    pub(crate) fn resize(&self, payload: &[u8]) {
        let Ok(SizeBody { cols, rows }) = serde_json::from_slice(payload) else {
            return tracing::warn!("agent: invalid size message");
        };
        let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        if let Serving::Terminal(terminal) = &self.serving
            && let Err(error) = terminal.pty.resize(Size::new(short(rows), short(cols)))
        {
            tracing::warn!(%error, "agent: the pty cannot be resized");
        }
    }

    /// Whether the last message is still being written, or its signal has not ended the command.
    pub(crate) fn is_blocked(&self) -> bool {
        match &self.serving {
            Serving::Terminal(terminal) => !terminal.input.is_empty() && !self.over,
            Serving::Piped(piped) => piped.is_blocked(),
            Serving::Failed(_) => false,
        }
    }

    pub(crate) fn unread(&self) -> usize {
        match &self.serving {
            Serving::Terminal(terminal) => terminal.input.len(),
            Serving::Piped(_) | Serving::Failed(_) => 0,
        }
    }

    /// When it looks for output next, if nothing else wakes it.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        (self.read_from > now).then_some(self.read_from)
    }

    pub(crate) fn has_output(&self) -> bool {
        match &self.serving {
            Serving::Terminal(_) => !self.output.is_empty(),
            Serving::Piped(piped) => piped.has_output(),
            Serving::Failed(_) => !self.over,
        }
    }

    /// The next message for the client.
    pub(crate) fn take_output(&mut self) -> Option<(PayloadType, Bytes)> {
        match &mut self.serving {
            Serving::Terminal(_) => {
                (!self.output.is_empty()).then(|| (PayloadType::OUTPUT, self.output.split().freeze()))
            }
            Serving::Piped(piped) => piped.take_output(),
            Serving::Failed(reason) => {
                let first = !std::mem::replace(&mut self.over, true);
                first.then(|| (PayloadType::OUTPUT, Bytes::from(std::mem::take(reason))))
            }
        }
    }

    /// The payload of the exit code's message, once it is its turn.
    pub(crate) fn take_exit(&mut self, active: bool) -> Option<Bytes> {
        match &mut self.serving {
            Serving::Piped(piped) => piped.take_exit(active),
            Serving::Terminal(_) | Serving::Failed(_) => None,
        }
    }

    /// Whether all is over and sent.
    pub(crate) fn is_over(&self) -> bool {
        match &self.serving {
            Serving::Piped(piped) => piped.is_over(),
            Serving::Terminal(_) | Serving::Failed(_) => self.over && !self.has_output(),
        }
    }

    /// Moves what can be moved; `active` says that the client is there. True when something moved.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, active: bool, now: Instant) -> bool {
        match &mut self.serving {
            Serving::Failed(_) => false,
            Serving::Piped(piped) => piped.poll(cx, active),
            Serving::Terminal(terminal) => {
                let mut progress = terminal.write(cx);
                let reads = active && now >= self.read_from && !self.over;
                // One message at a time: what it has not sent it has not read.
                while reads && self.output.is_empty() && !self.over {
                    match terminal.read(cx) {
                        Poll::Pending => break,
                        Poll::Ready(Some(bytes)) => self.output.extend_from_slice(&bytes),
                        Poll::Ready(None) => self.over = true,
                    }
                    progress = true;
                }
                progress
            }
        }
    }
}

impl Terminal {
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.input.is_empty() {
            match Pin::new(&mut self.pty).poll_write(cx, &self.input) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => self.input.advance(count),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "agent: unable to write to stdin");
                    self.input.clear();
                }
            }
            progress = true;
        }
        progress
    }

    /// What goes out of one read; none at the end, when all who had the terminal open have ended.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut buffer = [0; READ_SIZE];
        let mut room = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.pty).poll_read(cx, &mut room) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if room.filled().is_empty() => Poll::Ready(None),
            Poll::Ready(Ok(())) => Poll::Ready(Some(self.carry.pass(room.filled()))),
            Poll::Ready(Err(_)) => Poll::Ready(None),
        }
    }
}

/// Nothing of the user who runs the simulator: neither start-up files nor variables.
fn terminal(config: &AgentConfig, command: Option<&str>) -> io::Result<Terminal> {
    let (pty, pts) = pty_process::open().map_err(io::Error::other)?;
    pty.resize(Size::new(24, 80)).map_err(io::Error::other)?;
    let (program, arguments) = config.shell.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let process = match command {
        None => Command::new(program).args(arguments),
        Some(command) => Command::new("sh").args(["-c", command]),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let process = process
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/")
        .env("TERM", "xterm-256color")
        .env("LANG", "C.UTF-8")
        .env("PS1", "$ ")
        .kill_on_drop(true);
    let child = process.spawn(pts).map_err(io::Error::other)?;
    Ok(Terminal {
        pty,
        _child: child,
        carry: Carry::default(),
        input: Bytes::new(),
    })
}
