//! What is wrong with a configuration, said so that a person can repair it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub width: usize,
    /// The line itself, control characters blanked.
    pub source_line: String,
    /// The key's path, such as `session.db.forward.port`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// All that is wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} problem{plural} in {}", self.path.display())?;
        for problem in &self.problems {
            write!(f, "\n\n{}:{}: ", self.path.display(), problem.line)?;
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    /// Everything but the file and the line's number, over several lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.source_line.is_empty() {
            let number = self.line.to_string();
            let gutter = number.len();
            let before = self.column.saturating_sub(1);
            write!(f, "\n  {number} | {}", self.source_line)?;
            write!(f, "\n  {:gutter$} | {:before$}", "", "")?;
            write!(f, "{:^<1$}", "", self.width)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Collects problems while a text is read; they get their lines at the end.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Found>,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    at: Range<usize>,
    key: String,
    message: String,
    hint: Option<String>,
}

impl Problems {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds a problem at these bytes of the text; one that is already known is not told twice.
    pub(super) fn add(&mut self, at: &Range<usize>, key: &str, message: impl Into<String>, hint: Option<String>) {
        let found = Found {
            at: at.clone(),
            key: key.to_owned(),
            message: message.into(),
            hint,
        };
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    pub(super) fn locate(mut self, path: &Path, text: &str) -> Invalid {
        self.found.sort_by_key(|found| found.at.start);
        Invalid {
            path: path.to_owned(),
            problems: self.found.into_iter().map(|found| found.locate(text)).collect(),
        }
    }
}

impl Found {
    fn locate(self, text: &str) -> Problem {
        let start = floor_boundary(text, self.at.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let source = text
            .get(line_start..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let end = floor_boundary(text, self.at.end.min(line_start + source.len()));
        let width = text.get(start..end).map_or(0, |marked| marked.chars().count());
        Problem {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            width: width.max(1),
            source_line: source
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect::<String>()
                .trim_end()
                .to_owned(),
            key: self.key,
            message: self.message,
            hint: self.hint,
        }
    }
}

/// The last position at or before `at` that is not inside a character.
fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|&position| text.is_char_boundary(position))
        .unwrap_or(0)
}
