//! Profiles as people have them.

use aws_runtime::env_config::file::EnvConfigFileKind;

use super::*;

async fn followed(name: &str, config: &str) -> Result<Option<Plan>, Unusable> {
    let files = EnvConfigFiles::builder()
        .with_contents(EnvConfigFileKind::Config, config)
        .build();
    let selected = Some(name.to_owned().into());
    let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &files, selected).await;
    plan(&profiles.unwrap())
}

const CONFIG: &str = "\
[default]
region = eu-west-1

[profile keys]
aws_access_key_id = AKIA
aws_secret_access_key = secret
ca_bundle = /etc/corp.pem

[profile sso]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev

[profile old-sso]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Dev

[profile helper]
credential_process = /opt/helper --token secret

[profile pod]
role_arn = arn:aws:iam::111122223333:role/pod
web_identity_token_file = /var/run/token

[profile admin]
role_arn = arn:aws:iam::111122223333:role/admin
source_profile = middle
external_id = 7

[profile middle]
role_arn = arn:aws:iam::111122223333:role/middle
role_session_name = me
source_profile = helper

[profile own]
role_arn = arn:aws:iam::111122223333:role/own
source_profile = own
aws_access_key_id = AKIA
aws_secret_access_key = secret

[profile machine]
role_arn = arn:aws:iam::111122223333:role/machine
credential_source = Ec2InstanceMetadata

[profile mfa]
role_arn = arn:aws:iam::111122223333:role/mfa
source_profile = keys
mfa_serial = arn:aws:iam::111122223333:mfa/ada

[profile above-mfa]
role_arn = arn:aws:iam::111122223333:role/above
source_profile = mfa

[profile a]
role_arn = arn:aws:iam::111122223333:role/a
source_profile = b

[profile b]
role_arn = arn:aws:iam::111122223333:role/b
source_profile = a

[profile orphan]
role_arn = arn:aws:iam::111122223333:role/orphan
source_profile = gone

[profile alone]
role_arn = arn:aws:iam::111122223333:role/alone

[profile console]
login_session = arn:aws:iam::111122223333:user/ada
";

#[tokio::test]
async fn a_profile_is_followed_to_where_its_credentials_begin() {
    let rows = [
        ("default", "default", Base::Nothing, 0),
        ("keys", "keys", Base::Keys, 0),
        ("sso", "sso", Base::Sso, 0),
        ("old-sso", "old-sso", Base::Sso, 0),
        (
            "helper",
            "helper",
            Base::Process("/opt/helper --token secret".to_owned()),
            0,
        ),
        ("pod", "pod", Base::WebIdentity("/var/run/token".into()), 0),
        (
            "admin",
            "helper",
            Base::Process("/opt/helper --token secret".to_owned()),
            2,
        ),
        ("own", "own", Base::Keys, 1),
        ("machine", "machine", Base::Source("Ec2InstanceMetadata".to_owned()), 1),
    ];
    for (name, source, base, roles) in rows {
        let plan = followed(name, CONFIG).await.unwrap().unwrap();
        assert_eq!(
            (plan.source.as_str(), plan.base, plan.roles.len()),
            (source, base, roles),
            "{name}"
        );
    }
    let plan = followed("keys", CONFIG).await.unwrap().unwrap();
    assert_eq!(plan.ca_bundle, Some("/etc/corp.pem".into()));
}

#[tokio::test]
async fn roles_are_in_the_order_in_which_they_are_assumed() {
    let plan = followed("admin", CONFIG).await.unwrap().unwrap();
    let role = |name: &str, external_id: Option<&str>, session_name: Option<&str>| Role {
        arn: format!("arn:aws:iam::111122223333:role/{name}"),
        external_id: external_id.map(ToOwned::to_owned),
        session_name: session_name.map(ToOwned::to_owned),
    };
    assert_eq!(
        plan.roles,
        [role("middle", None, Some("me")), role("admin", Some("7"), None)]
    );
}

#[tokio::test]
async fn what_no_login_helps_is_said() {
    let rows = [
        ("gone", "there is no profile `gone`"),
        ("mfa", "`mfa` assumes a role with a code from an MFA device"),
        ("above-mfa", "`mfa` assumes"),
        ("a", "`a` leads back to itself"),
        ("orphan", "`orphan` has source_profile = gone"),
        ("alone", "`alone` has role_arn, but neither"),
        ("console", "`console` uses a login to the AWS console"),
    ];
    for (name, expected) in rows {
        let error = followed(name, CONFIG).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(followed("default", "[profile x]\nregion = eu-west-1\n").await, Ok(None));
}
