//! What a shell writes, byte by byte, for a pipe.

use std::process::Stdio;
use std::time::Duration;

use autossm_sim::Config;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::support::daemon::PATIENCE;
use crate::{Bench, program};

/// 50 MB of numbered lines, each with a checksum of its text, through a shell across 20 drops: each once, in order.
#[tokio::test]
async fn fifty_megabytes_across_twenty_drops_are_exact() {
    const LINES: usize = 640_000;
    let mut config = Config::default();
    config.agent.speed = 20;
    let bench = Bench::with(config, "shell = {}").await;
    bench.attached().await;
    let mut attach = Command::new(program())
        .args(["attach", "build"])
        .env_clear()
        .envs(bench.daemon.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = attach.stdin.take().unwrap();
    let script = format!(
        "stty -echo -opost; awk 'BEGIN {{ for (i = 1; i <= {LINES}; i++) {{ s = (i * 7919) % 1000003; \
         printf \"%07d Zeile mit Umlauten äöü, 漢字 und 😀; sie ist %06d lang\\n\", i, s }} }}'; exit\n"
    );
    input.write_all(script.as_bytes()).await.unwrap();
    let mut output = attach.stdout.take().unwrap();
    let mut whole = Vec::new();
    let mut drops = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = tokio::time::timeout(PATIENCE, output.read(&mut buffer)).await.unwrap();
        let count = read.unwrap();
        if count == 0 {
            break;
        }
        whole.extend_from_slice(&buffer[..count]);
        if drops < 20 && whole.len() > (drops + 1) * 2_200_000 {
            drops += 1;
            bench.cut(if drops % 5 == 0 { 500 } else { 0 }).await;
        }
    }
    let mut said = String::new();
    attach.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(drops, 20, "{} bytes; {said}\n{}", whole.len(), bench.daemon.log());
    let lines: Vec<u8> = (1..=LINES as u64)
        .flat_map(|i| {
            let s = (i * 7919) % 1_000_003;
            format!("{i:07} Zeile mit Umlauten äöü, 漢字 und 😀; sie ist {s:06} lang\n").into_bytes()
        })
        .collect();
    assert!(lines.len() > 45_000_000, "{}", lines.len());
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
    assert!(session.figures.drops >= 18, "{}", session.figures.drops);
    assert_eq!(session.figures.starts, 1);
}
