//! Shells and commands in an account that encrypts them: what is sealed is all output, standard error and the exit code.

use autossm_sim::Config;

use crate::{Bench, agent_program};

async fn bench() -> Bench {
    let config = Config {
        kms_key: Some("alias/shells".to_owned()),
        ..Config::default()
    };
    Bench::with(config, "shell = {}").await
}

#[tokio::test]
async fn an_encrypted_shell_survives_drops_with_one_key() {
    let bench = bench().await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    for drop in 1..=3 {
        bench.cut(if drop == 3 { 1500 } else { 0 }).await;
        user.type_in(&format!("echo after-$(({drop}+10))\r")).await;
        user.reads(&format!("after-{}", drop + 10)).await;
    }
    user.type_in("exit\r").await;
    assert!(user.ends().await.success());
    let calls = bench.simulator.calls();
    // An agent of its own asks KMS as the client does.
    assert_eq!(
        (calls.data_key, calls.decrypt),
        (1, u64::from(agent_program().is_some()))
    );
    let counters = bench.simulator.sessions().await[0].counters.clone();
    assert!(
        agent_program().is_some() || counters.opened > 0 && counters.not_sealed == 0,
        "{counters:?}"
    );
}

#[tokio::test]
async fn an_encrypted_command_tells_its_outputs_and_its_code() {
    let bench = bench().await;
    for options in [&[][..], &["--durable"]] {
        let run = bench.run(options, &["echo out; echo err >&2; exit 7"]).await;
        assert_eq!(run.code, Some(7), "{run:?}");
        let said = format!("{}{}", run.stdout(), run.stderr);
        assert_eq!(said, "out\nerr\n", "{run:?}");
    }
    for session in bench.simulator.sessions().await {
        assert_eq!(session.counters.not_sealed, 0, "{session:?}");
    }
}
