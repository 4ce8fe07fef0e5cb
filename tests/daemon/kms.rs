//! Sessions that the account encrypts, with the simulator's KMS. AWS's agent never encrypts a port; the simulator's does.

use std::path::Path;
use std::time::Duration;

use autossm::control::Order;
use autossm_sim::{AgentConfig, BadAnswer, Call, Fault, LinkFault, Side, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{PATIENCE, config};
use crate::support::traffic::{Destination, Load};
use crate::{Bench, Daemon, QUICK};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/lab";

async fn bench(challenge: bool, more: &str) -> Bench {
    let simulator = autossm_sim::Config {
        kms_key: Some(KEY.to_owned()),
        require_signatures: challenge,
        agent: AgentConfig {
            kms_challenge: challenge,
            ..AgentConfig::default()
        },
        ..autossm_sim::Config::default()
    };
    let simulator = Simulator::start(simulator).await.unwrap();
    let destination = Destination::start().await.unwrap();
    let text = config(&simulator.endpoint_url(), destination.address.port(), more);
    let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
    let kms = simulator.endpoint_url();
    let environment = [("AWS_ENDPOINT_URL_KMS", kms.as_str())];
    let daemon = Daemon::with(program, &[], &["--log", "info"], &environment, &text)
        .await
        .unwrap();
    Bench {
        simulator,
        destination,
        daemon,
    }
}

fn reset(side: Side) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault: LinkFault::Reset,
    }
}

#[tokio::test]
async fn an_encrypted_session_goes_on_over_drops_with_one_key() {
    for challenge in [true, false] {
        let bench = bench(challenge, QUICK).await;
        let load = Load {
            key: 1,
            up: 3 << 20,
            down: 1 << 20,
            pace: 1 << 20,
        };
        let transfer = bench.transfer(vec![load]).await;
        for (bytes, side, drops) in [
            (500 << 10, Side::Client, 1),
            (1 << 20, Side::Agent, 1),
            (2 << 20, Side::Client, 2),
        ] {
            bench.moved(bytes).await;
            bench.attached().await;
            bench.inject([reset(side)]).await;
            bench
                .daemon
                .wait_until("its drop", |session| session.figures.drops >= drops)
                .await
                .unwrap();
        }
        bench.finish(transfer).await;
        let session = bench.daemon.session().await.unwrap();
        assert_eq!((session.figures.starts, session.figures.ignored), (1, 0));
        let calls = bench.simulator.calls();
        assert_eq!((calls.data_key, calls.decrypt), (1, 0));
        let counters = bench.simulator.sessions().await[0].counters.clone();
        assert!(counters.opened > 1000 && counters.not_sealed == 0, "{counters:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_denied_names_the_permission_and_is_asked_for_again() {
    let bench = bench(true, "").await;
    let denied = Fault::Answer {
        call: Call::DataKey,
        times: 1000,
        answer: BadAnswer::AccessDenied,
    };
    bench.inject([denied]).await;
    bench.daemon.client().order("demo", Order::Restart).await.unwrap();
    let session = bench
        .daemon
        .wait_until("the reason", |session| session.cause.contains("kms:GenerateDataKey"))
        .await
        .unwrap();
    assert!(
        session.cause.contains("must be encrypted") && session.cause.contains("the identity needs kms:GenerateDataKey"),
        "{session:?}"
    );
    // TerminateSession is on its way.
    let no_orphan = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while bench.simulator.sessions().await.iter().any(|session| !session.ended) {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, no_orphan).await;
    assert!(waited.is_ok(), "a session is left open");
    bench.inject([Fault::Heal]).await;
    bench.daemon.client().reconnect_all().await.unwrap();
    bench.attached().await;
}

/// A key is good for the session it was made for, and for no other.
#[tokio::test]
async fn a_wrong_context_is_refused() {
    let bench = bench(false, "").await;
    bench.attached().await;
    let call = async |operation: &str, body: &str| {
        let mut http = TcpStream::connect(bench.simulator.control_address()).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: kms\r\nconnection: close\r\nx-amz-target: TrentService.{operation}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        http.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let made = call(
        "GenerateDataKey",
        &format!(r#"{{"KeyId":"{KEY}","NumberOfBytes":64,"EncryptionContext":{{"aws:ssm:SessionId":"mine"}}}}"#),
    )
    .await;
    let (_, rest) = made
        .split_once(r#""CiphertextBlob":""#)
        .unwrap_or_else(|| panic!("{made}"));
    let blob = rest.split('"').next().unwrap();
    for (session, expected) in [("mine", "\"Plaintext\""), ("another", "InvalidCiphertextException")] {
        let body = format!(r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{{"aws:ssm:SessionId":"{session}"}}}}"#);
        let answer = call("Decrypt", &body).await;
        assert!(answer.contains(expected), "{session}: {answer}");
    }
}
