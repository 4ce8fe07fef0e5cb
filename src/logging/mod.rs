//! Log lines on standard error, or in the journal behind it: one for each change a user can notice, more on request.
//!
//! What dependencies say below INFO is never written, whatever is asked for: the AWS SDK's TRACE holds whole answers
//! with their tokens, hyper's and tungstenite's the payload.

mod journal;
mod queue;
mod stderr;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use self::journal::{Entry, Journal};
use self::queue::Queue;
use self::stderr::{StandardError, Text};
use crate::config::LogFormat;
use crate::daemon::LogControl;

/// The level of what dependencies say.
const DEPENDENCIES: &str = "warn";
/// The SDK warns at each failure to get credentials, which we say once and with what helps.
const SAID_BETTER: &str = "aws_config=error";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// There is nothing in it, which would log nothing.
    #[error("an empty text is no log level; use off, error, warn, info, debug or trace")]
    Empty,
    /// The level is none.
    #[error(
        "`{}` is no log level; use off, error, warn, info, debug or trace, or directives such as autossm::aws=debug ({reason})", .given.escape_debug()
    )]
    Filter {
        /// What was given.
        given: String,
        /// Where it fails.
        reason: String,
    },
    /// There is no thread for it.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Somebody else has set it up.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What is logged, to be changed while the program runs.
#[derive(Debug)]
pub struct LogHandle {
    filter: Handle<EnvFilter, Registry>,
    level: Mutex<String>,
    lines: Lines,
}

/// Where lines go.
#[derive(Debug)]
enum Lines {
    Journal(Queue<Entry>),
    StandardError(Queue<Text>),
}

/// Starts logging to standard error. `level` is one word for autossm itself, or directives of [`EnvFilter`]; colours on
/// a terminal only. Where systemd has connected standard error to the journal, the journal gets each line with its
/// fields.
///
/// # Errors
/// [`LoggingError`].
pub fn start(level: &str, format: LogFormat) -> Result<Arc<LogHandle>, LoggingError> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let journal = if format == LogFormat::Auto && writes_to_journal() {
        Journal::new(Path::new(journal::SOCKET)).ok()
    } else {
        None
    };
    let (layer, lines) = if let Some(journal) = journal {
        let lines = Lines::Journal(journal.lines());
        (journal.boxed(), lines)
    } else {
        let stderr = StandardError::start().map_err(LoggingError::Thread)?;
        let lines = Lines::StandardError(stderr.lines());
        let layer = fmt::layer().with_writer(stderr);
        let layer = match format {
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
            LogFormat::Auto if writes_to_journal() => layer.with_ansi(false).without_time().boxed(),
            LogFormat::Auto | LogFormat::Human => layer.with_ansi(wants_colour()).boxed(),
        };
        (layer, lines)
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(cap())
        .with(layer)
        .try_init()?;
    Ok(Arc::new(LogHandle {
        filter: handle,
        level: Mutex::new(level.to_owned()),
        lines,
    }))
}

/// Whether `level` can be given to [`start`].
///
/// # Errors
/// [`LoggingError::Filter`].
pub fn check(level: &str) -> Result<(), LoggingError> {
    filter(level).map(drop)
}

impl LogHandle {
    /// Waits a little for the last lines; whether somebody has taken them.
    pub fn flush(&self) -> bool {
        match &self.lines {
            Lines::Journal(queue) => queue.flush(LAST_LINES),
            Lines::StandardError(queue) => queue.flush(LAST_LINES),
        }
    }
}

impl LogControl for LogHandle {
    fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        let filter = filter(level).map_err(|error| error.to_string())?;
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        level.clone_into(&mut self.level.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

fn filter(given: &str) -> Result<EnvFilter, LoggingError> {
    let error = |reason: String| LoggingError::Filter {
        given: given.to_owned(),
        reason,
    };
    // A word that is no level would be taken for a target, and everything else would fall silent.
    let is_word = |part: &str| !part.is_empty() && !part.contains(['=', '[', ':']);
    let is_level = |part: &str| LEVELS.contains(&part.to_ascii_lowercase().as_str());
    let mut parts = given.split(',').map(str::trim);
    if parts.clone().all(str::is_empty) {
        return Err(LoggingError::Empty);
    }
    if let Some(word) = parts.find(|part| is_word(part) && !is_level(part)) {
        return Err(error(format!("`{}` is neither", word.escape_debug())));
    }
    EnvFilter::try_new(directives(given)).map_err(|reason| error(reason.to_string()))
}

/// A bare level is for our own lines; anything else is taken as it is.
fn directives(given: &str) -> String {
    let level = given.trim().to_ascii_lowercase();
    if LEVELS.contains(&level.as_str()) {
        format!("{DEPENDENCIES},{SAID_BETTER},autossm={level},autossm_proto={level}")
    } else {
        given.to_owned()
    }
}

/// Stands beside the filter a user may change, and nobody can change it.
fn cap() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|line| is_ours(line.target()) || *line.level() <= Level::INFO)
}

fn is_ours(target: &str) -> bool {
    let package = target.split("::").next().unwrap_or_default();
    matches!(package, "autossm" | "autossm_proto")
}

/// On a terminal, unless <https://no-color.org> says otherwise.
fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard error is the stream systemd has connected to the journal.
fn writes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    // Terminals that systemd has started pass the variable on, so it must name this very file.
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::*;

    #[test]
    fn a_level_is_for_autossm_and_directives_are_for_experts() {
        for (given, meant) in [
            ("debug", "warn,aws_config=error,autossm=debug,autossm_proto=debug"),
            (" TRACE ", "warn,aws_config=error,autossm=trace,autossm_proto=trace"),
            ("autossm::aws=debug,warn", "autossm::aws=debug,warn"),
        ] {
            assert_eq!(directives(given), meant);
            assert!(check(given).is_ok());
        }
        for wrong in ["autossm=loud", "loud", "info,loud", "autossm"] {
            let error = check(wrong).unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn an_empty_level_does_not_silence_anything() {
        for empty in ["", "  ", ",", " , "] {
            let error = check(empty).unwrap_err();
            assert!(error.to_string().contains("empty"), "{error}");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_directive_lifts_the_cap_on_what_dependencies_say() {
        let written = Written::default();
        let writer = written.clone();
        let (filter, handle) = reload::Layer::new(filter("trace").unwrap());
        let subscriber = tracing_subscriber::registry()
            .with(filter)
            .with(cap())
            .with(fmt::layer().with_writer(move || writer.clone()));
        let handle = LogHandle {
            filter: handle,
            level: Mutex::new(String::new()),
            lines: Lines::StandardError(StandardError::start().unwrap().lines()),
        };
        with_default(subscriber, || {
            for directives in [
                "trace",
                "aws_smithy_runtime=trace,hyper=trace,autossm=trace",
                "trace,rustls=debug",
            ] {
                handle.set_level(directives).unwrap();
                tracing::trace!(target: "aws_smithy_runtime::client", "canary");
                tracing::debug!(target: "hyper::proto", "canary");
                tracing::debug!(target: "autossmx", "canary");
                tracing::debug!(target: "rustls", "canary");
                let span = tracing::debug_span!(target: "aws_sdk_ssm", "canary", value = "canary");
                span.in_scope(|| tracing::trace!(target: "autossm::aws", "ours"));
                tracing::info!(target: "rustls", "a notice");
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(text.matches("ours").count(), 3, "{text}");
        // Two of the three directives leave what dependencies say at ERROR or WARN.
        assert_eq!(text.matches("a notice").count(), 1, "{text}");
    }
}
