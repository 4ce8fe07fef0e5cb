//! `autossm sessions`: whose are the sessions that AWS has.

use autossm_sim::{BadAnswer, Call, Fault};
use serde_json::Value;

use crate::home::config;
use crate::login::{EARLIER, LATER, log_in, workplace};
use crate::services::ARN;

const TARGET: &str = "i-0123456789abcdef0";

#[tokio::test]
async fn held_by_the_daemon_by_another_client_and_by_nobody() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    let text = config("profile = \"work\"", TARGET, 80);
    let daemon = home.daemon(&text).await;
    daemon.attached().await;
    let first = daemon.session().await.session_id.unwrap();
    let listed = async || {
        let (out, err, code) = home.run(&["sessions", "--json"]).await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let json: Value = serde_json::from_str(&out).unwrap();
        json["sessions"].as_array().unwrap().clone()
    };
    let sessions = listed().await;
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!(session["session_id"], first.as_str());
    assert_eq!(
        (session["held_by"].as_str(), session["name"].as_str()),
        (Some("daemon"), Some("demo"))
    );
    assert_eq!(
        (session["target"].as_str(), session["owner"].as_str()),
        (Some(TARGET), Some(ARN))
    );
    assert_eq!(services.count("GetCallerIdentity"), 1);
    // A daemon that is killed leaves its session behind, and the next one starts another.
    daemon.stop().await;
    let (out, _, _) = home.run(&["sessions"]).await;
    assert!(out.contains("no daemon is running here"), "{out}");
    let daemon = home.daemon(&text).await;
    daemon.attached().await;
    daemon
        .until("the old one is seen to be left", async || {
            let sessions = listed().await;
            let of = |id: &str| sessions.iter().find(|session| session["session_id"] == id).cloned();
            sessions.len() == 2 && of(&first).is_some_and(|session| session["held_by"] == "nobody")
        })
        .await;
    let (out, _, _) = home.run(&["sessions"]).await;
    assert!(
        out.contains("session demo") && out.contains("held by nobody: it ends at its idle time-out"),
        "{out}"
    );
    // Another home knows nothing of this daemon.
    let (_, _, _) = home.run(&["stop", "demo"]).await;
    daemon
        .until("only the old one is left", async || listed().await.len() == 1)
        .await;
    assert_eq!(simulator.calls().start, 2);
}

#[tokio::test]
async fn without_the_identity_all_are_listed_and_without_the_permission_none() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    let daemon = home.daemon(&config("profile = \"work\"", TARGET, 80)).await;
    daemon.attached().await;
    services.answer("GetCallerIdentity", crate::services::Answer::new(500, ""));
    let (out, err, code) = home.run(&["sessions"]).await;
    assert!(out.contains("session demo"), "{out}");
    assert!(err.contains("all sessions are listed, not only your own"), "{err}");
    assert_eq!(code, Some(0));
    let denied = Fault::Answer {
        call: Call::Describe,
        times: 1,
        answer: BadAnswer::AccessDenied,
    };
    simulator.inject(denied).await.unwrap();
    let (_, err, code) = home.run(&["sessions", "--all"]).await;
    assert!(err.contains("needs ssm:DescribeSessions here"), "{err}");
    assert_eq!(code, Some(75));
}

#[tokio::test]
async fn without_a_login_it_says_which_one() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    home.configure(&config("profile = \"work\"", TARGET, 80));
    let (_, err, code) = home.run(&["sessions"]).await;
    assert!(err.contains("run `aws sso login --profile work`"), "{err}");
    assert_eq!(code, Some(75));
}

/// As README recommends it for a daemon that is there for ssh.
#[tokio::test]
async fn defaults_alone_are_an_account_to_look_at() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    let daemon = home.daemon(&config("profile = \"work\"", TARGET, 80)).await;
    daemon.attached().await;
    let left = daemon.session().await.session_id.unwrap();
    daemon.stop().await;
    home.configure("[defaults]\nprofile = \"work\"\n");
    let (out, err, code) = home.run(&["sessions"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(&left), "{out}");
    log_in(&home, "good-token", EARLIER);
    let (out, err, code) = home.run(&["sessions"]).await;
    assert_eq!(code, Some(75), "{out}{err}");
    assert!(err.contains("run `aws sso login --profile work`"), "{err}");
    // The environment fills what the configuration leaves open, as it does for `proxy`.
    home.configure("[defaults]\nregion = \"eu-west-1\"\n");
    let home = home.with("AWS_PROFILE", "work");
    let (_, err, _) = home.run(&["sessions"]).await;
    assert!(err.contains("run `aws sso login --profile work`"), "{err}");
}
