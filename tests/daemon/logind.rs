//! logind says that the machine wakes up: the real daemon on a bus of its own, with a logind that is this test.

use std::path::Path;
use std::time::Duration;

use autossm_proto::session::{DropCause, Phase};
use autossm_sim::{Disturbance, Fault, LinkFault, Side, Simulator, Traffic};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use zbus::Connection;

use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::support::skipped;

/// A bus on which everybody may be anybody.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@DIRECTORY@/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"#;

/// A system bus; killed with its value.
struct Bus {
    directory: TempDir,
    process: Option<Child>,
}

impl Bus {
    /// None, said loudly, where there is no dbus-daemon.
    async fn start() -> Option<Self> {
        let mut bus = Self {
            directory: tempfile::Builder::new().prefix("autossm-").tempdir().unwrap(),
            process: None,
        };
        bus.run().await.then_some(bus)
    }

    async fn run(&mut self) -> bool {
        let path = |name: &str| self.directory.path().join(name);
        let config = BUS.replace("@DIRECTORY@", self.directory.path().to_str().unwrap());
        std::fs::write(path("bus.conf"), config).unwrap();
        let log = std::fs::File::create(path("bus.log")).unwrap();
        let child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", path("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = child else {
            skipped("needs dbus-daemon (dbus)");
            return false;
        };
        self.process = Some(child);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let up = async {
            while self.connect().await.is_err() {
                ticks.tick().await;
            }
        };
        let up = tokio::time::timeout(PATIENCE, up).await;
        assert!(up.is_ok(), "{}", std::fs::read_to_string(path("bus.log")).unwrap());
        true
    }

    /// It goes away, its socket too.
    async fn stop(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
        // It leaves its socket behind when it is killed, and cannot take it again.
        std::fs::remove_file(self.directory.path().join("bus")).unwrap();
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }

    async fn connect(&self) -> zbus::Result<Connection> {
        let address: zbus::Address = self.address().as_str().try_into()?;
        zbus::connection::Builder::address(address).build().await
    }

    /// A logind that owns its name.
    async fn logind(&self) -> Connection {
        let connection = self.connect().await.unwrap();
        connection.request_name("org.freedesktop.login1").await.unwrap();
        connection
    }

    async fn daemon(&self, config: &str) -> Daemon {
        let environment = [("DBUS_SYSTEM_BUS_ADDRESS", self.address())];
        let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
        let daemon = Daemon::with(program, &[], &["--log", "debug"], &environment, config)
            .await
            .unwrap();
        said(&daemon, LISTENING, 1).await;
        daemon
    }
}

const LISTENING: &str = "listening to logind on the system bus";
const WOKEN: &str = "the machine has woken up";

/// Waits until the daemon has logged this so often.
async fn said(daemon: &Daemon, text: &str, times: usize) {
    let often = |log: &str| log.matches(text).count() >= times;
    daemon.said(often).await.unwrap();
}

async fn prepare_for_sleep(logind: &Connection, begins: bool) {
    let path = "/org/freedesktop/login1";
    let interface = "org.freedesktop.login1.Manager";
    logind
        .emit_signal(None::<&str>, path, interface, "PrepareForSleep", &begins)
        .await
        .unwrap();
}

/// A session that cannot start, and waits ten minutes before it tries again. (The wait is drawn from zero to that: one
/// run in a thousand would not have waited anyway.)
fn waiting() -> String {
    config(
        "http://127.0.0.1:9",
        80,
        "timings = { backoff = { initial = \"10m\", cap = \"10m\" } }\n",
    )
}

async fn attempts_of_a_waiting_session(daemon: &Daemon) -> u32 {
    let waits = |session: &autossm::status::SessionStatus| session.next_attempt_in_ms.is_some_and(|wait| wait > 5000);
    daemon.wait_until("a wait", waits).await.unwrap().attempts
}

#[tokio::test]
async fn a_wake_up_told_by_logind_ends_the_wait_once() {
    let Some(bus) = Bus::start().await else { return };
    let daemon = bus.daemon(&waiting()).await;
    let before = attempts_of_a_waiting_session(&daemon).await;
    // Any process may send a signal of that name; only logind's counts.
    prepare_for_sleep(&bus.connect().await.unwrap(), false).await;
    let logind = bus.logind().await;
    prepare_for_sleep(&logind, true).await;
    said(&daemon, "the machine is about to sleep", 1).await;
    assert_eq!(daemon.log().matches(WOKEN).count(), 0, "{}", daemon.log());
    assert_eq!(attempts_of_a_waiting_session(&daemon).await, before);
    // Told twice within a moment is one wake-up.
    prepare_for_sleep(&logind, false).await;
    prepare_for_sleep(&logind, false).await;
    prepare_for_sleep(&logind, true).await;
    said(&daemon, "the machine is about to sleep", 2).await;
    daemon
        .wait_until("another attempt", |session| session.attempts > before)
        .await
        .unwrap();
    assert_eq!(attempts_of_a_waiting_session(&daemon).await, before + 1, "one attempt");
    assert_eq!(daemon.log().matches(WOKEN).count(), 1, "{}", daemon.log());
}

/// The websocket has died while nobody looked; without the signal a ping would find out after 15 and 5 seconds.
#[tokio::test]
async fn a_wake_up_told_by_logind_asks_for_a_sign_of_life() {
    let Some(bus) = Bus::start().await else { return };
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let daemon = bus.daemon(&config(&simulator.endpoint_url(), 80, "")).await;
    daemon
        .wait_until("attached", |session| session.phase == Phase::Attached)
        .await
        .unwrap();
    let fault = LinkFault::Traffic(Disturbance::new(Traffic::Stall));
    let (session, side) = (None, Side::Client);
    simulator.inject(Fault::Link { session, side, fault }).await.unwrap();
    prepare_for_sleep(&bus.logind().await, false).await;
    let session = daemon
        .wait_until("a drop", |session| session.figures.drops == 1)
        .await
        .unwrap();
    // The verdict of a probe, not of a regular ping.
    assert_eq!(session.history[0].cause, DropCause::BacklogStalled);
    daemon
        .wait_until("attached again", |session| session.phase == Phase::Attached)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bus_that_goes_away_is_no_trouble_and_is_found_again() {
    let Some(mut bus) = Bus::start().await else { return };
    let daemon = bus.daemon(&waiting()).await;
    let before = attempts_of_a_waiting_session(&daemon).await;
    bus.stop().await;
    said(&daemon, "the system bus has gone", 1).await;
    assert!(bus.run().await);
    said(&daemon, LISTENING, 2).await;
    prepare_for_sleep(&bus.logind().await, false).await;
    daemon
        .wait_until("another attempt", |session| session.attempts > before)
        .await
        .unwrap();
    let bus_lines = daemon.log().lines().filter(|line| line.contains("bus")).count();
    assert_eq!(bus_lines, 3, "came, went, came: {}", daemon.log());
}
