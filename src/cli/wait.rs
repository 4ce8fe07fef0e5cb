//! `autossm wait`: until a session is in a phase.

use std::cell::RefCell;

use autossm_proto::session::Phase;

use super::args::WaitArgs;
use super::exit::Exit;
use super::{output, runtime};
use crate::control::{Client, ClientError, UnknownSession};
use crate::status::{Event, EventLine};

/// What was last seen of the session.
#[derive(Clone, Debug)]
struct Seen {
    phase: Phase,
    cause: String,
}

pub(super) fn wait(args: &WaitArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let seen = RefCell::new(None);
    let waited = async {
        // The first look is free, and what it finds is said at the time-out.
        if look(&client, args, &seen).await? {
            return Ok(true);
        }
        match tokio::time::timeout(args.timeout, until(&client, args, &seen)).await {
            Ok(reached) => reached.map(|()| true),
            Err(_) => Ok::<bool, ClientError>(false),
        }
    };
    let reached = runtime::block_on(waited)??;
    if reached {
        output::print(&format!("{}: {}\n", args.name, args.phase))?;
        return Ok(Exit::Done);
    }
    let Some(Seen { phase, cause }) = seen.into_inner() else {
        return Err(ClientError::from(unknown(args)).into());
    };
    output::complain(&format!(
        "session `{}` is {phase} and not {} after {}: {}",
        args.name,
        args.phase,
        humantime::format_duration(args.timeout),
        output::sanitise(&cause),
    ));
    Ok(if phase == Phase::AwaitingLogin {
        Exit::LoginNeeded
    } else {
        Exit::WrongPhase
    })
}

/// Returns once the session is in the phase.
async fn until(client: &Client, args: &WaitArgs, seen: &RefCell<Option<Seen>>) -> Result<(), ClientError> {
    loop {
        // In this order: nothing can happen unseen between the look and the events.
        let mut events = client.events().await?;
        if look(client, args, seen).await? {
            return Ok(());
        }
        loop {
            let Some(line) = events.next().await? else {
                return Err(client.gone());
            };
            match serde_json::from_str::<EventLine>(&line).map(|line| line.event) {
                Ok(Event::Phase { session, to, cause, .. }) if session == args.name => {
                    *seen.borrow_mut() = Some(Seen { phase: to, cause });
                    if to == args.phase {
                        return Ok(());
                    }
                }
                Ok(Event::Removed { session }) if session == args.name => return Err(unknown(args).into()),
                Ok(Event::Missed { .. }) => break,
                // Others, and those of a newer daemon.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Whether the session is in the phase now.
async fn look(client: &Client, args: &WaitArgs, seen: &RefCell<Option<Seen>>) -> Result<bool, ClientError> {
    let status = client.status().await?;
    let session = status.sessions.into_iter().find(|session| session.name == args.name);
    let session = session.ok_or_else(|| unknown(args))?;
    let phase = session.phase;
    *seen.borrow_mut() = Some(Seen {
        phase,
        cause: session.cause,
    });
    Ok(phase == args.phase)
}

fn unknown(args: &WaitArgs) -> UnknownSession {
    UnknownSession {
        name: args.name.clone(),
    }
}
