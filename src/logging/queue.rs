//! Lines on their way to who reads them, and the thread that writes them: a terminal that is paused, a pipe that is full
//! or a journal that stands still holds up this thread and nobody else.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What may wait, bytes. A line that finds no room is counted and dropped: to wait for it would be to wait for the reader.
const ROOM: usize = 1 << 20;
/// What a line takes beside its text.
const OVERHEAD: usize = 64;

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Queue<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    lines: VecDeque<(T, usize)>,
    /// What they take.
    bytes: usize,
    /// A line has been taken out and is not written yet.
    writing: bool,
    /// Lines that found no room or could not be written, and that nobody has been told of.
    missed: u64,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts the thread. It hands each line to `write`, and to `tell` how many are missing, once lines go through again.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        write: impl FnMut(T) -> io::Result<()> + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                writing: false,
                missed: 0,
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.carry(write, tell))?;
        Ok(Self { shared })
    }

    /// Never waits.
    pub(super) fn push(&self, line: T, bytes: usize) {
        let mut state = self.shared.state();
        let bytes = bytes.saturating_add(OVERHEAD);
        if state.bytes.saturating_add(bytes) > ROOM {
            state.missed = state.missed.saturating_add(1);
        } else {
            state.bytes += bytes;
            state.lines.push_back((line, bytes));
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits until all is written, for so long at most; whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let is_busy = |state: &mut State<T>| state.writing || !state.lines.is_empty();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), limit, is_busy);
        let (_state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without end: the thread goes with the process.
    fn carry(&self, mut write: impl FnMut(T) -> io::Result<()>, tell: impl Fn(u64)) {
        loop {
            let line = self.take();
            let written = write(line);
            let mut state = self.state();
            state.writing = false;
            let mut missed = 0;
            if written.is_err() {
                state.missed = state.missed.saturating_add(1);
            } else if state.lines.is_empty() {
                // There is room now for what is told.
                missed = std::mem::take(&mut state.missed);
            }
            drop(state);
            if missed > 0 {
                tell(missed);
            }
            self.changed.notify_all();
        }
    }

    /// The next line; waits for one.
    fn take(&self) -> T {
        let mut state = self.state();
        loop {
            if let Some((line, bytes)) = state.lines.pop_front() {
                state.bytes = state.bytes.saturating_sub(bytes);
                state.writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    use super::*;

    const FAILED: Duration = Duration::from_secs(10);

    #[test]
    fn a_standard_error_that_nobody_reads_holds_nobody_up() {
        // As a pipe, with an end that can be told apart from a reader that is slow.
        let (mut reader, mut writer) = UnixStream::pair().unwrap();
        let (told, tells) = mpsc::channel();
        let queue = Queue::start(
            move |line: Vec<u8>| writer.write_all(&line),
            move |missed| told.send(missed).unwrap(),
        )
        .unwrap();
        // More than the socket and the queue have room for: whoever waits for the reader waits for ever.
        let line = vec![b'x'; 16 * 1024];
        let lines = 4 * ROOM / line.len();
        for _ in 0..lines {
            queue.push(line.clone(), line.len());
        }
        assert!(!queue.flush(Duration::from_millis(10)), "nobody has read anything");
        let reading = thread::spawn(move || {
            let mut read = 0;
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = reader.read(&mut buffer).unwrap();
                read += count;
                if buffer[..count].contains(&b'.') {
                    return read - 1;
                }
            }
        });
        let missed = usize::try_from(tells.recv_timeout(FAILED).unwrap()).unwrap();
        queue.push(b".".to_vec(), 1);
        assert_eq!(reading.join().unwrap(), (lines - missed) * line.len());
        assert!(missed > 0 && missed < lines, "{missed} of {lines}");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_told_when_one_can() {
        let (mut kept, given) = UnixStream::pair().unwrap();
        let mut given = Some(given);
        let (told, tells) = mpsc::channel();
        let write = move |line: &'static str| match line {
            "full" => Err(io::Error::other("no space")),
            "end" => {
                given = None;
                Ok(())
            }
            line => given.as_mut().unwrap().write_all(line.as_bytes()),
        };
        let queue = Queue::start(write, move |missed| told.send(missed).unwrap()).unwrap();
        for line in ["a", "full", "full", "b", "end"] {
            queue.push(line, 1);
            assert!(queue.flush(FAILED));
        }
        assert_eq!(tells.recv_timeout(FAILED).unwrap(), 2);
        assert!(tells.try_recv().is_err(), "told once");
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ab");
    }
}
