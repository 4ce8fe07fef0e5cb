//! Where credentials come from, inside the sandboxes.

use crate::bench::Bench;
use crate::machine::Kind;
use crate::services::Services;
use crate::support::skipped;

/// Helpers that print keys: what a `credential_process` may be.
const HELPERS: [(&str, &str, &str); 2] = [
    ("python3", "/usr/bin/python3", "import json\nprint(json.dumps(KEYS))\n"),
    ("node", "/usr/bin/node", "console.log(JSON.stringify(KEYS))\n"),
];

#[tokio::test]
async fn helpers_in_python_and_node_work_under_the_default_unit() {
    let keys = "{\"Version\": 1, \"AccessKeyId\": \"AKIDEXAMPLE\", \"SecretAccessKey\": \"not-a-secret\"}";
    for (name, program, script) in HELPERS {
        if !std::path::Path::new(program).exists() {
            skipped(&format!("needs {program}"));
            continue;
        }
        let aws = format!("[default]\nregion = eu-west-1\ncredential_process = {program} /home/ada/helper\n");
        let Some(bench) = Bench::with(Kind::User, &aws).await else {
            return;
        };
        let machine = &bench.machine;
        machine.write("helper", &script.replace("KEYS", keys));
        machine.succeed("autossm service install --now").await;
        bench.attached().await;
        assert!(
            !machine.log().contains("credential_process"),
            "{name}: {}",
            machine.log()
        );
    }
}

/// SHA-1 of `corp`, by which the AWS CLI names the file of that login.
const CACHE: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

#[tokio::test]
async fn a_login_is_waited_for_and_found_under_the_strict_unit() {
    let aws = "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n\n\
               [default]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\n";
    let Some(bench) = Bench::with(Kind::User, aws).await else {
        return;
    };
    let machine = &bench.machine;
    let services = std::sync::Arc::new(Services::default());
    let endpoint = services.listen().await;
    let url = format!("http://{}", endpoint.address);
    machine.drop_in(
        "60-endpoints",
        &format!("[Service]\nEnvironment=AWS_ENDPOINT_URL_SSO={url} AWS_ENDPOINT_URL_SSO_OIDC={url}\n"),
    );
    let login = |expires: &str| {
        format!(
            r#"{{"startUrl":"https://corp.awsapps.com/start","region":"eu-west-1","accessToken":"good-token","expiresAt":"{expires}"}}"#
        )
    };
    machine.write(CACHE, &login("2020-01-01T00:00:00Z"));
    machine.succeed("autossm service install --strict --now").await;
    let waits = |text: &str| text.starts_with("0/1 attached, demo awaiting login") && text.contains("aws sso login");
    machine.wait_for("StatusText", waits).await;
    // As the AWS CLI does: a new file in the place of the old one.
    machine.write(&format!("{CACHE}.new"), &login("2099-01-01T00:00:00Z"));
    machine.succeed(&format!("mv {CACHE}.new {CACHE}")).await;
    bench.attached().await;
    machine.wait_for("StatusText", |text| text == "1/1 attached").await;
}
