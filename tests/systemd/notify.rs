//! What the daemon tells a service manager, which is a socket of this test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use autossm_proto::session::Phase;
use autossm_sim::Simulator;
use rustix::process::Signal;
use tokio::net::UnixDatagram;

use crate::support::daemon::{Daemon, PATIENCE, config};

struct Told {
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Told {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self {
            socket,
            _directory: directory,
            path,
        }
    }

    async fn daemon(&self, config: &str, watchdog: Duration) -> Daemon {
        let watchdog = watchdog.as_micros().to_string();
        let environment = [
            ("NOTIFY_SOCKET", self.path.to_str().unwrap()),
            ("WATCHDOG_USEC", &watchdog),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
        Daemon::with(program, &[], &["--log", "info"], &environment, config)
            .await
            .unwrap()
    }

    /// The next message.
    async fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let received = tokio::time::timeout(PATIENCE, self.socket.recv(&mut buffer)).await;
        let length = received.unwrap().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// All messages up to one that has this in it.
    async fn until(&self, what: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let message = self.next().await;
            let found = message.contains(what);
            all.push(message);
            if found {
                return all;
            }
        }
    }
}

#[tokio::test]
async fn ready_comes_with_the_listeners_and_without_aws_and_the_watchdog_is_fed() {
    let told = Told::new();
    // Nobody answers for AWS.
    let daemon = told
        .daemon(&config("http://127.0.0.1:9", 80, ""), Duration::from_millis(600))
        .await;
    let first = told.until("READY=1").await;
    assert!(
        first
            .iter()
            .all(|message| !message.contains("STATUS") || message.contains("READY")),
        "{first:?}"
    );
    let ready = first.last().unwrap();
    if !ready.contains("demo starting") {
        // It had not begun yet.
        assert!(ready.contains("STATUS=1 stopped"), "{ready}");
        told.until("STATUS=0/1 attached, demo starting").await;
    }
    let listener = daemon.listener().await.unwrap();
    tokio::net::TcpStream::connect(listener).await.unwrap();
    for _feeding in 0..3 {
        told.until("WATCHDOG=1").await;
    }
    daemon.signal(Signal::TERM).unwrap();
    let last = told.until("STOPPING=1").await;
    assert!(last.last().unwrap().contains("STATUS=stopping sessions"), "{last:?}");
}

#[tokio::test]
async fn the_status_line_follows_and_a_reload_has_a_beginning_and_an_end() {
    let told = Told::new();
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "");
    let daemon = told.daemon(&text, Duration::from_secs(30)).await;
    told.until("STATUS=1/1 attached").await;
    for (configuration, in_force) in [("colour = 3\n".to_owned() + &text, false), (text, true)] {
        daemon.write_config(&configuration).unwrap();
        daemon.signal(Signal::HUP).unwrap();
        let reloading = told.until("RELOADING=1").await;
        let reloading = reloading.last().unwrap();
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        told.until("READY=1").await;
        let reload = daemon.client().status().await.unwrap().last_reload.unwrap();
        assert_eq!(reload.ok, in_force);
    }
    assert_eq!(daemon.session().await.unwrap().phase, Phase::Attached);
    assert_eq!(simulator.calls().start, 1, "not touched");
}

#[tokio::test]
async fn sigusr2_ends_the_daemon_and_terminates_what_would_be_left() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
    let text = config(&simulator.endpoint_url(), 80, "on_exit = \"detach\"\n");
    let daemon = Daemon::start(program, &[], &text).await.unwrap();
    daemon.attached().await.unwrap();
    daemon.signal(Signal::USR2).unwrap();
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("session terminated"), "{log}");
}
