use std::time::Duration;

use autossm_proto::session::{DropCause, Figures, Phase, Trouble};
use clap::{CommandFactory, Parser};

use super::args::{Cli, Command};
use super::output::sanitise;
use super::{exit, render};
use crate::config::{LoadError, PathError};
use crate::control::{ClientError, UnknownSession};
use crate::status::{DaemonStatus, DropStatus, ReloadStatus, SessionStatus};

fn session(name: &str) -> SessionStatus {
    SessionStatus {
        instance: None,
        name: name.to_owned(),
        target: "i-0123456789abcdef0".to_owned(),
        phase: Phase::Attached,
        shell: false,
        on_demand: false,
        phase_for_ms: 182_000,
        cause: "the agent has answered".to_owned(),
        session_id: Some("ada-0a1b2c".to_owned()),
        agent_version: Some("3.3.1".to_owned()),
        listeners: vec!["127.0.0.1:5432".to_owned()],
        listener_error: None,
        connections: 3,
        attempts: 0,
        next_attempt_in_ms: None,
        agent_away: false,
        trouble: None,
        may_end_in_ms: None,
        figures: Figures {
            bytes_up: 1_234_567,
            bytes_down: 20_000_000,
            drops: 1,
            starts: 1,
            rtt_us: 20_400,
            ..Figures::default()
        },
        history: vec![DropStatus {
            ago_ms: 190_000,
            cause: DropCause::Reset,
            cause_text: "connection reset".to_owned(),
            noticed_after_ms: 3,
            attempts: 2,
            recovered_after_ms: Some(310),
            backlog_bytes: 4_096,
        }],
    }
}

fn unwell() -> SessionStatus {
    SessionStatus {
        phase: Phase::Reattaching,
        phase_for_ms: 12_000,
        cause: "closed by the service (1000 Bye\u{1b}[2J)".to_owned(),
        session_id: None,
        agent_version: None,
        listeners: Vec::new(),
        listener_error: Some("127.0.0.1:80: permission denied".to_owned()),
        attempts: 4,
        next_attempt_in_ms: Some(1_500),
        agent_away: true,
        trouble: Some(Trouble::AgentAway),
        may_end_in_ms: Some(600_000),
        history: Vec::new(),
        figures: Figures::default(),
        connections: 0,
        ..session("billing")
    }
}

#[test]
fn the_overview_is_a_table_with_reasons_for_the_unwell() {
    let status = DaemonStatus {
        version: "0.1.0".to_owned(),
        pid: 1,
        log_level: "info".to_owned(),
        last_reload: None,
        sessions: vec![unwell(), session("orders-db")],
    };
    assert_eq!(
        render::overview(&status),
        "\
SESSION    PHASE        FOR    LISTENS ON      CONNECTIONS  DROPS  UP      DOWN
billing    reattaching  12s    -               0            0      0 B     0 B
  not listening: 127.0.0.1:80: permission denied
  closed by the service (1000 Bye\u{fffd}[2J)
  attempt 5 in 1s
  the agent is away
  AWS may end the session in 10m 0s
orders-db  attached     3m 2s  127.0.0.1:5432  3            1      1.2 MB  20.0 MB
"
    );
    let none = DaemonStatus {
        sessions: Vec::new(),
        last_reload: Some(ReloadStatus {
            ago_ms: 5_000,
            ok: false,
            message: "a.toml:1:\n  bad\u{1b}".to_owned(),
        }),
        ..status
    };
    assert_eq!(
        render::overview(&none),
        "the daemon has no sessions\n\nthe reload 5s ago changed nothing, the configuration is wrong:\na.toml:1:\n  bad\u{fffd}\n"
    );
}

#[test]
fn where_nobody_can_connect_the_command_is_shown_that_does() {
    let shell = |on_demand| SessionStatus {
        shell: true,
        on_demand,
        listeners: Vec::new(),
        ..session("build")
    };
    let proxied = SessionStatus {
        on_demand: true,
        listeners: Vec::new(),
        ..session("ssh-i-0-1")
    };
    for (session, shown) in [
        (shell(false), "autossm attach build"),
        (shell(true), "autossm attach build"),
        (proxied, "autossm proxy"),
    ] {
        let text = render::session(&session);
        assert!(text.contains(&format!("  listens on   {shown}\n")), "{text}");
    }
}

#[test]
fn one_session_is_shown_in_detail() {
    assert_eq!(
        render::session(&session("orders-db")),
        "\
orders-db
  phase        attached for 3m 2s
  target       i-0123456789abcdef0
  AWS session  ada-0a1b2c
  agent        3.3.1
  listens on   127.0.0.1:5432
  connections  3
  sent         1.2 MB
  received     20.0 MB
  backlog      0 B
  round trip   20.4 ms
  drops        1
  starts       1

DROPPED     SILENT FOR  RECOVERED AFTER  ATTEMPTS  RESENT  CAUSE
3m 10s ago  3ms         310ms            2         4.0 kB  connection reset
"
    );
    let unwell = render::session(&unwell());
    assert!(unwell.contains("  attempt 5 in 1s\n"), "{unwell}");
}

#[test]
fn text_from_elsewhere_cannot_drive_the_terminal() {
    assert_eq!(
        sanitise("a\u{1b}]0;x\u{7}\r\n\u{202e}b\u{9b}é"),
        "a\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\u{fffd}é"
    );
}

#[test]
fn the_command_line_is_understood() {
    Cli::command().debug_assert();
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    let run = parse("autossm run --config a.toml --socket s --log debug").unwrap();
    assert!(matches!(run.command, Command::Run(args) if args.log.as_deref() == Some("debug")));
    let status = parse("autossm status db --json").unwrap();
    assert!(matches!(
        status.command,
        Command::Status(args) if args.json && args.name.as_deref() == Some("db")
    ));
    for wrong in [
        "autossm",
        "autossm restart",
        "autossm restrat db",
        "autossm wait db --for bed",
    ] {
        let error = parse(wrong).unwrap_err();
        assert!(error.use_stderr(), "{wrong}");
    }
}

#[test]
fn errors_have_the_documented_exit_codes() {
    let path = || "/run/x".into();
    let name = || "db".to_owned();
    for (error, code) in [
        (LoadError::Missing { searched: vec![path()] }.into(), 78),
        (PathError::NoRuntimeDir.into(), 69),
        (ClientError::NoDaemon { path: path() }.into(), 3),
        (ClientError::NotAllowed { path: path() }.into(), 69),
        (
            ClientError::Timeout {
                path: path(),
                after: Duration::ZERO,
            }
            .into(),
            75,
        ),
        (ClientError::BadRequest { message: name() }.into(), 2),
        (ClientError::BadConfiguration { problems: name() }.into(), 78),
        (ClientError::from(UnknownSession { name: name() }).into(), 1),
        (anyhow::anyhow!("anything else"), 1),
    ] {
        let error: anyhow::Error = error;
        assert_eq!(exit::of(&error).code(), code, "{error}");
        // A command may say what it was doing.
        assert_eq!(exit::of(&error.context("while testing")).code(), code);
    }
}
