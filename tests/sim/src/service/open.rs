//! The data channel's door: the upgrade request, then the first frame with the token.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use autossm_proto::wire::OpenDataChannelBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming as IncomingBody;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::contract::Command;
use super::registry::Registry;
use super::socket::{ClientSocket, Farewell, Incoming};
use crate::control::is_signed_for;

const PATH: &str = "/v1/data-channel/";
/// How long a client may take for its first frame.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// The body of every response.
pub(crate) type BoxedBody = BoxBody<Bytes, Infallible>;

/// Serves one TCP connection of the data-channel port until it is upgraded and handed over, or over.
pub(crate) async fn serve_connection(registry: Arc<Registry>, tcp: TcpStream) {
    let upgraded = Mutex::new(None);
    let service = service_fn(|request: Request<IncomingBody>| {
        let response = match accept(&registry, &request) {
            Ok((session_id, response)) => {
                *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(session_id);
                response
            }
            Err((status, text)) => plain(status, text),
        };
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    if let Err(error) = poll_fn(|cx| connection.poll_without_shutdown(cx)).await {
        tracing::debug!(%error, "data-channel port: connection failed");
        return;
    }
    let parts = connection.into_parts();
    let taken = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(session_id) = taken else {
        return;
    };
    match ClientSocket::new(parts.io.into_inner(), &parts.read_buf) {
        Ok(socket) => open(&registry, &session_id, socket).await,
        Err(error) => tracing::debug!(%error, "data-channel port: socket unusable"),
    }
}

/// Waits for OpenDataChannel and hands the websocket to its session.
async fn open(registry: &Registry, session_id: &str, mut socket: ClientSocket) {
    let first = timeout(OPEN_LIMIT, poll_fn(|cx| socket.poll_incoming(cx))).await;
    let body = match first {
        Ok(Ok(Incoming::Text(text))) => serde_json::from_str::<OpenDataChannelBody>(&text).ok(),
        Ok(Ok(Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Other)) => None,
        Ok(Err(_)) | Err(_) => {
            tracing::debug!(session = session_id, "client left before OpenDataChannel");
            return;
        }
    };
    let redeemed = body.and_then(|body| registry.redeem(session_id, &body.token_value));
    let Some(commands) = redeemed else {
        tracing::info!(session = session_id, "data channel refused: token not valid");
        let farewell = Farewell::Close {
            code: 1008,
            reason: "token is not valid".to_owned(),
        };
        return socket.end(farewell).await;
    };
    let attach = Command::Attach(Box::new(socket));
    if commands.send(attach).await.is_err() {
        tracing::debug!(session = session_id, "session ended while its client connected");
    }
}

type Refusal = (StatusCode, &'static str);

fn accept(registry: &Registry, request: &Request<IncomingBody>) -> Result<(String, Response<BoxedBody>), Refusal> {
    let session_id = request
        .uri()
        .path()
        .strip_prefix(PATH)
        .ok_or((StatusCode::NOT_FOUND, "no such path"))?;
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .ok_or((StatusCode::BAD_REQUEST, "not a websocket upgrade"))?;
    if registry.config().require_signatures && !is_signed_for(request.headers(), "ssmmessages") {
        return Err((StatusCode::FORBIDDEN, "the upgrade is not signed"));
    }
    let query = request.uri().query().unwrap_or_default();
    if !registry.is_current_url(session_id, query) {
        return Err((StatusCode::FORBIDDEN, "stale or unknown data channel"));
    }
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Full::new(Bytes::new()).boxed())
        .map_err(|_invalid| (StatusCode::INTERNAL_SERVER_ERROR, "response not built"))?;
    Ok((session_id.to_owned(), response))
}

fn plain(status: StatusCode, text: &'static str) -> Response<BoxedBody> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}
