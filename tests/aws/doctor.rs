//! `autossm doctor` on set-ups that work and that do not, in `snapshots/`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test aws doctor` writes them anew; look at the difference before it goes in.

use std::path::Path;

use autossm_sim::{BadAnswer, Call, Fault, Instance};
use regex_lite::Regex;

use crate::cloud::{Cloud, Policy};
use crate::home::{Home, config};
use crate::login::{EARLIER, LATER, PROFILES, log_in, workplace, workplace_with};

const TARGET: &str = "i-0123456789abcdef0";

/// Compares what the doctor says with a snapshot.
async fn says(home: &Home, name: &str, code: i32) {
    let (out, err, ended) = home.run(&["doctor"]).await;
    let mut text = out + &err;
    text = text.replace(&home.path("").display().to_string(), "HOME/");
    for (pattern, replacement) in [
        (r"127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:PORT"),
        (r"good for [0-9a-z ]+,", "good for TIME,"),
        (r"version [0-9.]+", "version V"),
        (r"\d{8}T\d{6}Z", "DATE"),
        (
            r"\d+ certificates are trusted, from the system's store",
            "N certificates are trusted, from the system's store",
        ),
        (r"(?m)^2026.*\n", ""),
        // Only where systemd runs; `tests/systemd` looks at it.
        (r"(?m)^service manager\n(  .*\n)+\n", ""),
    ] {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, replacement)
            .into_owned();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/aws/snapshots/{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "not as in {}; UPDATE_SNAPSHOTS=1 writes it anew. Now it is:\n{text}",
        path.display()
    );
    assert_eq!(ended, Some(code), "{text}");
}

/// A home behind the cloud's proxy, with a login.
fn behind(cloud: &Cloud) -> Home {
    let home = Home::new().with("HTTPS_PROXY", &format!("http://{}", cloud.address));
    home.write("root.pem", &cloud.root);
    let root = home.path("root.pem").display().to_string();
    let home = home.with("AWS_CA_BUNDLE", &root);
    home.aws_config(PROFILES);
    log_in(&home, "good-token", LATER);
    home
}

#[tokio::test]
async fn healthy() {
    let cloud = Cloud::start().await;
    let instances = vec![Instance {
        id: "i-0a".to_owned(),
        tags: [("Name".to_owned(), "bastion".to_owned())].into(),
        online: true,
    }];
    cloud.simulator.inject(Fault::Fleet { instances }).await.unwrap();
    let home = behind(&cloud);
    let daemon = home.daemon(&config("profile = \"work\"", "tag:Name=bastion", 80)).await;
    daemon.attached().await;
    says(&home, "healthy", 0).await;
}

#[tokio::test]
async fn a_configuration_with_mistakes() {
    let home = Home::new();
    home.configure("[session.db]\ntarget = \"bastion\"\nforward = { listen = \":5432\" }\n");
    says(&home, "mistakes", 1).await;
}

#[tokio::test]
async fn a_profile_that_is_missing() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    home.configure(&config("profile = \"wrok\"", TARGET, 80));
    says(&home, "missing-profile", 1).await;
}

#[tokio::test]
async fn a_login_that_has_expired() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", EARLIER);
    home.configure(&config("profile = \"work\"", TARGET, 80));
    says(&home, "expired-login", 1).await;
}

#[tokio::test]
async fn a_helper_that_fails() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    let script = home.script("helper", "echo 'the vault is sealed' >&2\nexit 2");
    home.aws_config(&format!(
        "[profile work]\nregion = eu-west-1\ncredential_process = {script}\n"
    ));
    home.configure(&config("profile = \"work\"", TARGET, 80));
    says(&home, "failing-helper", 1).await;
}

#[tokio::test]
async fn a_proxy_that_wants_a_password() {
    let cloud = Cloud::start().await;
    cloud.set_policy(Policy::Password("eDp5".to_owned()));
    let home = behind(&cloud)
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    home.configure(&config("region = \"eu-west-1\"", TARGET, 80));
    says(&home, "proxy-password", 1).await;
}

#[tokio::test]
async fn a_proxy_that_looks_inside() {
    let cloud = Cloud::start().await;
    cloud.set_policy(Policy::UnknownRoot);
    let home = behind(&cloud)
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    home.configure(&config("region = \"eu-west-1\"", TARGET, 80));
    says(&home, "inspecting-proxy", 1).await;
}

#[tokio::test]
async fn targets_that_are_off_permissions_that_are_missing_and_keys_for_all_to_read() {
    let (simulator, _services, _endpoint, home) = workplace().await;
    let instances = Vec::new();
    simulator.inject(Fault::Fleet { instances }).await.unwrap();
    for call in [Call::Describe, Call::Instances] {
        let denied = Fault::Answer {
            call,
            times: 1,
            answer: BadAnswer::AccessDenied,
        };
        simulator.inject(denied).await.unwrap();
    }
    home.keys("work", "AKIA");
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(home.path(".aws/credentials"), open).unwrap();
    home.aws_config("[profile work]\nregion = eu-west-1\n");
    let second = "[session.tagged]\ntarget = \"tag:Name=bastion\"\nforward = { listen = \"127.0.0.1:0\", port = 80 }\n";
    home.configure(&format!("{}{second}", config("profile = \"work\"", TARGET, 80)));
    says(&home, "targets-and-permissions", 1).await;
}

#[tokio::test]
async fn a_clock_that_is_wrong() {
    let behind = autossm_sim::Config {
        clock_ahead: -5430,
        ..autossm_sim::Config::default()
    };
    let (_simulator, _services, _endpoint, home) = workplace_with(behind).await;
    log_in(&home, "good-token", LATER);
    home.configure(&config("profile = \"work\"", TARGET, 80));
    says(&home, "wrong-clock", 1).await;
}

#[tokio::test]
async fn defaults_alone_are_an_account_to_look_at() {
    let (_simulator, _services, _endpoint, home) = workplace().await;
    home.configure("[defaults]\nprofile = \"work\"\n");
    let (out, _, code) = home.run(&["doctor"]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("run `aws sso login --profile work`"), "{out}");
    log_in(&home, "good-token", LATER);
    let (out, _, code) = home.run(&["doctor"]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("credentials from IAM Identity Center (profile `work`)"),
        "{out}"
    );
}
