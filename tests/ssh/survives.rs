//! What people do over ssh, each across at least five drops, without ssh noticing.

use std::process::Stdio;

use autossm_sim::Fault;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::openssh::Tool;
use crate::{Bench, TARGET, checksum, close, five, noise};

fn slices(drops: &[Vec<Fault>]) -> Vec<&[Fault]> {
    drops.iter().map(Vec::as_slice).collect()
}

async fn scp(bytes: usize, down: bool) {
    let Some(bench) = Bench::start(&[]).await else { return };
    let sum = noise(&bench.path("sent"), bytes, 1);
    let config = bench.path("client_config").display().to_string();
    let (here, there) = if down { ("got", "sent") } else { ("sent", "got") };
    let here = bench.path(here).display().to_string();
    let there = format!("{TARGET}:{}", bench.path(there).display());
    let (from, to) = if down { (&there, &here) } else { (&here, &there) };
    let arguments = ["-F", &config, "-q", from, to];
    let copied = bench
        .through_drops(&slices(&five()), bytes as u64, "scp", &arguments)
        .await;
    assert_eq!(
        (copied.code, copied.stderr.as_str()),
        (Some(0), ""),
        "{}",
        bench.daemon().log()
    );
    assert_eq!(checksum(&bench.path("got")), sum);
    bench.no_orphans().await;
}

#[tokio::test]
async fn scp_of_50_mb_up() {
    scp(50_000_000, false).await;
}

#[tokio::test]
async fn scp_of_50_mb_down() {
    scp(50_000_000, true).await;
}

#[tokio::test]
async fn a_login_with_everything_typed_and_shown() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let config = bench.path("client_config").display().to_string();
    let mut command = bench.command("ssh", &["-F", &config, TARGET, "cat"]);
    let mut ssh = command.stdin(Stdio::piped()).spawn().unwrap();
    let (mut typed, shown) = (ssh.stdin.take().unwrap(), ssh.stdout.take().unwrap());
    let mut shown = BufReader::new(shown).lines();
    for (number, faults) in five().iter().enumerate() {
        for line in [format!("before drop {number}"), format!("during drop {number}")] {
            typed.write_all(format!("{line}\n").as_bytes()).await.unwrap();
            if line.starts_with("during") {
                // It is on its way, or will be, when everything is cut.
                let before = bench.drops().await;
                for fault in faults {
                    bench.simulator.inject(fault.clone()).await.unwrap();
                }
                bench.dropped(before).await;
            }
            let back = tokio::time::timeout(crate::PATIENCE, shown.next_line()).await;
            assert_eq!(back.unwrap().unwrap(), Some(line));
        }
    }
    // ssh says what the command says: the end of its input is the end.
    drop(typed);
    assert!(ssh.wait().await.unwrap().success());
    bench.no_orphans().await;
    let log = bench.server.log();
    assert!(!log.contains("incorrect") && !log.contains("Corrupted"), "{log}");
}

#[tokio::test]
async fn rsync_of_a_tree_there_and_back() {
    let Some(bench) = Bench::start(&[Tool::Rsync]).await else {
        return;
    };
    let mut sums = Vec::new();
    for (number, bytes) in [0, 1, 1023, 1024, 300_000, 8_000_000, 12_000_000]
        .into_iter()
        .enumerate()
    {
        let directory = bench.path(&format!("tree/{}", number % 3));
        std::fs::create_dir_all(&directory).unwrap();
        let name = format!("{}/{number}", number % 3);
        sums.push((name.clone(), noise(&bench.path(&format!("tree/{name}")), bytes, 2)));
    }
    let shell = format!("ssh -F {}", bench.path("client_config").display());
    let tree = |name: &str| format!("{}/", bench.path(name).display());
    let there = format!("{TARGET}:{}", tree("there"));
    for (from, to) in [(tree("tree"), there.clone()), (there, tree("back"))] {
        let arguments = ["-a", "-e", &shell, &from, &to];
        let done = bench
            .through_drops(&slices(&five()), 20_300_000, "rsync", &arguments)
            .await;
        assert_eq!(
            (done.code, done.stderr.as_str()),
            (Some(0), ""),
            "{}",
            bench.daemon().log()
        );
        bench.no_orphans().await;
    }
    for (name, sum) in sums {
        assert_eq!(checksum(&bench.path(&format!("back/{name}"))), sum, "{name}");
    }
    bench.no_orphans().await;
}

/// Runs git, which must succeed; what it says.
async fn git(bench: &Bench, arguments: &[&str]) -> String {
    let author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let done = bench.run("git", &[&author, arguments].concat()).await;
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    done.stdout
}

/// A repository with so many megabytes of noise; its path.
pub(crate) async fn repository(bench: &Bench, megabytes: u8) -> String {
    let origin = bench.path("origin").display().to_string();
    git(bench, &["init", "-q", "-b", "main", &origin]).await;
    for number in 0..megabytes {
        noise(&bench.path(&format!("origin/{number}")), 1_000_000, number);
    }
    git(bench, &["-C", &origin, "add", "."]).await;
    git(bench, &["-C", &origin, "commit", "-q", "-m", "noise"]).await;
    origin
}

/// The clone is whole, and what the origin is.
pub(crate) async fn same_commit(bench: &Bench, origin: &str, clone: &str) {
    let clone = bench.path(clone).display().to_string();
    git(bench, &["-C", &clone, "fsck", "--full"]).await;
    let head = ["rev-parse", "HEAD^{tree}"];
    assert_eq!(
        git(bench, &[&["-C", &clone], &head[..]].concat()).await,
        git(bench, &[&["-C", origin], &head[..]].concat()).await
    );
}

#[tokio::test]
async fn git_clone() {
    let Some(bench) = Bench::start(&[Tool::Git]).await else {
        return;
    };
    let origin = repository(&bench, 6).await;
    let there = format!("{TARGET}:{origin}");
    let done = bench
        .through_drops(&slices(&five()), 6_000_000, "git", &["clone", "-q", &there, "clone"])
        .await;
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (Some(0), ""),
        "{}",
        bench.daemon().log()
    );
    same_commit(&bench, &origin, "clone").await;
    bench.no_orphans().await;
}

/// Sends back all that comes.
pub(crate) async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    port
}

/// Sends `bytes` through the forward at this port and checks what comes back.
pub(crate) async fn load(port: u16, key: u8, bytes: usize) {
    let mut stream = connect(port).await;
    let (mut from, mut to) = stream.split();
    let expected: Vec<u8> = (0..bytes).map(|i| u8::try_from(i % 251).unwrap() ^ key).collect();
    let mut got = vec![0; bytes];
    let (sent, received) = tokio::join!(to.write_all(&expected), from.read_exact(&mut got));
    sent.unwrap();
    received.unwrap();
    assert!(got == expected, "connection {key}");
}

/// ssh listens a moment after it was started.
async fn connect(port: u16) -> TcpStream {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    let wait = async {
        loop {
            ticks.tick().await;
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
                return stream;
            }
        }
    };
    tokio::time::timeout(crate::PATIENCE, wait).await.unwrap()
}

#[tokio::test]
async fn a_forward_of_sshs_own_under_load() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let (echo, listen) = (echo().await, crate::openssh::free_port());
    let forward = format!("127.0.0.1:{listen}:127.0.0.1:{echo}");
    let config = bench.path("client_config").display().to_string();
    let arguments = [
        "-F",
        &config,
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-L",
        &forward,
        TARGET,
    ];
    let mut ssh = bench.command("ssh", &arguments).spawn().unwrap();
    let loads = (0..4).map(|key| tokio::spawn(load(listen, key, 1_500_000)));
    let loads: Vec<_> = loads.collect();
    let mut done = 0;
    for faults in five() {
        done += 2_000_000;
        bench.moved(done).await;
        let before = bench.drops().await;
        for fault in faults {
            bench.simulator.inject(fault).await.unwrap();
        }
        bench.dropped(before).await;
    }
    for load in loads {
        load.await.unwrap();
    }
    assert!(ssh.try_wait().unwrap().is_none(), "ssh is still there");
    ssh.kill().await.unwrap();
    bench.no_orphans().await;
}

#[tokio::test]
async fn a_control_master_and_those_who_share_it() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let master = format!("  ControlPath {}/mux\n", bench.directory.path().display());
    bench.write_client_config(&master);
    let config = bench.path("client_config").display().to_string();
    let mut ssh = bench
        .command("ssh", &["-F", &config, "-M", "-N", TARGET])
        .spawn()
        .unwrap();
    bench.until_shared(&config).await;
    for faults in five() {
        let before = bench.drops().await;
        for fault in faults {
            bench.simulator.inject(fault).await.unwrap();
        }
        // It waits for the link, as whoever types would.
        let said = bench.ssh(&[TARGET, "echo shared"]).await;
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (Some(0), "shared\n", "")
        );
        bench.dropped(before).await;
    }
    // One more at the very end, on a link that is being closed.
    bench.simulator.inject(close()).await.unwrap();
    assert_eq!(bench.ssh(&[TARGET, "echo again"]).await.stdout, "again\n");
    assert_eq!(
        bench.daemon().session().await.unwrap().figures.starts,
        1,
        "all shared one session"
    );
    assert_eq!(bench.ssh(&["-O", "exit", TARGET]).await.code, Some(0));
    assert!(ssh.wait().await.unwrap().code().is_some());
    bench.no_orphans().await;
}
