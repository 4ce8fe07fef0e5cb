//! `autossm events`: what happens, as the daemon writes it.

use std::io::IsTerminal;

use super::args::DaemonArgs;
use super::exit::Exit;
use super::output::{self, Reader};
use super::runtime;
use crate::control::{Client, ClientError};
use crate::status::{Event, EventLine};

pub(super) fn events(args: &DaemonArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    runtime::block_on(follow(&client))?
}

async fn follow(client: &Client) -> anyhow::Result<Exit> {
    let mut events = client.events().await?;
    let to_terminal = std::io::stdout().is_terminal();
    let reader_gone = output::reader_gone();
    let mut reader_gone = std::pin::pin!(reader_gone);
    loop {
        let line = tokio::select! {
            biased;
            line = events.next() => line?,
            // `autossm events | head -1` ends with head, not with the next event.
            () = &mut reader_gone => return Ok(Exit::Done),
        };
        let Some(line) = line else {
            // It has ended; the stream would be there otherwise.
            return Err(client.gone().into());
        };
        let shown = if to_terminal { output::sanitise(&line) } else { line };
        if output::print(&format!("{shown}\n"))? == Reader::Gone {
            return Ok(Exit::Done);
        }
        if is_missed(&shown) {
            return Err(ClientError::Busy {
                message: "events came faster than they were read, and some were missed".to_owned(),
            }
            .into());
        }
    }
}

fn is_missed(line: &str) -> bool {
    serde_json::from_str::<EventLine>(line).is_ok_and(|line| matches!(line.event, Event::Missed { .. }))
}
