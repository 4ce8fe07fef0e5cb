//! A login that arrives in mid-outage.

use std::sync::Arc;
use std::time::Duration;

use autossm::clock::Clock;
use autossm_proto::session::Phase;
use autossm_sim::{Fault, LinkFault, Side, Simulator};
use tokio::net::TcpStream;

use crate::home::{Daemon, Home, config, say};
use crate::services::{Endpoint, Services};
use crate::support::traffic::{Destination, Load, exchange};

/// SHA-1 of `corp`, by which the AWS CLI names the file of that login.
const CACHE: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

/// Profiles `work` and `second` by a login to IAM Identity Center.
pub(crate) const PROFILES: &str = "\
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start

[profile work]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = dev

[profile second]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = ops
";

/// What `aws sso login` leaves behind.
pub(crate) fn log_in(home: &Home, token: &str, expires: &str) {
    home.write(
        CACHE,
        &format!(
            r#"{{"startUrl":"https://corp.awsapps.com/start","region":"eu-west-1","accessToken":"{token}","expiresAt":"{expires}"}}"#
        ),
    );
}

pub(crate) const LATER: &str = "2099-01-01T00:00:00Z";
pub(crate) const EARLIER: &str = "2020-01-01T00:00:00Z";

/// A simulator, the services beside it and a home with the profiles.
pub(crate) async fn workplace() -> (Simulator, Arc<Services>, Endpoint, Home) {
    workplace_with(autossm_sim::Config::default()).await
}

pub(crate) async fn workplace_with(config: autossm_sim::Config) -> (Simulator, Arc<Services>, Endpoint, Home) {
    let simulator = Simulator::start(config).await.unwrap();
    let services = Arc::new(Services::default());
    let endpoint = services.listen().await;
    let url = format!("http://{}", endpoint.address);
    let home = Home::new()
        .with("AWS_ENDPOINT_URL_SSM", &simulator.endpoint_url())
        .with("AWS_ENDPOINT_URL_SSO", &url)
        .with("AWS_ENDPOINT_URL_SSO_OIDC", &url)
        .with("AWS_ENDPOINT_URL_STS", &url);
    home.aws_config(PROFILES);
    (simulator, services, endpoint, home)
}

/// What the session's connection is dropped by.
pub(crate) const RESET: Fault = Fault::Link {
    session: None,
    side: Side::Client,
    fault: LinkFault::Reset,
};

/// A transfer over the first session, whose every byte is checked at both ends.
pub(crate) struct Transfer {
    load: Load,
    destination: Destination,
    task: tokio::task::JoinSet<bool>,
}

impl Transfer {
    pub(crate) async fn begin(daemon: &Daemon, destination: Destination) -> Self {
        let load = Load {
            key: 1,
            up: 3_000_000,
            down: 300_000,
            pace: 600_000,
        };
        daemon
            .until("a listener", async || !daemon.session().await.listeners.is_empty())
            .await;
        let address = daemon.session().await.listeners[0].clone();
        let progress = Arc::clone(&destination.progress);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let socket = TcpStream::connect(address).await.unwrap();
            exchange(socket, load, &progress).await.unwrap().is_exact()
        });
        Self {
            load,
            destination,
            task,
        }
    }

    pub(crate) async fn moved(&self, daemon: &Daemon, bytes: u64) {
        let up = || self.destination.progress.up.load(std::sync::atomic::Ordering::Relaxed);
        daemon.until("bytes moved", async || up() >= bytes).await;
    }

    /// Every byte has come once, in order, at both ends.
    pub(crate) async fn finish(mut self, daemon: &Daemon) {
        let mut exact = None;
        daemon
            .until("the transfer's end", async || {
                if exact.is_none() {
                    exact = self.task.try_join_next();
                }
                exact.is_some() && self.destination.tally(self.load.key).is_some()
            })
            .await;
        assert!(exact.unwrap().unwrap(), "the download is not exact");
        let tally = self.destination.tally(self.load.key).unwrap();
        assert!(tally.is_exact(), "{tally:?}");
    }
}

#[tokio::test]
async fn a_login_in_mid_outage_lets_the_transfer_go_on_exactly() {
    let (simulator, services, _endpoint, home) = workplace().await;
    log_in(&home, "good-token", LATER);
    let destination = Destination::start().await.unwrap();
    let text = config("profile = \"work\"", "i-0123456789abcdef0", destination.address.port());
    let daemon = home.daemon(&text).await;
    daemon.attached().await;
    let transfer = Transfer::begin(&daemon, destination).await;
    transfer.moved(&daemon, 500_000).await;
    // The evening: the login is over, and AWS takes the role's keys no more.
    log_in(&home, "good-token", EARLIER);
    let expired = Fault::ExpireKeys {
        keys: vec!["ASIAROLE".to_owned()],
    };
    simulator.inject(expired).await.unwrap();
    simulator.inject(RESET).await.unwrap();
    let session = daemon.awaits_login("run `aws sso login --profile work`").await;
    let left = session.may_end_in_ms.unwrap();
    daemon
        .until("the deadline goes on counting", async || {
            daemon.session().await.may_end_in_ms.unwrap() + 1000 < left
        })
        .await;
    assert_eq!(daemon.session().await.phase, Phase::AwaitingLogin);
    let starts = simulator.calls().start;
    // The morning.
    services.set_key("ASIANEXT");
    log_in(&home, "good-token", LATER);
    let changed = Clock.now();
    daemon.attached().await;
    let took = Clock.now().since(changed);
    say(&format!("attached {took:?} after the change of the cache file"));
    assert!(took < Duration::from_secs(5), "{took:?}");
    transfer.finish(&daemon).await;
    assert_eq!(simulator.calls().start, starts, "the same session");
    assert!(daemon.log().contains("credentials are there again"), "{}", daemon.log());
}

#[tokio::test]
async fn before_the_first_login_the_daemon_waits_and_opens_no_browser() {
    let (simulator, _services, _endpoint, home) = workplace().await;
    // Whoever opens a browser on a desktop does it by one of these.
    for name in ["xdg-open", "gio", "open", "sensible-browser", "aws"] {
        home.script(name, "touch \"$HOME/opened\"");
    }
    let path = format!("{}:{}", home.path("").display(), std::env::var("PATH").unwrap());
    let home = home.with("PATH", &path).with("BROWSER", "xdg-open");
    let daemon = home
        .daemon(&config("profile = \"work\"", "i-0123456789abcdef0", 80))
        .await;
    let session = daemon.awaits_login("run `aws sso login --profile work`").await;
    assert!(session.may_end_in_ms.is_none(), "there is no session yet");
    let (_, _, code) = home.run(&["wait", "demo", "--for", "up", "--timeout", "1s"]).await;
    assert_eq!(code, Some(77));
    log_in(&home, "good-token", LATER);
    daemon.attached().await;
    assert_eq!(simulator.calls().start, 1);
    assert!(!home.path("opened").exists());
}
