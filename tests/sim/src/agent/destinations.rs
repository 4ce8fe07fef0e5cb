//! The agent's TCP connections to the forwarded port: real sockets, polled by the session's task.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::mux::{MAX_FRAME, MuxServer};

/// Slices given to one write.
const WRITE_SLICES: usize = 64;

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Where a session's streams go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The accept loop with the one dial it waits for, and the connections it made.
pub(crate) struct Destinations {
    destination: Destination,
    dialing: Option<(u32, Dial)>,
    open: BTreeMap<u32, TcpStream>,
    buffer: Box<[u8]>,
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destinations")
            .field("destination", &self.destination)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

/// What one round over the sockets did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Something moved; there may be more.
    pub(crate) progress: bool,
    /// A dial failed: the client is owed a ConnectToPortError.
    pub(crate) connect_failed: bool,
}

impl Destinations {
    pub(crate) fn new(destination: Destination) -> Self {
        Self {
            destination,
            dialing: None,
            open: BTreeMap::new(),
            buffer: vec![0; MAX_FRAME].into(),
        }
    }

    /// Connections now open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Ends every connection, each with a FIN.
    pub(crate) fn close_all(&mut self, mux: &mut MuxServer) {
        self.dialing = None;
        for stream in std::mem::take(&mut self.open).into_keys() {
            mux.close(stream);
        }
    }

    /// Dials, writes and reads what can be done now.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, mux: &mut MuxServer) -> Round {
        let mut round = self.poll_dial(cx, mux);
        let mut over = Vec::new();
        for (&stream, socket) in &mut self.open {
            match poll_stream(cx, stream, socket, mux, &mut self.buffer) {
                Ok(progress) => round.progress |= progress,
                Err(End) => over.push(stream),
            }
        }
        for stream in over {
            self.open.remove(&stream);
            mux.close(stream);
            round.progress = true;
        }
        round
    }

    /// One dial at a time and without a time-out, so that one dead destination delays every later stream: as the agent.
    fn poll_dial(&mut self, cx: &mut Context<'_>, mux: &mut MuxServer) -> Round {
        let mut round = Round::default();
        loop {
            if self.dialing.is_none() {
                let Some(stream) = mux.next_accept() else {
                    return round;
                };
                let Destination { host, port } = self.destination.clone();
                let dial = async move { TcpStream::connect((host, port)).await };
                self.dialing = Some((stream, Box::pin(dial)));
            }
            let Some((stream, dial)) = &mut self.dialing else {
                return round;
            };
            let stream = *stream;
            let Poll::Ready(outcome) = dial.as_mut().poll(cx) else {
                return round;
            };
            self.dialing = None;
            round.progress = true;
            match outcome.and_then(|socket| socket.set_nodelay(true).map(|()| socket)) {
                Ok(socket) => {
                    self.open.insert(stream, socket);
                }
                Err(error) => {
                    tracing::info!(stream, %error, "agent: destination cannot be reached");
                    round.connect_failed = true;
                    mux.close(stream);
                    return round;
                }
            }
        }
    }
}

/// The connection is over, in both directions at once as the agent does it.
struct End;

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "agent: destination connection failed");
        Self
    }
}

fn poll_stream(
    cx: &mut Context<'_>,
    stream: u32,
    socket: &TcpStream,
    mux: &mut MuxServer,
    buffer: &mut [u8],
) -> Result<bool, End> {
    let mut progress = false;
    while let Some(incoming) = mux.incoming(stream) {
        if incoming.chunks.is_empty() {
            if incoming.finished {
                return Err(End);
            }
            break;
        }
        let slices: Vec<IoSlice<'_>> = incoming
            .chunks
            .iter()
            .take(WRITE_SLICES)
            .map(|chunk| IoSlice::new(chunk))
            .collect();
        match socket.try_write_vectored(&slices) {
            Ok(count) => {
                mux.consume(stream, count);
                progress = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match socket.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            },
            Err(error) => return Err(error.into()),
        }
    }
    while mux.has_output_room() {
        match socket.try_read(buffer) {
            Ok(0) => return Err(End),
            Ok(count) => {
                mux.send(stream, buffer.get(..count).unwrap_or_default());
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match socket.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(progress)
}
