//! The files of the AWS CLI, and who else may read them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Section;
use crate::config::Environment;

/// Whoever is in the file's group, or anybody.
const OTHERS: u32 = 0o077;

/// Whether they can be read, and by nobody else where keys are in them.
pub(super) fn check(environment: &Environment) -> Section {
    let mut section = Section::new("files of the AWS CLI");
    let aws = environment.home.as_ref().map(|home| home.join(".aws"));
    let file = |variable, name: &str| {
        let named = std::env::var_os(variable).filter(|path| !path.is_empty());
        named.map(PathBuf::from).or_else(|| Some(aws.as_ref()?.join(name)))
    };
    for (variable, name, secret) in [
        ("AWS_CONFIG_FILE", "config", false),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", true),
    ] {
        if let Some(path) = file(variable, name) {
            look(&path, secret, &mut section);
        }
    }
    if section.findings.is_empty() {
        section.odd(
            "HOME is not set, so there is no ~/.aws",
            "set HOME, or name the files by AWS_CONFIG_FILE",
        );
    }
    section
}

fn look(path: &Path, secret: bool, section: &mut Section) {
    let shown = path.display();
    match std::fs::read(path) {
        Ok(content) => {
            let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
            let holds_keys = secret || content.windows(21).any(|part| part == b"aws_secret_access_key");
            if holds_keys && mode & OTHERS != 0 {
                section.odd(
                    format!("{shown} holds keys, and others may read it (mode {:o})", mode & 0o777),
                    format!("chmod 600 '{shown}'"),
                );
            } else {
                section.fine(format!("{shown} can be read"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            section.skipped(format!("{shown} is not there"));
        }
        Err(error) => section.odd(
            format!("{shown} cannot be read: {error}"),
            format!("make it yours: chmod 600 '{shown}'"),
        ),
    }
}
