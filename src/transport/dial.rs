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

use super::{Proxies, StreamUrl, Transport, tcp, upgrade};
use crate::clock::Clock;

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

    /// What its identity wants for TLS instead of the [`Dialer`]'s own; known once it has been asked to sign.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        None
    }

    /// The service has refused the upgrade for this; it may be about the credentials it was signed with.
    fn refused(&self, _failure: &Failure) {}
}

/// Opens websockets for the sessions of one identity.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    signer: Arc<dyn UpgradeSigner>,
    clock: Clock,
}

impl Dialer {
    /// `tls` comes from [`client_config`](super::client_config) and is shared by all dialers.
    pub fn new(tls: Arc<ClientConfig>, proxies: Proxies, signer: Arc<dyn UpgradeSigner>) -> Self {
        Self {
            tls,
            proxies,
            signer,
            clock: Clock,
        }
    }

    /// Looks up, connects, through a proxy if there is one, does TLS and upgrades; nothing has been written to the
    /// websocket then.
    ///
    /// There is no time limit inside: a peer that accepts and then says nothing keeps it waiting, so the caller drops
    /// it when the dial's time is over. Dropping it closes whatever was open.
    pub async fn dial(&self, stream_url: &str, epoch: Epoch) -> Result<Transport, Failure> {
        let url = StreamUrl::parse(stream_url)?;
        tracing::debug!(host = url.host(), epoch = epoch.0, "dialing");
        let dialed = self.dial_url(&url, epoch).await;
        match &dialed {
            Ok(_) => tracing::debug!(host = url.host(), epoch = epoch.0, "websocket open"),
            Err(failure) => tracing::debug!(host = url.host(), epoch = epoch.0, cause = failure.text, "dial failed"),
        }
        dialed
    }

    async fn dial_url(&self, url: &StreamUrl, epoch: Epoch) -> Result<Transport, Failure> {
        let request = self.request(url).await?;
        let stream = match self.proxies.route(url.host(), url.port())? {
            Some(proxy) => proxy.connect(url.host(), url.port()).await?,
            None => tcp::connect(url.host(), url.port(), url.is_loopback()).await?,
        };
        let tls = self.signer.tls().unwrap_or_else(|| Arc::clone(&self.tls));
        let upgraded = client_async_tls_with_config(request, stream, Some(limits()), Some(Connector::Rustls(tls)));
        match Box::pin(upgraded).await {
            Ok((websocket, _response)) => Ok(Transport::new(websocket, epoch)),
            Err(error) => {
                let failure = upgrade::failure(url.host(), &error, self.clock.unix_now());
                self.signer.refused(&failure);
                Err(failure)
            }
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
