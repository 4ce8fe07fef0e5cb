//! Many at once, and how soon.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
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

/// From the start of that program to the server's first line.
async fn banner(mut command: Command) -> Duration {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(crate::PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap();
    let took = began.elapsed();
    assert!(line.as_deref().unwrap_or_default().starts_with("SSH-2.0-"), "{line:?}");
    took
}

/// The figure is for people, on an idle machine; the bound is for a busy one and an unoptimized program. The server's own time
/// is in both figures, so a connection without anything between is measured in turn.
#[tokio::test]
async fn the_banner_is_there_soon() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let port = bench.server.port.to_string();
    let direct = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; head -n 1 <&3");
    let program = program().display().to_string();
    let (mut through, mut straight) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        through.push(banner(bench.command(&program, &["proxy", TARGET, &port])).await);
        straight.push(banner(bench.command("bash", &["-c", &direct])).await);
    }
    through.sort();
    straight.sort();
    #[expect(clippy::print_stderr, reason = "a figure for whoever runs this")]
    {
        eprintln!(
            "from exec to the banner, median (least, most) of 21: through a session {:?} ({:?}, {:?}), without one {:?} \
             ({:?}, {:?})",
            through[10], through[0], through[20], straight[10], straight[0], straight[20],
        );
    }
    assert!(through[10] < Duration::from_secs(2), "{through:?}");
    bench.no_orphans().await;
}
