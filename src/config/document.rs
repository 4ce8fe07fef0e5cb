//! A TOML text as tables whose keys and values know where they were written.
//!
//! serde's derived structs stop at their first problem. This reader notes a problem and goes on, so that one run names
//! every mistake of a file.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, similar};
use super::problem::{Problems, Span};
use super::syntax;
use super::vocabulary::ROOT;

/// A value, where it was written, and under which path of keys.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) at: Span,
    pub(super) path: String,
}

impl<T> Entry<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Entry<U> {
        Entry {
            value: change(self.value),
            at: self.at,
            path: self.path,
        }
    }
}

/// A table that is being read: what is still in it at the end is unknown.
#[derive(Debug)]
pub(super) struct Table<'t> {
    pub(super) keys: &'static Keys,
    path: String,
    at: Span,
    items: Vec<Item<'t>>,
}

#[derive(Debug)]
struct Item<'t> {
    key: String,
    key_at: Span,
    value: Spanned<DeValue<'t>>,
}

/// The top-level table of the text of file number `file`. Of a text that is no TOML it is what could be recovered.
pub(super) fn read<'t>(file: usize, text: &'t str, problems: &mut Problems) -> Table<'t> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let explained = syntax::explain(error.message(), text, error.span().unwrap_or_default());
        let at = Span {
            file,
            bytes: explained.bytes,
        };
        problems.syntax(&at, explained.message, explained.hint);
    }
    let at = Span {
        file,
        bytes: root.span(),
    };
    Table::new(&ROOT, String::new(), at, root.into_inner())
}

impl<'t> Table<'t> {
    fn new(keys: &'static Keys, path: String, at: Span, table: DeTable<'t>) -> Self {
        let file = at.file;
        let items = table
            .into_iter()
            .map(|(key, value)| Item {
                key_at: Span {
                    file,
                    bytes: key.span(),
                },
                key: key.into_inner().into_owned(),
                value,
            })
            .collect();
        Self { keys, path, at, items }
    }

    /// The path of `key` in the whole file.
    pub(super) fn path_of(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let shown = if !key.is_empty() && key.chars().all(bare) {
            key.to_owned()
        } else {
            format!("\"{}\"", key.escape_debug())
        };
        if self.path.is_empty() {
            shown
        } else {
            format!("{}.{shown}", self.path)
        }
    }

    /// Where the table was written: its header, or its braces.
    pub(super) fn at(&self) -> &Span {
        &self.at
    }

    /// What is written in it and was not read yet, in the order of the names.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.items.iter().map(|item| item.key.clone()).collect();
        names.sort();
        names
    }

    /// Its own path in the whole file.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What the vocabulary says about `key`.
    pub(super) fn vocabulary(&self, key: &str) -> Option<&'static Key> {
        self.keys.all().find(|known| known.name == key)
    }

    /// Whether `key` was written and not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.items.iter().any(|item| item.key == key)
    }

    pub(super) fn text(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<String>> {
        let entry = self.take(key)?;
        text_of(entry, problems)
    }

    /// One of these words, as what it means.
    pub(super) fn word<W: Copy>(
        &mut self,
        key: &str,
        words: &[(&'static str, W)],
        problems: &mut Problems,
    ) -> Option<Entry<W>> {
        let entry = self.take(key)?;
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let hint = format!("write one of {}", quoted.join(", "));
        let DeValue::String(text) = &entry.value else {
            wrong_kind(&entry, "a string", Some(hint), problems);
            return None;
        };
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(entry.map(|_| value));
        }
        let lower = text.to_lowercase();
        let hint = similar(&lower, words.iter().map(|&(word, _)| word))
            .map_or(hint, |meant| format!("did you mean \"{meant}\"?"));
        let message = format!("this cannot be \"{}\"", text.escape_debug());
        problems.add(&entry.at, &entry.path, message, Some(hint));
        None
    }

    pub(super) fn flag(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<bool>> {
        let entry = self.take(key)?;
        if let DeValue::Boolean(value) = entry.value {
            return Some(entry.map(|_| value));
        }
        let hint = Some("write true or false, without quotes".to_owned());
        wrong_kind(&entry, "true or false", hint, problems);
        None
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &mut self,
        key: &str,
        (low, high): (u64, u64),
        problems: &mut Problems,
    ) -> Option<Entry<u64>> {
        let entry = self.take(key)?;
        let DeValue::Integer(number) = &entry.value else {
            wrong_kind(&entry, "a whole number", unquote(&entry.value), problems);
            return None;
        };
        let value = u64::from_str_radix(number.as_str(), number.radix());
        match value {
            Ok(value) if (low..=high).contains(&value) => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{number} is out of range");
                let hint = format!("write a number from {low} to {high}");
                problems.add(&entry.at, &entry.path, message, Some(hint));
                None
            }
        }
    }

    /// A number with or without a fraction.
    pub(super) fn number(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<f64>> {
        let entry = self.take(key)?;
        let digits = if let DeValue::Float(number) = &entry.value {
            number.as_str()
        } else if let DeValue::Integer(number) = &entry.value {
            number.as_str()
        } else {
            wrong_kind(&entry, "a number", unquote(&entry.value), problems);
            return None;
        };
        match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{digits} is no number to reckon with");
                let hint = "write one such as 2 or 1.5".to_owned();
                problems.add(&entry.at, &entry.path, message, Some(hint));
                None
            }
        }
    }

    /// A time span such as `"15s"` or `"1m 30s"`.
    pub(super) fn duration(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<Duration>> {
        let entry = self.take(key)?;
        let DeValue::String(text) = &entry.value else {
            let hint = if let DeValue::Integer(number) = &entry.value {
                format!("write \"{number}s\" for seconds")
            } else {
                "write it like \"15s\" or \"1m 30s\"".to_owned()
            };
            wrong_kind(&entry, "a time span in quotes", Some(hint), problems);
            return None;
        };
        match humantime::parse_duration(text) {
            Ok(value) => Some(entry.map(|_| value)),
            Err(error) => {
                // Without its list of all units and its example.
                let reason = error.to_string();
                let reason = reason.split(", ").next().unwrap_or_default();
                let message = format!("\"{}\" is no time span: {reason}", text.escape_debug());
                let hint = match text.trim().parse::<u64>() {
                    Ok(number) => format!("write \"{number}s\" for seconds, \"{number}ms\" for milliseconds"),
                    Err(_) => "write it like \"15s\", \"500ms\" or \"1m 30s\"".to_owned(),
                };
                problems.add(&entry.at, &entry.path, message, Some(hint));
                None
            }
        }
    }

    pub(super) fn table(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        let keys = self.keys.table(key)?;
        let entry = self.take(key)?;
        let hint = format!("write {key} = {{ {} }}", keys.example);
        table_of(keys, entry, &hint, problems)
    }

    /// All tables below `key`, each with its name, in the order of their names.
    pub(super) fn tables(&mut self, key: &str, problems: &mut Problems) -> Vec<(Entry<String>, Self)> {
        let (Some(keys), Some(entry)) = (self.keys.table(key), self.take(key)) else {
            return Vec::new();
        };
        let hint = format!("give it a name: [{key}.NAME], and its keys below");
        let Some(list) = table_of(keys, entry, &hint, problems) else {
            return Vec::new();
        };
        let file = list.at.file;
        let mut tables = Vec::with_capacity(list.items.len());
        let paths: Vec<String> = list.items.iter().map(|item| list.path_of(&item.key)).collect();
        for (item, path) in list.items.into_iter().zip(paths) {
            let entry = Entry {
                at: Span {
                    file,
                    bytes: item.value.span(),
                },
                value: item.value.into_inner(),
                path: path.clone(),
            };
            let name = Entry {
                value: item.key,
                at: item.key_at,
                path,
            };
            tables.extend(table_of(keys, entry, &hint, problems).map(|table| (name, table)));
        }
        tables
    }

    /// Says of each key that nobody has read that it is unknown, and what may be meant.
    pub(super) fn finish(self, problems: &mut Problems) {
        for item in &self.items {
            let path = self.path_of(&item.key);
            let (hint, meant) = self.keys.hint(&item.key);
            problems.add(&item.key_at, &path, "unknown key", Some(hint));
            // It is not missing as well.
            if let Some(meant) = meant {
                problems.not_missing(&self.path_of(meant));
            }
        }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Entry<DeValue<'t>>> {
        debug_assert!(
            self.keys.has(key),
            "{key} is not in the vocabulary of {}",
            self.keys.name
        );
        self.take_any(key)
    }

    /// A key that need not be in the vocabulary.
    pub(super) fn take_any(&mut self, key: &str) -> Option<Entry<DeValue<'t>>> {
        let index = self.items.iter().position(|item| item.key == key)?;
        let item = self.items.swap_remove(index);
        Some(Entry {
            path: self.path_of(key),
            at: Span {
                file: self.at.file,
                bytes: item.value.span(),
            },
            value: item.value.into_inner(),
        })
    }
}

pub(super) fn text_of(entry: Entry<DeValue<'_>>, problems: &mut Problems) -> Option<Entry<String>> {
    if let DeValue::String(text) = &entry.value {
        let text = text.clone().into_owned();
        return Some(entry.map(|_| text));
    }
    let hint = if let DeValue::Integer(number) = &entry.value {
        Some(format!("put it in quotes: \"{number}\""))
    } else if let DeValue::Array(_) = &entry.value {
        Some("write one string, not a list".to_owned())
    } else {
        None
    };
    wrong_kind(&entry, "a string", hint, problems);
    None
}

/// How to write a number that was put in quotes.
fn unquote(value: &DeValue<'_>) -> Option<String> {
    let DeValue::String(text) = value else {
        return None;
    };
    text.parse::<f64>().ok()?;
    Some(format!("write {text}, without quotes"))
}

pub(super) fn table_of<'t>(
    keys: &'static Keys,
    entry: Entry<DeValue<'t>>,
    hint: &str,
    problems: &mut Problems,
) -> Option<Table<'t>> {
    if !matches!(entry.value, DeValue::Table(_)) {
        wrong_kind(&entry, "a table", Some(hint.to_owned()), problems);
        return None;
    }
    let DeValue::Table(table) = entry.value else {
        return None;
    };
    Some(Table::new(keys, entry.path, entry.at, table))
}

fn wrong_kind(entry: &Entry<DeValue<'_>>, expected: &str, hint: Option<String>, problems: &mut Problems) {
    let found = match &entry.value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let message = format!("this is {found}; {expected} is needed");
    problems.add(&entry.at, &entry.path, message, hint);
}
