//! One live websocket: frames in, frames out, and the first cause of its end.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use autossm_proto::session::{DropCause, Epoch, Inbound, Transmit};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A live websocket and its name. A session's driver owns one at a time and replaces it at each attach.
///
/// All methods are polled from one task and are cancel-safe: nothing is lost between two polls. Pings from the peer
/// are answered inside; the answer leaves with the next call of [`poll_receive`](Self::poll_receive) or
/// [`poll_flush`](Self::poll_flush).
///
/// Its end has one cause, which every method repeats from then on. After a *write* has failed, what had arrived
/// before can still be read: call [`poll_receive`](Self::poll_receive) until it fails too, which takes no more than
/// the reactor's next turn; a close frame found there replaces the write's error as the cause.
pub struct Transport {
    websocket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    epoch: Epoch,
    /// An answer to a ping is queued and has not left yet.
    answering: bool,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// Nothing more can be read either.
    Read(DropCause),
    /// Frames that came before may still be there.
    Write(DropCause),
}

impl Transport {
    pub(super) fn new(websocket: WebSocketStream<MaybeTlsStream<TcpStream>>, epoch: Epoch) -> Self {
        Self {
            websocket,
            epoch,
            answering: false,
            end: None,
        }
    }

    /// Its name in the life of its session.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The local end's address; none once the socket is dead.
    pub fn local_address(&self) -> Option<IpAddr> {
        let stream = match self.websocket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream,
            MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
            _ => return None,
        };
        stream.local_addr().ok().map(|address| address.ip())
    }

    /// Ready when [`start_send`](Self::start_send) may be called once.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DropCause>> {
        self.check_open()?;
        let polled = Pin::new(&mut self.websocket).poll_ready(cx);
        self.written(polled)
    }

    /// Takes a frame; it leaves at the next [`poll_flush`](Self::poll_flush) at the latest. Only after
    /// [`poll_ready`](Self::poll_ready) has said so, else the write buffer's limit may end the websocket.
    pub fn start_send(&mut self, frame: Transmit) -> Result<(), DropCause> {
        self.check_open()?;
        let message = match frame {
            Transmit::Text(secret) => Message::text(secret.expose()),
            Transmit::Binary(bytes) => Message::Binary(bytes),
            Transmit::Ping(bytes) => Message::Ping(bytes),
        };
        let sent = Pin::new(&mut self.websocket).start_send(message);
        sent.map_err(|error| self.write_failed(cause(error)))
    }

    /// Ready when all frames taken so far are with the kernel.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DropCause>> {
        self.check_open()?;
        let polled = Pin::new(&mut self.websocket).poll_flush(cx);
        if polled.is_ready() {
            self.answering = false;
        }
        self.written(polled)
    }

    /// The next frame. Not calling it is how reading is paused.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Inbound, DropCause>> {
        if let Some(End::Read(cause)) = &self.end {
            return Poll::Ready(Err(cause.clone()));
        }
        if self.answering && self.end.is_none() {
            // A failure is remembered; reading goes on until nothing is left.
            let _answered_later = self.poll_flush(cx).is_pending();
        }
        let message = match Pin::new(&mut self.websocket).poll_next(cx) {
            Poll::Ready(message) => message,
            Poll::Pending => return self.nothing_yet(),
        };
        let inbound = match message {
            // A frame as it comes is a slice of the read buffer and would keep all of it, its neighbours included, for
            // as long as any byte of it waits for a local connection.
            Some(Ok(Message::Binary(bytes))) => Inbound::Binary(Bytes::copy_from_slice(&bytes)),
            Some(Ok(Message::Pong(bytes))) => Inbound::Pong(bytes),
            Some(Ok(Message::Ping(_))) => {
                self.answer(cx);
                Inbound::Other
            }
            Some(Ok(Message::Text(_) | Message::Frame(_))) => Inbound::Other,
            Some(Ok(Message::Close(frame))) => {
                self.answer(cx);
                return self.read_failed(closed(frame));
            }
            Some(Err(error)) => return self.read_ended(cause(error)),
            None => return self.read_ended(DropCause::EndOfStream),
        };
        Poll::Ready(Ok(inbound))
    }

    /// Drops the socket at once, without a close handshake. What the kernel still holds is thrown away with a reset,
    /// so that nothing of this websocket arrives after its successor has opened.
    pub fn abort(self) {
        let said_goodbye = matches!(self.end, Some(End::Read(DropCause::Closed { .. })));
        if said_goodbye {
            return;
        }
        let tcp = match self.websocket.get_ref() {
            MaybeTlsStream::Plain(tcp) => Some(tcp),
            MaybeTlsStream::Rustls(tls) => Some(tls.get_ref().0),
            _ => None,
        };
        if let Some(tcp) = tcp
            && let Err(error) = tcp.set_zero_linger()
        {
            // Without it the kernel tries to deliver what it holds, in the background.
            tracing::debug!(%error, "cannot reset a socket");
        }
    }

    fn check_open(&self) -> Result<(), DropCause> {
        match &self.end {
            Some(End::Read(cause) | End::Write(cause)) => Err(cause.clone()),
            None => Ok(()),
        }
    }

    fn written(&mut self, polled: Poll<Result<(), WsError>>) -> Poll<Result<(), DropCause>> {
        polled.map_err(|error| self.write_failed(cause(error)))
    }

    fn write_failed(&mut self, cause: DropCause) -> DropCause {
        self.end = Some(End::Write(cause.clone()));
        cause
    }

    /// The peer said why.
    fn read_failed<T>(&mut self, cause: DropCause) -> Poll<Result<T, DropCause>> {
        self.end = Some(End::Read(cause.clone()));
        Poll::Ready(Err(cause))
    }

    /// The peer did not say why: a write's error came first then, if there was one.
    fn read_ended<T>(&mut self, cause: DropCause) -> Poll<Result<T, DropCause>> {
        match self.end.take() {
            Some(End::Read(first) | End::Write(first)) => self.read_failed(first),
            None => self.read_failed(cause),
        }
    }

    /// Nothing can be read now. After a reset the kernel reports an end as soon as all has been read, and tokio may
    /// not have looked yet; after other failed writes nobody promises one.
    fn nothing_yet<T>(&mut self) -> Poll<Result<T, DropCause>> {
        match &self.end {
            None | Some(End::Write(DropCause::Reset)) => Poll::Pending,
            Some(End::Read(first) | End::Write(first)) => self.read_failed(first.clone()),
        }
    }

    /// Sends what tungstenite has queued in answer, as far as the socket takes it now.
    fn answer(&mut self, cx: &mut Context<'_>) {
        if self.end.is_none() {
            self.answering = self.poll_flush(cx).is_pending();
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("epoch", &self.epoch)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

fn closed(frame: Option<CloseFrame>) -> DropCause {
    match frame {
        Some(frame) => DropCause::Closed {
            code: Some(frame.code.into()),
            reason: frame.reason.as_str().to_owned(),
        },
        None => DropCause::Closed {
            code: None,
            reason: String::new(),
        },
    }
}

fn cause(error: WsError) -> DropCause {
    match error {
        WsError::Io(error) => io_cause(&error),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => DropCause::EndOfStream,
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => DropCause::Error {
            text: format!("a message of {size} bytes is above the limit of {max_size}"),
        },
        // Its text would show the frame.
        WsError::WriteBufferFull(_) => DropCause::Error {
            text: "the write buffer is full".to_owned(),
        },
        WsError::Capacity(_)
        | WsError::Protocol(_)
        | WsError::Tls(_)
        | WsError::Utf8(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => DropCause::Error {
            text: error.to_string(),
        },
    }
}

fn io_cause(error: &io::Error) -> DropCause {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    if kind == Kind::UnexpectedEof {
        // TLS without a close_notify.
        DropCause::EndOfStream
    } else if matches!(kind, Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe) {
        DropCause::Reset
    } else if kind == Kind::TimedOut {
        DropCause::Error {
            text: "sent data stayed unacknowledged by the network for too long".to_owned(),
        }
    } else {
        DropCause::Error {
            text: error.to_string(),
        }
    }
}
