//! Many at once, and how soon.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

use crate::{Bench, TARGET, outcome, program};

#[tokio::test]
async fn fifty_at_once() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let config = bench.path("client_config").display().to_string();
    // The first login makes the file of known hosts, so that fifty do not write it at once.
    assert_eq!(bench.ssh(&[TARGET, "true"]).await.code, Some(0));
    let mut logins = JoinSet::new();
    for number in 0..50 {
        let command = bench.command("ssh", &["-F", &config, TARGET, &format!("cat; echo {number}")]);
        logins.spawn(async move { (number, outcome(command).await) });
    }
    let mut most = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !logins.is_empty() {
        tokio::select! {
            _ = ticks.tick() => {
                // A machine that is busy with fifty logins may take longer than one request may.
                if let Ok(status) = bench.daemon().client().status().await {
                    most = most.max(status.sessions.len());
                }
            }
            Some(done) = logins.join_next() => {
                let (number, said) = done.unwrap();
                assert_eq!((said.code, said.stdout), (Some(0), format!("{number}\n")), "{}", said.stderr);
            }
        }
    }
    assert!(most > 10, "at most {most} sessions were there at once");
    bench.no_orphans().await;
}

/// From exec to the server's first line, in milliseconds.
async fn banner(bench: &Bench) -> Duration {
    let began = Instant::now();
    let port = bench.server.port.to_string();
    let program = program().display().to_string();
    let mut command = bench.command(&program, &["proxy", TARGET, &port]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(crate::PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap();
    let took = began.elapsed();
    assert!(line.as_deref().unwrap_or_default().starts_with("SSH-2.0-"), "{line:?}");
    took
}

/// The figure is for people, on an idle machine; the bound is for a busy one and an unoptimized program. What must be
/// waited for is the agent's: it says nothing of the port before its own connection is there.
#[tokio::test]
async fn the_banner_is_there_soon() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let mut times = Vec::new();
    for _ in 0..10 {
        times.push(banner(&bench).await);
    }
    times.sort();
    #[expect(clippy::print_stderr, reason = "a figure for whoever runs this")]
    {
        eprintln!("from exec to the banner: median {:?}, all {times:?}", times[5]);
    }
    assert!(times[5] < Duration::from_secs(2), "{times:?}");
    bench.no_orphans().await;
}
