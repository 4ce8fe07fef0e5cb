//! What a shell writes, byte by byte, for a pipe.

use std::process::Stdio;
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::Config;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::support::daemon::PATIENCE;
use crate::{Bench, program};

/// Bytes of a line.
const LINE: usize = 72;

fn line(number: usize) -> Vec<u8> {
    let follows = (number * 7919) % 1_000_000;
    format!("{number:07} Zeile mit Umlauten äöü, 漢字 und 😀; sie ist {follows:06} lang\n").into_bytes()
}

/// `attach` between pipes.
fn piped(bench: &Bench) -> Child {
    Command::new(program())
        .args(["attach", "build"])
        .env_clear()
        .envs(bench.daemon.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Numbered lines of UTF-8, each with a number that follows from it, through a shell across 20 drops: each once, in order. 4 MB,
/// or as many as `AUTOSSM_SHELL_MB` says.
#[tokio::test]
async fn megabytes_across_twenty_drops_are_exact() {
    let megabytes = std::env::var("AUTOSSM_SHELL_MB")
        .ok()
        .and_then(|text| text.parse().ok());
    let count = megabytes.unwrap_or(4) * 1_000_000 / LINE;
    let mut config = Config::default();
    config.agent.speed = 20;
    let bench = Bench::with(config, "shell = {}").await;
    bench.attached().await;
    let mut attach = piped(&bench);
    let mut input = attach.stdin.take().unwrap();
    let script = format!(
        "stty -echo -opost; awk 'BEGIN {{ for (i = 1; i <= {count}; i++) {{ s = (i * 7919) % 1000000; \
         printf \"%07d Zeile mit Umlauten äöü, 漢字 und 😀; sie ist %06d lang\\n\", i, s }} }}'; read x; exit\n"
    );
    input.write_all(script.as_bytes()).await.unwrap();
    let mut output = attach.stdout.take().unwrap();
    let mut whole = Vec::new();
    let (mut drops, mut asked) = (0, false);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = tokio::time::timeout(PATIENCE, output.read(&mut buffer)).await.unwrap();
        let read_bytes = read.unwrap();
        if read_bytes == 0 {
            break;
        }
        whole.extend_from_slice(&buffer[..read_bytes]);
        if !asked && whole.len() >= count * LINE && whole.ends_with(&line(count)) {
            // The agent would drop what it has not been told of 2 s after its end.
            asked = true;
            input.write_all(b"\n").await.unwrap();
        }
        if drops < 20 && whole.len() > (drops + 1) * count * LINE / 23 {
            drops += 1;
            bench.cut(if drops % 5 == 0 { 500 } else { 0 }).await;
            let back =
                |session: &SessionStatus| session.figures.drops >= drops as u64 && session.phase == Phase::Attached;
            bench.daemon.wait_until("a drop and its end", back).await.unwrap();
        }
    }
    let mut said = String::new();
    attach.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(drops, 20, "{} bytes; {said}\n{}", whole.len(), bench.daemon.log());
    let lines: Vec<u8> = (1..=count).flat_map(line).collect();
    assert_eq!(lines.len(), count * LINE);
    let start = whole.len().saturating_sub(lines.len());
    assert_eq!(
        Sha256::digest(&whole[start..]),
        Sha256::digest(&lines),
        "{} bytes of {}",
        whole.len(),
        lines.len()
    );
    let status = tokio::time::timeout(Duration::from_secs(20), attach.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(status.success(), "{status}");
    let session = bench.daemon.session().await.unwrap();
    assert!(session.figures.drops >= 20, "{}", session.figures.drops);
    assert_eq!(session.figures.starts, 1);
}

/// What is typed waits for the remote program, and that for its output to be read: neither may wait for the other here.
#[tokio::test]
async fn more_goes_in_than_anybody_keeps_while_it_comes_out_again() {
    const BYTES: usize = 3_000_000;
    let bench = Bench::start().await;
    bench.attached().await;
    let mut attach = piped(&bench);
    let (mut input, mut output) = (attach.stdin.take().unwrap(), attach.stdout.take().unwrap());
    let script = format!("stty raw -echo; echo be''gin; head -c {BYTES}; exit\n");
    input.write_all(script.as_bytes()).await.unwrap();
    let mut whole = Vec::new();
    while !whole.ends_with(b"begin\n") {
        let read = tokio::time::timeout(PATIENCE, output.read_buf(&mut whole)).await;
        assert!(read.unwrap().unwrap() > 0, "{}", String::from_utf8_lossy(&whole));
    }
    whole.clear();
    let typed = vec![b'y'; BYTES];
    let both = async { tokio::join!(input.write_all(&typed), output.read_to_end(&mut whole)) };
    let (written, read) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!((written.unwrap(), read.unwrap()), ((), BYTES));
    assert!(whole == typed);
    assert!(attach.wait().await.unwrap().success());
}
