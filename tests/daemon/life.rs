//! When there is an AWS session at all: idle forwards sleep, connections wake them, some are kept, some are let go.

use std::time::Duration;

use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Config, Fault, LinkFault, ResumeOfEnded, Side};

use crate::support::traffic::Load;
use crate::{Bench, QUICK};

const SMALL: Load = Load {
    key: 1,
    up: 50_000,
    down: 50_000,
    pace: 0,
};

/// An account whose sessions idle out so soon.
fn idles_out(after: Duration) -> Config {
    Config {
        idle_timeout: Some(after),
        ..Config::default()
    }
}

impl Bench {
    async fn phase(&self, phase: Phase) {
        let what = format!("phase {phase}");
        self.daemon
            .wait_until(&what, |session| session.phase == phase)
            .await
            .unwrap();
    }

    async fn starts(&self) -> u64 {
        self.daemon.session().await.unwrap().figures.starts
    }

    async fn exchange(&self, key: u64) {
        let transfer = self.transfer(vec![Load { key, ..SMALL }]).await;
        self.finish(transfer).await;
    }
}

#[tokio::test]
async fn an_idle_forward_sleeps_and_a_connection_wakes_it() {
    let bench = Bench::with(idles_out(Duration::from_secs(2)), QUICK).await;
    bench.exchange(1).await;
    bench.phase(Phase::Dormant).await;
    let session = bench.daemon.session().await.unwrap();
    assert!(
        session.cause.contains("the next local connection starts a session"),
        "{}",
        session.cause
    );
    assert!(!session.listeners.is_empty(), "it listens");
    let starts = bench.starts().await;
    bench.exchange(2).await;
    assert_eq!(bench.starts().await, starts + 1);
}

#[tokio::test]
async fn on_connect_starts_with_the_first_connection_and_not_before() {
    let bench = Bench::start(&format!("{QUICK}start = \"on-connect\"\n")).await;
    bench.phase(Phase::Dormant).await;
    assert_eq!(bench.starts().await, 0);
    bench.exchange(1).await;
    assert_eq!(bench.starts().await, 1);
}

#[tokio::test]
async fn a_kept_forward_does_not_idle_out() {
    let more = "timings = { idle_keepalive = \"1s\" }\n";
    let bench = Bench::with(idles_out(Duration::from_secs(4)), more).await;
    bench.attached().await;
    // Three times as long as the account allows.
    bench
        .daemon
        .wait_until("a long silence", |session| {
            session.phase != Phase::Attached || session.phase_for_ms > 12_000
        })
        .await
        .unwrap();
    let session = bench.daemon.session().await.unwrap();
    assert_eq!(
        (session.phase, session.figures.starts),
        (Phase::Attached, 1),
        "{}",
        session.cause
    );
}

#[tokio::test]
async fn a_session_that_stops_at_its_end_listens_no_more_until_it_is_started() {
    let bench = Bench::start(&format!("{QUICK}on_end = \"stop\"\n")).await;
    bench.attached().await;
    bench
        .inject([Fault::EndSession {
            session: None,
            announce: Some("terminated by an administrator".to_owned()),
            resume: ResumeOfEnded::DoesNotExist,
        }])
        .await;
    bench.phase(Phase::Stopped).await;
    let session = bench.daemon.session().await.unwrap();
    assert!(session.listeners.is_empty(), "{:?}", session.listeners);
    assert!(session.cause.contains("administrator"), "{}", session.cause);
    bench
        .daemon
        .client()
        .order("demo", autossm::control::Order::Start)
        .await
        .unwrap();
    bench.attached().await;
    bench.exchange(1).await;
}

/// When AWS may end the session, once its websocket has been lost for good.
async fn may_end_in(bench: &Bench) -> Duration {
    bench.attached().await;
    bench
        .inject([
            Fault::Answer {
                call: Call::Resume,
                answer: BadAnswer::Status(503),
                times: 1000,
            },
            Fault::Link {
                side: Side::Client,
                session: None,
                fault: LinkFault::Reset,
            },
        ])
        .await;
    let session = bench
        .daemon
        .wait_until("a deadline", |session| session.may_end_in_ms.is_some())
        .await
        .unwrap();
    Duration::from_millis(session.may_end_in_ms.unwrap())
}

#[tokio::test]
async fn the_account_says_when_it_ends_sessions() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let preferences = |idle: u64, most: &str| {
        format!(
            r#"{{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{{"idleSessionTimeout":"{idle}","maxSessionDuration":"{most}"}}}}"#
        )
    };
    let cases = [
        (None, "", minutes(20)),
        (Some(preferences(7, "")), "", minutes(7)),
        (Some(preferences(30, "12")), "", minutes(12)),
        // Who has written it down is believed.
        (Some(preferences(7, "5")), "session_timeout = \"4m\"", minutes(4)),
        (Some(preferences(7, "5")), "max_duration = \"3m\"", minutes(3)),
    ];
    for (preferences, more, expected) in cases {
        let simulator = Config {
            preferences,
            ..Config::default()
        };
        let bench = Bench::with(simulator, &format!("timings = {{ {more} }}\n")).await;
        let left = may_end_in(&bench).await;
        assert!(
            left <= expected && left + minutes(1) > expected,
            "{left:?} of {expected:?}"
        );
    }
}

#[tokio::test]
async fn an_account_that_may_not_be_asked_is_taken_for_an_ordinary_one() {
    let simulator = Config {
        preferences: Some(r#"{"inputs":{"idleSessionTimeout":"7"}}"#.to_owned()),
        ..Config::default()
    };
    let bench = Bench::with(simulator, "start = \"on-connect\"\n").await;
    bench.phase(Phase::Dormant).await;
    bench
        .inject([Fault::Answer {
            call: Call::Document,
            answer: BadAnswer::AccessDenied,
            times: 1,
        }])
        .await;
    bench.exchange(1).await;
    let left = may_end_in(&bench).await;
    assert!(left > Duration::from_secs(60 * 19), "{left:?}");
}
