//! Real OpenSSH over the real program: ssh, scp, rsync and git with `autossm proxy` as their ProxyCommand, a real sshd behind
//! the simulator, drops in the middle of everything, checksums at both ends.
//!
//! Needs OpenSSH's client and server, rsync and git (Debian: openssh-client, openssh-server, rsync, git); what is missing
//! is said and its tests are skipped. The server listens on loopback with keys and configuration of its own, for the
//! user who runs the tests. With `AUTOSSM_INTEROP_AGENT` (see `tests/interop/main.rs`) AWS's own agent takes the place of the
//! simulator's.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

mod ends;
mod many;
mod openssh;
#[path = "../support/mod.rs"]
mod support;
mod survives;
mod together;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use autossm_sim::{Disturbance, Fault, LinkFault, Port, PortFault, Side, Simulator, Traffic, Way};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use openssh::{Server, Tool};
use support::daemon::{Daemon, PATIENCE};

const TARGET: &str = "i-0123456789abcdef0";
/// Faster than the defaults, so that the tests are not spent waiting for pings, or for the next attempt after drops that
/// follow each other closely.
const QUICK: &str = "timings = { ping_interval = \"2s\", ping_timeout = \"2s\", backoff = { cap = \"2s\" } }\n";

/// A simulator with an sshd behind it and a daemon in front of it; files of both sides are in `directory`.
struct Bench {
    simulator: Simulator,
    server: Server,
    daemon: Option<Daemon>,
    directory: tempfile::TempDir,
}

/// How a program ended.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Bench {
    /// None where a tool is missing, which is said.
    async fn start(tools: &[Tool]) -> Option<Self> {
        Self::with(tools, autossm_sim::Config::default()).await
    }

    async fn with(tools: &[Tool], config: autossm_sim::Config) -> Option<Self> {
        let mut bench = Self::without_daemon(tools, config).await?;
        bench.start_daemon("").await;
        Some(bench)
    }

    async fn without_daemon(tools: &[Tool], mut config: autossm_sim::Config) -> Option<Self> {
        let outside = std::env::var_os("AUTOSSM_INTEROP_AGENT").filter(|value| !value.is_empty());
        config.agent_program = outside.map(PathBuf::from);
        let directory = tempfile::Builder::new().prefix("autossm-ssh-").tempdir().unwrap();
        let server = Server::start(directory.path(), tools).await?;
        let simulator = Simulator::start(config).await.unwrap();
        let bench = Self {
            simulator,
            server,
            daemon: None,
            directory,
        };
        bench.write_client_config("");
        Some(bench)
    }

    /// What the daemon's, or the command's own, configuration is.
    fn config(&self, more: &str) -> String {
        format!(
            "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n{QUICK}{more}",
            self.simulator.endpoint_url()
        )
    }

    async fn start_daemon(&mut self, more: &str) {
        let text = self.config(more);
        let daemon = Daemon::with(program(), &[], &["--log", "debug"], &[], &text)
            .await
            .unwrap();
        self.daemon = Some(daemon);
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The client's configuration: nothing of the machine's own is read.
    fn write_client_config(&self, more: &str) {
        let path = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "Host i-*\n  ProxyCommand {program} proxy %h %p\n  Port {port}\n  User {user}\n  IdentityFile {key}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  \
             StrictHostKeyChecking accept-new\n  BatchMode yes\n  ServerAliveInterval 0\n  LogLevel ERROR\n{more}",
            program = program().display(),
            port = self.server.port,
            user = self.server.user,
            key = path("client_key"),
            known = path("known_hosts"),
        );
        std::fs::write(self.path("client_config"), text).unwrap();
    }

    /// What a user's shell has; with a daemon, where it is.
    fn environment(&self) -> Vec<(String, PathBuf)> {
        let mut environment = vec![
            ("PATH".to_owned(), std::env::var_os("PATH").unwrap_or_default().into()),
            ("HOME".to_owned(), self.directory.path().to_owned()),
            (
                "GIT_SSH_COMMAND".to_owned(),
                format!("ssh -F {}", self.path("client_config").display()).into(),
            ),
        ];
        let runtime = match &self.daemon {
            Some(daemon) => daemon.directory(),
            None => self.directory.path(),
        };
        environment.push(("XDG_RUNTIME_DIR".to_owned(), runtime.to_owned()));
        environment
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        outcome(self.command(program, arguments)).await
    }

    async fn ssh(&self, arguments: &[&str]) -> Outcome {
        let config = self.path("client_config").display().to_string();
        self.run("ssh", &[&["-F", config.as_str()], arguments].concat()).await
    }

    /// Runs it while the session's link is cut again and again, each time after a part of `bytes` has moved.
    async fn through_drops(&self, drops: &[&[Fault]], bytes: u64, program: &str, arguments: &[&str]) -> Outcome {
        let working = self.run(program, arguments);
        tokio::pin!(working);
        // The last one long before the end, also on a busy machine.
        let parts = u64::try_from(drops.len()).unwrap() + 4;
        let mut done = 0;
        for faults in drops {
            done += 1;
            tokio::select! {
                early = &mut working => panic!("it ended before drop {done}: {early:?}\n{}", self.daemon().log()),
                () = self.moved(bytes / parts * done) => {}
            }
            let before = self.drops().await;
            for fault in *faults {
                self.simulator.inject(fault.clone()).await.unwrap();
            }
            tokio::select! {
                early = &mut working => panic!("it ended during drop {done}: {early:?}\n{}", self.daemon().log()),
                () = self.dropped(before) => {}
            }
        }
        working.await
    }

    /// Waits until a session on demand has moved so many bytes.
    async fn moved(&self, bytes: u64) {
        let what = format!("{bytes} bytes");
        let moved = self.daemon().wait_until(&what, |session| {
            session.figures.bytes_up + session.figures.bytes_down >= bytes
        });
        // It may take some time until there is a session at all.
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while self.daemon().session().await.is_err() {
            ticks.tick().await;
        }
        moved.await.unwrap();
    }

    /// Waits until the master of that configuration takes others in.
    async fn until_shared(&self, config: &str) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            while self.run("ssh", &["-F", config, "-O", "check", TARGET]).await.code != Some(0) {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    async fn drops(&self) -> u64 {
        let session = self.daemon().session().await;
        let session = session.unwrap_or_else(|error| panic!("{error}; the daemon's log:\n{}", self.daemon().log()));
        session.figures.drops
    }

    /// Waits until the link was lost and is there again.
    async fn dropped(&self, before: u64) {
        let again = |session: &autossm::status::SessionStatus| {
            session.figures.drops > before && session.phase == autossm_proto::session::Phase::Attached
        };
        self.daemon().wait_until("a drop and its end", again).await.unwrap();
    }

    /// Waits until no AWS session is open and the daemon holds none: nothing was left behind.
    async fn no_orphans(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                ticks.tick().await;
                let open = self.simulator.sessions().await;
                let held = match &self.daemon {
                    Some(daemon) => daemon.client().status().await.map_or(0, |status| status.sessions.len()),
                    None => 0,
                };
                if held == 0 && open.iter().all(|session| session.ended) {
                    return;
                }
            }
        };
        let gone = tokio::time::timeout(PATIENCE, wait).await;
        assert!(gone.is_ok(), "a session is left: {:?}", self.simulator.sessions().await);
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autossm"))
}

async fn outcome(mut command: Command) -> Outcome {
    let ended = tokio::time::timeout(3 * PATIENCE, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("does not end: {command:?}")).unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn client(fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side: Side::Client,
        fault,
    }
}

fn close() -> Fault {
    client(LinkFault::Close {
        code: 1000,
        reason: "Bye".to_owned(),
    })
}

const fn refuse(for_ms: u64) -> Fault {
    Fault::Port {
        port: Port::DataChannel,
        fault: PortFault::Refuse,
        for_ms: Some(for_ms),
    }
}

fn stall(for_ms: u64) -> Fault {
    client(LinkFault::Traffic(Disturbance {
        way: Way::Both,
        traffic: Traffic::Stall,
        for_ms: Some(for_ms),
        persist: false,
    }))
}

/// Five drops of different kinds.
fn five() -> [Vec<Fault>; 5] {
    [
        vec![close()],
        vec![client(LinkFault::Reset)],
        vec![client(LinkFault::Fin)],
        vec![refuse(2000), client(LinkFault::Reset)],
        vec![stall(20_000)],
    ]
}

/// A file of noise, and its checksum.
fn noise(path: &Path, bytes: usize, seed: u8) -> String {
    let mut text = Vec::with_capacity(bytes + 32);
    let mut block: [u8; 32] = Sha256::digest([seed]).into();
    while text.len() < bytes {
        text.extend_from_slice(&block);
        block = Sha256::digest(block).into();
    }
    text.truncate(bytes);
    std::fs::write(path, &text).unwrap();
    checksum(path)
}

fn checksum(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
