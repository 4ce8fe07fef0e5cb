//! Notices on the desktop: the real daemon on a session bus of its own, with a desktop that is this test.

use std::collections::HashMap;
use std::path::Path;

use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Fault, LinkFault, Port, PortFault, ResumeOfEnded, Side, Simulator};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use zbus::message::Type;
use zbus::{Connection, MessageStream, OwnedVariant};

use crate::bus::Bus;
use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::support::traffic::Destination;

const NAME: &str = "org.freedesktop.Notifications";

/// What a desktop is asked to show: application, replaced notice, icon, summary, body, actions, hints, time.
type Notify = (
    String,
    u32,
    String,
    String,
    String,
    Vec<String>,
    HashMap<String, OwnedVariant>,
    i32,
);

/// A desktop that owns its name.
struct Desktop {
    connection: Connection,
    calls: MessageStream,
}

impl Desktop {
    async fn on(bus: &Bus) -> Self {
        let connection = bus.connect().await.unwrap();
        let calls = MessageStream::from(&connection);
        connection.request_name(NAME).await.unwrap();
        Self { connection, calls }
    }

    /// Summary and body of the next notice.
    async fn next(&mut self, daemon: &Daemon) -> (String, String) {
        let shown = async {
            loop {
                let message = self.calls.next().await.unwrap().unwrap();
                let header = message.header();
                let is_notice = header.message_type() == Type::MethodCall
                    && header.member().is_some_and(|member| member.as_str() == "Notify");
                if is_notice {
                    self.connection.reply(&header, &1_u32).await.unwrap();
                    let (application, _, _, summary, body, ..): Notify = message.body().deserialize().unwrap();
                    assert_eq!(application, "autossm");
                    return (summary, body);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, shown).await {
            Ok(notice) => notice,
            Err(_) => panic!("no notice; the daemon's log:\n{}", daemon.log()),
        }
    }
}

async fn daemon(address: &str, config: &str) -> Daemon {
    let environment = [("DBUS_SESSION_BUS_ADDRESS", address)];
    let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
    let daemon = Daemon::with(program, &[], &["--log", "debug"], &environment, config)
        .await
        .unwrap();
    daemon.attached().await.unwrap();
    daemon
}

/// Drops the connection; the first ResumeSession after it says that the credentials have expired.
async fn expire(simulator: &Simulator) {
    let expired = Fault::Answer {
        call: Call::Resume,
        answer: BadAnswer::ExpiredCredentials,
        times: 1,
    };
    simulator.inject(expired).await.unwrap();
    reset(simulator).await;
}

async fn reset(simulator: &Simulator) {
    let fault = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    simulator.inject(fault).await.unwrap();
}

#[tokio::test]
async fn a_person_is_told_of_a_login_of_a_long_drop_and_of_their_end() {
    let Some(bus) = Bus::start().await else { return };
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let destination = Destination::start().await.unwrap();
    let text = config(&simulator.endpoint_url(), destination.address.port(), "[notify]\n");
    let mut desktop = Desktop::on(&bus).await;
    let daemon = daemon(&bus.address(), &text).await;

    expire(&simulator).await;
    let (summary, body) = desktop.next(&daemon).await;
    assert_eq!(summary, "autossm needs a login to AWS");
    assert!(body.contains("expired"), "{body}");
    daemon.client().reconnect_all().await.unwrap();
    assert_eq!(desktop.next(&daemon).await.0, "demo is back");

    // Soon, for this step only: a busy machine may be slow to attach in the others.
    let soon = text.replace("[notify]\n", "[notify]\nlost_after = \"1s\"\n");
    daemon.write_config(&soon).unwrap();
    daemon.client().reload().await.unwrap();
    let port = Fault::Port {
        port: Port::DataChannel,
        fault: PortFault::Refuse,
        for_ms: None,
    };
    simulator.inject(port).await.unwrap();
    reset(&simulator).await;
    assert_eq!(desktop.next(&daemon).await.0, "demo is away for 1s");
    daemon.write_config(&text).unwrap();
    daemon.client().reload().await.unwrap();
    simulator.inject(Fault::Heal).await.unwrap();
    daemon.client().reconnect_all().await.unwrap();
    assert_eq!(desktop.next(&daemon).await.0, "demo is back");

    // Nobody used it: that AWS has ended it is no news. In use, it is.
    let end = Fault::EndSession {
        session: None,
        announce: Some("Session terminated".to_owned()),
        resume: ResumeOfEnded::default(),
    };
    simulator.inject(end.clone()).await.unwrap();
    let dormant = |session: &autossm::status::SessionStatus| session.phase == Phase::Dormant;
    daemon.wait_until("dormant", dormant).await.unwrap();
    let _client = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    let used = |session: &autossm::status::SessionStatus| session.phase == Phase::Attached && session.connections == 1;
    daemon.wait_until("in use", used).await.unwrap();
    simulator.inject(end).await.unwrap();
    let (summary, body) = desktop.next(&daemon).await;
    assert_eq!(summary, "AWS has ended session demo");
    assert!(body.contains("Session terminated"), "{body}");
    daemon.wait_until("dormant again", dormant).await.unwrap();
    let _client = TcpStream::connect(daemon.listener().await.unwrap()).await.unwrap();
    daemon.wait_until("in use again", used).await.unwrap();

    // Switched off by a reload, it is silent: the next thing that is shown is what comes after it is on again.
    let off = text.replace("[notify]\n", "[notify]\ndesktop = false\n");
    daemon.write_config(&off).unwrap();
    daemon.client().reload().await.unwrap();
    expire(&simulator).await;
    let login = |session: &autossm::status::SessionStatus| session.phase == Phase::AwaitingLogin;
    daemon.wait_until("a login is needed", login).await.unwrap();
    daemon.write_config(&text).unwrap();
    daemon.client().reload().await.unwrap();
    daemon.client().reconnect_all().await.unwrap();
    assert_eq!(desktop.next(&daemon).await.0, "demo is back");
}

#[tokio::test]
async fn without_a_bus_nothing_is_shown_and_nothing_is_wrong() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "");
    let daemon = daemon("unix:path=/nonexistent/bus", &text).await;
    expire(&simulator).await;
    daemon
        .said(|log| log.contains("no desktop shows this") && !log.contains("ERROR"))
        .await
        .unwrap();
    daemon.client().reconnect_all().await.unwrap();
    daemon.attached().await.unwrap();
}
