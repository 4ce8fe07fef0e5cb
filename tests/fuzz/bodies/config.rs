//! Any configuration file: settings, or problems that can be shown.

use std::path::Path;

use autossm::config::{Environment, parse};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let environment = Environment {
        home: Some("/home/user".into()),
        runtime_dir: Some("/run/user/1000".into()),
        ..Environment::default()
    };
    match parse(text, Path::new("config.toml"), &environment) {
        Ok(settings) => assert!(!format!("{settings:?}").is_empty()),
        Err(invalid) => assert!(!invalid.to_string().is_empty(), "problems without a word"),
    }
}
