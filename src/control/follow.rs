//! The client's end of the stream of events.

use std::path::PathBuf;
use std::pin::Pin;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ClientError;

/// Moves the bytes of one exchange.
pub(super) type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Bytes of a line; an event has some hundred.
const LONGEST_LINE: usize = 1 << 20;

/// The events of a daemon, line by line.
pub struct Events {
    path: PathBuf,
    body: Incoming,
    connection: Connection,
    read: BytesMut,
}

impl Events {
    pub(super) fn new(path: PathBuf, body: Incoming, connection: Connection) -> Self {
        Self {
            path,
            body,
            connection,
            read: BytesMut::new(),
        }
    }

    /// The next line, without its end; none when the daemon has ended the stream. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.read.len() > LONGEST_LINE {
                return Err(self.broken("a line without an end".into()));
            }
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                ended = &mut self.connection => {
                    // What has arrived before is still in the body.
                    self.connection = Box::pin(std::future::pending());
                    if let Err(error) = ended {
                        tracing::debug!(%error, "the stream of events was cut off");
                    }
                    continue;
                }
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                // A daemon that was killed ends its streams like this.
                Some(Err(error)) => {
                    tracing::debug!(%error, "the stream of events was cut off");
                    return Ok(None);
                }
            }
        }
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
        ClientError::Broken {
            path: self.path.clone(),
            source,
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
