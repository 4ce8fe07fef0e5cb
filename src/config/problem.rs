//! What is wrong with a configuration, said so that a person can repair it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unicode_width::UnicodeWidthChar;

/// No line of a configuration is shown longer than this, in characters.
const LONGEST_SHOWN: usize = 100;

/// Nobody reads more problems than these at once.
const MOST: usize = 1000;

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key's path, such as `session.db.forward.port`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The other place that has a part in it.
    pub other: Option<Place>,
    /// What to write or do instead.
    pub hint: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or its directory.
    pub path: PathBuf,
    /// None for the file as a whole.
    pub line: Option<Line>,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub width: usize,
    /// The line itself, control characters blanked.
    pub text: String,
}

/// All that is wrong with a configuration, in the order of its files and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} problem{plural} in the configuration")?;
        for problem in &self.problems {
            write!(f, "\n\n{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(line) = &self.place.line {
            line.fmt(f)?;
        }
        if let Some(other) = &self.other {
            write!(f, "\n  see {other}")?;
            if let Some(line) = &other.line {
                line.fmt(f)?;
            }
        }
        write!(f, "\n  hint: {}", self.hint)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)?;
        match &self.line {
            Some(line) => write!(f, ":{}:{}", line.number, line.column),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Line {
    /// The line with its number, and carets below the part that is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number.to_string();
        let gutter = number.len();
        let start = self.column.saturating_sub(1);
        // A line that is too long is shown around what is meant.
        let skipped = if start > LONGEST_SHOWN * 2 / 3 {
            start - LONGEST_SHOWN / 3
        } else {
            0
        };
        let shown: String = self.text.chars().skip(skipped).take(LONGEST_SHOWN).collect();
        let left = if skipped > 0 { "..." } else { "" };
        let cut = self.text.chars().count() > skipped + LONGEST_SHOWN;
        let right = if cut { "..." } else { "" };
        let width = self.width.min((LONGEST_SHOWN + skipped).saturating_sub(start)).max(1);
        let before = left.len() + columns(&shown, 0, start - skipped);
        let width = columns(&shown, start - skipped, width).max(1);
        write!(f, "\n  {number} | {left}{shown}{right}")?;
        write!(f, "\n  {:gutter$} | {:before$}{:^<width$}", "", "", "")
    }
}

/// How wide `count` characters of `text` are on a terminal, behind the first `skipped`. What is no more there counts as blanks.
fn columns(text: &str, skipped: usize, count: usize) -> usize {
    let mut chars = text.chars().skip(skipped);
    (0..count)
        .map(|_| chars.next().map_or(1, |c| c.width().unwrap_or(0)))
        .sum()
}

/// Bytes of one of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Which one.
    pub(super) file: usize,
    pub(super) bytes: Range<usize>,
}

/// Collects problems while texts are read; they get their lines at the end.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// What is wrong with files as a whole.
    whole: Vec<Problem>,
    found: Vec<Found>,
    /// What is not shown of the lines.
    hidden: Vec<Span>,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    kind: Kind,
    at: Span,
    key: String,
    message: String,
    hint: String,
    other: Option<Span>,
}

/// What a problem is about, to tell a cause from its consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syntax,
    Missing,
    Other,
}

impl Problems {
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.found.is_empty()
    }

    /// Adds a problem at this place; one that is already known is not told twice, and [`MOST`] are enough.
    pub(super) fn add(&mut self, at: &Span, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Kind::Other, at, key, message.into(), hint.into());
    }

    /// What is there may be a secret: whoever shows that line does not show it.
    pub(super) fn hide(&mut self, at: &Span) {
        if self.hidden.len() < MOST {
            self.hidden.push(at.clone());
        }
    }

    /// The text is no TOML here.
    pub(super) fn syntax(&mut self, at: &Span, message: String, hint: String) {
        self.push(Kind::Syntax, at, "", message, hint);
    }

    /// `key` is missing in the table that was named here.
    pub(super) fn missing(&mut self, at: &Span, key: &str, hint: String) {
        self.push(Kind::Missing, at, key, "missing".to_owned(), hint);
    }

    /// `key` has turned out to be there under a wrong name.
    pub(super) fn not_missing(&mut self, key: &str) {
        self.found
            .retain(|found| found.kind != Kind::Missing || found.key != key);
    }

    /// Adds a problem that another place has a part in.
    pub(super) fn clash(&mut self, at: &Span, key: &str, message: String, other: &Span, hint: String) {
        self.push(Kind::Other, at, key, message, hint);
        if let Some(found) = self.found.last_mut() {
            found.other = Some(other.clone());
        }
    }

    /// Something is wrong with a file as a whole.
    pub(super) fn whole(&mut self, path: &Path, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem {
            place: Place {
                path: path.to_owned(),
                line: None,
            },
            key: String::new(),
            message: message.into(),
            other: None,
            hint: hint.into(),
        };
        if !self.whole.contains(&problem) {
            self.whole.push(problem);
        }
    }

    fn push(&mut self, kind: Kind, at: &Span, key: &str, message: String, hint: String) {
        let found = Found {
            kind,
            at: at.clone(),
            key: key.to_owned(),
            message,
            hint,
            other: None,
        };
        if self.found.len() < MOST && !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    /// Finds the lines. What a syntax error has brought about is left out: keys that seem to be missing in the same file,
    /// whatever else is wrong with the same line, and after the broken name of a table everything.
    pub(super) fn locate(mut self, sources: &[Source]) -> Invalid {
        self.found.sort_by_key(|found| (found.at.file, found.at.bytes.start));
        let mut located: Vec<(Kind, usize, Problem)> = Vec::with_capacity(self.found.len());
        for found in self.found {
            located.push((found.kind, found.at.file, found.locate(sources, &self.hidden)));
        }
        let broken: Vec<(usize, Line)> = located
            .iter()
            .filter(|(kind, ..)| *kind == Kind::Syntax)
            .filter_map(|(_, file, problem)| Some((*file, problem.place.line.clone()?)))
            .collect();
        located.retain(|(kind, file, problem)| {
            let Some(line) = &problem.place.line else {
                return true;
            };
            !broken.iter().filter(|(other, _)| other == file).any(|(_, cause)| {
                let same_line = cause.number == line.number;
                match kind {
                    Kind::Syntax => same_line && cause.column < line.column,
                    Kind::Missing => true,
                    Kind::Other => {
                        same_line || (cause.number < line.number && cause.text.trim_start().starts_with('['))
                    }
                }
            })
        });
        self.whole.extend(located.into_iter().map(|(_, _, problem)| problem));
        Invalid { problems: self.whole }
    }
}

impl Found {
    fn locate(self, sources: &[Source], hidden: &[Span]) -> Problem {
        Problem {
            place: self.at.locate(sources, hidden),
            key: self.key,
            message: self.message,
            other: self.other.map(|other| other.locate(sources, hidden)),
            hint: self.hint,
        }
    }
}

impl Span {
    fn locate(&self, sources: &[Source], hidden: &[Self]) -> Place {
        let source = sources.get(self.file);
        let path = source.map(|source| source.path.clone()).unwrap_or_default();
        let line = source.filter(|source| !source.text.is_empty()).map(|source| {
            let is_hidden = |at: usize| {
                let mut here = hidden.iter().filter(|span| span.file == self.file);
                here.any(|span| span.bytes.contains(&at))
            };
            line(&source.text, &self.bytes, is_hidden)
        });
        Place { path, line }
    }
}

fn line(text: &str, bytes: &Range<usize>, is_hidden: impl Fn(usize) -> bool) -> Line {
    let start = floor_boundary(text, bytes.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let whole = text
        .get(line_start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    let end = floor_boundary(text, bytes.end.min(line_start + whole.len()));
    let width = text.get(start..end).map_or(0, |marked| marked.chars().count());
    Line {
        number: before.matches('\n').count() + 1,
        column: column + 1,
        width: width.max(1),
        text: whole
            .char_indices()
            .map(|(at, c)| {
                if is_hidden(line_start + at) {
                    '*'
                } else {
                    blank_unsafe(c)
                }
            })
            .collect::<String>()
            .trim_end()
            .to_owned(),
    }
}

/// A blank for what could steer a terminal: control characters, and those that turn the direction of what follows.
fn blank_unsafe(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { ' ' } else { c }
}

/// The last position at or before `at` that is not inside a character.
fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|&position| text.is_char_boundary(position))
        .unwrap_or(0)
}
