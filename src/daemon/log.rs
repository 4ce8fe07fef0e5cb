//! What the daemon needs of whatever writes its log.

use std::fmt;

/// Changes what is logged while the daemon runs; implemented above this layer.
pub trait LogControl: Send + Sync + fmt::Debug {
    /// What is logged now, as it was given.
    fn level(&self) -> String;

    /// Logs this from now on: a level, or directives.
    ///
    /// # Errors
    /// It is neither, and why.
    fn set_level(&self, level: &str) -> Result<(), String>;
}
