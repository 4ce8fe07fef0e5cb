//! `autossm sessions`: the sessions that AWS has, which of them the daemon holds, and which nobody does.

use std::collections::BTreeMap;

use serde_json::json;

use super::accounts;
use super::args::SessionsArgs;
use super::exit::Exit;
use super::output::{self, sanitise};
use super::render::span;
use super::runtime;
use super::table::Table;
use crate::aws::{ControlPlanes, Inspection, ListedSession};
use crate::clock::Clock;
use crate::config::{self, Environment};
use crate::control::{Client, ClientError};
use crate::transport::{Proxies, Roots};

/// Who holds a session, as far as one can see from here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    /// The daemon, under this name.
    Daemon(String),
    /// Somebody is connected who is not our daemon.
    Another,
    /// Nobody: it waits for its time-out.
    Nobody,
}

pub(super) fn sessions(args: &SessionsArgs) -> anyhow::Result<Exit> {
    let environment = Environment::from_process();
    let settings = config::load(args.config.named(), &environment)?;
    let client = args.socket.client()?;
    runtime::block_on(async {
        let held = held(&client).await?;
        let mut found = Vec::new();
        let mut complaints = Vec::new();
        let planes = ControlPlanes::new(Clock, Roots::of_process(), Proxies::from_process());
        for (inspection, _) in accounts::of(&settings, &planes) {
            match Box::pin(list(&inspection, args.all)).await {
                Ok(sessions) => found.extend(sessions),
                Err(why) => complaints.push(format!("{}: {why}", inspection.name())),
            }
        }
        found.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        found.dedup();
        output::print(&show(&found, held.as_ref(), args.json)?)?;
        for complaint in &complaints {
            output::complain(complaint);
        }
        Ok(if complaints.is_empty() {
            Exit::Done
        } else {
            Exit::Temporary
        })
    })?
}

/// The daemon's sessions by the ids AWS gave them; none without a daemon.
async fn held(client: &Client) -> Result<Option<BTreeMap<String, String>>, ClientError> {
    let status = match client.status().await {
        Ok(status) => status,
        Err(ClientError::NoDaemon { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ids = status.sessions.into_iter();
    Ok(Some(
        ids.filter_map(|session| Some((session.session_id?, session.name)))
            .collect(),
    ))
}

/// One's own sessions; all there are if `all`, or if nobody says who one is.
async fn list(inspection: &Inspection, all: bool) -> Result<Vec<ListedSession>, String> {
    let prepared = inspection.prepare().await.map_err(|failure| failure.text)?;
    let owner = if all {
        None
    } else {
        match prepared.identity().await {
            Ok(arn) => Some(arn),
            Err(failure) => {
                output::complain(&format!("{}; all sessions are listed, not only your own", failure.text));
                None
            }
        }
    };
    prepared
        .sessions(owner.as_deref())
        .await
        .map_err(|failure| failure.text)
}

fn holder(session: &ListedSession, held: Option<&BTreeMap<String, String>>) -> Holder {
    match held.and_then(|held| held.get(&session.session_id)) {
        Some(name) => Holder::Daemon(name.clone()),
        None if session.connected => Holder::Another,
        None => Holder::Nobody,
    }
}

fn show(
    sessions: &[ListedSession],
    held: Option<&BTreeMap<String, String>>,
    as_json: bool,
) -> serde_json::Result<String> {
    if as_json {
        let listed: Vec<_> = sessions.iter().map(|session| to_json(session, held)).collect();
        return Ok(format!(
            "{}\n",
            serde_json::to_string_pretty(&json!({ "sessions": listed }))?
        ));
    }
    if sessions.is_empty() {
        return Ok("AWS has no active session of yours\n".to_owned());
    }
    let mut table = Table::new(["AWS SESSION", "TARGET", "AGE", "STATUS", "HELD BY", "REASON"]);
    let mut nobodys = 0;
    for session in sessions {
        let holder = match holder(session, held) {
            Holder::Daemon(name) => format!("session {}", sanitise(&name)),
            Holder::Another => "another client".to_owned(),
            Holder::Nobody => {
                nobodys += 1;
                "nobody".to_owned()
            }
        };
        let age = session.age.map_or_else(
            || "-".to_owned(),
            |age| span(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        );
        table.row([
            sanitise(&session.session_id),
            sanitise(&session.target),
            age,
            sanitise(&session.status),
            holder,
            session.reason.as_deref().map_or_else(|| "-".to_owned(), sanitise),
        ]);
    }
    let mut text = table.to_string();
    if held.is_none() {
        text.push_str("\nno daemon is running here, so it holds none of them\n");
    }
    if nobodys > 0 {
        text.push_str(
            "\nheld by nobody: it ends at its idle time-out, or now with `aws ssm terminate-session --session-id ID`\n",
        );
    }
    Ok(text)
}

fn to_json(session: &ListedSession, held: Option<&BTreeMap<String, String>>) -> serde_json::Value {
    let (held_by, name) = match holder(session, held) {
        Holder::Daemon(name) => ("daemon", Some(name)),
        Holder::Another => ("another", None),
        Holder::Nobody => ("nobody", None),
    };
    json!({
        "session_id": session.session_id,
        "target": session.target,
        "status": session.status,
        "owner": session.owner,
        "age_ms": session.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "reason": session.reason,
        "held_by": held_by,
        "name": name,
    })
}
