//! Standard input and output, each with a thread: a terminal may block for as long as it likes, and must not be made
//! non-blocking, since others share it.

use std::io::{self, Read, Write};
use std::thread;

use tokio::sync::mpsc;

/// Bytes of one read.
const READ: usize = 16 * 1024;
/// Reads that wait to be passed on.
const QUEUE: usize = 8;

/// Reads standard input until its end, which closes the channel.
pub(super) fn input() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut buffer = vec![0; READ];
        loop {
            match io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                    if sender.blocking_send(bytes).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal that is gone.
                Err(_) => return,
            }
        }
    })?;
    Ok(receiver)
}

/// Where something is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Stdout,
    Stderr,
}

/// The thread that writes, from outside.
#[derive(Debug)]
pub(super) struct Output {
    queue: mpsc::Sender<(Place, Vec<u8>)>,
    done: mpsc::Receiver<io::Result<()>>,
    waiting: usize,
}

impl Output {
    pub(super) fn start() -> io::Result<Self> {
        let (queue, mut words) = mpsc::channel::<(Place, Vec<u8>)>(QUEUE);
        let (tell, done) = mpsc::channel(QUEUE);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some((place, bytes)) = words.blocking_recv() {
                let written = match place {
                    Place::Stdout => put(&mut io::stdout().lock(), &bytes),
                    Place::Stderr => put(&mut io::stderr().lock(), &bytes),
                };
                if tell.blocking_send(written).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            queue,
            done,
            waiting: 0,
        })
    }

    /// Whether it takes something more.
    pub(super) const fn has_room(&self) -> bool {
        self.waiting < QUEUE
    }

    /// Whether everything was written.
    pub(super) const fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// Writes this after all before; there must be room.
    pub(super) fn write(&mut self, place: Place, bytes: Vec<u8>) {
        if self.queue.try_send((place, bytes)).is_ok() {
            self.waiting += 1;
        }
    }

    /// Waits until the oldest was written; forever while there is none. Cancel safe.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        if self.is_idle() {
            return std::future::pending().await;
        }
        let written = self.done.recv().await;
        self.waiting -= 1;
        written.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
