//! Proxies, trusted roots and the names of hosts: all of AWS behind a CONNECT proxy, TLS by a root of our own.

use autossm_proto::session::Phase;
use autossm_sim::{Fault, LinkFault, Side};

use crate::cloud::{Cloud, MESSAGES, Policy};
use crate::home::{Daemon, Home, config};
use crate::login::{LATER, PROFILES, Transfer, log_in};
use crate::support::traffic::Destination;

const TARGET: &str = "i-0123456789abcdef0";
const SSM: &str = "ssm.eu-west-1.amazonaws.com";

/// Keys, a region and the way out: through the proxy, trusting the cloud's root.
fn home(cloud: &Cloud) -> Home {
    let home = Home::new()
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .with("AWS_REGION", "eu-west-1")
        .with("HTTPS_PROXY", &format!("http://{}", cloud.address));
    home.write("root.pem", &cloud.root);
    let root = home.path("root.pem").display().to_string();
    home.with("AWS_CA_BUNDLE", &root)
}

async fn start(home: &Home) -> Daemon {
    home.daemon(&config("", TARGET, 80)).await
}

/// Goes wrong in that way, which is said so, and comes right when the proxy does.
async fn says(policy: Policy, texts: &[&str], later: &str) {
    let cloud = Cloud::start().await;
    let home = home(&cloud);
    cloud.set_policy(policy.clone());
    let daemon = start(&home).await;
    for text in texts {
        daemon.until_phase(Phase::Starting, text).await;
    }
    assert!(!daemon.log().contains("awaiting_login"), "{policy:?}: {}", daemon.log());
    assert_eq!(cloud.simulator.calls().start, 0);
    cloud.set_policy(Policy::Open);
    daemon.attached().await;
    // The same between the session's start and its data channel.
    cloud.set_policy(policy);
    let reset = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    cloud.simulator.inject(reset).await.unwrap();
    daemon.until_phase(Phase::Reattaching, later).await;
    cloud.set_policy(Policy::Open);
    daemon.attached().await;
    assert_eq!(cloud.simulator.calls().start, 1);
}

#[tokio::test]
async fn calls_and_data_channel_go_through_the_proxy() {
    let cloud = Cloud::start().await;
    let home = home(&cloud);
    let destination = Destination::start().await.unwrap();
    let port = destination.address.port();
    let daemon = home.daemon(&config("", TARGET, port)).await;
    daemon.attached().await;
    let transfer = Transfer::begin(&daemon, destination).await;
    transfer.moved(&daemon, 300_000).await;
    let reset = Fault::Link {
        session: None,
        side: Side::Client,
        fault: LinkFault::Reset,
    };
    cloud.simulator.inject(reset).await.unwrap();
    transfer.finish(&daemon).await;
    let asked = cloud.asked();
    assert!(asked.iter().all(|host| host == SSM || host == MESSAGES), "{asked:?}");
    assert!(asked.iter().filter(|host| *host == MESSAGES).count() >= 2, "{asked:?}");
}

#[tokio::test]
async fn a_proxy_that_is_written_without_a_scheme_is_gone_through_by_calls_too() {
    let cloud = Cloud::start().await;
    let home = home(&cloud)
        .without("HTTPS_PROXY")
        .with("HTTPS_PROXY", &cloud.address.to_string());
    let daemon = start(&home).await;
    daemon.attached().await;
    let asked = cloud.asked();
    for host in [SSM, MESSAGES] {
        assert!(asked.iter().any(|asked| asked == host), "{host}: {asked:?}");
    }
}

#[tokio::test]
async fn the_proxy_wants_a_password() {
    let cloud = Cloud::start().await;
    // `ada:p@ss`.
    cloud.set_policy(Policy::Password("YWRhOnBAc3M=".to_owned()));
    let home = home(&cloud)
        .without("HTTPS_PROXY")
        .with("https_proxy", &format!("http://ada:p%40ss@{}", cloud.address));
    let daemon = start(&home).await;
    daemon.attached().await;
    let log = daemon.log();
    assert!(!log.contains("p%40ss") && !log.contains("YWRhOnBAc3M="), "{log}");
}

#[tokio::test]
async fn a_proxy_without_its_password_says_407_and_what_to_write() {
    let cloud = Cloud::start().await;
    cloud.set_policy(Policy::Password("YWRhOnBAc3M=".to_owned()));
    let home = home(&cloud);
    let daemon = start(&home).await;
    daemon
        .until_phase(Phase::Starting, "write HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT")
        .await;
    assert!(daemon.session().await.cause.contains("407"));
}

#[tokio::test]
async fn a_proxy_that_answers_502() {
    says(Policy::Status(502), &["proxy"], "(HTTP 502)").await;
}

#[tokio::test]
async fn a_proxy_that_refuses_the_host() {
    says(Policy::Status(403), &["NO_PROXY"], "NO_PROXY").await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    says(
        Policy::WrongName,
        &["TLS failed: ", "not valid for", "captive network"],
        "not valid for",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_by_nobody_one_knows() {
    says(
        Policy::UnknownRoot,
        &["UnknownIssuer", "captive network"],
        "UnknownIssuer",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_expired() {
    says(Policy::Expired, &["expired", "TLS failed: "], "expired").await;
}

#[tokio::test]
async fn a_tls_handshake_that_stalls() {
    says(Policy::Stalled, &["timed out"], "could not be opened in time").await;
}

#[tokio::test]
async fn a_tls_handshake_that_ends_in_its_middle() {
    says(Policy::Truncated, &["handshake"], "").await;
}

#[tokio::test]
async fn hosts_that_need_no_proxy_are_reached_directly() {
    let cloud = Cloud::start().await;
    // Nobody listens there; only loopback hosts, which are the simulator's own, can be reached.
    let url = format!("http://{}", cloud.simulator.control_address());
    let home = home(&cloud).with("AWS_ENDPOINT_URL_SSM", &url);
    let daemon = start(&home).await;
    daemon.attached().await;
    assert!(!cloud.asked().iter().any(|host| host == SSM), "{:?}", cloud.asked());
    daemon.stop().await;
    // A name that is excluded is looked up here, where it does not exist or does not answer.
    let home = home.with("NO_PROXY", "ssmmessages.eu-west-1.amazonaws.com");
    let before = cloud.asked().len();
    let daemon = start(&home).await;
    daemon
        .until("a dial of its own", async || {
            let cause = daemon.session().await.cause;
            cause.contains(MESSAGES) || cause.contains("the websocket could not be opened in time")
        })
        .await;
    assert_eq!(cloud.asked().len(), before);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_not_gone_round() {
    let cloud = Cloud::start().await;
    let home = home(&cloud)
        .without("HTTPS_PROXY")
        .with("HTTPS_PROXY", "socks5://user:canary@proxy.example:1080");
    let daemon = start(&home).await;
    daemon
        .until_phase(
            Phase::Starting,
            "the proxy in HTTPS_PROXY cannot be used: only HTTP proxies",
        )
        .await;
    assert!(!daemon.log().contains("canary"));
}

#[tokio::test]
async fn roots_by_ssl_cert_file_and_by_the_profile() {
    let cloud = Cloud::start().await;
    let home = home(&cloud);
    let root = home.path("root.pem").display().to_string();
    let home = home.without("AWS_CA_BUNDLE").with("SSL_CERT_FILE", &root);
    let daemon = start(&home).await;
    daemon.attached().await;
    daemon.stop().await;
    let home = home.without("SSL_CERT_FILE");
    let daemon = start(&home).await;
    daemon.until_phase(Phase::Starting, "UnknownIssuer").await;
    // The profile brings its own, and is read again.
    home.aws_config(&format!("[default]\nca_bundle = {root}\n"));
    daemon.attached().await;
    daemon.stop().await;
    // What the environment says goes before it.
    home.write("other.pem", &Cloud::start().await.root);
    let other = home.path("other.pem").display().to_string();
    let home = home.with("AWS_CA_BUNDLE", &other);
    let daemon = start(&home).await;
    daemon.until_phase(Phase::Starting, "UnknownIssuer").await;
}

#[tokio::test]
async fn a_bundle_that_cannot_be_read_trusts_nobody_and_says_so() {
    let cloud = Cloud::start().await;
    let home = home(&cloud)
        .without("AWS_CA_BUNDLE")
        .with("AWS_CA_BUNDLE", "/no/such/bundle.pem");
    let daemon = start(&home).await;
    daemon.until_phase(Phase::Starting, "TLS failed").await;
    assert!(
        daemon
            .log()
            .contains("AWS_CA_BUNDLE: the trusted certificates in /no/such/bundle.pem"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn a_login_of_identity_center_and_roles_behind_the_proxy() {
    let cloud = Cloud::start().await;
    let home = home(&cloud)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY");
    home.aws_config(&format!(
        "{PROFILES}\n[profile admin]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/admin\n\
         source_profile = work\n"
    ));
    log_in(&home, "good-token", LATER);
    let daemon = home.daemon(&config("profile = \"admin\"", TARGET, 80)).await;
    daemon.attached().await;
    assert_eq!(cloud.services.count("GetRoleCredentials"), 1);
    assert_eq!(cloud.services.count("AssumeRole"), 1);
    let asked = cloud.asked();
    for host in [
        "portal.sso.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com",
        SSM,
        MESSAGES,
    ] {
        assert!(asked.iter().any(|asked| asked == host), "{host}: {asked:?}");
    }
}

#[tokio::test]
async fn a_captive_network_before_identity_center_is_no_matter_of_a_login() {
    let cloud = Cloud::start().await;
    let home = home(&cloud)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY");
    home.aws_config(PROFILES);
    log_in(&home, "good-token", LATER);
    let portal = crate::services::Answer::new(302, "").header("Location", "http://login.hotel.example/");
    cloud.services.answer("*", portal);
    let daemon = home.daemon(&config("profile = \"work\"", TARGET, 80)).await;
    daemon
        .until_phase(
            Phase::Starting,
            "answered HTTP 302 with something that is not AWS's: a captive network",
        )
        .await;
    let page = crate::services::Answer::new(200, "<html>Welcome</html>").header("Content-Type", "text/html");
    cloud.services.answer("*", page);
    daemon.until_phase(Phase::Starting, "answered HTTP 200").await;
    assert!(!daemon.log().contains("awaiting_login"), "{}", daemon.log());
    cloud.services.heal();
    daemon.attached().await;
}

#[tokio::test]
async fn endpoints_by_fips_dual_stack_and_vpc() {
    let vpc = "vpce-0123456789abcdef0-abcdefgh";
    let rows = [
        (
            "AWS_USE_FIPS_ENDPOINT",
            "true".to_owned(),
            "ssm-fips.us-east-1.amazonaws.com",
            "ssmmessages-fips.us-east-1.amazonaws.com",
            "us-east-1",
        ),
        (
            "AWS_USE_DUALSTACK_ENDPOINT",
            "true".to_owned(),
            "ssm.eu-west-1.api.aws",
            "ssmmessages.eu-west-1.api.aws",
            "eu-west-1",
        ),
        (
            "AWS_ENDPOINT_URL_SSM",
            format!("https://{vpc}.ssm.eu-west-1.vpce.amazonaws.com"),
            "vpce-0123456789abcdef0-abcdefgh.ssm.eu-west-1.vpce.amazonaws.com",
            "vpce-0123456789abcdef0-abcdefgh.ssmmessages.eu-west-1.vpce.amazonaws.com",
            "eu-west-1",
        ),
        (
            "AWS_REGION",
            "cn-north-1".to_owned(),
            "ssm.cn-north-1.amazonaws.com.cn",
            "ssmmessages.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        ),
        (
            "AWS_REGION",
            "us-gov-west-1".to_owned(),
            "ssm.us-gov-west-1.amazonaws.com",
            "ssmmessages.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
        ),
    ];
    for (variable, value, ssm, messages, region) in rows {
        let cloud = Cloud::with_messages(messages).await;
        let home = home(&cloud).without("AWS_REGION").with("AWS_REGION", region);
        let home = home.without(variable).with(variable, &value);
        let daemon = start(&home).await;
        daemon.attached().await;
        let asked = cloud.asked();
        assert!(
            asked.iter().all(|host| host == ssm || host == messages),
            "{variable}: {asked:?}"
        );
    }
}

#[tokio::test]
async fn the_endpoint_of_a_profile_and_of_the_configuration() {
    let cloud = Cloud::start().await;
    let home = home(&cloud);
    home.aws_config("[default]\nservices = corp\n[services corp]\nssm =\n  endpoint_url = https://ssm.corp.example\n");
    let daemon = start(&home).await;
    daemon
        .until("it is asked", async || {
            cloud.asked().iter().any(|host| host == "ssm.corp.example")
        })
        .await;
    daemon.attached().await;
    daemon.stop().await;
    let own = config("endpoint_url = \"https://ssm.own.example\"", TARGET, 80);
    let daemon = home.daemon(&own).await;
    daemon.attached().await;
    assert!(
        cloud.asked().iter().any(|host| host == "ssm.own.example"),
        "{:?}",
        cloud.asked()
    );
}
