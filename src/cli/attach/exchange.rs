//! A connection to a terminal in the daemon, and what is typed and shown here.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::escapes::{Escapes, HELP, Typed};
use super::pipes::{self, Output, Place};
use super::tty::{self, Raw};
use crate::endpoint::{ENTER_ALTERNATE, Frames, FromViewer, LEAVE_ALTERNATE, ToViewer};
use crate::status::ProxyEnd;

/// How long the last words may take to be shown once the connection is over.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The user has detached; the session goes on.
    Detached,
    /// The session is over; with a command's exit code, if it was told.
    Over(ProxyEnd, Option<i32>),
    /// The connection broke: the daemon is gone.
    Broken,
    /// A signal asked for the end.
    Signal(&'static str),
    /// Nobody reads standard output any more.
    Unread,
}

/// What happened.
enum Happening {
    Typed(Option<Vec<u8>>),
    Came(io::Result<usize>),
    Written(io::Result<()>),
    Resized,
    Signal(&'static str),
}

/// One attached terminal, or pipe.
struct Exchange {
    write: OwnedWriteHalf,
    frames: Frames,
    output: Output,
    raw: Option<Raw>,
    escapes: Escapes,
    /// Help is on the screen.
    helping: bool,
    /// What is shown is one of these: the daemon wants to know when it is.
    unshown: bool,
    exit: Option<i32>,
    /// The last word of the daemon.
    end: Option<ProxyEnd>,
}

/// Carries a terminal's connection until one side has enough. `first` came with the answer.
///
/// # Errors
/// This process cannot listen to signals, or start a thread.
pub(super) async fn exchange(stream: StdStream, first: &[u8], terminal: bool) -> anyhow::Result<Ended> {
    stream.set_nonblocking(true)?;
    let (mut read, write) = UnixStream::from_std(stream)?.into_split();
    let mut signals = Signals::listen()?;
    let mut input = pipes::input()?;
    let mut exchange = Exchange {
        write,
        frames: Frames::default(),
        output: Output::start()?,
        raw: if terminal { Some(Raw::enter()?) } else { None },
        escapes: Escapes::default(),
        helping: false,
        unshown: false,
        exit: None,
        end: None,
    };
    exchange.frames.room().put_slice(first);
    let mut typing = true;
    let ended = loop {
        if let Some(ended) = exchange.take_frames() {
            break ended;
        }
        let reads = exchange.output.has_room() && exchange.end.is_none();
        let happening = tokio::select! {
            happening = signals.next() => happening,
            written = exchange.output.written() => Happening::Written(written),
            came = read.read_buf(exchange.frames.room()), if reads => Happening::Came(came),
            typed = input.recv(), if typing => Happening::Typed(typed),
        };
        if let Some(ended) = exchange.handle(happening, &mut typing).await {
            break ended;
        }
    };
    Ok(exchange.finish(ended).await)
}

impl Exchange {
    async fn handle(&mut self, happening: Happening, typing: &mut bool) -> Option<Ended> {
        match happening {
            Happening::Signal(name) => Some(Ended::Signal(name)),
            Happening::Resized => {
                let (rows, cols) = tty::size().filter(|_| self.raw.is_some())?;
                self.say(&FromViewer::Size { rows, cols }).await;
                None
            }
            Happening::Written(Err(_)) => Some(Ended::Unread),
            Happening::Written(Ok(())) if self.output.is_idle() => {
                if let Some(end) = self.end.take() {
                    return Some(Ended::Over(end, self.exit));
                }
                if std::mem::take(&mut self.unshown) {
                    self.say(&FromViewer::Shown).await;
                }
                None
            }
            Happening::Written(Ok(())) => None,
            Happening::Came(Ok(0) | Err(_)) => Some(Ended::Broken),
            Happening::Came(Ok(_)) => None,
            Happening::Typed(None) => {
                *typing = false;
                // A terminal that is gone; of a pipe only the input has ended.
                self.raw.is_some().then_some(Ended::Detached)
            }
            Happening::Typed(Some(bytes)) => self.type_in(&bytes).await,
        }
    }

    async fn type_in(&mut self, bytes: &[u8]) -> Option<Ended> {
        if std::mem::take(&mut self.helping) {
            self.say(&FromViewer::Redraw).await;
        }
        let typed = if self.raw.is_some() {
            self.escapes.take(bytes)
        } else {
            vec![Typed::Input(bytes.to_vec())]
        };
        for typed in typed {
            match typed {
                Typed::Input(bytes) => self.say(&FromViewer::Input(bytes.into())).await,
                Typed::Detach => return Some(Ended::Detached),
                Typed::Redraw => self.say(&FromViewer::Redraw).await,
                Typed::Help => {
                    self.helping = true;
                    self.output.write(Place::Stdout, HELP.into());
                }
            }
        }
        None
    }

    /// What the daemon has said before it went can still be read, and then its end.
    async fn say(&mut self, frame: &FromViewer) {
        drop(self.write.write_all(&frame.encode()).await);
    }

    /// Hands out what the daemon has said, as far as it can be shown.
    fn take_frames(&mut self) -> Option<Ended> {
        while self.output.has_room() && self.end.is_none() {
            let frame = match self.frames.next_told() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Some(Ended::Broken),
            };
            match frame {
                ToViewer::Frame(bytes) => self.show(&bytes),
                ToViewer::Stdout(bytes) => self.output.write(Place::Stdout, bytes.to_vec()),
                ToViewer::Stderr(bytes) => self.output.write(Place::Stderr, bytes.to_vec()),
                ToViewer::Exit(code) => self.exit = Some(code),
                ToViewer::End(end) => self.end = Some(end),
            }
        }
        if self.output.is_idle()
            && let Some(end) = self.end.take()
        {
            return Some(Ended::Over(end, self.exit));
        }
        None
    }

    fn show(&mut self, frame: &[u8]) {
        let last = |word: &str| frame.windows(word.len()).rposition(|window| window == word.as_bytes());
        let (enters, leaves) = (last(ENTER_ALTERNATE), last(LEAVE_ALTERNATE));
        if let Some(raw) = self.raw.as_ref().filter(|_| enters != leaves) {
            raw.shown(enters > leaves);
        }
        self.output.write(Place::Stdout, frame.to_vec());
        self.unshown = true;
    }

    /// Puts the terminal back once it has shown all it was given, if it does.
    async fn finish(mut self, ended: Ended) -> Ended {
        let patience = match ended {
            Ended::Signal(_) | Ended::Unread => Duration::ZERO,
            Ended::Detached | Ended::Over(..) | Ended::Broken => LAST_WORDS,
        };
        let output = &mut self.output;
        let shown = async { while !output.is_idle() && output.written().await.is_ok() {} };
        let writable = tokio::time::timeout(patience, shown).await.is_ok();
        if let Some(raw) = self.raw.take() {
            raw.leave(writable);
        }
        ended
    }
}

/// The signals that matter here.
struct Signals {
    terminate: Signal,
    hangup: Signal,
    resize: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Happening {
        tokio::select! {
            _ = self.terminate.recv() => Happening::Signal("SIGTERM"),
            _ = self.hangup.recv() => Happening::Signal("SIGHUP"),
            _ = self.resize.recv() => Happening::Resized,
        }
    }
}
