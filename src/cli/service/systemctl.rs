//! The service manager, asked by `systemctl`.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use anyhow::{Context, bail};

use super::Scope;

/// What became of a question.
#[derive(Debug)]
pub(super) struct Systemctl {
    scope: Scope,
}

impl Systemctl {
    pub(super) const fn of(scope: Scope) -> Self {
        Self { scope }
    }

    /// Whether a service manager answers here.
    pub(super) fn answers(&self) -> bool {
        self.run(&["show", "--property=Version"]).is_ok()
    }

    /// Gives an order, and gives its output.
    ///
    /// # Errors
    /// There is no `systemctl`, or it fails; with its words.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Output { status, stdout, stderr } = Command::new("systemctl")
            .args([self.scope.flag(), "--no-pager", "--plain", "--no-legend"])
            .args(arguments)
            .output()
            .context("cannot run systemctl; is this machine's service manager systemd?")?;
        if !status.success() {
            let words = String::from_utf8_lossy(&stderr);
            let flag = self.scope.flag();
            bail!(
                "`systemctl {flag} {}` failed: {}",
                arguments.join(" "),
                words.trim().replace('\n', "; ")
            );
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Some properties of a unit, by their names.
    ///
    /// # Errors
    /// As [`Systemctl::run`].
    pub(super) fn show(&self, unit: &str, properties: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let shown = self.run(&["show", unit, &format!("--property={properties}")])?;
        let pairs = shown.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The services of ours that are there.
    ///
    /// # Errors
    /// As [`Systemctl::run`].
    pub(super) fn services(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.run(&["list-units", "--all", "--full", self.scope.pattern()])?;
        let first_words = listed.lines().filter_map(|line| {
            // A failed one has a mark in front of it.
            line.split_whitespace().find(|word| word.ends_with(".service"))
        });
        Ok(first_words.map(ToOwned::to_owned).collect())
    }
}
