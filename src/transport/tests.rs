//! A dialer against an in-process server on loopback.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use autossm_proto::session::{DropCause, Epoch, Failure, FailureClass, Inbound, Secret, Transmit};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::{Dialer, Proxies, Signature, StreamUrl, Transport, UpgradeSigner, tls};

const QUERY: &str = "role=publish_subscribe&cell-number=AAEAAb+c/d==";

#[derive(Debug)]
struct Stamp;

impl UpgradeSigner for Stamp {
    fn sign<'a>(&'a self, url: &'a StreamUrl) -> Signature<'a> {
        let host = HeaderValue::from_str(&url.host_header()).unwrap();
        let header = (HeaderName::from_static("x-signed-host"), host);
        Box::pin(async { Ok(vec![header]) })
    }
}

#[derive(Debug)]
struct NoCredentials;

impl UpgradeSigner for NoCredentials {
    fn sign<'a>(&'a self, _: &'a StreamUrl) -> Signature<'a> {
        Box::pin(async {
            Err(Failure {
                class: FailureClass::Credentials,
                text: "none".to_owned(),
            })
        })
    }
}

fn dialer(signer: impl UpgradeSigner + 'static) -> Dialer {
    let config = tls::with_roots(RootCertStore::empty()).unwrap();
    Dialer::new(Arc::new(config), Proxies::none(), Arc::new(signer))
}

struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("ws://{address}/v1/data-channel/s-1?{QUERY}");
        Self { listener, url }
    }

    async fn accept(&self) -> (WebSocketStream<TcpStream>, Request) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut seen = None;
        #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
        let keep = |request: &Request, response: Response| {
            seen = Some(request.clone());
            Ok(response)
        };
        let websocket = accept_hdr_async(stream, keep).await.unwrap();
        (websocket, seen.unwrap())
    }

    /// A dialled transport, the server's side of it and the upgrade request.
    async fn pair(&self) -> (Transport, WebSocketStream<TcpStream>, Request) {
        let dialer = dialer(Stamp);
        let (dialed, (websocket, request)) = tokio::join!(dialer.dial(&self.url, Epoch(7)), self.accept());
        (dialed.unwrap(), websocket, request)
    }
}

async fn receive(transport: &mut Transport) -> Result<Inbound, DropCause> {
    poll_fn(|cx| transport.poll_receive(cx)).await
}

async fn send(transport: &mut Transport, frame: Transmit) -> Result<(), DropCause> {
    poll_fn(|cx| transport.poll_ready(cx)).await?;
    transport.start_send(frame)?;
    poll_fn(|cx| transport.poll_flush(cx)).await
}

#[tokio::test]
async fn the_request_keeps_the_query_and_carries_the_signature() {
    let server = Server::new().await;
    let (transport, _websocket, request) = server.pair().await;
    assert_eq!(transport.epoch(), Epoch(7));
    assert_eq!(request.uri().query(), Some(QUERY));
    assert_eq!(request.uri().path(), "/v1/data-channel/s-1");
    let host = server.listener.local_addr().unwrap().to_string();
    assert_eq!(request.headers()["x-signed-host"], host);
    assert_eq!(request.headers()["host"], host);
}

#[tokio::test]
async fn an_address_that_is_signed_already_is_not_signed_again() {
    let mut server = Server::new().await;
    server.url.push_str("&X-Amz-Signature=00");
    let (_transport, _websocket, request) = server.pair().await;
    assert!(!request.headers().contains_key("x-signed-host"));
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let server = Server::new().await;
    let (mut transport, mut websocket, _) = server.pair().await;
    let token = Secret::new("token".to_owned());
    send(&mut transport, Transmit::Text(token)).await.unwrap();
    let payload = Bytes::from_static(b"payload");
    send(&mut transport, Transmit::Binary(payload.clone())).await.unwrap();
    let mark = Bytes::from_static(b"17");
    send(&mut transport, Transmit::Ping(mark.clone())).await.unwrap();
    let mut next = async || websocket.next().await.unwrap().unwrap();
    assert_eq!(next().await, Message::text("token"));
    assert_eq!(next().await, Message::Binary(payload.clone()));
    assert_eq!(next().await, Message::Ping(mark.clone()));
    websocket.flush().await.unwrap(); // sends the server's pong
    websocket.send(Message::Binary(payload.clone())).await.unwrap();
    websocket.send(Message::text("hello")).await.unwrap();
    assert_eq!(receive(&mut transport).await, Ok(Inbound::Pong(mark)));
    assert_eq!(receive(&mut transport).await, Ok(Inbound::Binary(payload)));
    assert_eq!(receive(&mut transport).await, Ok(Inbound::Other));
}

#[tokio::test]
async fn a_ping_is_answered_without_further_polling() {
    let server = Server::new().await;
    let (mut transport, mut websocket, _) = server.pair().await;
    let mark = Bytes::from_static(b"are you there");
    websocket.send(Message::Ping(mark.clone())).await.unwrap();
    assert_eq!(receive(&mut transport).await, Ok(Inbound::Other));
    // The transport is not polled any more: the answer is on its way already.
    assert_eq!(websocket.next().await.unwrap().unwrap(), Message::Pong(mark));
}

#[tokio::test]
async fn a_close_frame_is_the_cause_and_stays_it() {
    let server = Server::new().await;
    let (mut transport, mut websocket, _) = server.pair().await;
    websocket
        .send(Message::Binary(Bytes::from_static(b"last")))
        .await
        .unwrap();
    let bye = CloseFrame {
        code: 1000.into(),
        reason: "Bye".into(),
    };
    websocket.send(Message::Close(Some(bye))).await.unwrap();
    drop(websocket);
    assert!(matches!(receive(&mut transport).await, Ok(Inbound::Binary(_))));
    let closed = DropCause::Closed {
        code: Some(1000),
        reason: "Bye".to_owned(),
    };
    for _ in 0..3 {
        assert_eq!(receive(&mut transport).await, Err(closed.clone()));
        let ping = Transmit::Ping(Bytes::new());
        assert_eq!(send(&mut transport, ping).await, Err(closed.clone()));
    }
    transport.abort();
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_end_of_stream() {
    let server = Server::new().await;
    let (mut transport, websocket, _) = server.pair().await;
    drop(websocket);
    assert_eq!(receive(&mut transport).await, Err(DropCause::EndOfStream));
    assert_eq!(receive(&mut transport).await, Err(DropCause::EndOfStream));
}

#[tokio::test]
async fn a_reset_is_told_from_an_end() {
    let server = Server::new().await;
    let (mut transport, websocket, _) = server.pair().await;
    websocket.get_ref().set_zero_linger().unwrap();
    drop(websocket);
    assert_eq!(receive(&mut transport).await, Err(DropCause::Reset));
}

#[tokio::test]
async fn after_a_failed_write_what_had_arrived_is_still_read() {
    let server = Server::new().await;
    let (mut transport, mut websocket, _) = server.pair().await;
    for _ in 0..3 {
        websocket.send(Message::Binary(Bytes::from_static(b"x"))).await.unwrap();
    }
    websocket.get_ref().set_zero_linger().unwrap();
    drop(websocket);
    let error = loop {
        let frame = Transmit::Binary(Bytes::from(vec![0; 64 << 10]));
        if let Err(error) = send(&mut transport, frame).await {
            break error;
        }
    };
    assert_eq!(error, DropCause::Reset);
    for _ in 0..3 {
        assert!(matches!(receive(&mut transport).await, Ok(Inbound::Binary(_))));
    }
    assert_eq!(receive(&mut transport).await, Err(DropCause::Reset));
    assert_eq!(receive(&mut transport).await, Err(DropCause::Reset));
}

#[tokio::test]
async fn an_oversized_message_ends_it() {
    let server = Server::new().await;
    let (mut transport, mut websocket, _) = server.pair().await;
    let huge = Message::Binary(Bytes::from(vec![0; (1 << 20) + 1]));
    let (received, _sent) = tokio::join!(receive(&mut transport), async {
        websocket.feed(huge).await.unwrap();
        websocket.flush().await
    });
    match received {
        Err(DropCause::Error { text }) => assert!(text.contains("1048577"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_makes_it_unready_without_failing() {
    let server = Server::new().await;
    let (mut transport, _websocket, _) = server.pair().await;
    let frame = Bytes::from(vec![0; 1 << 20]);
    let mut taken = 0;
    let unready = poll_fn(|cx| {
        // Far above any socket's buffers.
        while taken < 64 {
            match transport.poll_ready(cx) {
                Poll::Ready(ready) => {
                    ready.unwrap();
                    transport.start_send(Transmit::Binary(frame.clone())).unwrap();
                    taken += 1;
                }
                Poll::Pending => return Poll::Ready(true),
            }
        }
        Poll::Ready(false)
    });
    assert!(unready.await);
}

#[tokio::test]
async fn abort_resets_the_connection() {
    let server = Server::new().await;
    let (transport, mut websocket, _) = server.pair().await;
    transport.abort();
    let error = websocket.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("reset by peer"), "{error}");
}

#[tokio::test]
async fn a_refused_upgrade_is_classified() {
    let server = Server::new().await;
    let answer = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(read > 0);
        let body = "HTTP/1.1 403 Forbidden\r\nx-amzn-ErrorType: ExpiredTokenException\r\n\
            Content-Length: 0\r\n\r\n";
        stream.write_all(body.as_bytes()).await.unwrap();
    };
    let dialer = dialer(Stamp);
    let (dialed, ()) = tokio::join!(dialer.dial(&server.url, Epoch(1)), answer);
    assert_eq!(dialed.unwrap_err().class, FailureClass::Credentials);
}

#[tokio::test]
async fn failures_before_the_upgrade_are_classified() {
    let refusing = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("ws://{}/x", listener.local_addr().unwrap())
    };
    let stamped = dialer(Stamp);
    let failure = stamped.dial(&refusing, Epoch(1)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Network);
    let failure = stamped.dial("wss://evil.org/x", Epoch(1)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol);
    let failure = dialer(NoCredentials).dial(&refusing, Epoch(1)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Credentials);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_a_protocol_failure() {
    let server = Server::new().await;
    let url = server.url.replace("ws://", "wss://");
    let answer = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 302 Found\r\n\r\n").await.unwrap();
        stream
    };
    let dialer = dialer(Stamp);
    let (dialed, _stream) = tokio::join!(dialer.dial(&url, Epoch(1)), answer);
    let failure = dialed.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol, "{}", failure.text);
    assert!(failure.text.contains("TLS failed"), "{}", failure.text);
}
