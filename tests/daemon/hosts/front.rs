//! TLS in front of the simulator, as AWS's two endpoints have it.
//!
//! `testdata` holds a root that signed nothing but one certificate for their names; both are for these tests only, and
//! the root's key was thrown away.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("testdata/aws.pem");
const KEY: &[u8] = include_bytes!("testdata/aws.key.pem");
/// What a client must trust to come through.
pub(super) const ROOT: &str = include_str!("testdata/root.pem");

/// Takes TLS connections at `address` and passes them on by the name the client asks for; ends with its value.
pub(super) async fn serve(address: SocketAddr, control: SocketAddr, data_channel: SocketAddr) -> JoinSet<()> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await.unwrap();
    let mut front = JoinSet::new();
    front.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // A connection that was cut is what these tests are about.
                if let Err(error) = relay(acceptor, tcp, control, data_channel).await {
                    tracing::debug!(%error, "a connection broke");
                }
            });
        }
    });
    front
}

async fn relay(acceptor: TlsAcceptor, tcp: TcpStream, control: SocketAddr, data_channel: SocketAddr) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut outer = acceptor.accept(tcp).await?;
    let name = outer.get_ref().1.server_name().unwrap_or_default();
    let target = if name.starts_with("ssmmessages.") {
        data_channel
    } else {
        control
    };
    let mut inner = TcpStream::connect(target).await?;
    inner.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}
