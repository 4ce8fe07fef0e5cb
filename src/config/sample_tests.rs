//! `config/autossm.toml` shows every key, and its defaults are the defaults.

use std::collections::BTreeSet;
use std::path::Path;

use super::file::{BACKOFF, COMMON, FORWARD, LOG, ROOT, SESSION, timing_keys};
use super::*;

const SAMPLE: &str = include_str!("../../config/autossm.toml");

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

fn only_session(text: &str) -> SessionSettings {
    let path = Path::new("config/autossm.toml");
    let settings = parse(text, path, &Environment::default()).unwrap_or_else(|invalid| panic!("{invalid}"));
    let [session] = <[_; 1]>::try_from(settings.sessions).unwrap();
    session
}

#[test]
fn the_sample_is_right_as_it_is_and_with_every_key_switched_on() {
    let plain = only_session(SAMPLE);
    let full = only_session(&uncommented());
    // What has a default shows it; what has none shows an example.
    assert_eq!(plain.protocol, full.protocol);
    assert_eq!(plain.backoff, full.backoff);
    assert_eq!(plain.forward.allow_remote_clients, full.forward.allow_remote_clients);
    for (name, unset, set) in [
        ("profile", plain.profile, full.profile),
        ("region", plain.region, full.region),
        ("endpoint_url", plain.endpoint_url, full.endpoint_url),
        ("reason", plain.reason, full.reason),
        ("host", plain.forward.host, full.forward.host),
    ] {
        assert_eq!(unset, None, "{name}");
        assert!(set.is_some(), "{name}");
    }
}

#[test]
fn no_key_is_missing_in_the_sample() {
    let file: toml::Table = uncommented().parse().unwrap();
    let table = |path: &[&str]| -> BTreeSet<String> {
        let found = path.iter().fold(&file, |table, key| table[*key].as_table().unwrap());
        found.keys().cloned().collect()
    };
    let known = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    let timings: Vec<&str> = timing_keys().collect();
    assert_eq!(table(&[]), known(ROOT));
    assert_eq!(table(&["log"]), known(LOG));
    assert_eq!(table(&["defaults"]), known(COMMON));
    assert_eq!(table(&["defaults", "timings"]), known(&timings));
    assert_eq!(table(&["defaults", "timings", "backoff"]), known(BACKOFF));
    assert_eq!(table(&["session", "orders-db"]), known(SESSION));
    assert_eq!(table(&["session", "orders-db", "forward"]), known(FORWARD));
}
