//! A connection to a terminal in the daemon, and what is typed and shown here.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::escapes::{Escapes, HELP, Typed};
use super::pipes::{self, Output, Place};
use super::tty::{self, Raw};
use crate::cli::exec::{Trailer, Verdict};
use crate::endpoint::{ENTER_ALTERNATE, Frames, FromViewer, LEAVE_ALTERNATE, ToViewer};
use crate::status::ProxyEnd;

/// How long the last words may take to be shown once the connection is over.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long the daemon may take for what was typed last.
const LAST_KEYS: Duration = Duration::from_secs(1);

/// Said to the daemon and not taken yet; with so much of it nothing more is read from the keyboard.
const MOST_UNSENT: usize = 256 << 10;

const CHANGED: &str = "what came is not what the command has written: its output is no UTF-8, or a part of it was lost";
const UNCHECKED: &str = "the target has neither sha256sum nor shasum to check its output with, which `--durable` needs";

/// What is carried.
#[derive(Debug)]
pub(in crate::cli) enum Kind {
    /// A shell, to a terminal.
    Terminal,
    /// A shell, to pipes.
    Pipe,
    /// A command without a terminal and without input.
    Command,
    /// The same, in a terminal session that says how it ended.
    Durable(Box<Trailer>),
    /// A command, to a terminal.
    Interactive,
}

impl Kind {
    /// A command without a terminal.
    const fn is_piped_command(&self) -> bool {
        matches!(self, Self::Command | Self::Durable(_))
    }

    const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal | Self::Interactive)
    }
}

/// How a command has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct CommandExit {
    pub(in crate::cli) code: i32,
    /// The connection to AWS was lost while it ran.
    pub(in crate::cli) dropped: bool,
    /// Why what came may not be what it wrote.
    pub(in crate::cli) doubt: Option<&'static str>,
    /// It was sent a signal.
    pub(in crate::cli) interrupted: bool,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ended {
    /// The user has detached; the session goes on.
    Detached,
    /// The session is over; with a command's exit code, if it was told.
    Over(ProxyEnd, Option<CommandExit>),
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
    Sent(io::Result<usize>),
    Resized,
    /// Of the keyboard, with the byte that stands for it.
    Interrupt(u8),
    Signal(&'static str),
}

/// One attached terminal, or pipe.
struct Exchange {
    write: OwnedWriteHalf,
    /// The daemon may take its time, while signals, escapes and output go on.
    unsent: BytesMut,
    frames: Frames,
    output: Output,
    kind: Kind,
    raw: Option<Raw>,
    /// Signals that were passed on.
    interrupts: u32,
    escapes: Escapes,
    /// Help is on the screen.
    helping: bool,
    /// What is shown is one of these: the daemon wants to know when it is.
    unshown: bool,
    exit: Option<CommandExit>,
    /// The last word of the daemon.
    end: Option<ProxyEnd>,
}

/// Carries a terminal's connection until one side has enough. `first` came with the answer.
///
/// # Errors
/// This process cannot listen to signals, or start a thread.
pub(in crate::cli) async fn exchange(stream: StdStream, first: &[u8], kind: Kind) -> anyhow::Result<Ended> {
    stream.set_nonblocking(true)?;
    let (mut read, write) = UnixStream::from_std(stream)?.into_split();
    let commands = kind.is_piped_command();
    let mut signals = Signals::listen(&kind)?;
    // What a command without a terminal reads is nothing.
    let mut input = if commands { None } else { Some(pipes::input()?) };
    let mut exchange = Exchange {
        write,
        unsent: BytesMut::new(),
        frames: Frames::default(),
        output: Output::start()?,
        raw: if kind.is_terminal() { Some(Raw::enter()?) } else { None },
        kind,
        interrupts: 0,
        escapes: Escapes::default(),
        helping: false,
        unshown: false,
        exit: None,
        end: None,
    };
    exchange.frames.room().put_slice(first);
    let ended = loop {
        if let Some(ended) = exchange.take_frames() {
            break ended;
        }
        let reads = exchange.output.has_room() && exchange.end.is_none();
        let happening = tokio::select! {
            happening = signals.next() => happening,
            written = exchange.output.written() => Happening::Written(written),
            sent = exchange.write.write_buf(&mut exchange.unsent), if !exchange.unsent.is_empty() => Happening::Sent(sent),
            came = read.read_buf(exchange.frames.room()), if reads => Happening::Came(came),
            typed = next_input(&mut input), if exchange.unsent.len() < MOST_UNSENT => Happening::Typed(typed),
        };
        if matches!(happening, Happening::Typed(None)) {
            input = None;
        }
        if let Some(ended) = exchange.handle(happening) {
            break ended;
        }
    };
    Ok(exchange.finish(ended).await)
}

/// What is typed next; none at its end, and nothing ever after that.
async fn next_input(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

impl Exchange {
    fn handle(&mut self, happening: Happening) -> Option<Ended> {
        match happening {
            Happening::Signal(name) => Some(Ended::Signal(name)),
            // One that does not hear it must not hold up who asks again and again.
            Happening::Interrupt(_) if self.interrupts >= 2 => Some(Ended::Signal("SIGINT")),
            Happening::Interrupt(byte) => {
                self.interrupts += 1;
                self.say(&FromViewer::Input(vec![byte].into()));
                None
            }
            Happening::Resized => {
                let (rows, cols) = tty::size().filter(|_| self.raw.is_some())?;
                self.say(&FromViewer::Size { rows, cols });
                None
            }
            Happening::Written(Err(_)) => Some(Ended::Unread),
            Happening::Written(Ok(())) if self.output.is_idle() => {
                if let Some(end) = self.end.take() {
                    return Some(Ended::Over(end, self.exit));
                }
                if std::mem::take(&mut self.unshown) {
                    self.say(&FromViewer::Shown);
                }
                None
            }
            Happening::Written(Ok(())) | Happening::Sent(Ok(_)) => None,
            // What the daemon has said before it went can still be read, and then its end.
            Happening::Sent(Err(_)) => {
                self.unsent.clear();
                None
            }
            Happening::Came(Ok(0) | Err(_)) => Some(Ended::Broken),
            Happening::Came(Ok(_)) => None,
            // A terminal that is gone; of a pipe only the input has ended.
            Happening::Typed(None) => self.raw.is_some().then_some(Ended::Detached),
            Happening::Typed(Some(bytes)) => self.type_in(&bytes),
        }
    }

    fn type_in(&mut self, bytes: &[u8]) -> Option<Ended> {
        if std::mem::take(&mut self.helping) {
            self.say(&FromViewer::Redraw);
        }
        let typed = if self.raw.is_some() {
            self.escapes.take(bytes)
        } else {
            vec![Typed::Input(bytes.to_vec())]
        };
        for typed in typed {
            match typed {
                Typed::Input(bytes) => self.say(&FromViewer::Input(bytes.into())),
                Typed::Detach => return Some(Ended::Detached),
                Typed::Redraw => self.say(&FromViewer::Redraw),
                // A terminal that is busy can be asked again.
                Typed::Help if !self.output.has_room() => {}
                Typed::Help => {
                    self.helping = true;
                    self.output.write(Place::Stdout, HELP.into());
                }
            }
        }
        None
    }

    fn say(&mut self, frame: &FromViewer) {
        self.unsent.extend_from_slice(&frame.encode());
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
                ToViewer::Stdout(bytes) => self.stdout(&bytes),
                ToViewer::Stderr(bytes) => self.output.write(Place::Stderr, bytes.to_vec()),
                ToViewer::Exit { code, dropped } => self.take_exit(code, dropped),
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

    fn stdout(&mut self, bytes: &[u8]) {
        let Kind::Durable(trailer) = &mut self.kind else {
            return self.output.write(Place::Stdout, bytes.to_vec());
        };
        let (output, verdict) = trailer.take(bytes);
        if !output.is_empty() {
            self.output.write(Place::Stdout, output);
        }
        let (code, doubt) = match verdict {
            None => return,
            Some(Verdict::Exact(code)) => (code, None),
            Some(Verdict::Changed(code)) => (code, Some(CHANGED)),
            Some(Verdict::Unchecked(code)) => (code, Some(UNCHECKED)),
            Some(Verdict::Unclear) => (-1, Some(CHANGED)),
        };
        self.exit = Some(CommandExit {
            code,
            doubt,
            ..CommandExit::default()
        });
        self.acknowledge();
    }

    fn take_exit(&mut self, code: i32, dropped: bool) {
        if matches!(self.kind, Kind::Command | Kind::Interactive) {
            self.exit = Some(CommandExit {
                code,
                dropped,
                doubt: None,
                interrupted: self.interrupts > 0,
            });
        }
        if matches!(self.kind, Kind::Interactive) {
            self.acknowledge();
        }
    }

    /// The wrapper waits for this.
    fn acknowledge(&mut self) {
        self.say(&FromViewer::Input("\n".into()));
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
        // What was typed before it is not left behind.
        let sent = tokio::time::timeout(patience.min(LAST_KEYS), self.write.write_all(&self.unsent)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("not all that was typed has reached the daemon");
        }
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
    /// Ctrl-C and Ctrl-\\: a command gets them; a raw terminal passes the keys on as they are, and who sends it the signals
    /// means the end. Pipes end by them as any program does.
    keyboard: Option<(Signal, Signal)>,
    passed_on: bool,
    terminate: Signal,
    hangup: Signal,
    resize: Signal,
}

impl Signals {
    fn listen(kind: &Kind) -> io::Result<Self> {
        let passed_on = kind.is_piped_command();
        let keyboard = passed_on || kind.is_terminal();
        let keys = || Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::quit())?));
        Ok(Self {
            keyboard: if keyboard { Some(keys()?) } else { None },
            passed_on,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Happening {
        let keyboard = async {
            match &mut self.keyboard {
                Some((interrupt, quit)) => tokio::select! {
                    _ = interrupt.recv() => (0x03, "SIGINT"),
                    _ = quit.recv() => (0x1c, "SIGQUIT"),
                },
                None => std::future::pending().await,
            }
        };
        let passed_on = self.passed_on;
        tokio::select! {
            (byte, name) = keyboard => if passed_on { Happening::Interrupt(byte) } else { Happening::Signal(name) },
            _ = self.terminate.recv() => Happening::Signal("SIGTERM"),
            _ = self.hangup.recv() => Happening::Signal("SIGHUP"),
            _ = self.resize.recv() => Happening::Resized,
        }
    }
}
