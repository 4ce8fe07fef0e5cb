//! Nothing secret is ever shown: canaries in every place that holds a secret, and a look at everything the program says.

use std::path::Path;
use std::sync::{Arc, Mutex};

use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Fault, LinkFault, Port, PortFault, Side, Simulator};
use regex_lite::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::comes_true;
use crate::support::daemon::{Daemon, config};

const PROGRAM: &str = env!("CARGO_BIN_EXE_autossm");
const ACCESS_KEY: &str = "AKIACANARYACCESSKEY1";
const SECRET_KEY: &str = "CANARY/SecretKey+0123456789abcdefghijkl";
const SESSION_TOKEN: &str = "CANARYsessiontoken//////////0123456789==";
const CONTAINER_TOKEN: &str = "CANARY-container-token";
const UP: &[u8] = b"CANARY-payload-going-up";
const DOWN: &[u8] = b"CANARY-payload-coming-down";
/// All that anybody could ask for.
const EVERYTHING: &str = "trace,autossm=trace,aws_smithy_runtime=trace,aws_sdk_ssm=trace,aws_sdk_kms=trace,aws_config=trace,aws_runtime=trace,\
     hyper=trace,hyper_util=trace,h2=trace,rustls=trace,tungstenite=trace,tokio_tungstenite=trace";

/// Stands before the control plane and keeps what goes through, both ways: it knows the tokens.
async fn listen_in(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let ear = Arc::clone(&heard);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let service = TcpStream::connect(to).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_service, to_service) = service.into_split();
            connections.spawn(copy(from_client, to_service, Arc::clone(&ear)));
            connections.spawn(copy(from_service, to_client, Arc::clone(&ear)));
        }
    });
    (address, heard, tasks)
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    heard: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        heard.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// What a command to this daemon says, on both its outputs.
async fn said(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .envs(daemon.environment())
        .output()
        .await
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn talk(daemon: &Daemon, destination: &TcpListener) {
    let mut client = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    client.write_all(UP).await.unwrap();
    let (mut server, _) = destination.accept().await.unwrap();
    let mut up = vec![0; UP.len()];
    server.read_exact(&mut up).await.unwrap();
    assert_eq!(up, UP);
    server.write_all(DOWN).await.unwrap();
    let mut down = vec![0; DOWN.len()];
    client.read_exact(&mut down).await.unwrap();
    assert_eq!(down, DOWN);
}

/// Everything a session goes through: start, drop, resume, wrong answers, a dial that fails.
async fn live(simulator: &Simulator, daemon: &Daemon, destination: &TcpListener) {
    let up_with = |drops: u64| {
        move |session: &autossm::status::SessionStatus| {
            session.phase == Phase::Attached && session.figures.drops == drops
        }
    };
    daemon.wait_until("attached", up_with(0)).await.unwrap();
    talk(daemon, destination).await;
    let reset = || Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    let mut drops = 0;
    for answer in [
        BadAnswer::Throttled { retry_after: Some(1) },
        BadAnswer::Status(500),
        BadAnswer::Garbage,
        BadAnswer::NoStreamUrl,
        BadAnswer::Error("ValidationException".to_owned()),
    ] {
        let bad = Fault::Answer {
            call: Call::Resume,
            times: 1,
            answer,
        };
        simulator.inject(bad).await.unwrap();
        simulator.inject(reset()).await.unwrap();
        drops += 1;
        let dropped = move |session: &autossm::status::SessionStatus| session.figures.drops >= drops;
        daemon.wait_until("a drop", dropped).await.unwrap();
        daemon.client().reconnect_all().await.unwrap();
        let back = move |session: &autossm::status::SessionStatus| session.phase == Phase::Attached;
        let session = daemon.wait_until("back again", back).await.unwrap();
        drops = session.figures.drops;
    }
    let refused = Fault::Port {
        port: Port::DataChannel,
        fault: PortFault::AcceptThenReset,
        for_ms: None,
    };
    simulator.inject(refused).await.unwrap();
    simulator.inject(Fault::ExpireTokens { session: None }).await.unwrap();
    simulator.inject(reset()).await.unwrap();
    let failing = |session: &autossm::status::SessionStatus| session.attempts > 2;
    daemon.wait_until("failed attempts", failing).await.unwrap();
    simulator.inject(Fault::Heal).await.unwrap();
    daemon.client().reconnect_all().await.unwrap();
    let back = |session: &autossm::status::SessionStatus| session.phase == Phase::Attached;
    daemon.wait_until("back again", back).await.unwrap();
    talk(daemon, destination).await;
}

#[tokio::test]
async fn no_token_key_or_payload_is_ever_shown() {
    let encrypting = autossm_sim::Config {
        kms_key: Some("alias/lab".to_owned()),
        ..autossm_sim::Config::default()
    };
    let simulator = Simulator::start(encrypting).await.unwrap();
    let (address, heard, _tasks) = listen_in(simulator.control_address()).await;
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = destination.local_addr().unwrap().port();
    let helper = tempfile::tempdir().unwrap();
    let (profiles, environment) = dumping(helper.path());
    let more = format!("on_exit = \"terminate\"\n{HELPED}");
    let text = config(&format!("http://{address}"), port, &more);
    let kms = format!("http://{address}");
    let keys = [
        ("AWS_ENDPOINT_URL_KMS", kms.as_str()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN),
        ("AWS_CONFIG_FILE", profiles.as_str()),
        // Whatever is here is on loopback, which is reached directly.
        ("HTTPS_PROXY", "http://proxy.example:3128"),
        ("RUST_LOG", EVERYTHING),
    ];
    let daemon = Daemon::with(Path::new(PROGRAM), &[], &["--log", EVERYTHING], &keys, &text)
        .await
        .unwrap();
    let mut events = daemon.client().events().await.unwrap();
    live(&simulator, &daemon, &destination).await;
    let mut shown = vec![("log-level", said(&daemon, &["log-level", EVERYTHING]).await)];
    talk(&daemon, &destination).await;
    for arguments in [
        &["status"][..],
        &["status", "demo"],
        &["status", "--json"],
        &["history"],
        &["history", "--json"],
    ] {
        shown.push(("status or history", said(&daemon, arguments).await));
    }
    assert!(
        comes_true(async || environment.exists()).await,
        "the helper was not started"
    );
    shown.push(("a helper's environment", std::fs::read_to_string(&environment).unwrap()));
    let cmdline = format!("/proc/{}/cmdline", daemon.pid().unwrap());
    shown.push(("cmdline", std::fs::read_to_string(cmdline).unwrap()));
    daemon.signal(rustix::process::Signal::TERM).unwrap();
    let mut lines = String::new();
    while let Some(line) = events.next().await.unwrap() {
        lines.push_str(&line);
    }
    shown.push(("events", lines));
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("attached") && log.contains("session terminated"), "{log}");
    shown.push(("log", log));

    let dumped = &shown.iter().find(|(place, _)| place.contains("helper")).unwrap().1;
    assert!(
        dumped.contains("HTTPS_PROXY=http://proxy.example:3128"),
        "it needs the network: {dumped}"
    );
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let canaries = canaries(&heard);
    for (place, text) in &shown {
        for canary in &canaries {
            assert!(!text.contains(canary.as_str()), "{canary} in {place}:\n{text}");
        }
    }
}

/// A session by a helper that gives nothing: it makes no call.
const HELPED: &str = "[session.helped]\nprofile = \"helped\"\ntarget = \"i-0123456789abcdef0\"\n\
                      forward = { listen = \"127.0.0.1:0\", port = 80 }\n";

/// Profiles whose helper writes down its environment; gives the paths of both.
fn dumping(directory: &Path) -> (String, std::path::PathBuf) {
    let (profiles, environment) = (directory.join("profiles"), directory.join("environment"));
    let dump = format!("env > {0}.new; mv {0}.new {0}; exit 1", environment.display());
    std::fs::write(&profiles, format!("[profile helped]\ncredential_process = {dump}\n")).unwrap();
    (profiles.display().to_string(), environment)
}

/// All that must not be seen; what was heard proves that they were there.
fn canaries(heard: &str) -> Vec<String> {
    assert!(heard.contains(ACCESS_KEY) && heard.contains(SESSION_TOKEN), "{heard}");
    let captured = |pattern: &str| -> Vec<String> {
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(heard).map(|found| found[1].to_owned()).collect()
    };
    let tokens = captured(r#""TokenValue": ?"([^"]+)""#);
    let keys = captured(r#""Plaintext": ?"([^"]+)""#);
    assert_eq!(keys.len(), 1, "{heard}");
    let queries = captured(r#""StreamUrl": ?"[^"?]+\?([^"]+)""#);
    let signatures = captured(r"Signature=([0-9a-f]{64})");
    assert!(
        tokens.len() >= 3 && queries.len() >= 2 && signatures.len() >= 3,
        "{heard}"
    );
    let cells = queries
        .iter()
        .filter_map(|query| Some(query.split_once("cell-number=")?.1.to_owned()));
    let cells: Vec<String> = cells.collect();
    assert!(!cells.is_empty(), "{queries:?}");
    let mut canaries: Vec<String> = [ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, "CANARY"]
        .map(ToOwned::to_owned)
        .into();
    // "CANARY" as a list of numbers, as `Debug` of bytes has it.
    canaries.push("67, 65, 78, 65, 82, 89".to_owned());
    canaries.extend(keys.iter().flat_map(|key| shapes(key)));
    canaries.extend([tokens, signatures, cells].concat());
    canaries
}

/// A data key in base64, and the beginning of each of its halves as people print bytes.
fn shapes(key: &str) -> Vec<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(key).unwrap();
    assert_eq!(bytes.len(), 64);
    let mut shapes = vec![key.to_owned()];
    for half in bytes.chunks(32) {
        let some = &half[..8];
        shapes.push(some.iter().map(|byte| format!("{byte:02x}")).collect());
        let numbers: Vec<String> = some.iter().map(u8::to_string).collect();
        shapes.push(numbers.join(", "));
    }
    shapes
}
