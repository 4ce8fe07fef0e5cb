//! The library that makes a program's clocks jump, built here from its source.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::skipped;

const SOURCE: &str = include_str!("clock-jump.c");

/// How many seconds each clock is ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jump {
    pub(super) boot_time: i64,
    pub(super) wall_clock: i64,
    /// Without it the machine has slept; with it the process stood still.
    pub(super) monotonic: i64,
}

/// The built library and the file that says how far the clocks have jumped.
pub(super) struct Shim {
    directory: TempDir,
}

impl Shim {
    /// None, said loudly, where there is no C compiler or programs do not load such libraries.
    pub(super) fn build() -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        let shim = Self { directory };
        shim.jump(Jump::default());
        let source = shim.path("clock-jump.c");
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(shim.path("clock-jump.so"))
            .arg(source)
            .arg("-ldl")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            skipped("needs a C compiler (gcc or clang) for Linux");
            return None;
        }
        Some(shim)
    }

    /// From now on the daemon's clocks are so many seconds ahead of the real ones.
    pub(super) fn jump(&self, jump: Jump) {
        let Jump {
            boot_time,
            wall_clock,
            monotonic,
        } = jump;
        // Replaced in one step: nobody reads half of it.
        let new = self.path("new");
        std::fs::write(&new, format!("{boot_time} {wall_clock} {monotonic}\n")).unwrap();
        std::fs::rename(new, self.path("jump")).unwrap();
    }

    /// What the daemon is started with.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.path(name).to_str().unwrap().to_owned();
        vec![("LD_PRELOAD", text("clock-jump.so")), ("JUMP_FILE", text("jump"))]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
