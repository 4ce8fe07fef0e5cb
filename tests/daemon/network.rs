//! The machine's network changes under a running daemon: in a network namespace of its own, without privileges.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::daemon::Daemon;
use crate::support::skipped;

/// Runs a command and says whether it went well.
fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Netlink tells of an address, and the wait for the next attempt is over. (The wait is drawn from zero to ten minutes:
/// one run in a thousand would not have waited anyway.)
#[tokio::test]
async fn a_new_address_is_noticed_and_tried_at_once() {
    if !works("unshare", &["-Urn", "ip", "link", "set", "lo", "up"]) {
        skipped("needs unshare and ip (util-linux, iproute2) and user namespaces");
        return;
    }
    let config = "\
        [session.demo]\n\
        target = \"i-0123456789abcdef0\"\n\
        region = \"eu-west-1\"\n\
        endpoint_url = \"http://127.0.0.1:9\"\n\
        forward = { listen = \"unix:~/demo.sock\", port = 80 }\n\
        timings = { backoff = { initial = \"10m\", cap = \"10m\" } }\n";
    let before = ["-Urn", env!("CARGO_BIN_EXE_autossm")];
    let daemon = Daemon::start(Path::new("unshare"), &before, config).await.unwrap();
    daemon
        .wait_until("a wait", |session| {
            session.next_attempt_in_ms.is_some_and(|wait| wait > 500)
        })
        .await
        .unwrap();
    let attempts = daemon.session().await.unwrap().attempts;
    let target = daemon.pid().unwrap().to_string();
    let inside = |command: &[&str]| {
        let enter = ["-t", &target, "-U", "-n", "--preserve-credentials"];
        works("nsenter", &[enter.as_slice(), command].concat())
    };
    if !inside(&["ip", "link", "show", "lo"]) {
        skipped("needs nsenter (util-linux), allowed into namespaces of one's own");
        return;
    }
    assert!(inside(&["ip", "address", "add", "198.51.100.7/32", "dev", "lo"]));
    daemon
        .wait_until("another attempt", |session| session.attempts > attempts)
        .await
        .unwrap();
    assert!(daemon.log().contains("a local address has changed"), "{}", daemon.log());
}
