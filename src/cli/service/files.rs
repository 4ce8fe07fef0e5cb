//! The files of the service: written with a mark, and only marked ones are ever replaced or removed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Scope;
use super::unit::MARK;
use crate::config::Environment;

/// Where units of the administrator belong (systemd.unit(5), UNIT FILE LOAD PATH).
const SYSTEM_DIRECTORY: &str = "/etc/systemd/system";
/// Drop-ins of the unit; the number leaves room before and behind it.
const STRICT_FILE: &str = "10-strict.conf";
/// Before the number of directories that were made for a file, in its second line.
const MADE: &str = "# Directories made for it: ";

/// The two files there can be.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) unit: PathBuf,
    pub(super) strict: PathBuf,
}

impl Files {
    /// # Errors
    /// Nobody says where the user's configuration is.
    pub(super) fn of(scope: Scope, environment: &Environment) -> anyhow::Result<Self> {
        let directory = match scope {
            Scope::System => PathBuf::from(SYSTEM_DIRECTORY),
            Scope::User => environment
                .config_base()
                .context("neither HOME nor XDG_CONFIG_HOME is set, so the unit has no place; set one of them")?
                .join("systemd/user"),
        };
        let unit = directory.join(scope.unit_file());
        let strict = directory.join(format!("{}.d", scope.unit_file())).join(STRICT_FILE);
        Ok(Self { unit, strict })
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Written by us.
    Ours,
    /// Somebody else's.
    Foreign,
}

pub(super) fn look(path: &Path) -> anyhow::Result<Found> {
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with(MARK) => Ok(Found::Ours),
        Ok(_) => Ok(Found::Foreign),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes `text` below the mark, with the directories it needs.
///
/// # Errors
/// Somebody else's file is in its place, or the system refuses.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if look(path)? == Found::Foreign {
        bail!(
            "{} is there and was not written by `autossm service install`, so it stays; remove it, or change it by hand",
            path.display()
        );
    }
    // What an earlier install has made is still ours to remove.
    let mut made = directories_made(path);
    let missing = path.ancestors().skip(1).take_while(|directory| !directory.exists());
    made += missing.count();
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    // Whole or not at all: systemd may look at any moment.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    replace(&new, path, &format!("{MARK}\n{MADE}{made}\n\n{text}"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `new`, which nothing may be yet, and puts it in the place of `path`; leaves nothing where that fails.
fn replace(new: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(new)?;
    let replaced = file.write_all(text.as_bytes()).and_then(|()| fs::rename(new, path));
    if replaced.is_err() {
        drop(fs::remove_file(new));
    }
    replaced
}

/// Removes what [`write()`] has written, and the directories it has made if nothing else is in them. Says whether there
/// was anything.
///
/// # Errors
/// The system refuses.
pub(super) fn remove(path: &Path) -> anyhow::Result<bool> {
    if look(path)? != Found::Ours {
        return Ok(false);
    }
    let made = directories_made(path);
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    for directory in path.ancestors().skip(1).take(made) {
        if fs::remove_dir(directory).is_err() {
            // Something else is in it by now.
            break;
        }
    }
    Ok(true)
}

fn directories_made(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().nth(1).and_then(|line| line.strip_prefix(MADE));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_removed_with_its_directories_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/autossm.service");
        assert_eq!(look(&path).unwrap(), Found::Nothing);
        write(&path, "[Unit]\n").unwrap();
        // Again, as an upgrade does.
        write(&path, "[Service]\n").unwrap();
        assert_eq!(look(&path).unwrap(), Found::Ours);
        assert!(fs::read_to_string(&path).unwrap().ends_with("\n\n[Service]\n"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(remove(&path).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(!remove(&path).unwrap());

        write(&path, "x").unwrap();
        fs::write(home.path().join("a/other"), "").unwrap();
        assert!(remove(&path).unwrap());
        assert!(home.path().join("a/other").exists() && !home.path().join("a/b").exists());
    }

    #[test]
    fn somebody_elses_file_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("autossm.service");
        fs::write(&path, "[Unit]\n").unwrap();
        assert_eq!(look(&path).unwrap(), Found::Foreign);
        assert!(write(&path, "x").unwrap_err().to_string().contains("so it stays"));
        assert!(!remove(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[Unit]\n");
    }
}
