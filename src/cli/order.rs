//! `autossm reconnect`, `restart`, `start`, `stop`: what a session is to do.

use super::args::{NameArgs, ReconnectArgs};
use super::exit::Exit;
use super::{output, runtime};
use crate::control::Order;

pub(super) fn reconnect(args: &ReconnectArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let text = if let Some(name) = &args.name {
        runtime::block_on(client.order(name, Order::Reconnect))??;
        format!("{name}: {}\n", begun(Order::Reconnect))
    } else {
        runtime::block_on(client.reconnect_all())??;
        format!("all sessions: {}\n", begun(Order::Reconnect))
    };
    output::print(&text)?;
    Ok(Exit::Done)
}

pub(super) fn give(args: &NameArgs, order: Order) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    runtime::block_on(client.order(&args.name, order))??;
    output::print(&format!("{}: {}\n", args.name, begun(order)))?;
    Ok(Exit::Done)
}

const fn begun(order: Order) -> &'static str {
    match order {
        Order::Reconnect => "reconnecting",
        Order::Restart => "restarting",
        Order::Start => "starting",
        Order::Stop => "stopped",
    }
}
