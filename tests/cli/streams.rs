//! Commands that go on, and readers that go away.

use std::process::Stdio;

use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Fault, Simulator};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::{attached, program};

/// A command that goes on.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(arguments)
            .env_clear()
            .envs(daemon.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    async fn event(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Goes away, as `head -1` does, and gives how the command ended then.
    async fn reader_leaves(self) -> (Option<i32>, String) {
        let Self { child, lines } = self;
        drop(lines);
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test]
async fn events_tell_each_change_once() {
    let (_simulator, daemon) = attached("").await;
    let mut events = Running::start(&daemon, &["events"]);
    let hello = events.event().await;
    assert_eq!(
        (&hello["event"], &hello["pid"]),
        (&"hello".into(), &daemon.pid().into())
    );
    let session = events.event().await;
    assert_eq!(
        (&session["event"], &session["session"], &session["phase"]),
        (&"session".into(), &"demo".into(), &"attached".into())
    );
    daemon
        .client()
        .order("demo", autossm::control::Order::Reconnect)
        .await
        .unwrap();
    let mut phases = Vec::new();
    while phases.last().is_none_or(|phase| phase != "attached") {
        let event = events.event().await;
        assert_eq!(event["event"], "phase", "{event}");
        assert!(
            event["cause"].is_string() && event["unix_ms"].as_u64() > Some(1_577_836_800_000),
            "{event}"
        );
        phases.push(event["to"].as_str().unwrap().to_owned());
    }
    assert_eq!(phases.first().unwrap(), "reattaching");
    daemon.client().set_log_level("debug").await.unwrap();
    daemon.client().reload().await.unwrap();
    let event = events.event().await;
    assert_eq!(
        (&event["event"], &event["ok"]),
        (&"reload".into(), &true.into()),
        "{event}"
    );
    daemon.signal(rustix::process::Signal::TERM).unwrap();
    let event = events.event().await;
    assert_eq!(
        (&event["event"], &event["signal"]),
        (&"stopping".into(), &"SIGTERM".into()),
        "{event}"
    );
    assert_eq!(events.event().await["to"], "stopped");
    let (code, stderr) = events.reader_leaves().await;
    // It ends with the daemon, or with its reader, whichever it notices first.
    assert!(code == Some(3) || code == Some(0), "{code:?} {stderr}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_without_an_error() {
    let (_simulator, daemon) = attached("").await;
    for arguments in [
        &["events"][..],
        &["status", "--watch"],
        &["status", "--watch", "--json"],
    ] {
        let mut running = Running::start(&daemon, arguments);
        running.line().await;
        // No event follows: only the end of the pipe says that nobody reads any more.
        let (code, stderr) = running.reader_leaves().await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn watching_shows_changes_and_ends_with_the_daemon() {
    let (_simulator, daemon) = attached("").await;
    let mut watch = Running::start(&daemon, &["status", "demo", "--watch", "--json"]);
    assert!(watch.line().await.contains("\"phase\":\"attached\""));
    daemon
        .client()
        .order("demo", autossm::control::Order::Stop)
        .await
        .unwrap();
    while !watch.line().await.contains("\"phase\":\"stopped\"") {}
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
    let output = timeout(PATIENCE, watch.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn waiting_for_a_session_that_is_removed_ends() {
    let (simulator, daemon) = attached("").await;
    let waiting = Running::start(&daemon, &["wait", "demo", "--for", "stopped", "--timeout", "2m"]);
    let text = config(&simulator.endpoint_url(), 80, "");
    daemon
        .write_config(&text.replace("[session.demo]", "[session.other]"))
        .unwrap();
    daemon.client().reload().await.unwrap();
    let output = timeout(PATIENCE, waiting.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    // That it was stopped on its way may be seen or not.
    let text = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => {}
        code => {
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains("there is no session `demo`"), "{text}");
        }
    }
}

#[tokio::test]
async fn waiting_sees_what_happens_meanwhile() {
    let (_simulator, daemon) = attached("").await;
    let waiting = Running::start(&daemon, &["wait", "demo", "--for", "stopped", "--timeout", "2m"]);
    daemon
        .client()
        .order("demo", autossm::control::Order::Stop)
        .await
        .unwrap();
    let output = timeout(PATIENCE, waiting.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(daemon.session().await.unwrap().phase, Phase::Stopped);
    // Nothing can be said for sure about a session whose daemon ends.
    let waiting = Running::start(&daemon, &["wait", "demo", "--for", "up", "--timeout", "2m"]);
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
    let output = timeout(PATIENCE, waiting.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    // 69 when the daemon ends in the middle of an answer.
    assert!(matches!(output.status.code(), Some(3 | 69)), "{output:?}");
}

#[tokio::test]
async fn watching_shows_the_table_again_and_again() {
    let (_simulator, daemon) = attached("").await;
    let mut watch = Running::start(&daemon, &["status", "--watch"]);
    for _ in 0..2 {
        assert!(watch.line().await.starts_with("SESSION"));
        let row = watch.line().await;
        assert!(row.starts_with("demo") && row.contains("attached"), "{row}");
    }
}

/// The daemon's log as JSON: each line is an object by itself.
#[tokio::test]
async fn a_log_of_json_is_one_object_a_line() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let denied = Fault::Answer {
        call: Call::Start,
        times: 1,
        answer: BadAnswer::AccessDenied,
    };
    simulator.inject(denied).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, "");
    let after = ["--log", "trace", "--log-format", "json"];
    let daemon = Daemon::with(program(), &[], &after, &[], &text).await.unwrap();
    let address = daemon.listener().await.unwrap().to_string();
    daemon
        .wait_until("a refusal", |session| {
            session.attempts == 1 && session.next_attempt_in_ms.is_some()
        })
        .await
        .unwrap();
    // Not after a minute.
    daemon.client().reconnect_all().await.unwrap();
    daemon.attached().await.unwrap();
    daemon.signal(rustix::process::Signal::TERM).unwrap();
    let (code, log) = daemon.ended().await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let said = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    assert_eq!(said("listening")["addresses"], address);
    let attached = said("attached");
    assert_eq!(
        (&attached["session"], &attached["from"], &attached["level"]),
        (&"demo".into(), &"handshaking".into(), &"INFO".into())
    );
    let is_warning = |line: &&serde_json::Value| line["level"] == "WARN" && line["session"] == "demo";
    let warnings: Vec<_> = lines.iter().filter(is_warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0]["cause"].as_str().unwrap().contains("ssm:StartSession"),
        "{warnings:?}"
    );
    // The steps behind it, and each message.
    assert_eq!(said("failed")["call"], "ssm:StartSession");
    assert_eq!(said("answered")["call"], "ssm:StartSession");
    assert_eq!(said("dialing")["host"], "127.0.0.1");
    let message = lines.iter().find(|line| line["kind"] == "output_stream_data").unwrap();
    assert_eq!(
        (&message["number"], &message["message"]),
        (&0.into(), &"received".into())
    );
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

#[tokio::test]
async fn output_to_a_pipe_has_no_colours() {
    let (_simulator, daemon) = attached("").await;
    let mut watch = Running::start(&daemon, &["status", "--watch"]);
    assert!(!watch.line().await.contains('\u{1b}'));
    assert!(!daemon.log().contains('\u{1b}'), "{}", daemon.log());
}
