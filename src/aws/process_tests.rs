//! Helpers that work, and that do not.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::*;

async fn run(command: &str, limit_ms: u64) -> Result<Credentials, HelperError> {
    let provider = ProcessCredentials {
        command: command.to_owned(),
        limit: Duration::from_millis(limit_ms),
    };
    provider.run().await
}

const LONG: u64 = 30_000;
const GOOD: &str = r#"{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"canary","SessionToken":"t"}"#;

#[tokio::test]
async fn a_helper_that_works_gives_credentials() {
    let dated = GOOD.replace('}', r#","Expiration":"2026-11-26T12:00:00+01:00","Other":[1]}"#);
    let credentials = run(&format!("echo '{dated}'"), LONG).await.unwrap();
    assert_eq!(
        (credentials.access_key_id(), credentials.session_token()),
        ("AKIA", Some("t"))
    );
    let expiry = credentials.expiry().unwrap().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(expiry.as_secs(), 1_795_690_800);
    let credentials = run(&format!("echo '{GOOD}'"), LONG).await.unwrap();
    assert_eq!(credentials.expiry(), None);
}

#[tokio::test]
async fn a_helper_that_fails_says_why_and_nothing_it_printed() {
    let rows = [
        (
            "echo canary; echo 'no session' >&2; exit 3",
            "failed (exit status: 3): no session",
        ),
        ("kill -9 $$", "failed (signal: 9 (SIGKILL))"),
        ("no-such-helper-anywhere", "failed (exit status: 127): "),
        ("echo canary", "is not the JSON"),
        ("true", "is not the JSON"),
        (
            "echo '{\"Version\":2,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"canary\"}'",
            "Version is not 1",
        ),
        (
            "echo '{\"Version\":1,\"AccessKeyId\":\"\",\"SecretAccessKey\":\"canary\"}'",
            "a key is empty",
        ),
        (
            "echo '{\"Version\":1,\"SecretAccessKey\":\"canary\"}'",
            "is not the JSON",
        ),
        (
            "echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"canary\",\"Expiration\":\"soon\"}'",
            "Expiration is no date",
        ),
        ("head -c 1000000 /dev/zero", "is not the JSON"),
    ];
    for (command, expected) in rows {
        let error = run(command, LONG).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{command}: {text}");
        assert!(!text.contains("canary"), "{command}: {text}");
    }
}

/// A process that is gone, or is only waiting for its parent to notice, does no harm any more.
fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = status.rsplit(')').next().unwrap_or_default().trim().chars().next();
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

async fn until_dead(pid_file: &Path) {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let gone = async {
        while is_alive(&pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.unwrap();
}

async fn until_written(path: &Path) {
    let written = async {
        while std::fs::read_to_string(path).unwrap_or_default().trim().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), written).await.unwrap();
}

#[tokio::test]
async fn a_helper_that_hangs_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let command = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let error = run(&command, 500).await.unwrap_err();
    assert!(matches!(error, HelperError::Hangs(_)), "{error}");
    until_dead(&pid).await;
}

#[tokio::test]
async fn children_that_a_helper_leaves_behind_are_killed_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    // The child holds standard output open.
    let command = format!("sleep 600 & echo $! > {}; echo '{GOOD}'", pid.display());
    let credentials = run(&command, LONG).await.unwrap();
    assert_eq!(credentials.access_key_id(), "AKIA");
    until_dead(&pid).await;
}

#[tokio::test]
async fn who_waits_no_more_leaves_no_helper_behind() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let command = format!("echo $$ > {}; sleep 600", pid.display());
    tokio::select! {
        _ = run(&command, LONG) => panic!("it sleeps"),
        () = until_written(&pid) => {}
    }
    until_dead(&pid).await;
}

#[tokio::test]
async fn a_child_in_a_session_of_its_own_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    // An agent that stays, as helpers start them: no signal to the helper's group reaches it, and it holds the pipes open.
    let command = format!(
        "setsid sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600' & \
         while ! [ -e {pid} ]; do sleep 0.01; done; echo '{GOOD}'",
        pid = pid.display()
    );
    let credentials = run(&command, LONG).await;
    let number: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    kill_process_group(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    assert_eq!(credentials.unwrap().access_key_id(), "AKIA");
}
