//! The configuration: files as they were written, all their problems in one go, and the [`Settings`] they mean.
//!
//! [`load()`] finds and reads the files, `document` turns them into tables with positions, `vocabulary` knows every key, `file` takes
//! them out, `validate` decides what the values mean together. [`assemble`] is all of that without a file system, [`diff()`]
//! compares two results. Nothing here opens a socket or starts anything: `autossm check` runs all of it.

mod aws_names;
mod diff;
mod document;
mod file;
mod keys;
mod kinds;
mod listen;
mod load;
mod on_demand;
mod paths;
mod problem;
mod schema;
mod settings;
mod syntax;
mod texts;
mod timings;
mod trust;
mod validate;
mod vocabulary;

#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod mistakes_tests;
#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together_tests;

pub use aws_names::secret_in_endpoint;
pub use diff::{Changes, diff};
pub use load::{LoadError, assemble, find, load, parse};
pub use on_demand::{OnDemand, Otherwise, Refused, Wanted, settings_on_demand};
pub use paths::{Environment, PathError};
pub use problem::{Invalid, Line, Place, Problem, Source};
pub use schema::schema;
pub use settings::{
    BackoffSettings, Defaults, Document, ForwardSettings, Listen, LogFormat, LogLevel, LogSettings, NotifySettings,
    OnExit, SCROLLBACK, SessionSettings, Settings, ShellSettings,
};
pub(crate) use trust::{Me, Stranger, strangers_on_the_way};
pub use validate::is_session_name;
