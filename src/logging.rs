//! Log lines on standard error: one for each change a user can notice, more on request.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The level of our own lines when nothing is said.
const DEFAULT_LEVEL: &str = "info";
/// The level of what dependencies say.
const DEPENDENCIES: &str = "warn";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is none.
    #[error(
        "`{}` is no log level; use off, error, warn, info, debug or trace, or directives such as autossm::aws=debug ({reason})", .given.escape_debug()
    )]
    Filter {
        /// What was given.
        given: String,
        /// Where it fails.
        reason: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else has set it up.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Starts logging to standard error. `level` is one word for autossm itself, or directives of
/// [`EnvFilter`]; colours on a terminal only, no timestamps where the journal adds its own.
///
/// # Errors
/// [`LoggingError`].
pub fn start(level: Option<&str>) -> Result<(), LoggingError> {
    // An empty variable is one that is not set.
    let given = level.filter(|level| !level.trim().is_empty()).unwrap_or(DEFAULT_LEVEL);
    let filter = EnvFilter::try_new(directives(given)).map_err(|reason| LoggingError::Filter {
        given: given.to_owned(),
        reason,
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    if writes_to_journal() {
        registry.with(lines.without_time()).try_init()?;
    } else {
        registry.with(lines).try_init()?;
    }
    Ok(())
}

/// A bare level is for our own lines; anything else is taken as it is.
fn directives(given: &str) -> String {
    let level = given.trim().to_ascii_lowercase();
    if LEVELS.contains(&level.as_str()) {
        format!("{DEPENDENCIES},autossm={level},autossm_proto={level}")
    } else {
        given.to_owned()
    }
}

/// Whether standard error is the stream systemd has connected to the journal.
fn writes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    // Terminals that systemd has started pass the variable on, so it must name this very file.
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_autossm_and_directives_are_for_experts() {
        for (given, meant) in [
            ("debug", "warn,autossm=debug,autossm_proto=debug"),
            (" TRACE ", "warn,autossm=trace,autossm_proto=trace"),
            ("autossm::aws=debug,warn", "autossm::aws=debug,warn"),
        ] {
            assert_eq!(directives(given), meant);
            assert!(EnvFilter::try_new(directives(given)).is_ok());
        }
        let error = start(Some("autossm=loud")).unwrap_err();
        assert!(error.to_string().contains("`autossm=loud`"), "{error}");
    }
}
