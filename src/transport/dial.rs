//! From a StreamUrl to a live websocket.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use autossm_proto::session::{Epoch, Failure, FailureClass};
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::handshake::client::{Request, generate_key};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, client_async_tls_with_config};

use super::{StreamUrl, Transport, tcp, upgrade};

/// The largest message and the largest frame either side may use: far above what the agent sends (its limit is not
/// known), far below what could fill the memory.
const MESSAGE_LIMIT: usize = 1 << 20;
const READ_BUFFER: usize = 16 << 10;
/// Frames are gathered up to this before they go to the socket unasked.
const WRITE_BUFFER: usize = 128 << 10;
/// One largest frame more than the gathered ones, headers included.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + MESSAGE_LIMIT + 64;

/// The headers that sign one upgrade request, or why there are none.
pub type Signature<'a> = Pin<Box<dyn Future<Output = Result<Vec<(HeaderName, HeaderValue)>, Failure>> + Send + 'a>>;

/// Signs upgrade requests; AWS's implementation lies above this layer.
pub trait UpgradeSigner: Send + Sync + fmt::Debug {
    /// Signs a GET of this address with its [`StreamUrl::host_header`], now.
    ///
    /// Fails with [`FailureClass::Credentials`] when there is nothing to sign with. Not asked for addresses that are
    /// signed already.
    fn sign<'a>(&'a self, url: &'a StreamUrl) -> Signature<'a>;
}

/// Opens websockets for the sessions of one identity.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    signer: Arc<dyn UpgradeSigner>,
}

impl Dialer {
    /// `tls` comes from [`client_config`](super::client_config) and is shared by all dialers.
    pub fn new(tls: Arc<ClientConfig>, signer: Arc<dyn UpgradeSigner>) -> Self {
        Self { tls, signer }
    }

    /// Looks up, connects, does TLS and upgrades; nothing has been written to the websocket then.
    ///
    /// There is no time limit inside: a peer that accepts and then says nothing keeps it waiting, so the caller drops
    /// it when the dial's time is over. Dropping it closes whatever was open.
    pub async fn dial(&self, stream_url: &str, epoch: Epoch) -> Result<Transport, Failure> {
        let url = StreamUrl::parse(stream_url)?;
        let request = self.request(&url).await?;
        let stream = tcp::connect(&url).await?;
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let upgraded = client_async_tls_with_config(request, stream, Some(limits()), Some(connector));
        match Box::pin(upgraded).await {
            Ok((websocket, _response)) => Ok(Transport::new(websocket, epoch)),
            Err(error) => Err(upgrade::failure(url.host(), &error)),
        }
    }

    /// The signature covers host and date only; the websocket headers come on top of it.
    async fn request(&self, url: &StreamUrl) -> Result<Request, Failure> {
        let mut request = Request::builder()
            .uri(url.uri().clone())
            .header(header::HOST, url.host_header())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key())
            .body(())
            .map_err(|error| Failure {
                class: FailureClass::Protocol,
                text: format!("{url:?} cannot be asked for: {error}"),
            })?;
        if !url.is_presigned() {
            request.headers_mut().extend(self.signer.sign(url).await?);
        }
        Ok(request)
    }
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
}
