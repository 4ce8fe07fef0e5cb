//! `autossm exec`: codes, outputs, faults.

use std::process::Stdio;
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::Config;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::daemon::PATIENCE;
use crate::support::{comes_true, skipped};
use crate::user::User;
use crate::{Bench, kill, program};

const TARGET: &str = "i-0abc";

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Bench {
    pub(crate) fn exec(&self, options: &[&str], command: &[&str]) -> Command {
        let mut exec = Command::new(program());
        exec.arg("exec")
            .args(options)
            .args([TARGET, "--"])
            .args(command)
            .env_clear()
            .envs(self.daemon.environment())
            // With keys of its own it would hold the session itself.
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_CONFIG_FILE")
            .env_remove("AWS_SHARED_CREDENTIALS_FILE")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        exec
    }

    pub(crate) async fn run(&self, options: &[&str], command: &[&str]) -> Outcome {
        outcome(self.exec(options, command)).await
    }

    /// Waits until the daemon holds a session for a command that is attached.
    async fn running(&self) {
        let running = async || {
            let commands = self.commands().await;
            commands.iter().any(|session| session.phase == Phase::Attached)
        };
        assert!(comes_true(running).await, "no command runs:\n{}", self.daemon.log());
    }

    /// The sessions of commands that the daemon holds; none when it is too busy to say.
    pub(crate) async fn commands(&self) -> Vec<SessionStatus> {
        let status = self.daemon.client().status().await;
        let mut sessions = status.map_or_else(|_| Vec::new(), |status| status.sessions);
        sessions.retain(|session| session.name.starts_with("exec-"));
        sessions
    }
}

pub(crate) async fn outcome(mut command: Command) -> Outcome {
    let ended = tokio::time::timeout(2 * PATIENCE, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("does not end: {command:?}")).unwrap();
    Outcome {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn codes_and_outputs_are_the_commands_own() {
    let bench = Bench::start().await;
    for code in [0, 1, 3, 130, 254] {
        let command = format!("echo out; echo err >&2; exit {code}");
        let run = bench.run(&[], &[&command]).await;
        assert_eq!((run.code, run.stdout().as_str()), (Some(code), "out\n"), "{run:?}");
        assert_eq!(run.stderr, "err\n");
        let run = bench.run(&["--durable"], &[&command]).await;
        assert_eq!((run.code, run.stdout().as_str()), (Some(code), "out\nerr\n"), "{run:?}");
        assert_eq!(run.stderr, "");
    }
    let run = bench.run(&[], &["kill -KILL $$"]).await;
    assert_eq!(run.code, Some(255));
    assert!(run.stderr.contains("outcome unknown"), "{run:?}");
    let run = bench.run(&["--durable"], &["kill -TERM $$"]).await;
    assert_eq!(run.code, Some(143), "{run:?}");
    let run = bench.run(&[], &["printf", "%s|", "a b", "it's", "$HOME", ""]).await;
    assert_eq!(
        (run.code, run.stdout().as_str()),
        (Some(0), "a b|it's|$HOME||"),
        "{run:?}"
    );
    let run = bench
        .run(&["--durable"], &["printf", "%s|", "a b", "it's", "$HOME", ""])
        .await;
    assert_eq!(
        (run.code, run.stdout().as_str()),
        (Some(0), "a b|it's|$HOME||"),
        "{run:?}"
    );
}

#[tokio::test]
async fn without_a_daemon_the_process_holds_it() {
    let bench = Bench::start().await;
    let url = bench.simulator.endpoint_url();
    let mut exec = bench.exec(
        &["--no-daemon", "--region", "eu-west-1", "--endpoint-url", &url],
        &["echo hi; exit 3"],
    );
    let run = outcome({
        exec.envs(bench.daemon.environment());
        exec
    })
    .await;
    assert_eq!((run.code, run.stdout().as_str()), (Some(3), "hi\n"), "{run:?}");
}

#[tokio::test]
async fn what_cannot_be_started_is_255_with_a_reason() {
    let bench = Bench::start().await;
    let mut exec = bench.exec(&[], &["true"]);
    exec.env("XDG_RUNTIME_DIR", "/nonexistent");
    let run = outcome(exec).await;
    assert_eq!(run.code, Some(255), "{run:?}");
    assert!(!run.stderr.is_empty());
}

#[tokio::test]
async fn a_drop_gives_the_true_code_or_255() {
    let bench = Bench::start().await;
    // Silent while it drops: its end is told, but 0 could hide lost output.
    for (command, codes) in [
        ("sleep 3; exit 7", &[7, 255][..]),
        ("sleep 3; echo done", &[255]),
        ("for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done", &[255]),
    ] {
        let running = tokio::spawn(outcome(bench.exec(&[], &[command])));
        bench.running().await;
        bench.cut(0).await;
        let run = running.await.unwrap();
        assert!(codes.contains(&run.code.unwrap()), "{command}: {run:?}");
        if run.code == Some(255) {
            assert!(run.stderr.contains("outcome unknown"), "{run:?}");
        }
    }
}

#[tokio::test]
async fn durable_commands_survive_drops_at_any_moment() {
    let bench = Bench::start().await;
    let command = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit 9";
    let expected: String = (1..=40).map(|number| format!("line {number}\n")).collect();
    let running = tokio::spawn(outcome(bench.exec(&["--durable"], &[command])));
    bench.running().await;
    let mut cuts = tokio::time::interval(Duration::from_millis(900));
    let mut running = running;
    let run = loop {
        tokio::select! {
            run = &mut running => break run.unwrap(),
            _ = cuts.tick() => bench.cut(400).await,
        }
    };
    assert_eq!((run.code, run.stdout()), (Some(9), expected), "{}", run.stderr);
}

/// The tail is what an agent drops: the wrapper waits until it has been read.
#[tokio::test]
async fn a_durable_command_may_end_while_the_link_is_down() {
    let bench = Bench::start().await;
    let running = tokio::spawn(outcome(bench.exec(&["--durable"], &["sleep 2; echo tail; exit 4"])));
    bench.running().await;
    bench.cut(8000).await;
    let run = running.await.unwrap();
    assert_eq!((run.code, run.stdout().as_str()), (Some(4), "tail\n"), "{run:?}");
}

/// Whether this process ignores SIGINT, and with it all that it starts.
fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 2 != 0)
}

#[tokio::test]
async fn ctrl_c_reaches_the_remote_command() {
    if ignores_interrupts() {
        // A shell cannot trap what it was started to ignore.
        return skipped("SIGINT is ignored here, as in a background job of a script");
    }
    let bench = Bench::start().await;
    for (options, command, code) in [
        (
            &[][..],
            "trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.1; done",
            255,
        ),
        (
            &["--durable"],
            "trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.1; done",
            5,
        ),
        (&["--durable"], "echo ready; exec sleep 100", 130),
    ] {
        let mut exec = bench.exec(options, &[command]).spawn().unwrap();
        let mut stdout = exec.stdout.take().unwrap();
        // It says so when its trap is set; what may be the wrapper's own next line is held back.
        let mut ready = [0; 5];
        let said = tokio::time::timeout(PATIENCE, stdout.read_exact(&mut ready)).await;
        said.unwrap().unwrap();
        assert_eq!(&ready, b"ready", "{options:?}");
        let mut text = String::new();
        kill(exec.id().unwrap(), Signal::INT);
        let rest = tokio::time::timeout(PATIENCE, stdout.read_to_string(&mut text)).await;
        assert!(
            matches!(rest, Ok(Ok(_))),
            "{options:?}: after the interrupt {text:?}\n{}",
            bench.daemon.log()
        );
        let output = tokio::time::timeout(PATIENCE, exec.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        // AWS's agent may tell the true code.
        let told = output.status.code() == Some(5) && code == 255;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            told || output.status.code() == Some(code),
            "{options:?} {:?} {text} {said}",
            output.status
        );
        assert_eq!(text.contains("got"), command.contains("got"), "{text}");
    }
}

#[tokio::test]
async fn an_interactive_command_has_this_terminal_and_its_code() {
    let bench = Bench::start().await;
    let environment = bench.daemon.environment().into_iter();
    let own = environment.filter(|(name, _)| !name.starts_with("AWS_")).collect();
    let command = "read x; echo got-$x; stty size; exit 3";
    let mut user = User::start(program(), &["exec", "-i", TARGET, "--", command], own, (30, 100));
    bench.running().await;
    bench.cut(500).await;
    user.type_in("typed\r").await;
    user.reads("got-typed").await;
    user.reads("30 100").await;
    assert_eq!(user.ends().await.code(), Some(3));
    // Without a terminal there is nothing to be interactive with.
    let refused = bench.run(&["-i"], &["true"]).await;
    assert_eq!(refused.code, Some(255), "{refused:?}");
    assert!(refused.stderr.contains("needs a terminal"), "{refused:?}");
}

#[tokio::test]
async fn large_outputs_are_exact() {
    let mut config = Config::default();
    config.agent.speed = 2;
    let bench = Bench::with(config, "shell = {}").await;
    // 10 MB of each.
    let run = bench
        .run(&[], &["seq 1 1400000; seq 1 1400000 | sed 's/^/e/' >&2; exit 3"])
        .await;
    let out: String = (1..=1_400_000).map(|number| format!("{number}\n")).collect();
    let err: String = (1..=1_400_000).map(|number| format!("e{number}\n")).collect();
    assert_eq!(run.code, Some(3), "{}", run.stderr.lines().last().unwrap_or_default());
    assert!(
        run.stdout() == out && run.stderr == err,
        "{} and {} bytes",
        run.stdout.len(),
        run.stderr.len()
    );
    let run = bench.run(&["--durable"], &["seq 1 1400000"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(Sha256::digest(&run.stdout), Sha256::digest(out.as_bytes()));
}

#[tokio::test]
async fn a_hundred_in_parallel() {
    let bench = Bench::start().await;
    let mut runs = JoinSet::new();
    for number in 0..100 {
        let exec = bench.exec(&[], &[&format!("echo {number}; exit {}", number % 7)]);
        runs.spawn(async move { (number, outcome(exec).await) });
    }
    while let Some(ended) = runs.join_next().await {
        let (number, run) = ended.unwrap();
        assert_eq!(run.stdout(), format!("{number}\n"), "{run:?}");
        assert_eq!(run.code, Some(number % 7));
    }
}

#[tokio::test]
async fn a_client_that_is_killed_leaves_no_session_behind() {
    let bench = Bench::start().await;
    let mut exec = bench.exec(&[], &["sleep 1000"]).spawn().unwrap();
    bench.running().await;
    exec.kill().await.unwrap();
    let gone = async || {
        let sessions = bench.simulator.sessions().await;
        sessions.iter().filter(|session| !session.ended).count() <= 1
            && bench.daemon.client().status().await.unwrap().sessions.len() == 1
    };
    assert!(
        comes_true(gone).await,
        "a session is left: {:?}",
        bench.simulator.sessions().await
    );
}

/// The session ends long before its output was read.
#[tokio::test]
async fn a_reader_that_comes_late_gets_all_of_it() {
    let bench = Bench::start().await;
    let command = "head -c 2000000 /dev/zero | tr '\\0' x; exit 6";
    let mut exec = bench.exec(&[], &[command]).spawn().unwrap();
    let ended = async || {
        let mut sessions = bench.simulator.sessions().await.into_iter();
        sessions.any(|session| session.ended)
    };
    assert!(comes_true(ended).await, "the command does not end");
    let mut stdout = Vec::new();
    let read = exec.stdout.take().unwrap().read_to_end(&mut stdout).await;
    assert_eq!((read.unwrap(), stdout), (2_000_000, vec![b'x'; 2_000_000]));
    assert_eq!(exec.wait().await.unwrap().code(), Some(6));
}
