//! How it ends when it cannot go on: a clear message, an exit code, nothing left behind.

use std::process::Stdio;
use std::time::Duration;

use autossm_sim::{BadAnswer, Call, Config, Fault, LinkFault, Side};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Bench, Outcome, PATIENCE, TARGET, close, five, noise, outcome, program};

impl Bench {
    /// `autossm proxy` itself, with this in the environment and something to send that it may never get rid of.
    async fn proxy(&self, target: &str, more: &[(&str, &str)]) -> Outcome {
        let port = self.server.port.to_string();
        let program = program().display().to_string();
        let mut command = self.command(&program, &["proxy", target, &port]);
        command.envs(more.iter().copied());
        outcome(command).await
    }
}

fn kill(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    kill_process(pid.unwrap(), signal).unwrap();
}

/// A login that has begun, and what it was told.
async fn login(mut command: Command) -> (Child, String) {
    let mut ssh = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(ssh.stdout.as_mut().unwrap());
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, shown.read_line(&mut line)).await;
    read.unwrap().unwrap();
    (ssh, line)
}

fn cat(bench: &Bench) -> Command {
    let config = bench.path("client_config").display().to_string();
    bench.command("ssh", &["-F", &config, TARGET, "echo ready; cat"])
}

async fn stderr_of(mut ssh: Child) -> (Option<i32>, String) {
    let mut text = String::new();
    let mut stderr = ssh.stderr.take().unwrap();
    let read = tokio::time::timeout(PATIENCE, stderr.read_to_string(&mut text)).await;
    read.unwrap().unwrap();
    (ssh.wait().await.unwrap().code(), text)
}

#[tokio::test]
async fn without_a_daemon_it_holds_the_session_itself() {
    let Some(bench) = Bench::without_daemon(&[], Config::default()).await else {
        return;
    };
    let endpoint = bench.simulator.endpoint_url();
    let sum = noise(&bench.path("sent"), 2_000_000, 7);
    let config = bench.path("client_config").display().to_string();
    let (from, to) = (
        bench.path("sent").display().to_string(),
        format!("{TARGET}:{}", bench.path("got").display()),
    );
    let mut command = bench.command("scp", &["-F", &config, "-q", &from, &to]);
    command.envs(credentials(&endpoint));
    let copied = tokio::spawn(outcome(command));
    // Cut it as soon as there is something to cut, again and again.
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while !copied.is_finished() {
        ticks.tick().await;
        bench.simulator.inject(close()).await.unwrap();
    }
    let copied = copied.await.unwrap();
    assert_eq!((copied.code, copied.stderr.as_str()), (Some(0), ""));
    assert_eq!(checksum_of(&bench, "got"), sum);
    bench.no_orphans().await;
}

fn checksum_of(bench: &Bench, name: &str) -> String {
    crate::checksum(&bench.path(name))
}

/// What somebody has who has no daemon.
fn credentials(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ENDPOINT_URL_SSM", endpoint.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

#[tokio::test]
async fn what_cannot_begin_says_why() {
    let targets = vec![TARGET.to_owned()];
    let simulator = Config {
        targets,
        ..Config::default()
    };
    let Some(mut bench) = Bench::with(&[], simulator).await else {
        return;
    };
    let wrong = bench.proxy("wrong", &[]).await;
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    assert!(
        wrong.stderr.starts_with("autossm: ") && wrong.stderr.contains("`wrong`"),
        "{wrong:?}"
    );

    let offline = bench.proxy("i-0ffffffffffffffff", &[]).await;
    assert_eq!((offline.code, offline.stdout.as_str()), (Some(69), ""));
    assert!(
        offline.stderr.starts_with("autossm: i-0ffffffffffffffff: "),
        "{offline:?}"
    );
    assert!(offline.stderr.contains("not connected"), "{offline:?}");

    // Nobody listens there: ssh's own message says no more than that the connection was closed.
    let there = std::mem::replace(&mut bench.server.port, 1);
    let refused = bench.proxy(TARGET, &[]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(69), ""), "{refused:?}");
    assert!(
        refused.stderr.contains("Unable to connect to specified port"),
        "{refused:?}"
    );
    bench.server.port = there;

    for (answer, code, word) in [
        (BadAnswer::AccessDenied, 1, "ssm:StartSession"),
        // At last: keys that have expired stay so.
        (BadAnswer::ExpiredCredentials, 77, "expired"),
    ] {
        let fault = Fault::Answer {
            call: Call::Start,
            times: 1,
            answer,
        };
        bench.simulator.inject(fault).await.unwrap();
        let refused = bench.proxy(TARGET, &[]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{refused:?}");
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
    bench.no_orphans().await;
}

#[tokio::test]
async fn ssh_shows_what_autossm_says() {
    let simulator = Config {
        targets: vec!["i-0ffffffffffffffff".to_owned()],
        ..Config::default()
    };
    let Some(bench) = Bench::with(&[], simulator).await else {
        return;
    };
    let offline = bench.ssh(&[TARGET, "true"]).await;
    assert_eq!(offline.code, Some(255));
    assert!(offline.stderr.contains(&format!("autossm: {TARGET}: ")), "{offline:?}");
}

#[tokio::test]
async fn an_ssh_that_is_killed_leaves_nothing() {
    let Some(bench) = Bench::start(&[]).await else { return };
    for signal in [Signal::KILL, Signal::TERM, Signal::HUP] {
        let (mut ssh, line) = login(cat(&bench)).await;
        assert_eq!(line, "ready\n");
        kill(&ssh, signal);
        ssh.wait().await.unwrap();
        bench.no_orphans().await;
    }
    // Also in the middle of a drop, with more on the way than anybody takes.
    let (mut ssh, _) = login(cat(&bench)).await;
    bench.simulator.inject(crate::refuse(600_000)).await.unwrap();
    bench.simulator.inject(close()).await.unwrap();
    let mut typed = ssh.stdin.take().unwrap();
    let flood = tokio::spawn(async move { typed.write_all(&vec![b'x'; 20_000_000]).await });
    bench
        .daemon()
        .wait_until("a backlog", |session| session.figures.bytes_up >= 60_000)
        .await
        .unwrap();
    kill(&ssh, Signal::KILL);
    ssh.wait().await.unwrap();
    drop(flood.await.unwrap());
    bench.no_orphans().await;
}

#[tokio::test]
async fn an_ssh_without_a_daemon_that_is_killed_leaves_nothing() {
    let Some(bench) = Bench::without_daemon(&[], Config::default()).await else {
        return;
    };
    for signal in [Signal::KILL, Signal::HUP] {
        let mut command = cat(&bench);
        command.envs(credentials(&bench.simulator.endpoint_url()));
        let (mut ssh, line) = login(command).await;
        assert_eq!(line, "ready\n");
        kill(&ssh, signal);
        ssh.wait().await.unwrap();
        bench.no_orphans().await;
    }
}

#[tokio::test]
async fn ctrl_c_at_a_terminal_terminates_the_session_it_holds() {
    let Some(bench) = Bench::without_daemon(&[], Config::default()).await else {
        return;
    };
    for key in [b"\x03", b"\x1c"] {
        let (mut terminal, pts) = pty_process::open().unwrap();
        let port = bench.server.port.to_string();
        let mut proxy = pty_process::Command::new(program())
            .args(["proxy", TARGET, &port])
            .env_clear()
            .envs(bench.environment())
            .envs(credentials(&bench.simulator.endpoint_url()))
            .kill_on_drop(true)
            .spawn(pts)
            .unwrap();
        let mut shown = String::new();
        while !shown.contains("SSH-2.0-") {
            let mut buffer = [0; 256];
            let read = tokio::time::timeout(PATIENCE, terminal.read(&mut buffer)).await;
            shown.push_str(&String::from_utf8_lossy(&buffer[..read.unwrap().unwrap()]));
        }
        terminal.write_all(key).await.unwrap();
        // Its words must have a reader.
        let mut rest = Vec::new();
        let ended = async { tokio::join!(proxy.wait(), terminal.read_to_end(&mut rest)).0 };
        let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
        assert_eq!(ended.code(), Some(75), "{}", String::from_utf8_lossy(&rest));
        bench.no_orphans().await;
    }
}

#[tokio::test]
async fn a_daemon_that_is_restarted_under_a_live_ssh() {
    let Some(mut bench) = Bench::start(&[]).await else {
        return;
    };
    let (ssh, _) = login(cat(&bench)).await;
    let daemon = bench.daemon.take().unwrap();
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
    let (code, text) = stderr_of(ssh).await;
    assert_eq!(code, Some(255), "{text}");
    assert!(text.contains(&format!("autossm: {TARGET}: ")), "{text}");
    assert!(text.contains("stopped") || text.contains("daemon has ended"), "{text}");
    bench.no_orphans().await;
    // The next one finds the new daemon.
    bench.start_daemon("").await;
    assert_eq!(bench.ssh(&[TARGET, "echo here"]).await.stdout, "here\n");
}

#[tokio::test]
async fn a_daemon_that_is_killed_under_a_live_ssh() {
    let Some(mut bench) = Bench::start(&[]).await else {
        return;
    };
    let (ssh, _) = login(cat(&bench)).await;
    let daemon = bench.daemon.take().unwrap();
    daemon.signal(Signal::KILL).unwrap();
    daemon.ended().await.unwrap();
    let (code, text) = stderr_of(ssh).await;
    assert_eq!(code, Some(255), "{text}");
    assert!(
        text.contains("the daemon has ended, and the connection with it"),
        "{text}"
    );
}

#[tokio::test]
async fn a_reload_does_not_touch_it() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let (mut ssh, _) = login(cat(&bench)).await;
    let forward = "[session.more]\ntarget = \"i-0\"\nforward = { listen = \":0\", port = 9 }\n";
    bench.daemon().write_config(&bench.config(forward)).unwrap();
    bench.daemon().client().reload().await.unwrap();
    bench.daemon().write_config(&bench.config("")).unwrap();
    bench.daemon().client().reload().await.unwrap();
    let status = bench.daemon().client().status().await.unwrap();
    let [session] = status.sessions.as_slice() else {
        panic!("{status:?}");
    };
    assert!(
        session.on_demand && session.name.starts_with(&format!("ssh-{TARGET}-")),
        "{session:?}"
    );
    let mut typed = ssh.stdin.take().unwrap();
    typed.write_all(b"still here\n").await.unwrap();
    drop(typed);
    let mut shown = String::new();
    ssh.stdout.take().unwrap().read_to_string(&mut shown).await.unwrap();
    assert!(shown.ends_with("still here\n"), "{shown:?}");
    assert!(ssh.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_stop_by_hand_is_told() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let (ssh, _) = login(cat(&bench)).await;
    let name = bench.daemon().session().await.unwrap().name;
    let stop = autossm::control::Order::Stop;
    bench.daemon().client().order(&name, stop).await.unwrap();
    let (code, text) = stderr_of(ssh).await;
    assert_eq!(code, Some(255), "{text}");
    assert!(text.contains("stopped"), "{text}");
    bench.no_orphans().await;
}

#[tokio::test]
async fn a_session_that_aws_ends_is_told_with_aws_words() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let (ssh, _) = login(cat(&bench)).await;
    let end = Fault::EndSession {
        session: None,
        announce: Some("Your session timed out due to inactivity".to_owned()),
        resume: autossm_sim::ResumeOfEnded::DoesNotExist,
    };
    bench.simulator.inject(end).await.unwrap();
    let (code, text) = stderr_of(ssh).await;
    assert_eq!(code, Some(255), "{text}");
    assert!(text.contains("timed out due to inactivity"), "{text}");
}

/// The agent hands something over, cannot say so, and hands it over again: the server finds a wrong checksum and closes.
#[tokio::test]
async fn double_delivery_is_noticed_by_ssh_and_the_user_sees_why() {
    let Some(bench) = Bench::start(&[]).await else { return };
    noise(&bench.path("sent"), 20_000_000, 9);
    let config = bench.path("client_config").display().to_string();
    let (from, to) = (
        bench.path("sent").display().to_string(),
        format!("{TARGET}:{}", bench.path("got").display()),
    );
    let copied = tokio::spawn(outcome(bench.command("scp", &["-F", &config, "-q", &from, &to])));
    bench.moved(2_000_000).await;
    let fault = Fault::Link {
        session: None,
        side: Side::Agent,
        fault: LinkFault::ResetBeforeAcknowledge,
    };
    bench.simulator.inject(fault).await.unwrap();
    let copied = copied.await.unwrap();
    assert_ne!(copied.code, Some(0));
    assert!(
        copied.stderr.contains("handed over twice"),
        "{copied:?}\n{}",
        bench.daemon().log()
    );
    let log = bench.server.log();
    assert!(
        log.contains("message authentication code incorrect") || log.contains("Corrupted MAC"),
        "{log}"
    );
    bench.no_orphans().await;
}

/// What is not ssh can use it too: an end of input reaches the far side when nothing comes back any more.
#[tokio::test]
async fn the_end_of_input_does_not_cut_off_the_answer() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let banner = bench.proxy(TARGET, &[]).await;
    assert_eq!((banner.code, banner.stderr.as_str()), (Some(0), ""));
    assert!(banner.stdout.starts_with("SSH-2.0-"), "{banner:?}");
    bench.no_orphans().await;
    // And with drops.
    let [first, ..] = five();
    for fault in first {
        bench.simulator.inject(fault).await.unwrap();
    }
    assert!(bench.proxy(TARGET, &[]).await.stdout.starts_with("SSH-2.0-"));
}
