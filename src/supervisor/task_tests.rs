//! A session's task with a websocket server that is no agent, and a control plane that only writes down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::handshake::WantedKey;
use autossm_proto::session::{
    Failure, FailureClass, Grant, KeyGrant, NetworkChange, Phase, Preferences, ResumeGrant, Secret, SessionConfig,
};
use futures_util::{SinkExt, StreamExt};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Ending, Keeper, NetworkBoard, Order, PhaseBoard, ProxyEnds, Resources, SessionGone, SessionHandle};
use crate::aws::{Call, ControlPlane, Wait};
use crate::clock::Clock;
use crate::config::{BackoffSettings, Document, ForwardSettings, Listen, OnExit, SessionSettings};
use crate::endpoint::Inherited;
use crate::transport::{Dialer, Proxies, Roots, Signature, StreamUrl, UpgradeSigner, client_config};

/// No test waits that long unless it fails.
const FAILED: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Recorder {
    calls: mpsc::Sender<String>,
    stream_url: String,
    tokens: AtomicU32,
    start: Start,
}

/// How StartSession goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Good,
    Panics,
    /// Answers a while after it was asked.
    Slow,
}

impl Recorder {
    fn token(&self) -> Secret {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        Secret::new(format!("token-{number}"))
    }

    async fn record(&self, call: String) {
        self.calls.send(call).await.unwrap();
    }
}

impl ControlPlane for Recorder {
    fn turn(&self, _due: Timestamp) -> Wait<'_> {
        Box::pin(async {})
    }

    fn data_key<'a>(&'a self, session_id: &'a str, _wanted: &'a WantedKey) -> Call<'a, KeyGrant> {
        Box::pin(async move {
            self.record(format!("data key {session_id}")).await;
            Err(Failure {
                class: FailureClass::Network,
                text: "no route".to_owned(),
            })
        })
    }

    fn preferences(&self) -> Call<'_, Preferences> {
        Box::pin(async { Ok(Preferences::default()) })
    }

    fn start(&self) -> Call<'_, Grant> {
        Box::pin(async {
            self.record("start".to_owned()).await;
            match self.start {
                Start::Good => {}
                Start::Panics => panic!("a bug in a call"),
                Start::Slow => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            Ok(Grant {
                session_id: "me-1".to_owned(),
                token: self.token(),
                stream_url: self.stream_url.clone(),
            })
        })
    }

    fn resume<'a>(&'a self, session_id: &'a str) -> Call<'a, ResumeGrant> {
        Box::pin(async move {
            self.record(format!("resume {session_id}")).await;
            Ok(ResumeGrant {
                token: Some(self.token()),
                stream_url: None,
            })
        })
    }

    fn terminate<'a>(&'a self, session_id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.record(format!("terminate {session_id}")).await;
            Err(Failure {
                class: FailureClass::Network,
                text: "no route".to_owned(),
            })
        })
    }
}

#[derive(Debug)]
struct NoSignature;

impl UpgradeSigner for NoSignature {
    fn sign<'a>(&'a self, _url: &'a StreamUrl) -> Signature<'a> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

struct Rig {
    handle: SessionHandle,
    board: PhaseBoard,
    network: NetworkBoard,
    calls: mpsc::Receiver<String>,
    service: TcpListener,
    tasks: JoinSet<String>,
}

impl Rig {
    async fn new(start: Start) -> Self {
        Self::with(start, settings()).await
    }

    async fn with(start: Start, settings: SessionSettings) -> Self {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, calls) = mpsc::channel(16);
        let control = Recorder {
            calls: sender,
            stream_url: format!(
                "ws://{}/v1/data-channel/me-1?role=publish_subscribe",
                service.local_addr().unwrap()
            ),
            tokens: AtomicU32::new(0),
            start,
        };
        let board = PhaseBoard::new(Clock);
        let network = NetworkBoard::default();
        let resources = Resources {
            clock: Clock,
            control: Arc::new(control),
            dialer: Dialer::new(
                client_config(&Roots::of_process()).unwrap(),
                Proxies::none(),
                Arc::new(NoSignature),
            ),
            network: network.clone(),
            phases: board.slot("orders"),
            ends: ProxyEnds::default(),
            inherited: Inherited::default(),
            seeds: StdRng::seed_from_u64(1),
        };
        let (keeper, handle) = Keeper::new(settings, resources);
        let (listening, mut tried) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(listening));
        assert_eq!(timeout(FAILED, tried.recv()).await.unwrap(), None);
        Self {
            handle,
            board,
            network,
            calls,
            service,
            tasks,
        }
    }

    async fn call(&mut self) -> String {
        timeout(FAILED, self.calls.recv()).await.unwrap().unwrap()
    }

    /// The next websocket and its first frame.
    async fn attached(&self) -> (WebSocketStream<TcpStream>, String) {
        let (stream, _) = timeout(FAILED, self.service.accept()).await.unwrap().unwrap();
        let mut websocket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let frame = timeout(FAILED, websocket.next()).await.unwrap();
        let text = frame.unwrap().unwrap().into_text().unwrap();
        (websocket, text.as_str().to_owned())
    }

    async fn phase(&self, wanted: Phase) {
        let mut watch = self.board.watch();
        let reached = watch.wait_for(|phases| phases["orders"].phase == wanted);
        timeout(FAILED, reached).await.unwrap().unwrap();
    }

    async fn stopped(mut self) {
        timeout(FAILED, self.handle.end(Ending::Terminate))
            .await
            .unwrap()
            .unwrap();
        timeout(FAILED, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(self.handle.status().await, Err(SessionGone)));
    }
}

fn settings() -> SessionSettings {
    SessionSettings {
        name: "orders".to_owned(),
        target: "i-0".to_owned(),
        forward: Some(ForwardSettings {
            listen: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
            host: None,
            port: 80,
            allow_remote_clients: false,
            document: Document::PortForwarding,
        }),
        shell: None,
        on_demand: false,
        profile: None,
        region: None,
        endpoint_url: None,
        reason: None,
        on_exit: OnExit::default(),
        protocol: SessionConfig::default(),
        backoff: BackoffSettings {
            initial: Duration::from_millis(10),
            multiplier: 1.5,
            cap: Duration::from_millis(20),
        },
    }
}

#[tokio::test]
async fn a_closed_websocket_is_replaced_under_a_resumed_session() {
    let mut rig = Rig::new(Start::Good).await;
    assert_eq!(rig.call().await, "start");
    let (mut first, open) = rig.attached().await;
    assert!(open.contains("token-0"), "{open}");
    rig.phase(Phase::Handshaking).await;

    let close = CloseFrame {
        code: 1000.into(),
        reason: "hourly\u{1b}[2J".into(),
    };
    first.send(Message::Close(Some(close))).await.unwrap();
    assert_eq!(rig.call().await, "resume me-1");
    let (_second, open) = rig.attached().await;
    assert!(open.contains("token-1"), "{open}");

    let status = rig.handle.status().await.unwrap();
    assert_eq!(status.session_id.as_deref(), Some("me-1"));
    assert_eq!(status.figures.drops, 1);
    assert_eq!(status.history.len(), 1);
    assert_eq!(
        status.history[0].cause_text,
        "closed by the service (1000 hourly\u{fffd}[2J)"
    );
    rig.stopped().await;
}

#[tokio::test]
async fn a_reset_and_a_request_bring_new_websockets_too() {
    let mut rig = Rig::new(Start::Good).await;
    assert_eq!(rig.call().await, "start");
    let (first, _) = rig.attached().await;
    first.get_ref().set_zero_linger().unwrap();
    drop(first);
    assert_eq!(rig.call().await, "resume me-1");
    let (mut second, _) = rig.attached().await;
    rig.phase(Phase::Handshaking).await;

    rig.handle.order(Order::Reconnect).await.unwrap();
    assert_eq!(rig.call().await, "resume me-1");
    while let Some(Ok(frame)) = timeout(FAILED, second.next()).await.unwrap() {
        assert!(!frame.is_close(), "aborted means without a goodbye");
    }
    let (_third, open) = rig.attached().await;
    assert!(open.contains("token-2"), "{open}");
    rig.stopped().await;
}

#[tokio::test]
async fn a_stop_terminates_the_session_and_resets_local_connections() {
    let mut rig = Rig::new(Start::Good).await;
    assert_eq!(rig.call().await, "start");
    let (_websocket, _) = rig.attached().await;
    let status = rig.handle.status().await.unwrap();
    let address = status.listeners[0].clone();
    assert_eq!(status.listener_error, None);
    let mut client = TcpStream::connect(&address).await.unwrap();
    while rig.handle.status().await.unwrap().connections == 0 {
        tokio::task::yield_now().await;
    }
    timeout(FAILED, rig.handle.end(Ending::Terminate))
        .await
        .unwrap()
        .unwrap();
    // The call fails, which is no reason to hang.
    assert_eq!(rig.call().await, "terminate me-1");
    rig.phase(Phase::Stopped).await;
    let error = client.read(&mut [0; 1]).await.expect_err("must be reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn a_call_that_panics_is_an_attempt_that_failed() {
    let mut rig = Rig::new(Start::Panics).await;
    for _ in 0..3 {
        assert_eq!(rig.call().await, "start");
    }
    let status = rig.handle.status().await.unwrap();
    assert!(status.cause.contains("internal error"), "{}", status.cause);
    rig.stopped().await;
}

#[tokio::test]
async fn a_session_that_starts_during_the_stop_is_terminated_too() {
    let mut rig = Rig::new(Start::Slow).await;
    assert_eq!(rig.call().await, "start");
    timeout(FAILED, rig.handle.end(Ending::Terminate))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.call().await, "terminate me-1");
}

/// Nothing happens by itself for an hour.
fn patient() -> SessionSettings {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut settings = settings();
    settings.protocol.ping_interval = HOUR;
    settings.protocol.prove_timeout = HOUR;
    settings.protocol.handshake_timeout = HOUR;
    settings.backoff = BackoffSettings {
        initial: HOUR,
        multiplier: 1.0,
        cap: HOUR,
    };
    settings
}

#[tokio::test]
async fn a_network_change_ends_the_wait_between_attempts() {
    let mut rig = Rig::with(Start::Good, patient()).await;
    assert_eq!(rig.call().await, "start");
    let (first, _) = rig.attached().await;
    drop(first);
    rig.phase(Phase::Reattaching).await;
    assert!(rig.handle.status().await.unwrap().next_attempt_in_ms.is_some());
    rig.network.tell(NetworkChange::Route);
    assert_eq!(rig.call().await, "resume me-1");
    let (_second, _) = rig.attached().await;
    rig.stopped().await;
}

#[tokio::test]
async fn a_network_change_asks_a_live_websocket_for_a_sign_of_life() {
    let mut rig = Rig::with(Start::Good, patient()).await;
    assert_eq!(rig.call().await, "start");
    let (mut websocket, _) = rig.attached().await;
    let mut ping = async || {
        loop {
            if let Message::Ping(payload) = timeout(FAILED, websocket.next()).await.unwrap().unwrap().unwrap() {
                return payload;
            }
        }
    };
    let first = ping().await;
    rig.network.tell(NetworkChange::Address);
    assert_ne!(ping().await, first);
    // Its address is still ours, so it was not dropped.
    assert_eq!(rig.handle.status().await.unwrap().figures.drops, 0);
    rig.stopped().await;
}
