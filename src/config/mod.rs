//! The configuration: a file as it was written, all its problems in one go, and the [`Settings`] it means.
//!
//! [`load`] reads a file, `document` turns it into tables with positions, `file` knows every key, `validate` decides
//! what the values mean together. Nothing here opens a socket or starts anything: `autossm check` runs all of it.

mod diff;
mod document;
mod file;
mod listen;
mod paths;
mod problem;
mod settings;
mod validate;

#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

pub use diff::{Changes, diff};
pub use paths::{Environment, PathError};
pub use problem::{Invalid, Problem};
pub use settings::{
    BackoffSettings, ForwardSettings, Listen, LogFormat, LogLevel, LogSettings, OnExit, SessionSettings, Settings,
};
pub use validate::is_session_name;

/// No configuration a person writes is longer, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file is there.
    #[error("no configuration at {}; write one (config/autossm.toml is a commented sample) or name it with --config", alternatives(.searched))]
    Missing {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is longer than any configuration.
    #[error("{} is longer than {LONGEST_FILE} bytes, which is no configuration; name the right file with --config", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file was read and has problems.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

fn alternatives(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

/// Reads and validates the configuration that is `named`, or else the first of the usual places that has one.
///
/// # Errors
/// [`LoadError`]; [`LoadError::Invalid`] holds every problem of all files.
pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Settings, LoadError> {
    let candidates = named.map_or_else(
        || {
            let directories = environment.config_directories();
            directories.iter().map(|place| place.join("config.toml")).collect()
        },
        |path| vec![path.to_owned()],
    );
    let Some(path) = candidates.iter().find(|path| path.exists()) else {
        return Err(LoadError::Missing { searched: candidates });
    };
    let text = read(path)?;
    Ok(parse(&text, path, environment)?)
}

/// Validates `text`, which was read from `path`.
///
/// # Errors
/// Every problem of the text.
pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Settings, Invalid> {
    let mut problems = problem::Problems::default();
    let settings = document::read(text, &mut problems)
        .map(|root| file::read(root, &mut problems))
        .map(|file| validate::validate(&file, environment, &mut problems));
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(problems.locate(path, text)),
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LoadError::Missing {
                searched: vec![path.to_owned()],
            });
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    file.take(LONGEST_FILE + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(LoadError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}
