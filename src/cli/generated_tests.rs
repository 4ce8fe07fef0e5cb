//! Man pages and completions are made of the command line's and the configuration's own definitions, and those that are
//! checked in are fresh.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::args::Cli;
use super::manual_tests::{daemon_sections, environment_and_files, file_format};

/// Set to write the files instead of comparing them.
const UPDATE: &str = "AUTOSSM_UPDATE";
/// Below the package's directory.
const PLACES: [&str; 2] = ["config/man", "config/completions"];
/// The daemon's page; the other commands are in section 1.
const DAEMON: &str = "autossm-run";

/// Every file by its path, as it should be.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    manual(&command, "autossm", &mut files);
    files.insert("config/man/autossm.toml.5".to_owned(), file_format());
    for (shell, file) in [
        (Shell::Bash, "autossm.bash"),
        (Shell::Zsh, "_autossm"),
        (Shell::Fish, "autossm.fish"),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "autossm", &mut script);
        files.insert(format!("config/completions/{file}"), String::from_utf8(script).unwrap());
    }
    files
}

/// The page of a command and those of the commands below it.
fn manual(command: &Command, name: &str, files: &mut BTreeMap<String, String>) {
    let section = if name == DAEMON { "8" } else { "1" };
    let title = name.to_owned();
    let man = Man::new(
        command
            .clone()
            .display_name(title.clone())
            .version(env!("CARGO_PKG_VERSION")),
    )
    .title(title)
    .section(section)
    .source(concat!("autossm ", env!("CARGO_PKG_VERSION")))
    .manual("autossm");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let below: Vec<&Command> = command.get_subcommands().collect();
    if !below.is_empty() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    if command.get_after_help().is_some() {
        man.render_extra_section(&mut page).unwrap();
    }
    let mut page = String::from_utf8(page).unwrap();
    match name {
        "autossm" => page.push_str(&environment_and_files()),
        DAEMON => page.push_str(&daemon_sections()),
        _ => {}
    }
    // The library takes every command for one of the same section.
    let page = page.replace("autossm\\-run(1)", "autossm\\-run(8)");
    files.insert(format!("config/man/{name}.{section}"), page);
    for command in below {
        manual(command, &format!("{name}-{}", command.get_name()), files);
    }
}

#[test]
fn the_committed_man_pages_and_completions_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files();
    if std::env::var_os(UPDATE).is_some() {
        for place in PLACES {
            drop(fs::remove_dir_all(root.join(place)));
            fs::create_dir_all(root.join(place)).unwrap();
        }
        for (path, text) in &files {
            fs::write(root.join(path), text).unwrap();
        }
        return;
    }
    let mut there = BTreeMap::new();
    for place in PLACES {
        for entry in fs::read_dir(root.join(place)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            there.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let stale: Vec<&String> = files
        .iter()
        .filter(|(path, text)| there.get(*path) != Some(text))
        .map(|(path, _)| path)
        .chain(there.keys().filter(|path| !files.contains_key(*path)))
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:?} are out of date; {UPDATE}=1 cargo test -p autossm --lib fresh writes them anew"
    );
}

#[test]
fn every_command_has_a_page_and_a_completion() {
    let files = files();
    let completion = &files["config/completions/autossm.fish"];
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let section = if name == "run" { 8 } else { 1 };
        let page = &files[&format!("config/man/autossm-{name}.{section}")];
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{page}");
        assert!(completion.contains(&format!("-a \"{name}\"")), "{name}");
    }
    assert!(files.contains_key("config/man/autossm-service-install.1"));
}

/// Every package installs every one of these files, and only files that are there.
#[test]
fn both_packages_have_all_of_it_and_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let metadata = &manifest["package"]["metadata"];
    let deb: BTreeMap<String, String> = metadata["deb"]["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| asset.as_array().unwrap())
        .map(|asset| {
            (
                asset[0].as_str().unwrap().to_owned(),
                asset[1].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let rpm: BTreeMap<String, String> = metadata["generate-rpm"]["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| {
            let text = |key: &str| asset[key].as_str().unwrap().to_owned();
            (text("source"), text("dest").trim_start_matches('/').to_owned())
        })
        .collect();
    assert_eq!(deb, rpm);
    for source in deb.keys().filter(|source| !source.starts_with("target/")) {
        match source.strip_suffix("/*") {
            Some(directory) => assert!(fs::read_dir(root.join(directory)).unwrap().count() > 0, "{source}"),
            None if source.contains('*') => {
                let (directory, end) = source.split_once("/*").unwrap();
                let entries = fs::read_dir(root.join(directory)).unwrap();
                let count = entries.filter(|entry| entry.as_ref().unwrap().path().to_str().unwrap().ends_with(end));
                assert!(count.count() > 0, "{source}");
            }
            None => assert!(root.join(source).is_file(), "{source}"),
        }
    }
    let covered = |path: &str| {
        let ends = |source: &str| {
            let (directory, end) = source.split_once("/*").unwrap_or((source, ""));
            path == source || source.contains("/*") && path.starts_with(directory) && path.ends_with(end)
        };
        deb.keys().any(|source| ends(source))
    };
    for path in files().keys() {
        assert!(covered(path), "no package has {path}");
    }
    for entry in fs::read_dir(root.join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            covered(path.strip_prefix(root).unwrap().to_str().unwrap()),
            "no package has {}",
            path.display()
        );
    }
}
