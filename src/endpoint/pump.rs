//! One local connection: bytes between its socket and the session's task.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use autossm_proto::session::LocalId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{Interest, Ready};
use tokio::sync::mpsc;

use super::LocalSocket;
use super::mailbox::{End, OrderReader};
use super::waiting::Waiting;

/// The most one read asks for, bytes.
const READ_MAX: usize = 64 * 1024;
/// What an idle connection's read asks for, bytes: a thousand idle connections must not hold 64 MiB.
const READ_MIN: usize = 4 * 1024;
/// Pieces in one write to the socket; the session hands over one piece a message.
const SLICES: usize = 64;
/// How long a finished connection waits for its client to close.
const LINGER: Duration = Duration::from_secs(30);

/// Something a pump tells its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMessage {
    /// Which connection.
    pub local: LocalId,
    /// What happened.
    pub event: LocalEvent,
}

/// What happens on a local connection.
#[derive(Clone, PartialEq, Eq)]
pub enum LocalEvent {
    /// The client sent this. Never more than was granted.
    Data(Bytes),
    /// The client sends no more, but still reads. Nothing was lost before it.
    Eof,
    /// The client is gone. The pump's last message.
    Reset,
    /// So many bytes have reached the socket.
    Written(usize),
    /// After [`Finish`](super::PumpCommand::Finish): all is written, and nothing more will be reported.
    Done,
}

impl std::fmt::Debug for LocalEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::Eof => f.write_str("Eof"),
            Self::Reset => f.write_str("Reset"),
            Self::Written(bytes) => write!(f, "Written({bytes})"),
            Self::Done => f.write_str("Done"),
        }
    }
}

/// The task that moves one connection's bytes.
#[derive(Debug)]
pub struct Pump {
    local: LocalId,
    socket: LocalSocket,
    orders: OrderReader,
    reports: mpsc::Sender<LocalMessage>,
    /// Read but not yet handed on is nothing: this is only spare room.
    buffer: BytesMut,
    /// What the next read asks for; follows what comes.
    read_size: usize,
    /// Bytes that may still be read.
    granted: usize,
    /// Not yet taken by the socket.
    writes: VecDeque<Bytes>,
    /// The client has ended its direction.
    eof: bool,
    /// The far side has ended: what the client still sends has nowhere to go and is discarded.
    finishing: bool,
    /// Until the first order, which is also when the connection gets its stream.
    waiting: Waiting,
}

/// Why the exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The client is gone.
    Broken,
    /// The session ordered a reset, or is gone itself.
    Reset,
    /// All is written.
    Finished,
}

impl Pump {
    /// A pump that has nothing to read or write until it is ordered to.
    pub fn new(local: LocalId, socket: LocalSocket, orders: OrderReader, reports: mpsc::Sender<LocalMessage>) -> Self {
        Self {
            local,
            waiting: Waiting::of(&socket),
            socket,
            orders,
            reports,
            buffer: BytesMut::new(),
            read_size: READ_MIN,
            granted: 0,
            writes: VecDeque::new(),
            eof: false,
            finishing: false,
        }
    }

    /// Moves bytes until the connection is over, and says whose it was.
    pub async fn run(mut self) -> LocalId {
        match self.exchange().await {
            Ending::Broken => {
                // Nobody to tell is as good: the session is gone.
                self.report(LocalEvent::Reset).await;
            }
            Ending::Reset => self.socket.reset(),
            Ending::Finished => {
                self.report(LocalEvent::Done).await;
                self.linger().await;
            }
        }
        self.local
    }

    async fn exchange(&mut self) -> Ending {
        loop {
            let interest = self.interest();
            let ending = tokio::select! {
                // Orders first: a grant or a reset does not wait for the socket. They cannot starve it, for the
                // session hands over no more than a bounded number of bytes.
                biased;
                () = self.orders.arrived() => self.obey(),
                () = self.socket.hung_up() => Some(Ending::Broken),
                () = self.waiting.given_up() => Some(Ending::Broken),
                ready = self.socket.ready(interest) => match ready {
                    Ok(ready) => self.transfer(ready).await,
                    Err(_) => Some(Ending::Broken),
                },
            };
            if let Some(ending) = ending {
                return ending;
            }
        }
    }

    fn obey(&mut self) -> Option<Ending> {
        let mut orders = self.orders.take();
        self.waiting = Waiting::over();
        self.granted = self.granted.saturating_add(orders.grant);
        self.writes.append(&mut orders.writes);
        match orders.end {
            Some(End::Reset) => return Some(Ending::Reset),
            Some(End::Finish) => self.finishing = true,
            None => {}
        }
        (self.finishing && self.writes.is_empty()).then_some(Ending::Finished)
    }

    /// Errors always count: a client that is reset while it waits must be noticed without reading or writing.
    fn interest(&self) -> Interest {
        let mut interest = Interest::ERROR;
        if self.wants_read() {
            interest |= Interest::READABLE;
        }
        if !self.writes.is_empty() {
            interest |= Interest::WRITABLE;
        }
        interest
    }

    const fn wants_read(&self) -> bool {
        !self.eof && (self.granted > 0 || self.finishing)
    }

    async fn transfer(&mut self, ready: Ready) -> Option<Ending> {
        if !self.writes.is_empty() && (ready.is_writable() || ready.is_write_closed()) {
            match self.write() {
                Ok(0) => {}
                Ok(bytes) if !self.report(LocalEvent::Written(bytes)).await => {
                    return Some(Ending::Reset);
                }
                Ok(_) if self.finishing && self.writes.is_empty() => return Some(Ending::Finished),
                Ok(_) => {}
                Err(_) => return Some(Ending::Broken),
            }
        }
        if !self.wants_read() {
            return ready.is_error().then_some(Ending::Broken);
        }
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            return self.receive(ready.is_error()).await;
        }
        None
    }

    /// Takes as much from the queue as the socket takes; how many bytes.
    fn write(&mut self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for (slot, bytes) in slices.iter_mut().zip(&self.writes) {
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        let taken = match self.socket.try_write(slices.get(..used).unwrap_or_default()) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut left = taken;
        while let Some(first) = self.writes.front_mut() {
            if first.len() > left {
                first.advance(left);
                break;
            }
            left -= first.len();
            self.writes.pop_front();
        }
        Ok(taken)
    }

    async fn receive(&mut self, broken: bool) -> Option<Ending> {
        match self.read() {
            Ok(Some(bytes)) if bytes.is_empty() => {
                self.eof = true;
                let told = self.finishing || self.report(LocalEvent::Eof).await;
                (!told).then_some(Ending::Reset)
            }
            Ok(Some(bytes)) => {
                let told = self.finishing || self.report(LocalEvent::Data(bytes)).await;
                (!told).then_some(Ending::Reset)
            }
            // Nothing left to read before the error.
            Ok(None) => broken.then_some(Ending::Broken),
            Err(_) => Some(Ending::Broken),
        }
    }

    /// One read within the grant. Empty bytes are the end of the stream, none is "nothing now".
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let limit = if self.finishing {
            READ_MAX
        } else {
            self.read_size.min(self.granted)
        };
        self.buffer.reserve(limit);
        let count = match self.socket.try_read(&mut (&mut self.buffer).limit(limit)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        if count >= self.read_size {
            self.read_size = (self.read_size * 4).min(READ_MAX);
        } else if count < READ_MIN {
            self.read_size = READ_MIN;
        }
        self.granted = self.granted.saturating_sub(count);
        Ok(Some(self.buffer.split().freeze()))
    }

    /// Ends our direction and waits for the client to end its own: to close a socket that holds unread bytes is to
    /// reset it, which destroys the tail the client has not read yet.
    async fn linger(&mut self) {
        if self.socket.shutdown_write().is_err() || self.eof {
            return;
        }
        let closed = tokio::time::timeout(LINGER, self.discard()).await;
        if closed.is_err() {
            tracing::debug!(
                local = self.local.0,
                "the client keeps a finished connection open, closing it"
            );
        }
    }

    async fn discard(&mut self) {
        while self.socket.ready(Interest::READABLE).await.is_ok() {
            match self.read() {
                Ok(Some(bytes)) if bytes.is_empty() => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Waits for room in the session's queue; false when there is no session any more.
    async fn report(&self, event: LocalEvent) -> bool {
        let message = LocalMessage {
            local: self.local,
            event,
        };
        self.reports.send(message).await.is_ok()
    }
}
