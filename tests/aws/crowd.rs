//! Two hundred sessions with one login.

use std::fmt::Write;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::Fault;

use crate::home::{Daemon, lines, say};
use crate::login::{EARLIER, LATER, RESET, log_in, workplace};

const SESSIONS: usize = 200;

fn configuration() -> String {
    let mut text = "[defaults]\nprofile = \"work\"\n".to_owned();
    for number in 0..SESSIONS {
        write!(
            text,
            "[session.s{number:03}]\ntarget = \"i-0123456789abcdef0\"\n\
             forward = {{ listen = \"127.0.0.1:0\", port = 80 }}\n"
        )
        .unwrap();
    }
    text
}

async fn all(daemon: &Daemon, phase: Phase) {
    let in_phase = async || {
        let sessions = daemon.sessions().await;
        sessions.iter().filter(|session| session.phase == phase).count()
    };
    daemon
        .until(&format!("all {phase}"), async || in_phase().await == SESSIONS)
        .await;
}

/// A window to count in: every session has waited for a login for six seconds.
async fn waited(daemon: &Daemon) {
    let long = |session: &SessionStatus| session.phase == Phase::AwaitingLogin && session.phase_for_ms >= 6000;
    daemon
        .until("six seconds of waiting", async || {
            daemon.sessions().await.iter().all(long)
        })
        .await;
}

#[tokio::test]
async fn two_hundred_sessions_wait_for_one_login_and_all_come_back() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", EARLIER);
    let daemon = home.daemon(&configuration()).await;
    all(&daemon, Phase::AwaitingLogin).await;
    waited(&daemon).await;
    let warnings = lines(&daemon.log(), "WARN").len();
    assert_eq!(warnings, 1, "{:?}", lines(&daemon.log(), "WARN"));
    assert_eq!(lines(&daemon.log(), "a login is needed").len(), 1);
    assert_eq!(simulator.calls().start, 0);
    assert_eq!(
        services.count("GetRoleCredentials"),
        0,
        "an expired login is not even tried"
    );
    log_in(&home, "good-token", LATER);
    all(&daemon, Phase::Attached).await;
    assert_eq!(services.count("GetRoleCredentials"), 1, "one fetch for all");
    let starts = simulator.calls().start;
    say(&format!("{starts} StartSession calls for {SESSIONS} sessions"));

    // At noon AWS takes the keys no more, and the connections drop.
    let expired = Fault::ExpireKeys {
        keys: vec!["ASIAROLE".to_owned()],
    };
    simulator.inject(expired).await.unwrap();
    simulator.inject(RESET).await.unwrap();
    all(&daemon, Phase::AwaitingLogin).await;
    let resumes = simulator.calls().resume;
    let fetches = services.count("GetRoleCredentials");
    waited(&daemon).await;
    let more = simulator.calls().resume - resumes;
    say(&format!(
        "{resumes} ResumeSession calls until all waited, {more} in the next 6 s"
    ));
    assert!(more <= 10, "{more} calls with keys that AWS does not take");
    assert!(services.count("GetRoleCredentials") - fetches <= 3);
    assert_eq!(
        lines(&daemon.log(), "a login is needed").len(),
        2,
        "once for each outage"
    );
    services.set_key("ASIANEXT");
    log_in(&home, "good-token", LATER);
    all(&daemon, Phase::Attached).await;
    assert!(
        daemon
            .sessions()
            .await
            .iter()
            .all(|session| session.figures.starts == 1),
        "no session was lost"
    );
}
