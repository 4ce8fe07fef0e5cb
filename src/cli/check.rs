//! `autossm check`: the configuration's problems, or what it means.

use super::args::CheckArgs;
use super::exit::Exit;
use super::output;
use super::table::Table;
use crate::config::{self, Environment, SessionSettings};

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let environment = Environment::from_process();
    let settings = config::load(args.config.named(), &environment)?;
    let mut table = Table::new(["SESSION", "TARGET", "LISTENS ON", "GOES TO", "PROFILE", "REGION"]);
    for session in &settings.sessions {
        table.row(row(session));
    }
    let text = format!("the configuration is right\n\n{table}");
    output::print(&text)?;
    Ok(Exit::Done)
}

fn row(session: &SessionSettings) -> [String; 6] {
    let forward = &session.forward;
    let listen: Vec<String> = forward.listen.iter().map(ToString::to_string).collect();
    let host = forward.host.as_deref().unwrap_or("the target");
    let or_default = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    [
        session.name.clone(),
        session.target.clone(),
        listen.join(", "),
        format!("{host}:{}", forward.port),
        or_default(&session.profile),
        or_default(&session.region),
    ]
}
