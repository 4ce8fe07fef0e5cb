//! `autossm check`: the configuration's problems, or what it means.

use super::args::CheckArgs;
use super::exit::Exit;
use super::output;
use super::table::Table;
use crate::config::{self, Environment, OnExit, SessionSettings};

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    if args.schema {
        output::print(&format!("{:#}\n", config::schema()))?;
        return Ok(Exit::Done);
    }
    let environment = Environment::from_process();
    let named = args.config.named();
    let settings = config::load(named, &environment)?;
    let files: Vec<String> = config::find(named, &environment)?
        .iter()
        .map(|file| format!("{} is right", file.display()))
        .collect();
    let mut table = Table::new([
        "SESSION",
        "TARGET",
        "LISTENS ON",
        "GOES TO",
        "PROFILE",
        "REGION",
        "ON EXIT",
    ]);
    for session in &settings.sessions {
        table.row(row(session));
    }
    output::print(&format!("{}\n\n{table}", files.join("\n")))?;
    Ok(Exit::Done)
}

fn row(session: &SessionSettings) -> [String; 7] {
    let (listen, leads_to) = match &session.forward {
        Some(forward) => {
            let listen: Vec<String> = forward.listen.iter().map(ToString::to_string).collect();
            let host = forward.host.as_deref().unwrap_or("the target");
            (listen.join(", "), format!("{host}:{}", forward.port))
        }
        None => (format!("autossm attach {}", session.name), "a shell".to_owned()),
    };
    let or_default = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let on_exit = OnExit::WORDS.iter().find(|(_, value)| *value == session.on_exit);
    [
        session.name.clone(),
        session.target.clone(),
        listen,
        leads_to,
        or_default(&session.profile),
        or_default(&session.region),
        on_exit.map_or("-", |(word, _)| *word).to_owned(),
    ]
}
