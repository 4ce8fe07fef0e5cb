//! The only writer to standard output, and the commands' words on standard error.

use std::io::{self, Write};

use super::exit::Exit;

/// Writes `text` to standard output. A reader that has gone away is no error: it has seen enough.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    tolerate_closed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Writes an error and its causes to standard error.
pub(super) fn error(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    // The causes on one line: the message first says what happened, each cause after it why.
    let written = writeln!(stderr, "autossm: {error:#}");
    // There is nowhere left to complain to.
    drop(written);
}

/// What clap has to say: help and version on standard output, wrong usage on standard error.
pub(super) fn usage(error: &clap::Error) -> Exit {
    let written = tolerate_closed(error.print());
    if written.is_err() {
        Exit::Failure
    } else if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
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

fn tolerate_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
