//! Where people's credentials come from, and how they fail to.

use std::path::PathBuf;
use std::time::Duration;

use autossm::clock::Clock;
use autossm_proto::session::Phase;
use autossm_sim::{Fault, Simulator};
use tokio::net::{TcpListener, TcpSocket};

use crate::home::{Daemon, Home, config, is_alive};
use crate::login::{EARLIER, LATER, RESET, log_in, workplace, workplace_with};

pub(crate) const TARGET: &str = "i-0123456789abcdef0";

/// Only these access keys are refused: whoever gets in has another one.
pub(crate) async fn refuse(simulator: &Simulator, keys: &[&str]) {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    simulator.inject(Fault::ExpireKeys { keys }).await.unwrap();
}

/// A daemon with one session of profile `work`.
pub(crate) async fn working(home: &Home) -> Daemon {
    home.daemon(&config("profile = \"work\"", TARGET, 80)).await
}

pub(crate) fn printing(home: &Home, key: &str) -> String {
    let printed = format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"secret","SessionToken":"t"}}"#);
    home.write("printed", &printed);
    format!("cat '{}'", home.path("printed").display())
}

pub(crate) fn helper_profile(script: &str) -> String {
    format!("[profile work]\nregion = eu-west-1\ncredential_process = {script} --token canary\n")
}

/// Makes a helper that never answers the profile's; gives the file with the numbers of its processes.
pub(crate) fn hanging_helper(home: &Home) -> PathBuf {
    let pids = home.path("pid");
    let script = home.script("helper", &format!("sleep 600 &\necho $$ $! > {}\nwait", pids.display()));
    home.aws_config(&helper_profile(&script));
    pids
}

#[tokio::test]
async fn keys_of_the_environment() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let home = home
        .with("AWS_ACCESS_KEY_ID", "AKIAENV")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_REGION", "eu-west-1");
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.attached().await;
}

#[tokio::test]
async fn a_login_of_identity_center_with_and_without_a_session() {
    let (_simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    let daemon = working(&home).await;
    daemon.attached().await;
    assert_eq!(services.count("GetRoleCredentials"), 1);
    // The older form, whose cache file is named by its start URL.
    home.aws_config(
        "[profile work]\nregion = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\
         sso_region = eu-west-1\nsso_account_id = 111122223333\nsso_role_name = dev\n",
    );
    std::fs::copy(
        home.path(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"),
        home.path(".aws/sso/cache/a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json"),
    )
    .unwrap();
    daemon.stop().await;
    let daemon = working(&home).await;
    daemon.attached().await;
    assert_eq!(services.count("GetRoleCredentials"), 2);
}

#[tokio::test]
async fn roles_one_after_the_other() {
    let (simulator, services, _endpoint, home) = workplace().await;
    home.keys("base", "AKIABASE");
    home.aws_config(
        "[profile work]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = middle\n\
         [profile middle]\nrole_arn = arn:aws:iam::111122223333:role/middle\nsource_profile = base\n",
    );
    refuse(&simulator, &["AKIABASE", "ASIAMIDDLE"]).await;
    let daemon = working(&home).await;
    daemon.attached().await;
    assert_eq!(services.count("AssumeRole"), 2);
}

#[tokio::test]
async fn roles_that_begin_with_a_helper() {
    let (simulator, services, _endpoint, home) = workplace().await;
    let script = home.script("helper", &printing(&home, "AKIAHELPER"));
    home.aws_config(&format!(
        "[profile work]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = base\n\
         [profile base]\ncredential_process = {script}\n"
    ));
    refuse(&simulator, &["AKIAHELPER"]).await;
    let daemon = working(&home).await;
    daemon.attached().await;
    assert_eq!(services.count("AssumeRole"), 1);
}

#[tokio::test]
async fn a_web_identity_of_the_environment_and_of_a_profile() {
    let (_simulator, services, _endpoint, home) = workplace().await;
    home.write("token", "jwt");
    let token = home.path("token").display().to_string();
    home.aws_config(&format!(
        "[profile work]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/pod\n\
         web_identity_token_file = {token}\n"
    ));
    let daemon = working(&home).await;
    daemon.attached().await;
    assert_eq!(services.count("AssumeRoleWithWebIdentity"), 1);
    daemon.stop().await;
    let home = home
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/pod")
        .with("AWS_REGION", "eu-west-1");
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.attached().await;
    assert_eq!(services.count("AssumeRoleWithWebIdentity"), 2);
}

#[tokio::test]
async fn each_session_has_its_own_profile() {
    let (_simulator, services, _endpoint, home) = workplace().await;
    home.keys("other", "AKIAOTHER");
    let two = format!(
        "{}[session.other]\nprofile = \"other\"\nregion = \"eu-west-1\"\ntarget = \"{TARGET}\"\n\
         forward = {{ listen = \"127.0.0.1:0\", port = 80 }}\n",
        config("profile = \"work\"", TARGET, 80)
    );
    let daemon = home.daemon(&two).await;
    daemon.awaits_login("aws sso login --profile work").await;
    daemon
        .until("the other one goes its way", async || {
            let sessions = daemon.sessions().await;
            sessions
                .iter()
                .any(|session| session.name == "other" && session.phase == Phase::Attached)
        })
        .await;
    assert_eq!(services.count("GetRoleCredentials"), 0);
}

#[tokio::test]
async fn a_helper_that_fails_prints_garbage_or_leaves_children() {
    let (simulator, _services, _endpoint, home) = workplace().await;
    let script = home.script("helper", "echo 'vault is sealed' >&2\nexit 3");
    home.aws_config(&helper_profile(&script));
    let daemon = working(&home).await;
    daemon.awaits_login("failed (exit status: 3): vault is sealed").await;
    daemon
        .awaits_login("`aws configure export-credentials --profile work` shows what it says")
        .await;
    // A repaired helper is another file; a user who cannot wait says so.
    home.script("helper", "echo 'canary: <html>'");
    home.run(&["reconnect"]).await;
    daemon.awaits_login("printed what are no credentials").await;
    let pid = home.path("pid");
    let leaving = format!("sleep 600 &\necho $! > {}\n{}", pid.display(), printing(&home, "AKIA"));
    home.script("helper", &leaving);
    home.run(&["reconnect"]).await;
    daemon.attached().await;
    let child = std::fs::read_to_string(&pid).unwrap();
    daemon.until("its child is gone", async || !is_alive(&child)).await;
    assert_eq!(simulator.calls().start, 1);
    assert!(!daemon.log().contains("canary"), "{}", daemon.log());
}

#[tokio::test]
async fn no_helper_outlives_the_daemon() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let pid = hanging_helper(&home);
    let daemon = working(&home).await;
    daemon
        .until("it runs", async || {
            std::fs::read_to_string(&pid).is_ok_and(|pids| pids.ends_with('\n'))
        })
        .await;
    let number = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::TERM).unwrap();
    let pids = std::fs::read_to_string(&pid).unwrap();
    daemon
        .until("nothing is left", async || !pids.split_whitespace().any(is_alive))
        .await;
}

#[tokio::test]
async fn a_profile_that_is_missing_is_waited_for() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    home.aws_config("[profile other]\nregion = eu-west-1\n");
    let daemon = working(&home).await;
    daemon.awaits_login("there is no profile `work`").await;
    daemon.awaits_login("`aws configure sso --profile work`").await;
    home.keys("work", "AKIA");
    home.aws_config("[profile work]\nregion = eu-west-1\n");
    daemon.attached().await;
}

#[tokio::test]
async fn a_profile_with_mfa_is_refused_with_the_way_out() {
    let (_simulator, services, _endpoint, home) = workplace().await;
    home.keys("base", "AKIABASE");
    let role = "role_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = base\n";
    home.aws_config(&format!(
        "[profile work]\nregion = eu-west-1\n{role}mfa_serial = arn:aws:iam::111122223333:mfa/ada\n"
    ));
    let daemon = working(&home).await;
    daemon.awaits_login("a code from an MFA device").await;
    daemon
        .awaits_login("credential_process = aws configure export-credentials --profile work")
        .await;
    assert_eq!(services.count("AssumeRole"), 0, "not even tried");
    home.aws_config(&format!("[profile work]\nregion = eu-west-1\n{role}"));
    daemon.attached().await;
}

#[tokio::test]
async fn a_machine_without_a_metadata_service_does_not_wait_for_one() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    home.aws_config("");
    // It accepts, as a firewall or a captive network may, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let home = home
        .without("AWS_EC2_METADATA_DISABLED")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)
        .with("AWS_REGION", "eu-west-1");
    let started = Clock.now();
    let daemon = home.daemon(&config("", TARGET, 80)).await;
    daemon.awaits_login("set profile in autossm's configuration").await;
    let took = Clock.now().since(started);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_login_whose_token_identity_center_takes_no_more() {
    let (_simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "revoked-token", LATER);
    let daemon = working(&home).await;
    daemon.awaits_login("run `aws sso login --profile work`").await;
    assert!(services.count("GetRoleCredentials") >= 1);
    log_in(&home, "good-token", LATER);
    daemon.attached().await;
}

#[tokio::test]
async fn identity_center_that_is_not_reached_is_no_matter_of_a_login() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    // Bound and not listening: refuses, and nobody else can take it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    let home = home
        .without("AWS_ENDPOINT_URL_SSO")
        .with("AWS_ENDPOINT_URL_SSO", &format!("http://{nobody}"));
    log_in(&home, "good-token", LATER);
    let daemon = working(&home).await;
    daemon.until_phase(Phase::Starting, "is not reached").await;
    let (_, _, code) = home.run(&["wait", "demo", "--for", "up", "--timeout", "1s"]).await;
    assert_eq!(code, Some(4), "not 77");
    // The network is there: nobody has to do anything.
    let services = std::sync::Arc::new(crate::services::Services::default());
    let listener = socket.listen(16).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            services.serve(stream).await;
        }
    });
    daemon.attached().await;
}

/// A port that accepts, as a firewall or a captive network may, and says nothing until it is told to serve.
async fn silent_at_first() -> (String, std::sync::Arc<tokio::sync::Notify>, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heal = std::sync::Arc::new(tokio::sync::Notify::new());
    let healed = std::sync::Arc::clone(&heal);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let accept_only = async {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        };
        tokio::select! {
            () = accept_only => {}
            () = healed.notified() => {}
        }
        let services = crate::services::Services::default();
        while let Ok((stream, _)) = listener.accept().await {
            services.serve(stream).await;
        }
    });
    (url, heal, tasks)
}

#[tokio::test]
async fn an_sts_that_accepts_and_says_nothing_is_the_networks_matter() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let (url, heal, _tasks) = silent_at_first().await;
    let home = home.without("AWS_ENDPOINT_URL_STS").with("AWS_ENDPOINT_URL_STS", &url);
    home.keys("base", "AKIABASE");
    home.aws_config(
        "[profile work]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = base\n",
    );
    let daemon = working(&home).await;
    // Before the SDK's limit, and after it.
    daemon
        .until_phase(Phase::Starting, "does not answer, going on to wait")
        .await;
    daemon.until_phase(Phase::Starting, "is not reached").await;
    assert!(!daemon.log().contains("a login is needed"), "{}", daemon.log());
    heal.notify_one();
    daemon.attached().await;
    assert!(!daemon.log().contains("awaiting_login"), "{}", daemon.log());
}

#[tokio::test]
async fn a_wrong_clock_is_said_and_corrected_and_does_not_ask_for_a_login() {
    let ahead = autossm_sim::Config {
        clock_ahead: 7200,
        ..autossm_sim::Config::default()
    };
    let (simulator, services, _endpoint, home) = workplace_with(ahead).await;
    services.set_ahead(7200);
    log_in(&home, "good-token", LATER);
    let daemon = working(&home).await;
    // Calls and upgrades that are signed by this machine's time are refused.
    daemon.attached().await;
    let log = daemon.log();
    assert!(log.contains("this machine's clock is 2h 0m behind AWS's"), "{log}");
    assert!(!log.contains("awaiting_login"), "{log}");
    assert_eq!(
        simulator.calls().start,
        1,
        "the others were refused for their dates: {log}"
    );
}

#[tokio::test]
async fn credentials_that_expire_while_their_source_fails_serve_to_the_end() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    services.set_lifetime(45);
    let daemon = working(&home).await;
    daemon.attached().await;
    log_in(&home, "good-token", EARLIER);
    simulator.inject(RESET).await.unwrap();
    daemon
        .until("resumed", async || {
            let session = daemon.session().await;
            session.phase == Phase::Attached && session.figures.drops == 1
        })
        .await;
}
