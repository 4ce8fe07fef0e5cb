//! The only writer to standard output, and the commands' words on standard error.

use std::io::{self, Write};

use anyhow::Context;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::exit::Exit;

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// It may want more.
    There,
    /// It has gone away, which is no error: it has seen enough.
    Gone,
}

/// Writes `text` to standard output, and says whether somebody reads it.
pub(super) fn print(text: &str) -> anyhow::Result<Reader> {
    let mut stdout = io::stdout().lock();
    let written = tolerate_closed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    written.context("cannot write to standard output")
}

/// Writes some of `bytes` to standard output at once and as they are, and says how many; none when nobody reads it.
pub(super) fn write(bytes: &[u8]) -> io::Result<Option<usize>> {
    use rustix::io::Errno;
    match rustix::io::write(io::stdout(), bytes) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Some(0)),
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns when nobody can read standard output any more; never, when it is no pipe.
#[expect(
    deprecated,
    reason = "its replacement is unsafe, for types that close their file; standard output stays open"
)]
pub(super) async fn reader_gone() {
    // A file cannot be watched, and has nobody who could go.
    let Ok(stdout) = AsyncFd::with_interest(io::stdout(), Interest::ERROR) else {
        return std::future::pending().await;
    };
    match stdout.ready(Interest::ERROR).await {
        Ok(_) => {}
        Err(_) => std::future::pending().await,
    }
}

/// Writes an error and its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    // The causes on one line: the message first says what happened, each cause after it why.
    complain(&format!("{error:#}"));
}

/// Writes a message to standard error. It may have several lines, those of a configuration's problems.
pub(super) fn complain(message: &str) {
    let lines: Vec<String> = message.lines().map(sanitise).collect();
    let written = writeln!(io::stderr().lock(), "autossm: {}", lines.join("\n"));
    // There is nowhere left to complain to.
    drop(written);
}

/// What clap has to say: help and version on standard output, wrong usage on standard error.
pub(super) fn usage(error: &clap::Error) -> Exit {
    let written = tolerate_closed(error.print());
    match written {
        // There is nowhere left to complain to, and yet it is wrong.
        _ if error.use_stderr() => Exit::Usage,
        Ok(_) => Exit::Done,
        Err(error) => {
            self::error(&anyhow::Error::new(error).context("cannot write to standard output"));
            Exit::Failure
        }
    }
}

/// `text` from somewhere else, safe to show on a terminal: one line, no control characters.
pub(super) fn sanitise(text: &str) -> String {
    text.chars()
        .map(|c| if is_unsafe(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Control characters, and those that turn the direction of what follows.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn tolerate_closed(written: io::Result<()>) -> io::Result<Reader> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        written => written.map(|()| Reader::There),
    }
}
