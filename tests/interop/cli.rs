//! `aws ssm start-session` with AWS's plugin; of ours only the simulator is in between.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::Far;
use crate::programs::{AGENT, AWS, PLUGIN, clean, path_with, program, report};
use crate::support::daemon::PATIENCE;
use crate::support::traffic::Load;

/// Both agents; a forward each way, and the CLI's last word.
#[tokio::test]
async fn the_cli_forwards_a_port() {
    let (Some(aws), Some(plugin)) = (program(AWS), program(PLUGIN)) else {
        return;
    };
    for agent in [None, program(AGENT)] {
        let name = if agent.is_some() {
            "AWS's agent"
        } else {
            "the simulator's agent"
        };
        let far = Far::start(agent).await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let home = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        let (_directory, path) = path_with(&plugin);
        let port = far.destination.address.port();
        let mut cli = clean(&aws, home.path())
            .env("PATH", path)
            .args(["ssm", "start-session", "--target", "i-0123456789abcdef0"])
            .args(["--endpoint-url", &far.simulator.endpoint_url()])
            .args(["--document-name", "AWS-StartPortForwardingSession", "--parameters"])
            .arg(format!("portNumber={port},localPortNumber={}", address.port()))
            .spawn()
            .unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.unwrap();
        let load = Load {
            key: 1,
            up: 500_000,
            down: 500_000,
            pace: 0,
        };
        let (up, down, took) = far.finish(far.transfer(address, load), PATIENCE).await.unwrap();
        assert!(up.is_exact() && down.is_exact(), "{name}: {up:?} {down:?}");
        let session = far.simulator.sessions().await.remove(0);
        far.inject(&[autossm_sim::Fault::EndSession {
            session: Some(session.session_id),
            announce: Some("over".to_owned()),
            resume: autossm_sim::ResumeOfEnded::DoesNotExist,
        }])
        .await;
        let status = tokio::time::timeout(PATIENCE, cli.wait()).await.unwrap().unwrap();
        report(&format!(
            "{name}: 0.5 MB each way in {:.1} s, then {status}",
            took.as_secs_f64()
        ));
        assert!(status.success(), "{name}: {status}");
    }
}

/// A shell needs an agent that has one.
#[tokio::test]
async fn the_cli_opens_a_shell() {
    let (Some(aws), Some(plugin), Some(agent)) = (program(AWS), program(PLUGIN), program(AGENT)) else {
        return;
    };
    let far = Far::start(Some(agent)).await;
    let home = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
    let (_directory, path) = path_with(&plugin);
    // `script` gives the plugin the terminal it wants.
    let command = format!(
        "{} ssm start-session --target i-0123456789abcdef0 --endpoint-url {}",
        aws.display(),
        far.simulator.endpoint_url()
    );
    let mut cli = clean("script".as_ref(), home.path())
        .env("PATH", path)
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (cli.stdin.take().unwrap(), cli.stdout.take().unwrap());
    let mut seen = String::new();
    let talk = async {
        let mut buffer = [0; 4096];
        let mut asked = false;
        let mut left = false;
        while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            if !asked && seen.contains(['$', '#']) {
                asked = true;
                stdin.write_all(b"echo $((6*7))-answer\r").await.unwrap();
            }
            if asked && !left && seen.contains("42-answer") {
                left = true;
                stdin.write_all(b"exit\r").await.unwrap();
            }
        }
        left
    };
    let answered = tokio::time::timeout(PATIENCE, talk).await;
    assert_eq!(answered, Ok(true), "{seen}");
    report(&format!(
        "a shell's answer came; the CLI ended with {}",
        cli.wait().await.unwrap()
    ));
}
