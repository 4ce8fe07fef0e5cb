//! The service's end of a client's websocket, over a real TCP connection and without hidden buffering.
//!
//! The protocol is tungstenite's, used without its I/O: what it writes is collected here, so that a fault can hold,
//! cut or throw away exactly what it wants, pongs included.

use std::io::{self, Read, Write};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

const READ_BUFFER: usize = 64 << 10;
const MAX_MESSAGE: usize = 16 << 20;
/// Bytes waiting for the socket beyond which no more are taken.
const WRITE_BUFFER: usize = 256 << 10;
/// How long an ending connection may take to end.
const LINGER: Duration = Duration::from_secs(2);
/// A frame header that promises 1000 bytes, and a few of them.
const HALF_A_FRAME: [u8; 20] = [
    0x82, 0x7e, 0x03, 0xe8, 0, 0, 0, 116, b'o', b'u', b't', b'p', b'u', b't', b'_', b's', b't', b'r', b'e', b'a',
];

/// A client's connection after the upgrade.
#[derive(Debug)]
pub(crate) struct PeerSocket {
    tcp: TcpStream,
    websocket: WebSocketContext,
    out: BytesMut,
}

/// What came from the client.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The first frame should be one.
    Text(String),
    /// A message.
    Binary(Bytes),
    /// A ping; this raw pong should be its answer.
    Ping(Bytes),
    /// A pong, or something without meaning.
    Other,
}

/// How an ending connection looks to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// A close frame.
    Close { code: u16, reason: String },
    /// TCP reset.
    Reset,
    /// End of stream.
    Fin,
    /// Half a frame, then one of the two.
    MidFrame { reset: bool },
}

impl PeerSocket {
    /// `early` is what arrived behind the upgrade request.
    pub(crate) fn new(tcp: TcpStream, early: &[u8]) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        Ok(Self {
            tcp,
            websocket: WebSocketContext::from_partially_read(early.to_vec(), Role::Server, Some(config)),
            out: BytesMut::new(),
        })
    }

    /// The next frame. An error means that the connection is over; an orderly close is one too.
    pub(crate) fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            match self.with(|websocket, pipe| websocket.read(pipe)) {
                Ok(message) => return Poll::Ready(self.incoming(message)),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.tcp.poll_read_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether [`PeerSocket::send`] should be called now.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < WRITE_BUFFER
    }

    /// Queues a binary message.
    ///
    /// # Errors
    /// The websocket is closing.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        self.with(|websocket, pipe| websocket.write(pipe, Message::Binary(frame)))
    }

    /// Queues the raw pong of an [`Incoming::Ping`].
    pub(crate) fn send_raw(&mut self, pong: &[u8]) {
        self.out.extend_from_slice(pong);
    }

    /// Writes what is queued as far as the socket takes it; ready when all is written. True when any was.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !self.out.is_empty() {
            match self.tcp.try_write(&self.out) {
                Ok(count) => {
                    self.out.advance(count);
                    wrote = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.tcp.poll_write_ready(cx) {
                    Poll::Ready(ready) => ready?,
                    Poll::Pending => return Poll::Pending,
                },
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(wrote))
    }

    /// Ends the connection; what is queued is still written, except before a reset.
    pub(crate) async fn end(mut self, farewell: Farewell) {
        if farewell == Farewell::Reset {
            self.reset();
            return;
        }
        if let Farewell::Close { code, reason } = &farewell {
            let frame = CloseFrame {
                code: CloseCode::from(*code),
                reason: reason.as_str().into(),
            };
            if self.with(|websocket, pipe| websocket.close(pipe, Some(frame))).is_err() {
                tracing::debug!("close frame not queued: the websocket was closing already");
            }
        }
        if let Farewell::MidFrame { .. } = farewell {
            self.out.extend_from_slice(&HALF_A_FRAME);
        }
        let flushed = timeout(LINGER, std::future::poll_fn(|cx| self.poll_flush(cx))).await;
        if !matches!(flushed, Ok(Ok(_))) {
            tracing::debug!("last bytes not written");
        }
        if farewell == (Farewell::MidFrame { reset: true }) {
            self.reset();
            return;
        }
        let shut = self.tcp.shutdown().await;
        if shut.is_ok() && timeout(LINGER, drain(&self.tcp)).await.is_err() {
            tracing::debug!("client did not close its side");
        }
    }

    fn reset(self) {
        if let Err(error) = self.tcp.set_zero_linger() {
            tracing::warn!(%error, "cannot arrange for a reset, the connection ends otherwise");
        }
    }

    fn incoming(&mut self, message: Message) -> Result<Incoming, Error> {
        match message {
            Message::Binary(bytes) => Ok(Incoming::Binary(bytes)),
            Message::Text(text) => Ok(Incoming::Text(text.to_string())),
            Message::Ping(_) => {
                let before = self.out.len();
                self.with(|websocket, pipe| websocket.flush(pipe))?;
                Ok(Incoming::Ping(self.out.split_off(before).freeze()))
            }
            Message::Close(_) => {
                self.with(|websocket, pipe| websocket.flush(pipe))?;
                Err(Error::ConnectionClosed)
            }
            Message::Pong(_) | Message::Frame(_) => Ok(Incoming::Other),
        }
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut WebSocketContext, &mut Pipe<'_>) -> T) -> T {
        let mut pipe = Pipe {
            tcp: &self.tcp,
            out: &mut self.out,
        };
        call(&mut self.websocket, &mut pipe)
    }
}

/// Reads from the socket, writes to memory.
struct Pipe<'a> {
    tcp: &'a TcpStream,
    out: &'a mut BytesMut,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.try_read(buffer)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn drain(tcp: &TcpStream) {
    let mut buffer = [0; 4096];
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
