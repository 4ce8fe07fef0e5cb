//! The data channel's door: the upgrade request, then the first frame with the token. Agents outside come through
//! a door of their own, where CreateDataChannel gives them their tokens.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming as IncomingBody;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::contract::Command;
use super::registry::Registry;
use super::socket::{Farewell, Incoming, PeerSocket};
use crate::control::{access_key, clock_refusal, is_signed_for};
use crate::fault::Side;

const PATH: &str = "/v1/data-channel/";
/// How long a client may take for its first frame.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// The first frame with a meaning; AWS's plugin pings at once, sometimes before it has sent its token.
async fn first_frame(socket: &mut PeerSocket) -> Result<Incoming, Error> {
    loop {
        match poll_fn(|cx| socket.poll_incoming(cx)).await? {
            Incoming::Ping(pong) => {
                socket.send_raw(&pong);
                poll_fn(|cx| socket.poll_flush(cx)).await?;
            }
            Incoming::Other => {}
            first @ (Incoming::Text(_) | Incoming::Binary(_)) => return Ok(first),
        }
    }
}

/// What matters of the first frame: older clients send no version, agents an instance id.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OpenDataChannel {
    token_value: String,
}

/// The body of every response.
pub(crate) type BoxedBody = BoxBody<Bytes, Infallible>;

/// Serves one TCP connection of the data-channel port until it is upgraded and handed over, or over.
pub(crate) async fn serve_connection(registry: Arc<Registry>, side: Side, tcp: TcpStream) {
    let upgraded = Mutex::new(None);
    let service = service_fn(|request: Request<IncomingBody>| {
        let response = match accept(&registry, side, &request) {
            Ok((None, response)) => response,
            Ok((Some(session_id), response)) => {
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
    match PeerSocket::new(parts.io.into_inner(), &parts.read_buf) {
        Ok(socket) => open(&registry, side, &session_id, socket).await,
        Err(error) => tracing::debug!(%error, "data-channel port: socket unusable"),
    }
}

/// Waits for OpenDataChannel and hands the websocket to its session.
async fn open(registry: &Registry, side: Side, session_id: &str, mut socket: PeerSocket) {
    let body = match timeout(OPEN_LIMIT, first_frame(&mut socket)).await {
        Ok(Ok(Incoming::Text(text))) => serde_json::from_str::<OpenDataChannel>(&text).ok(),
        Ok(Ok(Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Other)) => None,
        Ok(Err(_)) | Err(_) => {
            tracing::debug!(session = session_id, ?side, "left before OpenDataChannel");
            return;
        }
    };
    let redeemed = body.and_then(|body| registry.redeem(side, session_id, &body.token_value));
    let Some(commands) = redeemed else {
        tracing::info!(session = session_id, ?side, "data channel refused: token not valid");
        let farewell = Farewell::Close {
            code: 1008,
            reason: "token is not valid".to_owned(),
        };
        return socket.end(farewell).await;
    };
    let attach = Command::Attach(side, Box::new(socket));
    if commands.send(attach).await.is_err() {
        tracing::debug!(session = session_id, "session ended while it was connected to");
    }
}

type Refusal = (StatusCode, &'static str);

/// The response, and the session's id where it is an upgrade.
type Accepted = (Option<String>, Response<BoxedBody>);

fn accept(registry: &Registry, side: Side, request: &Request<IncomingBody>) -> Result<Accepted, Refusal> {
    let session_id = request
        .uri()
        .path()
        .strip_prefix(PATH)
        .ok_or((StatusCode::NOT_FOUND, "no such path"))?;
    if registry.config().require_signatures && !is_signed_for(request.headers(), "ssmmessages") {
        return Err((StatusCode::FORBIDDEN, "the request is not signed"));
    }
    if access_key(request.headers()).is_some_and(|key| registry.is_expired(key)) {
        return Err((StatusCode::FORBIDDEN, "ExpiredTokenException"));
    }
    if side == Side::Client && clock_refusal(request.headers(), registry.config()).is_some() {
        return Err((StatusCode::FORBIDDEN, "InvalidSignatureException"));
    }
    if side == Side::Agent && request.method() == Method::POST {
        return create(registry, session_id).map(|response| (None, response));
    }
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .ok_or((StatusCode::BAD_REQUEST, "not a websocket upgrade"))?;
    let query = request.uri().query().unwrap_or_default();
    if !registry.is_current_url(side, session_id, query) {
        return Err((StatusCode::FORBIDDEN, "stale or unknown data channel"));
    }
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Full::new(Bytes::new()).boxed())
        .map_err(|_invalid| (StatusCode::INTERNAL_SERVER_ERROR, "response not built"))?;
    Ok((Some(session_id.to_owned()), response))
}

/// CreateDataChannel.
fn create(registry: &Registry, session_id: &str) -> Result<Response<BoxedBody>, Refusal> {
    let token = registry.create_data_channel(session_id).ok_or((
        StatusCode::SERVICE_UNAVAILABLE,
        "no data channel for this session's agent now",
    ))?;
    let body = format!(
        "<CreateDataChannelResult><MessageSchemaVersion>1.0</MessageSchemaVersion>\
         <TokenValue>{token}</TokenValue></CreateDataChannelResult>"
    );
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn plain(status: StatusCode, text: &'static str) -> Response<BoxedBody> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}
