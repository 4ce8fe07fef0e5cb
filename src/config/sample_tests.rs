//! `config/autossm.toml` shows every key, and its defaults are the defaults; `config/autossm.schema.json` is fresh.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use super::mistakes_tests::UPDATE;
use super::*;

const SAMPLE: &str = include_str!("../../config/autossm.toml");
const SCHEMA: &str = include_str!("../../config/autossm.schema.json");

/// The sample with its commented keys switched on.
fn uncommented() -> String {
    SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

fn load(text: &str) -> Settings {
    let path = Path::new("config/autossm.toml");
    parse(text, path, &Environment::default()).unwrap_or_else(|invalid| panic!("{invalid}"))
}

/// The forward of the sample, and its shell.
fn sessions(settings: &Settings) -> (SessionSettings, SessionSettings) {
    let [shell, forward] = &settings.sessions[..] else {
        panic!("{settings:?}");
    };
    (forward.clone(), shell.clone())
}

#[test]
fn the_sample_is_right_as_it_is_and_with_every_key_switched_on() {
    let (plain, full) = (load(SAMPLE), load(&uncommented()));
    assert_eq!(plain.log, full.log);
    assert_eq!(plain.log, LogSettings::default());
    assert_eq!(plain.notify, full.notify);
    assert_eq!(plain.notify, NotifySettings::default());
    let ((plain, plain_shell), (full, full_shell)) = (sessions(&plain), sessions(&full));
    assert_eq!(plain_shell.shell, Some(ShellSettings::default()));
    let shell = full_shell.shell.unwrap();
    assert_eq!(shell.parameters, [("command".to_owned(), vec!["top".to_owned()])]);
    assert_eq!((shell.scrollback, shell.document.is_some()), (SCROLLBACK, true));
    let host = |session: &SessionSettings| session.forward.clone().unwrap().host;
    // What has a default shows it; what has none shows an example.
    for (name, unset, set) in [
        ("profile", &plain.profile, &full.profile),
        ("region", &plain.region, &full.region),
        ("endpoint_url", &plain.endpoint_url, &full.endpoint_url),
        ("reason", &plain.reason, &full.reason),
        ("session_id", &plain.protocol.adopt, &full.protocol.adopt),
        ("host", &host(&plain), &host(&full)),
    ] {
        assert_eq!(*unset, None, "{name}");
        assert!(set.is_some(), "{name}");
    }
    let mut bare = SessionSettings {
        profile: None,
        region: None,
        endpoint_url: None,
        reason: None,
        ..full
    };
    bare.forward.as_mut().unwrap().host = None;
    (bare.protocol.adopt, bare.protocol.once) = (None, false);
    for (name, field) in [
        ("session_timeout", &mut bare.protocol.session_timeout),
        ("max_duration", &mut bare.protocol.max_duration),
        ("idle_keepalive", &mut bare.protocol.idle_keepalive),
    ] {
        assert!(field.take().is_some(), "{name}");
    }
    assert_eq!(plain, bare);
    assert_eq!(plain.protocol, autossm_proto::session::SessionConfig::default());
    assert_eq!(plain.backoff, BackoffSettings::default());
}

/// The keys of each table the schema knows, by the table's path; `*` is any name.
fn schema_keys(schema: &Json, table: &Json, path: &str, found: &mut BTreeSet<String>) {
    let table = match table["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => table,
    };
    for (key, value) in table["properties"].as_object().into_iter().flatten() {
        found.insert(format!("{path}.{key}"));
        schema_keys(schema, value, &format!("{path}.{key}"), found);
    }
    if table["additionalProperties"]["$ref"].is_string() {
        schema_keys(schema, &table["additionalProperties"], &format!("{path}.*"), found);
    }
}

fn written_keys(table: &toml::Table, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let key = if path == ".session" { "*" } else { key };
        let path = format!("{path}.{key}");
        if key != "*" {
            found.insert(path.clone());
        }
        if let Some(table) = value.as_table().filter(|_| !path.ends_with(".parameters")) {
            written_keys(table, &path, found);
        }
    }
}

#[test]
fn no_key_of_the_schema_is_missing_in_the_sample() {
    let schema = schema();
    let (mut known, mut shown) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(&schema, &schema, "", &mut known);
    written_keys(&uncommented().parse().unwrap(), "", &mut shown);
    // What a session can say as well as [defaults] is shown there, and listed in a comment of the session.
    let in_defaults: Vec<String> = known
        .iter()
        .filter(|key| key.starts_with(".defaults."))
        .map(|key| key.replacen(".defaults.", ".session.*.", 1))
        .collect();
    assert!(in_defaults.len() > 10, "{in_defaults:?}");
    let missing: Vec<&String> = known
        .difference(&shown)
        .filter(|key| !in_defaults.contains(key))
        .collect();
    assert!(missing.is_empty(), "config/autossm.toml does not show {missing:?}");
    assert!(
        shown.is_subset(&known),
        "the schema does not have {:?}",
        shown.difference(&known)
    );
    let list = SAMPLE.lines().find(|line| line.ends_with(" can be here too.")).unwrap();
    for key in in_defaults.iter().filter(|key| key.matches('.').count() == 3) {
        let name = key.rsplit('.').next().unwrap();
        assert!(
            list.contains(name),
            "config/autossm.toml does not say that a session has {name}"
        );
    }
}

#[test]
fn the_schema_has_the_defaults_the_sample_shows() {
    let full: toml::Table = uncommented().parse().unwrap();
    let schema = schema();
    let mut compared = 0;
    for (path, definition) in [
        (&["log"][..], "log"),
        (&["notify"], "notify"),
        (&["defaults"], "defaults"),
        (&["defaults", "timings"], "timings"),
        (&["defaults", "timings", "backoff"], "backoff"),
        (&["session", "orders-db", "forward"], "forward"),
        (&["session", "build", "shell"], "shell"),
    ] {
        let shown = path.iter().fold(&full, |table, key| table[*key].as_table().unwrap());
        for (key, property) in schema["definitions"][definition]["properties"].as_object().unwrap() {
            let default = &property["default"];
            if !default.is_null() {
                let shown: Json = shown[key].clone().try_into().unwrap();
                assert_eq!(*default, shown, "{definition}.{key}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 19, "{compared}");
}

/// A forward and a shell, and one of each that is taken over, with these lines in each of their tables and in the file.
fn every_kind(file: &str, session: &str, forward: &str, shell: &str) -> Settings {
    let kind = |name: &str, adopted: &str, what: String| {
        format!("[session.{name}]\ntarget = \"i-0\"\n{adopted}{session}\n{what}")
    };
    let forward = |port: u16| format!("forward = {{ listen = \":{port}\", port = 80{forward} }}\n");
    let shell = || format!("shell = {{ {} }}\n", shell.trim_start_matches(", "));
    let (ssh, left) = ("session_id = \"ada-0\"\n", "session_id = \"ada-1\"\n");
    load(&format!(
        "[defaults]\n{file}\n{}{}{}{}",
        kind("forward", "", forward(1)),
        kind("shell", "", shell()),
        kind("ssh", ssh, forward(2)),
        kind("left", left, shell()),
    ))
}

/// The keys of a table that have a default, each with it, as they are written.
fn written_defaults(definition: &str) -> Vec<String> {
    let schema = schema();
    let properties = schema["definitions"][definition]["properties"].as_object().unwrap();
    let written = properties.iter().filter(|(_, property)| !property["default"].is_null());
    let lines: Vec<String> = written
        .map(|(key, property)| format!("{key} = {}", property["default"]))
        .collect();
    assert!(!lines.is_empty(), "{definition}");
    lines
}

#[test]
fn a_default_that_is_written_down_changes_nothing() {
    let bare = every_kind("", "", "", "");
    let (common, spans, backoff) = (
        written_defaults("defaults"),
        written_defaults("timings"),
        written_defaults("backoff"),
    );
    let below = |prefix: &str, lines: &[String]| lines.iter().map(|line| format!("{prefix}{line}")).collect();
    let mut lines: Vec<String> = common;
    lines.extend::<Vec<String>>(below("timings.", &spans));
    lines.extend::<Vec<String>>(below("timings.backoff.", &backoff));
    for line in &lines {
        assert_eq!(every_kind(line, "", "", ""), bare, "{line} in [defaults]");
        assert_eq!(every_kind("", line, "", ""), bare, "{line} in a session");
    }
    let all = lines.join("\n");
    let last: String = ["log", "notify"]
        .iter()
        .map(|table| format!("\n[{table}]\n{}\n", written_defaults(table).join("\n")))
        .collect();
    let inline = |table| format!(", {}", written_defaults(table).join(", "));
    let full = every_kind(&format!("{all}{last}"), &all, &inline("forward"), &inline("shell"));
    assert_eq!(full, bare);
}

#[test]
fn the_committed_schema_is_fresh() {
    let fresh = format!("{:#}\n", schema());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("config/autossm.schema.json"),
            &fresh,
        )
        .unwrap();
        return;
    }
    assert!(
        SCHEMA == fresh,
        "config/autossm.schema.json is out of date; {UPDATE}=1 cargo test -p autossm --lib fresh writes it anew"
    );
}
