//! Where files are: the XDG base directories, read from the environment once.

use std::path::{Path, PathBuf};

/// The machine's own configuration, for a service that is no user's.
pub(super) const SYSTEM_DIRECTORY: &str = "/etc/autossm";

/// The few variables of the environment that say where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// It was given, and ignored.
    pub runtime_dir_is_relative: bool,
}

/// The environment does not say where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No `XDG_RUNTIME_DIR`.
    #[error(
        "XDG_RUNTIME_DIR is not set, so the control socket has no place; \
         set it (usually to /run/user/UID, a directory only you can enter) or give --socket PATH"
    )]
    NoRuntimeDir,
    /// An `XDG_RUNTIME_DIR` that is to be ignored.
    #[error(
        "XDG_RUNTIME_DIR is a relative path, which the XDG base directory specification says to ignore, so the control socket \
         has no place; set it to an absolute one (usually /run/user/UID, a directory only you can enter) or give --socket PATH"
    )]
    RelativeRuntimeDir,
}

impl Environment {
    /// What this process was given. A relative path is ignored, as the XDG base directory specification asks for.
    pub fn from_process() -> Self {
        let path = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        Self {
            home: path("HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            runtime_dir_is_relative: runtime_dir.is_some_and(|value| !Path::new(&value).is_absolute()),
        }
    }

    /// Where a configuration may be, the first to be tried first: `~/.config/autossm` (or below `XDG_CONFIG_HOME`), then
    /// `/etc/autossm`.
    pub fn config_directories(&self) -> Vec<PathBuf> {
        self.config_base()
            .map(|base| base.join("autossm"))
            .into_iter()
            .chain([PathBuf::from(SYSTEM_DIRECTORY)])
            .collect()
    }

    /// Where the user's own configuration of every program is: `XDG_CONFIG_HOME`, or else `~/.config`.
    pub fn config_base(&self) -> Option<PathBuf> {
        let below_home = || self.home.as_ref().map(|home| home.join(".config"));
        self.config_home.clone().or_else(below_home)
    }

    /// The control socket: `$XDG_RUNTIME_DIR/autossm/control.sock`.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn control_socket(&self) -> Result<PathBuf, PathError> {
        let none = if self.runtime_dir_is_relative {
            PathError::RelativeRuntimeDir
        } else {
            PathError::NoRuntimeDir
        };
        let base = self.runtime_dir.as_ref().ok_or(none)?;
        Ok(base.join("autossm/control.sock"))
    }

    /// `path` with a leading `~/` or `$XDG_RUNTIME_DIR/` replaced; none when that variable is not set.
    pub(super) fn expand(&self, path: &str) -> Option<PathBuf> {
        if let Some(rest) = path.strip_prefix("~/") {
            Some(self.home.as_ref()?.join(rest))
        } else if let Some(rest) = path.strip_prefix("$XDG_RUNTIME_DIR/") {
            Some(self.runtime_dir.as_ref()?.join(rest))
        } else {
            Some(Path::new(path).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_below_xdg_config_home_or_home_or_etc() {
        let mut environment = Environment {
            home: Some("/home/ada".into()),
            ..Environment::default()
        };
        let found = |environment: &Environment| environment.config_directories();
        let system = || PathBuf::from("/etc/autossm");
        assert_eq!(found(&environment), ["/home/ada/.config/autossm".into(), system()]);
        environment.config_home = Some("/srv/ada".into());
        assert_eq!(found(&environment), ["/srv/ada/autossm".into(), system()]);
        assert_eq!(found(&Environment::default()), [system()]);
    }

    #[test]
    fn the_control_socket_needs_a_runtime_directory() {
        let environment = Environment {
            runtime_dir: Some("/run/user/7".into()),
            ..Environment::default()
        };
        assert_eq!(
            environment.control_socket(),
            Ok("/run/user/7/autossm/control.sock".into())
        );
        let error = Environment::default().control_socket().unwrap_err();
        assert!(error.to_string().contains("--socket PATH"), "{error}");
        let relative = Environment {
            runtime_dir_is_relative: true,
            ..Environment::default()
        };
        let error = relative.control_socket().unwrap_err();
        assert!(error.to_string().contains("is a relative path"), "{error}");
    }
}
