//! The data channel over TLS, against a blocking rustls server on its own thread.
//!
//! `testdata` holds a root that signed nothing but one certificate for `localhost`; both are for these tests only, and
//! the root's key was thrown away.

use std::future::poll_fn;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use autossm_proto::session::{DropCause, Epoch, Failure, FailureClass, Inbound};
use bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::{Dialer, Proxies, Signature, StreamUrl, Transport, UpgradeSigner, tls};

const ROOT: &[u8] = include_bytes!("testdata/root.pem");
const CERTIFICATE: &[u8] = include_bytes!("testdata/localhost.pem");
const KEY: &[u8] = include_bytes!("testdata/localhost.key.pem");

#[derive(Debug)]
struct Unsigned;

impl UpgradeSigner for Unsigned {
    fn sign<'a>(&'a self, _: &'a StreamUrl) -> Signature<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

type Socket = WebSocket<StreamOwned<ServerConnection, TcpStream>>;

/// Runs `serve` with the first websocket that comes; a client that gives up before is no error.
fn server(serve: fn(Socket)) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        if let Ok(websocket) = accept(StreamOwned::new(connection, tcp)) {
            serve(websocket);
        }
    });
    (port, thread)
}

async fn dial(url: &str, trusted: bool) -> Result<Transport, Failure> {
    let mut roots = RootCertStore::empty();
    if trusted {
        roots.add(CertificateDer::from_pem_slice(ROOT).unwrap()).unwrap();
    }
    let config = Arc::new(tls::with_roots(roots).unwrap());
    Dialer::new(config, Proxies::none(), Arc::new(Unsigned))
        .dial(url, Epoch(1))
        .await
}

async fn receive(transport: &mut Transport) -> Result<Inbound, DropCause> {
    poll_fn(|cx| transport.poll_receive(cx)).await
}

#[tokio::test]
async fn the_close_frame_is_the_cause_although_tls_ends_without_a_goodbye() {
    let (port, thread) = server(|mut websocket| {
        websocket.send(Message::Binary(Bytes::from_static(b"x"))).unwrap();
        let bye = CloseFrame {
            code: 1000.into(),
            reason: "Bye".into(),
        };
        websocket.close(Some(bye)).unwrap();
    });
    let mut transport = dial(&format!("wss://localhost:{port}/x?y"), true).await.unwrap();
    assert_eq!(
        receive(&mut transport).await,
        Ok(Inbound::Binary(Bytes::from_static(b"x")))
    );
    let closed = DropCause::Closed {
        code: Some(1000),
        reason: "Bye".to_owned(),
    };
    assert_eq!(receive(&mut transport).await, Err(closed.clone()));
    assert_eq!(receive(&mut transport).await, Err(closed));
    thread.join().unwrap();
}

#[tokio::test]
async fn a_tls_stream_that_just_ends_is_end_of_stream() {
    let (port, thread) = server(drop);
    let mut transport = dial(&format!("wss://localhost:{port}/x"), true).await.unwrap();
    assert_eq!(receive(&mut transport).await, Err(DropCause::EndOfStream));
    thread.join().unwrap();
}

#[tokio::test]
async fn abort_resets_below_tls() {
    let (port, thread) = server(|mut websocket| {
        let error = websocket.read().unwrap_err();
        assert!(error.to_string().contains("reset by peer"), "{error}");
    });
    let transport = dial(&format!("wss://localhost:{port}/x"), true).await.unwrap();
    transport.abort();
    thread.join().unwrap();
}

#[tokio::test]
async fn a_wrong_certificate_says_so() {
    let rows = [
        ("localhost", false, "UnknownIssuer"),
        ("127.0.0.1", true, "not valid for"),
    ];
    for (host, trusted, text) in rows {
        let (port, thread) = server(drop);
        let failure = dial(&format!("wss://{host}:{port}/x"), trusted).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Protocol);
        assert!(failure.text.contains(text), "{}", failure.text);
        thread.join().unwrap();
    }
}
