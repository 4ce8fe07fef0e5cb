//! Asks the daemon over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::follow::{Connection, Events};
use super::{ClientError, LogLevel, Order, Ordered, OrderedAllBody, OrderedBody, Refusal, RefusalKind, UnknownSession};
use crate::config::is_session_name;
use crate::status::{DaemonStatus, ReloadStatus, Sandbox};

/// One question and its whole answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// A connection to a session, which a hundred processes may ask for at once: theirs is the work that matters.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A reload answers when the sessions it ends have ended.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(40);
/// Before another look for a place in the daemon's queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of an answer; a session's status has about 2 KiB.
pub(super) const LARGEST_ANSWER: usize = 16 << 20;

/// A daemon to ask. Each question is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// The daemon with this control socket. Nothing is connected yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What is to be said when a daemon that was there is no more.
    pub fn gone(&self) -> ClientError {
        ClientError::NoDaemon {
            path: self.path.clone(),
        }
    }

    /// The daemon and all its sessions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        let answer = self.ask(Method::GET, "/v1/status", Bytes::new(), TIMEOUT).await?;
        self.decode(&answer)
    }

    /// Which protections the daemon has.
    ///
    /// # Errors
    /// [`ClientError`]; also when the daemon is too old to know.
    pub async fn sandbox(&self) -> Result<Sandbox, ClientError> {
        let answer = self.ask(Method::GET, "/v1/sandbox", Bytes::new(), TIMEOUT).await?;
        self.decode(&answer)
    }

    /// Gives an order to this session; it has only begun when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(&self, name: &str, order: Order) -> Result<Ordered, ClientError> {
        let unknown = || UnknownSession { name: name.to_owned() };
        // No session can have such a name, and as part of a path it would be another one.
        if !is_session_name(name) {
            return Err(unknown().into());
        }
        let path = format!("/v1/sessions/{name}/{}", order_name(order));
        match self.ask(Method::POST, &path, Bytes::new(), TIMEOUT).await {
            Err(ClientError::UnknownSession(_)) => Err(unknown().into()),
            // A daemon of before that had only one thing to say.
            answer => Ok(serde_json::from_slice::<OrderedBody>(&answer?)
                .unwrap_or_default()
                .outcome),
        }
    }

    /// Asks for a reconnect of all sessions that are neither stopped nor dormant; gives how many do so, if the daemon
    /// tells.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reconnect_all(&self) -> Result<Option<usize>, ClientError> {
        let answer = self.ask(Method::POST, "/v1/reconnect", Bytes::new(), TIMEOUT).await?;
        let told = serde_json::from_slice::<OrderedAllBody>(&answer);
        Ok(told.ok().map(|told| told.sessions))
    }

    /// Makes the daemon read its configuration again; what that changes has been done when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload(&self) -> Result<ReloadStatus, ClientError> {
        let answer = self
            .ask(Method::POST, "/v1/reload", Bytes::new(), RELOAD_TIMEOUT)
            .await?;
        self.decode(&answer)
    }

    /// Changes what the daemon logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_log_level(&self, level: &str) -> Result<(), ClientError> {
        let level = LogLevel {
            level: level.to_owned(),
        };
        let body = serde_json::to_vec(&level).map_err(|error| self.broken(error))?;
        let answer = self.ask(Method::PUT, "/v1/log-level", body.into(), TIMEOUT).await;
        answer.map(drop)
    }

    /// Everything that happens from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self) -> Result<Events, ClientError> {
        let begun = async {
            let (response, connection) = self.exchange(Method::GET, "/v1/events", Bytes::new()).await?;
            if response.status().is_success() {
                return Ok(Events::new(self.path.clone(), response.into_body(), connection));
            }
            let (status, body) = (response.status(), self.body(response, connection).await?);
            Err(self.refused(status, &body))
        };
        self.in_time(TIMEOUT, begun).await
    }

    /// The whole body of a success.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, ClientError> {
        let exchange = async {
            let (response, connection) = self.exchange(method, path, body).await?;
            let status = response.status();
            let body = self.body(response, connection).await?;
            if status.is_success() {
                Ok(body)
            } else {
                Err(self.refused(status, &body))
            }
        };
        self.in_time(limit, exchange).await
    }

    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout {
                path: self.path.clone(),
                after: limit,
            }),
        }
    }

    /// The head of the answer, and the connection that moves the rest of it.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Connection), ClientError> {
        let stream = self.connect().await?;
        // Boxed: it is there twice.
        match Box::pin(self.exchange_over(stream, method.clone(), path, body.clone())).await {
            // After a pause of the whole machine the daemon finds a client that has said nothing for too long.
            Err(error) if was_never_sent(&error) => {
                let stream = self.connect().await?;
                Box::pin(self.exchange_over(stream, method, path, body)).await
            }
            answer => answer,
        }
    }

    async fn exchange_over(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Connection), ClientError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "autossm")
            .body(Full::new(body))
            .map_err(|error| self.broken(error))?;
        let mut connection: Connection = Box::pin(connection);
        let mut response = Box::pin(sender.send_request(request));
        // The connection moves the bytes of the exchange, so both are driven until there is an answer.
        tokio::select! {
            biased;
            answer = &mut response => return Ok((answer.map_err(|error| self.broken(error))?, connection)),
            ended = &mut connection => ended.map_err(|error| self.broken(error))?,
        }
        let response = response.await.map_err(|error| self.broken(error))?;
        Ok((response, Box::pin(std::future::pending())))
    }

    pub(super) async fn connect(&self) -> Result<UnixStream, ClientError> {
        loop {
            match UnixStream::connect(&self.path).await {
                Ok(stream) => {
                    let uid = stream.peer_cred().map_err(|error| self.broken(error))?.uid();
                    let own = rustix::process::geteuid().as_raw();
                    if is_trusted(uid, own) {
                        return Ok(stream);
                    }
                    let path = self.path.clone();
                    return Err(ClientError::Stranger { path, uid, own });
                }
                // The daemon's queue is full; the question's own time limit ends this.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
                Err(error) => return Err(self.not_connected(error)),
            }
        }
    }

    async fn body(&self, response: Response<Incoming>, mut connection: Connection) -> Result<Bytes, ClientError> {
        let mut body = Box::pin(Limited::new(response.into_body(), LARGEST_ANSWER).collect());
        tokio::select! {
            biased;
            body = &mut body => return Ok(body.map_err(|error| self.broken(error))?.to_bytes()),
            ended = &mut connection => ended.map_err(|error| self.broken(error))?,
        }
        Ok(body.await.map_err(|error| self.broken(error))?.to_bytes())
    }

    fn not_connected(&self, error: io::Error) -> ClientError {
        let path = self.path.clone();
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NoDaemon { path }
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            ClientError::NotAllowed { path }
        } else {
            self.broken(error)
        }
    }

    pub(super) fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken {
            path: self.path.clone(),
            source: source.into(),
        }
    }

    pub(super) fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let Ok(Refusal { error, message }) = serde_json::from_slice::<Refusal>(body) else {
            return self.broken(format!("it answered with status {status}"));
        };
        match error {
            RefusalKind::BadConfiguration => ClientError::BadConfiguration { problems: message },
            RefusalKind::BadRequest | RefusalKind::TooLong => ClientError::BadRequest { message },
            RefusalKind::TooManyReaders | RefusalKind::TooManyProxies | RefusalKind::Stopping => {
                ClientError::Busy { message }
            }
            RefusalKind::WrongPhase => ClientError::WrongPhase { message },
            RefusalKind::UnknownSession => UnknownSession { name: String::new() }.into(),
            RefusalKind::UnknownPath | RefusalKind::WrongMethod => ClientError::Refused { message },
        }
    }

    pub(super) fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.broken(error))
    }
}

/// Whose daemon may be told what we want: it may be given targets, and what is typed.
const fn is_trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// As it is in a path.
pub(super) const fn order_name(order: Order) -> &'static str {
    match order {
        Order::Reconnect => "reconnect",
        Order::Restart => "restart",
        Order::Start => "start",
        Order::Stop => "stop",
    }
}

/// Whether the connection was closed before the question went out, so that asking again asks once.
fn was_never_sent(error: &ClientError) -> bool {
    let ClientError::Broken { source, .. } = error else {
        return false;
    };
    let Some(error) = source.downcast_ref::<hyper::Error>() else {
        return false;
    };
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    error.is_canceled() || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn only_ones_own_daemon_or_roots_is_told_anything() {
        assert!(is_trusted(1000, 1000) && is_trusted(0, 1000) && is_trusted(0, 0));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
    }

    #[tokio::test]
    async fn only_a_question_that_was_never_sent_is_asked_again() {
        let client = Client::new(Path::new("/nowhere"));
        let (own, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = client.exchange_over(own, Method::GET, "/", Bytes::new()).await;
        let error = error.err().unwrap();
        assert!(was_never_sent(&error), "{error:?}");

        let (own, mut theirs) = UnixStream::pair().unwrap();
        let closes = async move {
            let read = theirs.read(&mut [0; 1000]).await;
            drop(theirs);
            read
        };
        let asked = client.exchange_over(own, Method::GET, "/", Bytes::new());
        let (answer, read) = tokio::join!(asked, closes);
        assert!(read.unwrap() > 0);
        assert!(!was_never_sent(&answer.err().unwrap()));
    }
}
