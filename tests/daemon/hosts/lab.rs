//! Two hosts joined by two cables, without root: this process, in a network namespace of its own, is AWS; the daemon
//! runs in another one. Both know AWS's names from a hosts file of their own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_sim::Simulator;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::front;
use crate::support::daemon::{Daemon, PATIENCE};
use crate::support::pattern::Tally;
use crate::support::traffic::{Destination, Load, exchange_over};
use crate::support::{comes_true, skipped};

/// Set in the process that is in a namespace of its own already.
const INSIDE: &str = "AUTOSSM_TEST_INSIDE_NAMESPACE";

/// Where AWS's names lead; reached by whatever the default route is.
pub(super) const SERVICE: &str = "10.99.0.1";

/// Where AWS's endpoints are, as names.
const REGION: &str = "eu-west-1.amazonaws.com";

/// The cables: `c0` with 10.77.0.1 to `a0` with 10.77.0.2, and `c1` with 10.78.0.1 to `a1` with 10.78.0.2.
const AWS_SIDE: &[&str] = &[
    "ip link set lo up",
    "ip address add 10.99.0.1/32 dev lo",
    "ip link add a0 type veth peer name c0 netns @CLIENT@",
    "ip link add a1 type veth peer name c1 netns @CLIENT@",
    "ip address add 10.77.0.2/24 dev a0",
    "ip address add 10.78.0.2/24 dev a1",
    "ip link set a0 up",
    "ip link set a1 up",
    "nft add table inet lab",
    "nft add chain inet lab in { type filter hook input priority 0; }",
    "nft add chain inet lab out { type filter hook output priority 0; }",
];
const CLIENT_SIDE: &[&str] = &[
    "ip link set lo up",
    "ip address add 10.77.0.1/24 dev c0",
    "ip address add 10.78.0.1/24 dev c1",
    "ip link set c0 up",
    "ip link set c1 up",
    "ip route add default via 10.77.0.2",
    "nft add table inet lab",
    "nft add chain inet lab in { type filter hook input priority 0; }",
    "nft add chain inet lab out { type filter hook output priority 0; }",
];

/// What goes through in each test, for five seconds; little of it down, for what is lost there comes back at ten
/// messages a second.
const LOADS: [Load; 2] = [
    Load {
        key: 1,
        up: 2_000_000,
        down: 1000,
        pace: 400_000,
    },
    Load {
        key: 2,
        up: 1000,
        down: 100_000,
        pace: 20_000,
    },
];
pub(super) const ALL: u64 = 2_102_000;

/// Runs `test` inside namespaces of its own, in a second process of this same program.
pub(super) fn two_hosts<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Lab) -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { test(Lab::build().await).await });
        return;
    }
    let inside = |program: &str, arguments: &[&str]| {
        Command::new("unshare")
            .arg("-Urnm")
            .arg(program)
            .args(arguments)
            .env(INSIDE, "1")
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    // Everything the lab needs, tried where it will be used.
    let trial = "ip link add a0 type veth peer name c0 && nft add table inet lab && \
                 mount --bind /etc/hostname /etc/hosts && unshare -n true";
    if !inside("sh", &["-c", &format!("({trial}) >/dev/null 2>&1")]) {
        skipped(
            "needs unshare, nsenter, mount, ip and nft (util-linux, iproute2, nftables) and user namespaces; \
             install the packages, or allow kernel.unprivileged_userns_clone",
        );
        return;
    }
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", name, "--nocapture", "--test-threads=1"];
    assert!(inside(program.to_str().unwrap(), &arguments), "see above");
}

/// The two hosts, with a session that is attached.
pub(super) struct Lab {
    /// Keeps the client's namespace; killed with its value.
    client: Child,
    _simulator: Simulator,
    destination: Destination,
    pub(super) daemon: Daemon,
    _front: JoinSet<()>,
    files: TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let gone = self.client.kill().and_then(|()| self.client.wait());
        assert!(gone.is_ok() || std::thread::panicking());
    }
}

impl Lab {
    async fn build() -> Self {
        let mut client = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; exec sleep 600"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its word comes from inside its namespace.
        let mut word = [0];
        std::io::Read::read_exact(client.stdout.as_mut().unwrap(), &mut word).unwrap();
        let pid = client.id().to_string();
        let files = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("hosts"), names(&[SERVICE])).unwrap();
        // Nobody serves names there, which the kernel says at once.
        std::fs::write(path("resolv.conf"), format!("nameserver {SERVICE}\n")).unwrap();
        std::fs::write(path("root.pem"), front::ROOT).unwrap();
        run(&format!("mount --bind {} /etc/hosts", path("hosts")));
        run(&format!("mount --bind {} /etc/resolv.conf", path("resolv.conf")));
        for command in AWS_SIDE {
            run(&command.replace("@CLIENT@", &pid));
        }
        for command in CLIENT_SIDE {
            run(&format!("nsenter -t {pid} -n {command}"));
        }
        let settings = autossm_sim::Config {
            advertise_url: Some(format!("wss://ssmmessages.{REGION}")),
            ..autossm_sim::Config::default()
        };
        let simulator = Simulator::start(settings).await.unwrap();
        let at = format!("{SERVICE}:443").parse().unwrap();
        let front = front::serve(at, simulator.control_address(), simulator.data_channel_address()).await;
        let destination = Destination::start().await.unwrap();
        let config = format!(
            "[session.demo]\ntarget = \"i-0123456789abcdef0\"\nregion = \"eu-west-1\"\n\
             forward = {{ listen = \"unix:~/demo.sock\", port = {} }}\n\
             timings = {{ backoff = {{ cap = \"2s\" }} }}\n",
            destination.address.port()
        );
        let before = ["-t", &pid, "-n", env!("CARGO_BIN_EXE_autossm")];
        let environment = [("SSL_CERT_FILE", path("root.pem"))];
        let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let daemon = Daemon::with(Path::new("nsenter"), &before, &["--log", "info"], &environment, &config)
            .await
            .unwrap();
        let lab = Self {
            client,
            _simulator: simulator,
            destination,
            daemon,
            _front: front,
            files,
        };
        lab.attached().await;
        lab
    }

    /// A command on the client's host.
    pub(super) fn client(&self, command: &str) {
        run(&format!("nsenter -t {} -n {command}", self.client.id()));
    }

    /// A command on AWS's host.
    pub(super) fn aws(&self, command: &str) {
        run(command);
    }

    pub(super) async fn attached(&self) -> SessionStatus {
        self.daemon.attached().await.unwrap()
    }

    /// What the names lead to from now on.
    pub(super) fn write_hosts(&self, names: &str) {
        // In place, since the file is mounted.
        std::fs::write(self.files.path().join("hosts"), names).unwrap();
    }

    /// Moves so many bytes up, as fast as they go.
    pub(super) async fn upload(&self, bytes: u64) {
        let load = Load {
            key: 3,
            up: bytes,
            down: 1000,
            pace: 0,
        };
        let socket = UnixStream::connect(self.daemon.directory().join("demo.sock"));
        let mut tally = Tally::default();
        exchange_over(socket.await.unwrap(), load, &self.destination.progress, &mut tally)
            .await
            .unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let uploaded = loop {
            ticks.tick().await;
            if let Some(uploaded) = self.destination.tally(load.key) {
                break uploaded;
            }
        };
        assert!(uploaded.is_exact() && uploaded.expected == bytes, "{uploaded:?}");
    }

    /// Waits for the drop with this number, counted from 1.
    pub(super) async fn dropped(&self, number: u64) -> SessionStatus {
        self.daemon
            .wait_until("a drop", |session| session.figures.drops >= number)
            .await
            .unwrap()
    }

    /// Waits until a transfer has moved so many bytes, both ways together.
    pub(super) async fn moved(&self, bytes: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let progress = &self.destination.progress;
        let moved = async || progress.up.load(Relaxed) + progress.down.load(Relaxed) >= bytes;
        assert!(comes_true(moved).await, "it stands still; log:\n{}", self.daemon.log());
    }

    /// Moves bytes both ways; `meanwhile` happens when a third of them has gone through. Every byte must come.
    pub(super) async fn transfer(&self, meanwhile: impl Future<Output = ()>) {
        let progress = &self.destination.progress;
        let socket = self.daemon.directory().join("demo.sock");
        let load = async |load: Load| {
            let mut tally = Tally::default();
            let socket = UnixStream::connect(&socket).await.unwrap();
            exchange_over(socket, load, progress, &mut tally)
                .await
                .unwrap_or_else(|error| panic!("a local socket broke: {error}; log:\n{}", self.daemon.log()));
            assert!(tally.is_exact(), "download {tally:?}");
        };
        let third = async {
            self.moved(ALL / 3).await;
            meanwhile.await;
        };
        let moved = async { tokio::join!(load(LOADS[0]), load(LOADS[1]), third) };
        let moved = tokio::time::timeout(PATIENCE, moved).await;
        assert!(moved.is_ok(), "it does not end; log:\n{}", self.daemon.log());
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        for load in LOADS {
            let tally = loop {
                if let Some(tally) = self.destination.tally(load.key) {
                    break tally;
                }
                ticks.tick().await;
            };
            assert!(tally.is_exact() && tally.expected == load.up, "upload {tally:?}");
        }
    }
}

/// A hosts file in which AWS's names have these addresses.
pub(super) fn names(addresses: &[&str]) -> String {
    let lines = addresses
        .iter()
        .map(|address| format!("{address} ssm.{REGION} ssmmessages.{REGION}\n"));
    std::iter::once("127.0.0.1 localhost\n".to_owned())
        .chain(lines)
        .collect()
}

/// Says how long something took, for people; what is asserted is far above.
pub(super) fn took(what: &str, since: Instant) -> Duration {
    let took = now().saturating_duration_since(since);
    let line = format!("MEASURED {what}: {} ms\n", took.as_millis());
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    took
}

/// The runtime's own clock, which the measurements use.
#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(super) fn now() -> Instant {
    Instant::now()
}

fn run(command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}
