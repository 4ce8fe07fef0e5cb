//! `autossm reconnect`, `restart`, `start`, `stop`: what a session is to do.

use super::args::{NameArgs, ReconnectArgs};
use super::exit::Exit;
use super::{output, runtime};
use crate::control::{Order, Ordered};

pub(super) fn reconnect(args: &ReconnectArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let text = if let Some(name) = &args.name {
        let ordered = runtime::block_on(client.order(name, Order::Reconnect))??;
        format!("{name}: {}\n", told(Order::Reconnect, ordered))
    } else {
        let who = match runtime::block_on(client.reconnect_all())?? {
            None => "all sessions".to_owned(),
            Some(0) => {
                output::print("nothing to reconnect: no session runs\n")?;
                return Ok(Exit::Done);
            }
            Some(1) => "1 session".to_owned(),
            Some(sessions) => format!("{sessions} sessions"),
        };
        format!("{who}: {}\n", told(Order::Reconnect, Ordered::Begun))
    };
    output::print(&text)?;
    Ok(Exit::Done)
}

pub(super) fn give(args: &NameArgs, order: Order) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let ordered = runtime::block_on(client.order(&args.name, order))??;
    output::print(&format!("{}: {}\n", args.name, told(order, ordered)))?;
    Ok(Exit::Done)
}

const fn told(order: Order, ordered: Ordered) -> &'static str {
    match (ordered, order) {
        (Ordered::AlreadyRunning, _) => "already running",
        (Ordered::Ended, _) => "ended; it was on demand, and what has brought it must bring it again",
        (Ordered::Begun, Order::Reconnect) => "reconnecting",
        (Ordered::Begun, Order::Restart) => "restarting",
        (Ordered::Begun, Order::Start) => "starting",
        (Ordered::Begun, Order::Stop) => "stopped",
    }
}
