//! Standard input and output on one side, a connection on the other.

use std::io::{self, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::output;

/// Bytes of one read.
const READ: usize = 64 * 1024;
/// What a pipe that says it has room takes without waiting (PIPE_BUF).
const WRITE: usize = 4096;
/// Between the end of standard input and telling it: a client that is killed closes its ends one after the other, and one
/// that is gone altogether is not waited for.
const GRACE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The connection has ended, and all it brought was written.
    FarSide,
    /// Nobody reads standard output any more.
    ClientGone,
}

/// What is on its way, and what is still open.
#[derive(Debug)]
struct Relay<'a> {
    stream: &'a UnixStream,
    /// Read from standard input, not yet taken by the connection.
    up: Vec<u8>,
    /// Read from the connection, not yet written.
    down: Vec<u8>,
    input: Input,
    /// More may come from the connection.
    far_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// At its end; the connection has not been told.
    Ended,
    Told,
}

/// Carries bytes until one side is gone; `first` came from the connection already.
///
/// One thread and one `poll`, so that neither direction waits for the other, and standard input and output stay as they
/// are: they may be shared with others, who would not expect them not to block.
pub(super) fn relay(stream: &UnixStream, first: &[u8]) -> io::Result<Ended> {
    stream.set_nonblocking(true)?;
    let mut relay = Relay {
        stream,
        up: Vec::new(),
        down: first.to_vec(),
        input: Input::Open,
        far_open: true,
    };
    loop {
        if !relay.far_open && relay.down.is_empty() {
            return Ok(Ended::FarSide);
        }
        if let Some(ended) = relay.turn()? {
            return Ok(ended);
        }
    }
}

impl Relay<'_> {
    fn turn(&mut self) -> io::Result<Option<Ended>> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let (far_wanted, input_wanted) = (self.far_wanted(), self.input_wanted());
        let mut fds = self.awaited(&stdin, &stdout);
        let telling = self.input == Input::Ended && self.up.is_empty();
        let ready = match poll(&mut fds, telling.then_some(&GRACE)) {
            Ok(ready) => ready,
            Err(Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut seen = fds.iter().map(PollFd::revents);
        let mut next = |is_there: bool| is_there.then(|| seen.next()).flatten().unwrap_or(PollFlags::empty());
        let (out, far, typed) = (next(true), next(!far_wanted.is_empty()), next(input_wanted));
        if out.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Ok(Some(Ended::ClientGone));
        }
        if telling && ready == 0 {
            self.tell_end();
        }
        if !typed.is_empty() {
            self.read_input(stdin.as_fd())?;
        }
        if far.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP) {
            self.write_far();
        }
        if far.intersects(PollFlags::IN | PollFlags::ERR | PollFlags::HUP) && self.down.is_empty() {
            self.read_far();
        }
        if out.contains(PollFlags::OUT) && !self.down.is_empty() {
            return self.write_output();
        }
        Ok(None)
    }

    /// What is waited for: standard output, the connection and standard input, as far as something is wanted of the last two. Of
    /// a connection that is over `poll` tells at once, again and again, whatever was asked; it may have to wait for a reader.
    fn awaited<'f>(&self, stdin: &'f impl AsFd, stdout: &'f impl AsFd) -> Vec<PollFd<'f>>
    where
        Self: 'f,
    {
        let written = if self.down.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        let mut fds = vec![PollFd::new(stdout, written)];
        if !self.far_wanted().is_empty() {
            fds.push(PollFd::new(self.stream, self.far_wanted()));
        }
        if self.input_wanted() {
            fds.push(PollFd::new(stdin, PollFlags::IN));
        }
        fds
    }

    fn input_wanted(&self) -> bool {
        self.input == Input::Open && self.up.is_empty()
    }

    fn far_wanted(&self) -> PollFlags {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, self.far_open && self.down.is_empty());
        wanted.set(PollFlags::OUT, !self.up.is_empty());
        wanted
    }

    fn read_input(&mut self, stdin: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        match rustix::io::read(stdin, &mut buffer) {
            // One that was never opened is as good as at its end.
            Ok(0) | Err(Errno::BADF | Errno::IO) => self.input = Input::Ended,
            Ok(count) => {
                buffer.truncate(count);
                self.up = buffer;
                self.write_far();
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn write_far(&mut self) {
        while !self.up.is_empty() {
            match self.stream.write(&self.up) {
                Ok(count) => drop(self.up.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It takes nothing more; what it has said before can still be read.
                Err(_) => {
                    self.up.clear();
                    self.input = Input::Told;
                }
            }
        }
    }

    fn tell_end(&mut self) {
        self.input = Input::Told;
        // A connection that is gone says so when it is read.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    fn read_far(&mut self) {
        let mut buffer = vec![0; READ];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.far_open = false,
            Ok(count) => {
                buffer.truncate(count);
                self.down = buffer;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.far_open = false,
        }
    }

    fn write_output(&mut self) -> io::Result<Option<Ended>> {
        let piece = self.down.get(..self.down.len().min(WRITE)).unwrap_or_default();
        match output::write(piece)? {
            None => Ok(Some(Ended::ClientGone)),
            Some(count) => {
                drop(self.down.drain(..count));
                Ok(None)
            }
        }
    }
}

/// Whether a person types the input, and Ctrl-C is meant for this program.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

    #[test]
    fn a_session_that_is_over_is_not_asked_again_and_again_while_its_reader_is_slow() {
        let (own, far) = UnixStream::pair().unwrap();
        drop(far);
        // Nobody types, and nobody reads what is written until nothing more can be.
        let (stdin, _typing) = UnixStream::pair().unwrap();
        let (mut stdout, _reader) = UnixStream::pair().unwrap();
        stdout.set_nonblocking(true).unwrap();
        while stdout.write(&[0; READ]).is_ok() {}
        let mut relay = Relay {
            stream: &own,
            up: Vec::new(),
            down: b"the last words".to_vec(),
            input: Input::Open,
            far_open: true,
        };
        assert_eq!(poll(&mut relay.awaited(&stdin, &stdout), Some(&AT_ONCE)).unwrap(), 0);
        // What is over is noticed once there is room again.
        relay.down.clear();
        assert_eq!(poll(&mut relay.awaited(&stdin, &stdout), Some(&AT_ONCE)).unwrap(), 1);
    }
}
