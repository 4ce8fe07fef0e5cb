//! Asks the daemon over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{Refusal, RefusalKind, UnknownSession};
use crate::config::is_session_name;
use crate::status::DaemonStatus;

/// One question and its whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; a session's status has about 2 KiB.
const LARGEST_ANSWER: usize = 16 << 20;

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no autossm daemon at {}; start one with `autossm run`, or say where it is with --socket PATH", .path.display())]
    NoDaemon {
        /// The control socket.
        path: PathBuf,
    },
    /// It is another user's.
    #[error("the control socket {} is not yours to use", .path.display())]
    NotAllowed {
        /// The control socket.
        path: PathBuf,
    },
    /// There was no answer in time.
    #[error("the daemon at {} did not answer within {}", .path.display(), humantime::format_duration(TIMEOUT))]
    Timeout {
        /// The control socket.
        path: PathBuf,
    },
    /// The conversation failed.
    #[error("cannot talk to the daemon at {}", .path.display())]
    Broken {
        /// The control socket.
        path: PathBuf,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("the daemon refused: {message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// No session has that name.
    #[error(transparent)]
    UnknownSession(#[from] UnknownSession),
}

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

    /// The daemon and all its sessions.
    ///
    /// # Errors
    /// [`ClientError`], all but [`ClientError::UnknownSession`].
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        let answer = self.ask(Method::GET, "/v1/status").await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(&answer));
        }
        self.decode(&answer.body)
    }

    /// Asks for a reconnect of this session; it has not happened yet when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reconnect(&self, name: &str) -> Result<(), ClientError> {
        let unknown = || UnknownSession { name: name.to_owned() };
        // No session can have such a name, and as part of a path it would be another one.
        if !is_session_name(name) {
            return Err(unknown().into());
        }
        let path = format!("/v1/sessions/{name}/reconnect");
        let answer = self.ask(Method::POST, &path).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let refusal = serde_json::from_slice::<Refusal>(&answer.body);
        if refusal.is_ok_and(|refusal| refusal.error == RefusalKind::UnknownSession) {
            return Err(unknown().into());
        }
        Err(self.refused(&answer))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer, ClientError> {
        match tokio::time::timeout(TIMEOUT, self.exchange(method, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout {
                path: self.path.clone(),
            }),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Answer, ClientError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| self.not_connected(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "autossm")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.broken(error))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER)
                .collect()
                .await?
                .to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer { status, body })
        };
        // The connection moves the bytes of the exchange, so both are driven until the exchange has its answer.
        let mut exchange = std::pin::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            answer = &mut exchange => return answer.map_err(|error| self.broken(error)),
            ended = &mut connection => ended.map_err(|error| self.broken(error))?,
        }
        exchange.await.map_err(|error| self.broken(error))
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

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken {
            path: self.path.clone(),
            source: source.into(),
        }
    }

    fn refused(&self, answer: &Answer) -> ClientError {
        match serde_json::from_slice::<Refusal>(&answer.body) {
            Ok(refusal) => ClientError::Refused {
                message: refusal.message,
            },
            Err(_) => self.broken(format!("it answered with status {}", answer.status)),
        }
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.broken(error))
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Bytes,
}
