//! logind says that the machine wakes up: the real daemon on a bus of its own, with a logind that is this test.

use std::path::Path;

use autossm_proto::session::{DropCause, Phase};
use autossm_sim::{Disturbance, Fault, LinkFault, Side, Simulator, Traffic};
use zbus::Connection;

use crate::bus::Bus;
use crate::support::daemon::{Daemon, config};

impl Bus {
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
    daemon.attached().await.unwrap();
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
