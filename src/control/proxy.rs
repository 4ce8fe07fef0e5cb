//! One connection's bytes over the control socket: an HTTP upgrade, then the bytes as they are.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Method;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::client::{CONNECT_TIMEOUT, LARGEST_ANSWER, TIMEOUT};
use super::routes::{LARGEST_BODY, refuse};
use super::stall::Impatient;
use super::{Client, ClientError, ControlHandle, RefusalKind};
use crate::config::{OnDemand, Otherwise, Wanted};
use crate::status::ProxyEnd;

/// What the connection is upgraded to.
const PROTOCOL: HeaderValue = HeaderValue::from_static("autossm-proxy");
/// The answer's header with the session's name.
const SESSION: &str = "autossm-session";
/// How long a client may take from the answer to the first byte it could send.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of `POST /v1/proxy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRequest {
    /// The name of a configured session, or what StartSession is given.
    pub target: String,
    /// The destination's port on the target.
    #[serde(default = "ssh")]
    pub port: u16,
    /// Whose session it is.
    #[serde(flatten)]
    pub whose: Whose,
}

/// The account and place that a session on demand is for, as far as who asks says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The profile; none means the configured one.
    #[serde(default)]
    pub profile: Option<String>,
    /// The region; none means the configured one.
    #[serde(default)]
    pub region: Option<String>,
    /// Another endpoint for the `ssm` service; none means the configured one.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// The profile, where none is asked for or configured.
    #[serde(default)]
    pub default_profile: Option<String>,
    /// The region, where none is asked for or configured.
    #[serde(default)]
    pub default_region: Option<String>,
    /// The endpoint, where none is asked for or configured.
    #[serde(default)]
    pub default_endpoint_url: Option<String>,
}

const fn ssh() -> u16 {
    22
}

impl From<ProxyRequest> for OnDemand {
    fn from(request: ProxyRequest) -> Self {
        let purpose = Wanted::Port(request.port);
        request.whose.wants(request.target, purpose)
    }
}

impl Whose {
    /// A session of theirs.
    pub(super) fn wants(self, target: String, purpose: Wanted) -> OnDemand {
        OnDemand {
            target,
            purpose,
            profile: self.profile,
            region: self.region,
            endpoint_url: self.endpoint_url,
            otherwise: Otherwise {
                profile: self.default_profile,
                region: self.default_region,
                endpoint_url: self.default_endpoint_url,
            },
        }
    }
}

/// A session that waits for its connection.
#[derive(Debug)]
pub struct OpenProxy {
    /// Its name.
    pub session: String,
    /// Takes the connection; when it is dropped instead, the session ends.
    pub connection: oneshot::Sender<UnixStream>,
}

/// Why there is no session for a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The session was stopped.
    #[error("session `{name}` is stopped; `autossm start {name}` starts it")]
    Stopped {
        /// Its name.
        name: String,
    },
    /// There are too many already.
    #[error("{0} connections are proxied already")]
    TooMany(usize),
    /// The daemon ends.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Answers `POST /v1/proxy`.
pub(super) async fn open(handle: &impl ControlHandle, pending: &Upgrading, mut request: Request) -> Response {
    let bad = |text: &str| refuse(StatusCode::BAD_REQUEST, RefusalKind::BadRequest, text);
    if request.headers().get(header::UPGRADE) != Some(&PROTOCOL) {
        return bad("this path needs the header `Upgrade: autossm-proxy`");
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let Ok(body) = to_bytes(request.into_body(), LARGEST_BODY).await else {
        let text = format!("the body is longer than {LARGEST_BODY} bytes, or did not arrive");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, RefusalKind::TooLong, &text);
    };
    let wanted = match serde_json::from_slice::<ProxyRequest>(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return bad(&format!(
                "the body is not {{\"target\": \"...\", \"port\": 22}}: {error}"
            ));
        }
    };
    begin((PROTOCOL, upgrade), pending, handle.proxy(wanted).await)
}

/// Answers somebody who asks for a connection of this kind.
pub(super) fn begin(
    (protocol, upgrade): (HeaderValue, OnUpgrade),
    pending: &Upgrading,
    opened: Result<OpenProxy, ProxyError>,
) -> Response {
    let bad = |text: &str| refuse(StatusCode::BAD_REQUEST, RefusalKind::BadRequest, text);
    let OpenProxy { session, connection } = match opened {
        Ok(proxy) => proxy,
        Err(error @ ProxyError::Refused(_)) => return bad(&error.to_string()),
        Err(error @ ProxyError::Stopped { .. }) => {
            return refuse(StatusCode::CONFLICT, RefusalKind::WrongPhase, &error.to_string());
        }
        Err(error @ ProxyError::TooMany(_)) => {
            let text = error.to_string();
            return refuse(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::TooManyProxies, &text);
        }
        Err(error @ ProxyError::Stopping) => {
            let text = error.to_string();
            return refuse(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Stopping, &text);
        }
    };
    let Ok(name) = HeaderValue::from_str(&session) else {
        return bad("the session has no name that could be told");
    };
    pending.put(upgrade, connection);
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    headers.insert(SESSION, name);
    response
}

/// What a control connection becomes once its answer is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Upgrading(Arc<Mutex<Option<Upgrade>>>);

#[derive(Debug)]
struct Upgrade {
    upgrade: OnUpgrade,
    connection: oneshot::Sender<UnixStream>,
}

impl Upgrading {
    fn put(&self, upgrade: OnUpgrade, connection: oneshot::Sender<UnixStream>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Upgrade { upgrade, connection });
    }

    /// The connection has ended as one of HTTP: gives it to the session it is for, if it is for one.
    pub(super) async fn finish(self) {
        let upgrade = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Upgrade { upgrade, connection }) = upgrade {
            hand_over(upgrade, connection).await;
        }
    }
}

async fn hand_over(upgrade: OnUpgrade, connection: oneshot::Sender<UnixStream>) {
    let upgraded = match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return tracing::debug!(%error, "a client that wanted a proxied connection is gone"),
        Err(_) => return tracing::debug!("a client that wanted a proxied connection does not read"),
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Impatient>>() else {
        return tracing::error!("a control connection is not what it was; please report this");
    };
    if !parts.read_buf.is_empty() {
        return tracing::debug!("a client sent bytes before it was told to");
    }
    if connection.send(parts.io.into_inner().into_inner()).is_err() {
        tracing::debug!("the session for a proxied connection has ended already");
    }
}

/// A proxied connection, from the client's side.
#[derive(Debug)]
pub struct Proxied {
    /// The session's name, to ask how it ended.
    pub session: String,
    /// The connection, in blocking mode.
    pub stream: StdStream,
    /// What came before anybody could read it.
    pub first: Bytes,
}

impl Client {
    /// Asks for a session with one connection, which is what is returned; the session itself starts only then.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn proxy(&self, request: &ProxyRequest) -> Result<Proxied, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.broken(error))?;
        self.in_time(CONNECT_TIMEOUT, self.upgrade("/v1/proxy", PROTOCOL, body.into()))
            .await
    }

    /// How the connection of this session ended.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn proxy_end(&self, session: &str) -> Result<ProxyEnd, ClientError> {
        let path = format!("/v1/proxy/{session}");
        let answer = self.ask(Method::GET, &path, Bytes::new(), TIMEOUT).await?;
        self.decode(&answer)
    }

    pub(super) async fn upgrade(&self, path: &str, protocol: HeaderValue, body: Bytes) -> Result<Proxied, ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let request = hyper::Request::post(path)
            .header(header::HOST, "autossm")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, protocol)
            .body(Full::new(body))
            .map_err(|error| self.broken(error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = response.status();
            if status != StatusCode::SWITCHING_PROTOCOLS {
                let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
                let body = body.map_err(|error| self.broken(error))?.to_bytes();
                return Err(self.refused(status, &body));
            }
            let name = response.headers().get(SESSION).and_then(|name| name.to_str().ok());
            let session = name.unwrap_or_default().to_owned();
            let upgraded = hyper::upgrade::on(response).await.map_err(|error| self.broken(error))?;
            Ok((session, upgraded))
        };
        // The connection moves the bytes of the exchange; its end is the upgrade.
        let drive = async {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a control connection failed");
            }
            std::future::pending::<()>().await;
        };
        let (session, upgraded) = tokio::select! {
            answer = exchange => answer?,
            () = drive => return Err(self.gone()),
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<UnixStream>>() else {
            return Err(self.broken("the connection is not what it was"));
        };
        let stream = parts.io.into_inner().into_std().map_err(|error| self.broken(error))?;
        stream.set_nonblocking(false).map_err(|error| self.broken(error))?;
        Ok(Proxied {
            session,
            stream,
            first: parts.read_buf,
        })
    }
}
