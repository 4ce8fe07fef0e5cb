//! What AWS answers on bad days, and what others answer for it.

use autossm::clock::Clock;
use autossm_proto::session::Phase;
use autossm_sim::{BadAnswer, Call, Fault, Simulator};

use crate::home::{Daemon, Home, config};
use crate::services::{Answer, Services};

const TARGET: &str = "i-0123456789abcdef0";

fn home(endpoint_url: &str) -> Home {
    Home::new()
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .with("AWS_REGION", "eu-west-1")
        .with("AWS_ENDPOINT_URL_SSM", endpoint_url)
}

async fn attached(simulator: autossm_sim::Config) -> (Simulator, Home, Daemon) {
    let simulator = Simulator::start(simulator).await.unwrap();
    let home = home(&simulator.endpoint_url());
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.attached().await;
    (simulator, home, daemon)
}

/// The next ResumeSession calls are answered so; says what the session says then.
async fn resumed_with(answer: BadAnswer, times: u32, phase: Phase, cause: &str) -> (Simulator, Home, Daemon) {
    let (simulator, home, daemon) = attached(autossm_sim::Config::default()).await;
    let call = Call::Resume;
    simulator.inject(Fault::Answer { call, times, answer }).await.unwrap();
    simulator.inject(crate::login::RESET).await.unwrap();
    daemon.until_phase(phase, cause).await;
    (simulator, home, daemon)
}

#[tokio::test]
async fn throttling_waits_as_long_as_it_is_asked_to() {
    let throttled = BadAnswer::Throttled { retry_after: Some(4) };
    let (simulator, _home, daemon) =
        resumed_with(throttled, 1, Phase::Reattaching, "Rate exceeded (ThrottlingException)").await;
    let refused = Clock.now();
    let calls = simulator.calls().resume;
    daemon.attached().await;
    // The first look at the cause came a moment after the answer.
    let waited = Clock.now().since(refused).as_secs_f64();
    assert!(waited > 3.0, "{waited}");
    assert_eq!(simulator.calls().resume, calls + 1);
}

#[tokio::test]
async fn overload_with_a_wait_by_its_status_alone() {
    let (_simulator, _home, daemon) = resumed_with(BadAnswer::Status(503), 2, Phase::Reattaching, "HTTP 503").await;
    daemon.attached().await;
}

#[tokio::test]
async fn a_session_that_is_over_is_replaced() {
    let (simulator, _home, daemon) = attached(autossm_sim::Config::default()).await;
    let call = Call::Resume;
    let answer = BadAnswer::DoesNotExist;
    simulator
        .inject(Fault::Answer { call, times: 1, answer })
        .await
        .unwrap();
    simulator.inject(crate::login::RESET).await.unwrap();
    daemon
        .until("a new session", async || {
            let session = daemon.session().await;
            session.phase == Phase::Attached && session.figures.starts == 2
        })
        .await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let (_simulator, _home, daemon) = resumed_with(
        BadAnswer::AccessDenied,
        1,
        Phase::Reattaching,
        "needs ssm:ResumeSession here",
    )
    .await;
    assert!(
        daemon
            .session()
            .await
            .cause
            .contains("`aws sts get-caller-identity` shows which it is")
    );
    daemon.attached().await;
}

#[tokio::test]
async fn credentials_that_expire_are_a_matter_of_a_login() {
    let (_simulator, _home, daemon) = resumed_with(
        BadAnswer::ExpiredCredentials,
        1,
        Phase::AwaitingLogin,
        "ExpiredTokenException",
    )
    .await;
    // The same keys are tried once more after a while: AWS may have been wrong.
    daemon.attached().await;
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up() {
    let (_simulator, _home, daemon) = resumed_with(BadAnswer::Hang, 1, Phase::Reattaching, "ssm:ResumeSession: ").await;
    daemon.attached().await;
}

#[tokio::test]
async fn a_body_that_dribbles_and_garbage_for_json() {
    let (_simulator, _home, daemon) = resumed_with(
        BadAnswer::SlowBody(60_000),
        1,
        Phase::Reattaching,
        "ssm:ResumeSession: ",
    )
    .await;
    daemon.attached().await;
    let (_simulator, _home, daemon) = resumed_with(
        BadAnswer::Garbage,
        1,
        Phase::Reattaching,
        "HTTP 200 that is not AWS's answer",
    )
    .await;
    daemon.attached().await;
}

#[tokio::test]
async fn an_address_elsewhere_is_never_dialled() {
    let rows = [
        (
            "wss://ssmmessages.us-east-1.amazonaws.com",
            "it is in us-east-1, the session in eu-west-1",
        ),
        (
            "wss://ssmmessages.eu-west-1.amazonaws.com.evil.example",
            "is not a host of Session Manager",
        ),
        (
            "wss://ssmmessages.eu-west-1.amazonaws.com@evil.example",
            "user name before its host",
        ),
        (
            "ws://ssmmessages.eu-west-1.amazonaws.com",
            "ws:// without TLS is for loopback hosts only",
        ),
        ("wss://10.0.0.1", "is not a host of Session Manager"),
    ];
    for (origin, cause) in rows {
        let simulator = Simulator::start(autossm_sim::Config {
            advertise_url: Some(origin.to_owned()),
            ..autossm_sim::Config::default()
        })
        .await
        .unwrap();
        let home = home(&simulator.endpoint_url());
        let daemon = home.daemon(&config("", TARGET, 80)).await;
        daemon.until_phase(Phase::Starting, cause).await;
    }
}

#[tokio::test]
async fn a_captive_network_is_no_matter_of_credentials() {
    let services = std::sync::Arc::new(Services::default());
    let endpoint = services.listen().await;
    let home = home(&format!("http://{}", endpoint.address));
    let redirect = Answer::new(302, "").header("Location", "http://login.hotel.example/");
    services.answer("*", redirect);
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.until_phase(Phase::Starting, "answered HTTP 302").await;
    services.answer("*", Answer::new(200, "<html>").header("Content-Type", "text/html"));
    daemon.until_phase(Phase::Starting, "answered HTTP 200").await;
    services.answer("*", Answer::new(511, "Network Authentication Required"));
    daemon.until_phase(Phase::Starting, "answered HTTP 511").await;
    assert!(!daemon.log().contains("awaiting_login"), "{}", daemon.log());
}

#[tokio::test]
async fn an_endpoint_of_the_environment_with_a_secret_is_refused_and_not_shown() {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let url = simulator.endpoint_url().replace("http://", "http://bob:canary@");
    let home = home(&format!("{url}/?sig=canary"));
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon
        .until_phase(
            Phase::Starting,
            "AWS_ENDPOINT_URL_SSM: this URL has a user or a password in it",
        )
        .await;
    let (out, err, code) = home.run(&["doctor"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    let log = daemon.log();
    assert!(!format!("{out}{err}{log}").contains("canary"), "{out}{err}{log}");
    assert_eq!(simulator.calls().start, 0);
}
