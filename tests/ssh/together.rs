//! All that people do over ssh at the same time, through the same drops, one of them a minute long.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::{Fault, LinkFault};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::openssh::{Tool, free_port};
use crate::survives::{echo, load, repository, same_commit};
use crate::{Bench, Outcome, PATIENCE, TARGET, checksum, client, five, noise, outcome, refuse};

/// Sessions: two of scp, rsync, git, a forward, a login, a master.
const SESSIONS: usize = 7;
/// What each transfer moves: too much to be over before the last drop.
const BYTES: usize = 50_000_000;

/// Five drops, the first of them a minute long: then nothing is over before the last.
fn drops() -> [Vec<Fault>; 5] {
    let [first, second, third, fourth, _] = five();
    let minute = vec![refuse(60_000), client(LinkFault::Reset)];
    [minute, first, second, third, fourth]
}

/// A program that ends by itself, and must end well.
struct Transfer {
    name: &'static str,
    running: JoinHandle<Outcome>,
}

impl Transfer {
    fn start(bench: &Bench, name: &'static str, program: &str, arguments: &[&str]) -> Self {
        let running = tokio::spawn(outcome(bench.command(program, arguments)));
        Self { name, running }
    }

    async fn ended(self, bench: &Bench) {
        let done = self.running.await.unwrap();
        let said = (done.code, done.stderr.as_str());
        assert_eq!(said, (Some(0), ""), "{}: {}", self.name, bench.daemon().log());
    }
}

/// A login that answers what is typed.
struct Login {
    ssh: Child,
    typed: ChildStdin,
    shown: Lines<BufReader<ChildStdout>>,
}

impl Login {
    fn start(bench: &Bench, config: &str) -> Self {
        let mut command = bench.command("ssh", &["-F", config, TARGET, "cat"]);
        let mut ssh = command.stdin(Stdio::piped()).spawn().unwrap();
        let typed = ssh.stdin.take().unwrap();
        let shown = BufReader::new(ssh.stdout.take().unwrap()).lines();
        Self { ssh, typed, shown }
    }

    async fn type_line(&mut self, line: &str) {
        self.typed.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn shows(&mut self, line: &str) {
        let shown = tokio::time::timeout(PATIENCE, self.shown.next_line()).await;
        assert_eq!(shown.unwrap().unwrap().as_deref(), Some(line));
    }
}

impl Bench {
    /// Waits until all sessions look as described.
    async fn all(&self, what: &str, holds: impl Fn(&SessionStatus) -> bool) -> Vec<SessionStatus> {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let wait = async {
            loop {
                ticks.tick().await;
                // A busy machine may answer later.
                let Ok(status) = self.daemon().client().status().await else {
                    continue;
                };
                if status.sessions.len() == SESSIONS && status.sessions.iter().all(&holds) {
                    return status.sessions;
                }
            }
        };
        let waited = tokio::time::timeout(2 * PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{what}: not all; the daemon's log:\n{}", self.daemon().log()))
    }
}

/// Four transfers, each in a session of its own.
fn transfers(bench: &Bench, config: &str, origin: &str) -> Vec<Transfer> {
    let [sent, up, down] = ["sent", "up", "down"].map(|name| bench.path(name).display().to_string());
    let there = |path: &str| format!("{TARGET}:{path}");
    let scp = ["-F", config, "-q"];
    let shell = format!("ssh -F {config}");
    let synced = there(&bench.path("synced").display().to_string());
    let start = |name, program, arguments: &[&str]| Transfer::start(bench, name, program, arguments);
    vec![
        // Uploads are as slow as the agent makes downloads: they must not be over before the last drop.
        start(
            "scp up",
            "scp",
            &[&scp[..], &["-l", "8000", &sent, &there(&up)]].concat(),
        ),
        start("scp down", "scp", &[&scp[..], &[&there(&sent), &down]].concat()),
        start(
            "rsync",
            "rsync",
            &["-a", "--bwlimit=1000", "-e", &shell, &sent, &synced],
        ),
        start("git clone", "git", &["clone", "-q", &there(origin), "clone"]),
    ]
}

/// A forward of ssh's own with two connections over it.
struct Forward {
    ssh: Child,
    loads: Vec<JoinHandle<()>>,
}

impl Forward {
    async fn start(bench: &Bench, config: &str) -> Self {
        let (echo, listen) = (echo().await, free_port());
        let forward = format!("127.0.0.1:{listen}:127.0.0.1:{echo}");
        let arguments = [
            "-F",
            config,
            "-N",
            "-o",
            "ExitOnForwardFailure=yes",
            "-L",
            &forward,
            TARGET,
        ];
        Self {
            ssh: bench.command("ssh", &arguments).spawn().unwrap(),
            loads: (0..2).map(|key| tokio::spawn(load(listen, key, BYTES / 4))).collect(),
        }
    }

    async fn finish(mut self) {
        for load in self.loads {
            load.await.unwrap();
        }
        assert!(self.ssh.try_wait().unwrap().is_none(), "ssh is still there");
        self.ssh.kill().await.unwrap();
    }
}

/// A master that others share.
struct Master {
    ssh: Child,
    config: String,
}

impl Master {
    async fn start(bench: &Bench, config: &str) -> Self {
        let text = std::fs::read_to_string(config).unwrap();
        let path = bench.path("shared_config");
        let control = format!("  ControlPath {}\n", bench.path("mux").display());
        std::fs::write(&path, text + &control).unwrap();
        let config = path.display().to_string();
        let ssh = bench
            .command("ssh", &["-F", &config, "-M", "-N", TARGET])
            .spawn()
            .unwrap();
        bench.until_shared(&config).await;
        Self { ssh, config }
    }

    async fn ssh(&self, bench: &Bench, arguments: &[&str]) -> Outcome {
        let config = ["-F", self.config.as_str()];
        bench.run("ssh", &[&config, arguments].concat()).await
    }

    async fn finish(mut self, bench: &Bench) {
        assert_eq!(self.ssh(bench, &["-O", "exit", TARGET]).await.code, Some(0));
        assert!(self.ssh.wait().await.unwrap().code().is_some());
    }
}

/// One drop of everything, and what is typed meanwhile.
async fn drop_all(bench: &Bench, faults: Vec<Fault>, login: &mut Login, master: &Master, line: &str) {
    let before = bench
        .all("attached, with bytes", |session| {
            session.phase == Phase::Attached && session.figures.bytes_down > 1000
        })
        .await;
    let before: BTreeMap<String, u64> = before.into_iter().map(|one| (one.name, one.figures.drops)).collect();
    for fault in faults {
        bench.simulator.inject(fault).await.unwrap();
    }
    login.type_line(line).await;
    // It waits for the link, as whoever types would.
    let said = master.ssh(bench, &[TARGET, "echo shared"]).await;
    let said = (said.code, said.stdout.as_str(), said.stderr.as_str());
    assert_eq!(said, (Some(0), "shared\n", ""));
    login.shows(line).await;
    bench
        .all("a drop and its end", |session| {
            session.phase == Phase::Attached && session.figures.drops > before[&session.name]
        })
        .await;
}

#[tokio::test]
async fn everything_at_once_through_a_minute_without_network() {
    let Some(bench) = Bench::start(&[Tool::Rsync, Tool::Git]).await else {
        return;
    };
    let config = bench.path("client_config").display().to_string();
    let sum = noise(&bench.path("sent"), BYTES, 3);
    let origin = repository(&bench, 40).await;
    // The first login makes the file of known hosts, so that seven do not write it at once.
    assert_eq!(bench.ssh(&[TARGET, "true"]).await.code, Some(0));
    bench.no_orphans().await;

    let mut login = Login::start(&bench, &config);
    login.type_line("hello").await;
    login.shows("hello").await;
    let master = Master::start(&bench, &config).await;
    let forward = Forward::start(&bench, &config).await;
    let transfers = transfers(&bench, &config, &origin);
    for (number, faults) in drops().into_iter().enumerate() {
        let early = transfers.iter().find(|transfer| transfer.running.is_finished());
        assert!(early.is_none(), "{} was over before drop {number}", early.unwrap().name);
        drop_all(&bench, faults, &mut login, &master, &format!("typed in drop {number}")).await;
    }

    for transfer in transfers {
        transfer.ended(&bench).await;
    }
    forward.finish().await;
    for name in ["up", "down", "synced"] {
        assert_eq!(checksum(&bench.path(name)), sum, "{name}");
    }
    same_commit(&bench, &origin, "clone").await;
    master.finish(&bench).await;
    drop(login.typed);
    assert!(login.ssh.wait().await.unwrap().success());
    bench.no_orphans().await;
}
