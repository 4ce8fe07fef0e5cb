//! The daemon, the network, and each account with its sessions.

use std::sync::Arc;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{Section, service};
use crate::aws::{ControlPlanes, Inspection, Prepared};
use crate::cli::accounts;
use crate::cli::render::span;
use crate::clock::Clock;
use crate::config::{SessionSettings, Settings};
use crate::control::{Client, ClientError};
use crate::transport::{Path, Proxies, Roots, StreamUrl, client_config, reach, skew_sentence};

/// A host that takes longer to reach is as good as not reached.
const REACH: Duration = Duration::from_secs(10);

/// Whether a daemon runs here, and how its sessions are.
pub(super) async fn daemon(client: Option<Client>) -> Section {
    let mut section = Section::new("daemon");
    let Some(client) = client else {
        section.odd(
            "XDG_RUNTIME_DIR is not set, so the daemon cannot be found",
            "set it, usually to /run/user/UID",
        );
        return section;
    };
    match client.status().await {
        Ok(status) => {
            let version = env!("CARGO_PKG_VERSION");
            if status.version == version {
                section.fine(format!("it runs, version {version}"));
            } else {
                section.odd(
                    format!("it runs in version {}, this program is {version}", status.version),
                    "restart it",
                );
            }
            match client.sandbox().await {
                Ok(sandbox) => service::sandbox(&sandbox, &mut section),
                Err(error) => section.skipped(format!("it does not tell of its sandbox: {error}")),
            }
            if let Some(reload) = status.last_reload.filter(|reload| !reload.ok) {
                section.odd(
                    format!("its last reload changed nothing: {}", reload.message),
                    "correct the configuration, then `autossm reload`",
                );
            }
        }
        Err(ClientError::NoDaemon { .. }) => {
            section.skipped("none runs here; `autossm run` or the systemd unit starts it");
        }
        Err(error) => section.wrong(&error.to_string()),
    }
    section
}

/// Each account with the sessions that use it.
pub(super) async fn accounts(settings: &Settings) -> Vec<Section> {
    let (roots, proxies) = (Roots::of_process(), Proxies::from_process());
    let mut network = Section::new("network");
    match proxies.route("ssm.amazonaws.com", 443) {
        Ok(Some(proxy)) => network.fine(format!("hosts of AWS are reached through {proxy}")),
        Ok(None) => network.fine("hosts of AWS are reached directly, without a proxy"),
        Err(failure) => network.wrong(&failure.text),
    }
    if roots.is_empty() {
        network.add(
            super::Verdict::Wrong,
            format!("no certificate is trusted ({})", roots.source()),
            Some("name a bundle by AWS_CA_BUNDLE or SSL_CERT_FILE, or install the system's".to_owned()),
        );
    } else {
        network.fine(format!(
            "{} certificates are trusted, from {}",
            roots.len(),
            roots.source()
        ));
    }
    let tls = client_config(&roots);
    let planes = ControlPlanes::new(Clock, roots, proxies);
    let mut sections = vec![network];
    match tls {
        Ok(tls) => {
            for (inspection, sessions) in accounts::of(settings, &planes) {
                sections.push(Box::pin(account(&inspection, &sessions, &tls)).await);
            }
        }
        Err(error) => {
            let mut section = Section::new("sessions");
            section.wrong(&format!("TLS cannot be set up: {error}"));
            sections.push(section);
        }
    }
    sections
}

async fn account(inspection: &Inspection, sessions: &[&SessionSettings], tls: &Arc<ClientConfig>) -> Section {
    let mut section = Section::new(inspection.name());
    let prepared = match inspection.prepare().await {
        Ok(prepared) => prepared,
        Err(failure) => {
            section.wrong(&failure.text);
            section.skipped("without credentials there is nothing more to look at");
            return section;
        }
    };
    let credential = prepared.credential();
    let lasts = credential.lasts.map_or_else(
        || "which do not say when they expire".to_owned(),
        |lasts| {
            format!(
                "good for {}",
                span(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
            )
        },
    );
    section.fine(format!(
        "credentials from {}, {lasts}, for {}",
        credential.source, credential.region
    ));
    // The first call shows the clock and the host.
    let listed = prepared.sessions(None).await;
    let is_cut_off = |failure: &Failure| matches!(failure.class, FailureClass::Network | FailureClass::Protocol);
    let cut_off = listed.as_ref().is_err_and(is_cut_off) && prepared.skew() == 0;
    if !cut_off {
        clock(&prepared, &mut section);
    }
    hosts(&prepared, inspection.proxies(), tls, &mut section).await;
    match prepared.identity().await {
        Ok(arn) => section.fine(format!("they are {arn}")),
        Err(failure) => section.odd(failure.text, "only this program asks for it; sessions need no STS"),
    }
    let listed = listed.map(|sessions| format!("active sessions of the account: {}", sessions.len()));
    permission(listed, "`autossm sessions` needs it", &mut section);
    if cut_off {
        section.skipped("without the service nothing can be said of targets");
        return section;
    }
    for session in sessions {
        target(&prepared, session, &mut section).await;
    }
    section.skipped(
        "ssm:StartSession, ssm:ResumeSession, ssm:TerminateSession and ssmmessages:OpenDataChannel are not tried: \
         they would change something",
    );
    section
}

fn clock(prepared: &Prepared, section: &mut Section) {
    match prepared.skew() {
        0 => section.fine("this machine's clock agrees with AWS's"),
        skew => {
            let sentence = skew_sentence(skew);
            let (what, help) = sentence.split_once(": ").unwrap_or((&sentence, "set it"));
            section.odd(what, help);
        }
    }
}

/// The hosts of the calls and of the data channel, by name, connection and certificate.
async fn hosts(prepared: &Prepared, proxies: &Proxies, tls: &Arc<ClientConfig>, section: &mut Section) {
    let Some(endpoint) = prepared.endpoint() else {
        section.skipped("the endpoint is on this machine, so no host is looked for");
        return;
    };
    let tls = prepared.tls().unwrap_or_else(|| Arc::clone(tls));
    // By the pattern of AWS's names; a session is told the real one. An endpoint of one's own has none to be guessed.
    let messages = endpoint.replacen("ssm", "ssmmessages", 1);
    let is_usual = endpoint.starts_with("ssm") && StreamUrl::parse(&format!("wss://{messages}/")).is_ok();
    let mut hosts = vec![endpoint];
    if is_usual {
        hosts.push(messages);
    }
    for host in hosts {
        match timeout(REACH, reach(&host, proxies, Arc::clone(&tls))).await {
            Ok(Ok(Path::Direct)) => section.fine(format!("{host} is reached, and its certificate is trusted")),
            Ok(Ok(Path::Through(proxy))) => {
                section.fine(format!(
                    "{host} is reached through {proxy}, and its certificate is trusted"
                ));
            }
            Ok(Err(failure)) => section.wrong(&failure.text),
            Err(_) => section.wrong(&format!(
                "{host} is not reached within {}s; a firewall may swallow what is sent to it",
                REACH.as_secs()
            )),
        }
    }
}

async fn target(prepared: &Prepared, session: &SessionSettings, section: &mut Section) {
    let name = &session.name;
    match prepared.target(session).await {
        Ok(instance) if instance == session.target => {
            section.fine(format!("session {name}: {instance} is connected to Session Manager"));
        }
        Ok(instance) => section.fine(format!(
            "session {name}: {} is {instance}, connected to Session Manager",
            session.target
        )),
        Err(failure) if failure.class == FailureClass::AccessDenied => {
            permission(Err(failure), "without it the target's state is unknown", section);
        }
        Err(failure) => section.wrong(&format!("session {name}: {}", failure.text)),
    }
}

/// What a call that changes nothing has shown about a permission.
fn permission(outcome: Result<String, Failure>, without: &str, section: &mut Section) {
    match outcome {
        Ok(what) => section.fine(what),
        Err(failure) if failure.class == FailureClass::AccessDenied => section.odd(failure.text, without),
        Err(failure) => section.wrong(&failure.text),
    }
}
