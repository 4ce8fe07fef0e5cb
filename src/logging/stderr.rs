//! Standard error as the log's writer.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::MakeWriter;

use super::queue::Queue;

/// A line as it is written.
pub(super) type Text = Vec<u8>;

/// Writes each line, whole, when standard error takes it.
#[derive(Debug)]
pub(super) struct StandardError {
    lines: Queue<Text>,
}

impl StandardError {
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start() -> io::Result<Self> {
        let write = |line: Text| write_all(&line);
        let tell = |lines| {
            tracing::warn!(
                lines,
                "lines are missing here: standard error did not take them in time"
            );
        };
        Ok(Self {
            lines: Queue::start(write, tell)?,
        })
    }

    /// The way to it.
    pub(super) fn lines(&self) -> Queue<Text> {
        self.lines.clone()
    }
}

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.lines)
    }
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Queue<Text>);

impl Write for Line<'_> {
    /// The formatter writes a line at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec(), bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits also where somebody who shares the terminal has made it nonblocking.
fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match io::stderr().write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let stderr = io::stderr();
                poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
