//! What users of AWS's own plugin have reported, by the number of the report.

use autossm_proto::session::Phase;

use crate::credentials::{TARGET, refuse, working};
use crate::home::config;
use crate::login::{LATER, RESET, Transfer, log_in, workplace};
use crate::support::traffic::Destination;

/// aws/session-manager-plugin#136: ResumeSession is answered with 403 once temporary credentials that somebody has
/// exported are an hour old.
#[tokio::test]
async fn issue_136_exported_credentials_that_expire_after_an_hour() {
    let (simulator, _services, _endpoint, home) = workplace().await;
    home.aws_config("[profile work]\nregion = eu-west-1\n");
    home.keys("work", "ASIAFIRST");
    let destination = Destination::start().await.unwrap();
    let port = destination.address.port();
    let daemon = home.daemon(&config("profile = \"work\"", TARGET, port)).await;
    daemon.attached().await;
    let transfer = Transfer::begin(&daemon, destination).await;
    transfer.moved(&daemon, 300_000).await;
    refuse(&simulator, &["ASIAFIRST"]).await;
    simulator.inject(RESET).await.unwrap();
    let cause = "ssm:ResumeSession: The security token included in the request is expired (ExpiredTokenException)";
    daemon.awaits_login(cause).await;
    daemon.awaits_login("`aws configure --profile work`").await;
    home.keys("work", "ASIASECOND");
    transfer.finish(&daemon).await;
    assert_eq!(simulator.calls().start, 1, "the same session");
}

/// The same with keys of the environment, which nobody can change: it is said, and a daemon started anew goes on.
#[tokio::test]
async fn issue_136_keys_of_the_environment_that_expire_are_no_matter_of_a_login() {
    let (simulator, _services, _endpoint, home) = workplace().await;
    let home = home
        .with("AWS_ACCESS_KEY_ID", "ASIAENV")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_SESSION_TOKEN", "token")
        .with("AWS_REGION", "eu-west-1");
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.attached().await;
    refuse(&simulator, &["ASIAENV"]).await;
    simulator.inject(RESET).await.unwrap();
    let session = daemon
        .awaits_login("restart it with fresh ones, or better set profile")
        .await;
    assert!(!session.cause.contains("aws sso login"), "{}", session.cause);
}

/// aws/session-manager-plugin#117: a session cannot be resumed with a login of Identity Center or a web identity, because
/// the first credentials are kept.
#[tokio::test]
async fn issue_117_each_resume_has_credentials_of_its_time() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    // Less than what is refreshed in advance: each attempt must fetch its own.
    services.set_lifetime(50);
    let daemon = working(&home).await;
    daemon.attached().await;
    for round in 1..=3 {
        let before = services.count("GetRoleCredentials");
        refuse(&simulator, &[&format!("ASIA{round}"), "ASIAROLE"]).await;
        services.set_key(&format!("ASIA{}", round + 1));
        simulator.inject(RESET).await.unwrap();
        daemon
            .until("resumed", async || {
                let session = daemon.session().await;
                session.phase == Phase::Attached && session.figures.drops == round
            })
            .await;
        assert!(services.count("GetRoleCredentials") > before);
    }
    assert_eq!(simulator.calls().start, 1, "the same session throughout");
}
