//! A shell whose daemon was killed goes on with another daemon, which knows nothing but its session's id.

use autossm_sim::Config;
use rustix::process::Signal;

use crate::support::daemon::Daemon;
use crate::user::User;
use crate::{Bench, program, skips_outside_agents};

/// Somebody else's daemon, which holds nothing.
async fn successor(bench: &Bench) -> Daemon {
    let text = format!(
        "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n",
        bench.simulator.endpoint_url()
    );
    Daemon::with(program(), &[], &["--log", "debug"], &[], &text)
        .await
        .unwrap()
}

fn adopt(daemon: &Daemon, session_id: &str) -> User {
    User::start(program(), &["adopt", session_id], daemon.environment(), (24, 80))
}

async fn session_id(bench: &Bench) -> String {
    bench.attached().await.session_id.unwrap()
}

#[tokio::test]
async fn a_shell_of_a_killed_daemon_goes_on_with_another() {
    let bench = Bench::start().await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    user.type_in("kept=here; echo ready-$((1+1))\r").await;
    user.reads("ready-2").await;
    let id = session_id(&bench).await;
    bench.daemon.signal(Signal::KILL).unwrap();
    user.reads("the daemon has ended").await;
    user.ends().await;

    let daemon = successor(&bench).await;
    let ran = daemon.directory().join("ran");
    let mut user = adopt(&daemon, &id);
    user.type_in(&format!("echo once >> {}; echo still-$kept\r", ran.display()))
        .await;
    user.reads("still-here").await;
    let session = daemon.session().await.unwrap();
    assert_eq!(
        (session.session_id.as_deref(), session.figures.starts),
        (Some(id.as_str()), 0)
    );
    assert_eq!(
        std::fs::read_to_string(&ran).unwrap(),
        "once\n",
        "the command has run once"
    );
    user.type_in("\r~.").await;
    user.ends().await;
    // Whoever comes again is shown it, and takes it from nobody.
    let mut user = adopt(&daemon, &id);
    user.reads("still-here").await;
    user.type_in("exit\r").await;
    user.reads("the shell has ended").await;
    user.ends().await;
    assert_eq!(daemon.client().status().await.unwrap().sessions.len(), 0);
    assert_eq!(bench.simulator.calls().start, 1, "nothing follows its end");
}

#[tokio::test]
async fn what_is_no_shell_to_be_taken_over_is_left_alone() {
    if skips_outside_agents() {
        return;
    }
    let bench = Bench::with(Config::default(), "forward = { listen = \"127.0.0.1:0\", port = 9 }").await;
    let id = session_id(&bench).await;
    let daemon = successor(&bench).await;
    for (id, why) in [
        (id.as_str(), "it is a port forward, whose streams belong to the client"),
        ("sim-nobody", "it has ended, or is in another account or region"),
    ] {
        let mut user = adopt(&daemon, id);
        user.reads("cannot be taken over").await;
        let status = user.ends().await;
        assert!(!status.success(), "{status}");
        // A terminal breaks lines where it likes.
        let said = user.rows().concat();
        assert!(said.contains(why), "{said}");
    }
    let mut user = adopt(&bench.daemon, &id);
    user.reads("which is no shell").await;
    assert!(!user.ends().await.success());
    assert!(
        !bench.simulator.sessions().await[0].ended,
        "it belongs to the other daemon"
    );
    assert_eq!(bench.attached().await.figures.drops, 0);
}
