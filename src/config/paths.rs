//! Where files are: the XDG base directories, read from the environment once.

use std::path::{Path, PathBuf};

/// The few variables of the environment that say where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

/// The environment does not say where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Neither `XDG_CONFIG_HOME` nor `HOME`.
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set, so there is no default configuration; name it with --config FILE"
    )]
    NoConfigHome,
    /// No `XDG_RUNTIME_DIR`.
    #[error(
        "XDG_RUNTIME_DIR is not set, so the control socket has no place; \
         set it (usually to /run/user/UID, a directory only you can enter) or give --socket PATH"
    )]
    NoRuntimeDir,
}

impl Environment {
    /// What this process was given. A relative path is ignored, as the XDG base directory specification asks for.
    pub fn from_process() -> Self {
        let path = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            home: path("HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
        }
    }

    /// The user's configuration file: `~/.config/autossm/config.toml`, or below `XDG_CONFIG_HOME`.
    ///
    /// # Errors
    /// [`PathError::NoConfigHome`].
    pub fn config_file(&self) -> Result<PathBuf, PathError> {
        let base = self
            .config_home
            .clone()
            .or_else(|| self.home.as_ref().map(|home| home.join(".config")))
            .ok_or(PathError::NoConfigHome)?;
        Ok(base.join("autossm/config.toml"))
    }

    /// The control socket: `$XDG_RUNTIME_DIR/autossm/control.sock`.
    ///
    /// # Errors
    /// [`PathError::NoRuntimeDir`].
    pub fn control_socket(&self) -> Result<PathBuf, PathError> {
        let base = self.runtime_dir.as_ref().ok_or(PathError::NoRuntimeDir)?;
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
    fn the_configuration_is_below_xdg_config_home_or_home() {
        let mut environment = Environment {
            home: Some("/home/ada".into()),
            ..Environment::default()
        };
        assert_eq!(
            environment.config_file(),
            Ok("/home/ada/.config/autossm/config.toml".into())
        );
        environment.config_home = Some("/etc/ada".into());
        assert_eq!(environment.config_file(), Ok("/etc/ada/autossm/config.toml".into()));
        assert_eq!(Environment::default().config_file(), Err(PathError::NoConfigHome));
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
    }
}
