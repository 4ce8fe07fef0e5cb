//! A user in front of a terminal: a program in a pty, a model of what the terminal shows.

use std::num::NonZeroU16;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use pty_process::{Command, OwnedReadPty, OwnedWritePty, Size};
use rustix::termios::{Termios, tcgetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use crate::support::daemon::PATIENCE;

/// A program in a terminal, and whoever sits in front of it.
pub(crate) struct User {
    read: OwnedReadPty,
    write: OwnedWritePty,
    child: Child,
    screen: vt100::Parser,
    /// The terminal's other end: whose settings a program changes.
    settings: std::fs::File,
    /// As they were before the program.
    before: Termios,
    /// All that the program has written.
    pub(crate) written: Vec<u8>,
    /// The program has ended.
    over: bool,
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// Without what the kernel notes about speeds that mean nothing here.
fn shown(settings: &Termios) -> String {
    format!(
        "{:?} {:?} {:?} {:?}",
        settings.input_modes, settings.output_modes, settings.local_modes, settings.special_codes
    )
}

impl User {
    /// Starts `program` in a terminal of this size.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        environment: Vec<(&'static str, std::path::PathBuf)>,
        (rows, cols): (u16, u16),
    ) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(rows, cols)).unwrap();
        let name = rustix::pty::ptsname(&pty, Vec::new()).unwrap();
        let settings = std::fs::File::options()
            .read(true)
            .write(true)
            .open(Path::new(name.to_str().unwrap()))
            .unwrap();
        let before = tcgetattr(&settings).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .env("TERM", "xterm-256color")
            .kill_on_drop(true)
            .spawn(pts)
            .unwrap();
        let (read, write) = pty.into_split();
        Self {
            read,
            write,
            child,
            screen: vt100::Parser::new(number(rows), number(cols), 20_000),
            settings,
            before,
            written: Vec::new(),
            over: false,
        }
    }

    pub(crate) async fn type_in(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) fn resize(&mut self, rows: u16, cols: u16) {
        self.write.resize(Size::new(rows, cols)).unwrap();
        self.screen.set_size(number(rows), number(cols));
    }

    /// The terminal's settings, as `stty -a` would show them.
    pub(crate) fn settings(&self) -> String {
        shown(&tcgetattr(&self.settings).unwrap())
    }

    /// As they were before the program.
    pub(crate) fn settings_before(&self) -> String {
        shown(&self.before)
    }

    pub(crate) fn rows(&self) -> Vec<String> {
        let (_, cols) = self.screen.screen().size();
        self.screen.screen().rows(0, cols.get()).collect()
    }

    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// The lines above the screen.
    pub(crate) fn scrollback(&mut self) -> Vec<String> {
        let kept = self.screen.screen().scrollback_len();
        let mut lines = Vec::new();
        for offset in (1..=kept).rev() {
            self.screen.screen_mut().set_scrollback(offset);
            lines.push(self.rows().remove(0));
        }
        self.screen.screen_mut().set_scrollback(0);
        lines
    }

    /// Looks until the screen is as described.
    pub(crate) async fn sees(&mut self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) {
        let looked = tokio::time::timeout(PATIENCE, async {
            while !holds(self.screen.screen()) {
                assert!(
                    !self.over,
                    "the program has ended before {what}:\n{}",
                    self.rows().join("\n")
                );
                self.look().await;
            }
        });
        if looked.await.is_err() {
            panic!("{what}: not seen, but\n{}", self.rows().join("\n"));
        }
    }

    /// Looks until some row has this text.
    pub(crate) async fn reads(&mut self, text: &str) {
        self.sees(text, |screen| screen.contents().contains(text)).await;
    }

    /// Looks until this text is nowhere.
    pub(crate) async fn gone(&mut self, text: &str) {
        self.sees(&format!("the end of {text:?}"), |screen| {
            !screen.contents().contains(text)
        })
        .await;
    }

    /// Takes what the program writes next.
    async fn look(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        tokio::select! {
            // Our own end keeps the terminal open, so that its end does not show.
            count = self.read.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    self.written.extend_from_slice(&buffer[..count]);
                    self.screen.process(&buffer[..count]);
                }
                _ => self.over = true,
            },
            _ = self.child.wait() => {
                let rest = tokio::time::timeout(Duration::from_millis(100), self.read.read(&mut buffer)).await;
                match rest {
                    Ok(Ok(count)) => {
                        self.written.extend_from_slice(&buffer[..count]);
                        self.screen.process(&buffer[..count]);
                    }
                    _ => self.over = true,
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until the program has ended.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, async {
            while !self.over {
                self.look().await;
            }
            self.child.wait().await.unwrap()
        });
        match ended.await {
            Ok(status) => status,
            Err(_) => panic!("does not end; shows\n{}", self.rows().join("\n")),
        }
    }
}
