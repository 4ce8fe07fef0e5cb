//! Commands to a daemon that is well.

use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Fault, LinkFault, Side, Simulator};

use crate::support::daemon::{Daemon, config};
use crate::transcript::Transcript;
use crate::{attached, program};

#[tokio::test]
async fn status_and_history() {
    let (simulator, daemon) = attached("").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.run("status").await;
    transcript.run("history").await;
    transcript.say("The connection is reset.");
    let fault = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    simulator.inject(fault).await.unwrap();
    let back = |session: &autossm::status::SessionStatus| {
        session.phase == Phase::Attached && session.history.iter().any(|drop| drop.recovered_after_ms.is_some())
    };
    daemon.wait_until("back again", back).await.unwrap();
    transcript.run("status demo").await;
    transcript.run("status --json").await;
    transcript.run("history").await;
    transcript.run("history demo --json").await;
    transcript.say("What is not there.");
    transcript.run("status other").await;
    transcript.run("history other").await;
    transcript.check("status");
}

#[tokio::test]
async fn orders() {
    let (_simulator, daemon) = attached("on_exit = \"terminate\"\n").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.run("reconnect demo").await;
    let back =
        |session: &autossm::status::SessionStatus| session.figures.drops == 1 && session.phase == Phase::Attached;
    daemon.wait_until("back again", back).await.unwrap();
    transcript.run("reconnect").await;
    let back =
        |session: &autossm::status::SessionStatus| session.figures.drops == 2 && session.phase == Phase::Attached;
    daemon.wait_until("back again", back).await.unwrap();
    transcript.run("stop demo").await;
    transcript.run("wait demo --for stopped").await;
    transcript.run("status").await;
    transcript.say("Twice is no error, and only a start or a restart starts it.");
    transcript.run("stop demo").await;
    transcript.run("reconnect demo").await;
    transcript.run("reconnect").await;
    transcript.run("wait demo --for up --timeout 0s").await;
    transcript.run("start demo").await;
    transcript.run("wait demo --for up --timeout 1m").await;
    transcript.run("start demo").await;
    transcript.run("restart demo").await;
    let again =
        |session: &autossm::status::SessionStatus| session.figures.starts == 3 && session.phase == Phase::Attached;
    daemon.wait_until("a new session", again).await.unwrap();
    transcript.say("What is not there.");
    for command in ["reconnect", "restart", "start", "stop"] {
        transcript.run(&format!("{command} other")).await;
    }
    transcript.check("orders");
}

#[tokio::test]
async fn orders_to_a_dormant_session() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "start = \"on-connect\"\n");
    let daemon = Daemon::start(program(), &[], &text).await.unwrap();
    let dormant = |session: &autossm::status::SessionStatus| session.phase == Phase::Dormant;
    daemon.wait_until("dormant", dormant).await.unwrap();
    let mut transcript = Transcript::of(&daemon);
    transcript.run("reconnect").await;
    transcript.run("status").await;
    transcript.say("By its name it starts.");
    transcript.run("reconnect demo").await;
    transcript.run("wait demo --for up").await;
    transcript.run("start demo").await;
    transcript.run("stop demo").await;
    transcript.run("reconnect").await;
    assert_eq!(simulator.calls().start, 1, "{}", daemon.log());
    transcript.check("dormant");
}

#[tokio::test]
async fn wait() {
    let (simulator, daemon) = attached("").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.run("wait demo --for up").await;
    transcript.run("wait demo --for awaiting-target --timeout 50ms").await;
    transcript.run("wait other --for up").await;
    transcript.run("wait demo --for bed").await;
    transcript.run("wait demo --for up --timeout long").await;
    transcript.say("The credentials have expired.");
    let expired = Fault::Answer {
        call: Call::Resume,
        answer: BadAnswer::ExpiredCredentials,
        times: 1_000,
    };
    simulator.inject(expired).await.unwrap();
    transcript.run("reconnect demo").await;
    transcript.run("wait demo --for awaiting_login").await;
    let ended = transcript.run("wait demo --for up --timeout 50ms").await;
    assert_eq!(ended.code, Some(77));
    transcript.check("wait");
}

#[tokio::test]
async fn reload() {
    let (simulator, daemon) = attached("").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.run("reload").await;
    let text = config(&simulator.endpoint_url(), 80, "");
    let other = text.replace("[session.demo]", "[session.other]");
    let (_, session) = other.split_once("\n\n").unwrap();
    transcript.say("One more session.");
    daemon.write_config(&format!("{text}\n{session}")).unwrap();
    transcript.run("reload").await;
    transcript.run("wait other --for up").await;
    transcript.say("Another one instead of both, and one told how to end.");
    daemon
        .write_config(&format!("{}on_exit = \"terminate\"\n", other))
        .unwrap();
    transcript.run("reload").await;
    transcript.say("A file with mistakes.");
    daemon.write_config(&format!("{text}colour = 3\n[session.\n")).unwrap();
    let ended = transcript.run("reload").await;
    assert_eq!(ended.code, Some(78));
    transcript.run("status").await;
    let session = daemon.session().await.unwrap();
    assert_eq!(
        (session.name.as_str(), session.figures.starts),
        ("other", 1),
        "untouched by all that"
    );
    assert!(daemon.log().contains("nothing has changed"), "{}", daemon.log());
    std::fs::remove_file(daemon.directory().join("config.toml")).unwrap();
    transcript.say("No file at all.");
    transcript.run("reload").await;
    transcript.say("A pipe that nobody writes to.");
    let file = daemon.directory().join("config.toml");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let ended = transcript.run("reload").await;
    assert_eq!(ended.code, Some(78));
    std::fs::remove_file(&file).unwrap();
    daemon.write_config(&text).unwrap();
    transcript.say("And right again.");
    transcript.run("reload").await;
    transcript.run("wait demo --for up").await;
    transcript.run("status").await;
    transcript.say("What is logged, and how.");
    let log = "[log]\nlevel = \"debug\"\nformat = \"json\"\n";
    daemon.write_config(&format!("{log}{text}")).unwrap();
    transcript.run("reload").await;
    transcript.run("log-level").await;
    transcript.check("reload");
}

#[tokio::test]
async fn log_level() {
    let (_simulator, daemon) = attached("").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.run("log-level").await;
    transcript.run("log-level warn").await;
    transcript.run("log-level").await;
    let before = daemon.log();
    transcript.run("reconnect demo").await;
    let back =
        |session: &autossm::status::SessionStatus| session.figures.drops == 1 && session.phase == Phase::Attached;
    daemon.wait_until("back again", back).await.unwrap();
    let lines = daemon.log().len() - before.len();
    assert!(
        !daemon.log()[before.len()..].contains(" INFO "),
        "{lines} more bytes:\n{}",
        daemon.log()
    );
    transcript.run("log-level autossm=debug,rustls=trace").await;
    transcript.run("log-level loud").await;
    transcript.run_words("log-level \"\"", &["log-level", ""]).await;
    transcript.run("log-level autossm=loud").await;
    transcript.run("log-level").await;
    transcript.check("log-level");
}
