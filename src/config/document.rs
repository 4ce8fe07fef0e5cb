//! A TOML text as tables whose keys and values know where they were written.
//!
//! serde's derived structs stop at their first problem. This reader notes a problem and goes on, so that one run names
//! every mistake of a file.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, similar};
use super::kinds::{in_quotes, text_of, unquote, wrong_kind};
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
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Entry<U> {
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
    let json = syntax::json(text);
    let (root, errors) = DeTable::parse_recoverable(if json.is_some() { "" } else { text });
    if let Some(explained) = json {
        let at = Span {
            file,
            bytes: explained.bytes,
        };
        problems.syntax(&at, explained.message, explained.hint);
    }
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
        text_of(entry, in_quotes, problems)
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
            wrong_kind(&entry, "a string", hint, problems);
            return None;
        };
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(entry.map(|_| value));
        }
        let lower = text.to_lowercase();
        let hint = similar(&lower, words.iter().map(|&(word, _)| word))
            .map_or(hint, |meant| format!("did you mean \"{meant}\"?"));
        let message = format!("this cannot be \"{}\"", text.escape_debug());
        problems.add(&entry.at, &entry.path, message, hint);
        None
    }

    pub(super) fn flag(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<bool>> {
        let entry = self.take(key)?;
        if let DeValue::Boolean(value) = entry.value {
            return Some(entry.map(|_| value));
        }
        let hint = "write true or false, without quotes";
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
            let range = || format!("write a number from {low} to {high}, without quotes");
            let hint = unquote(&entry.value).unwrap_or_else(range);
            wrong_kind(&entry, "a whole number", hint, problems);
            return None;
        };
        let value = u64::from_str_radix(number.as_str(), number.radix());
        match value {
            Ok(value) if (low..=high).contains(&value) => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{number} is out of range");
                let hint = format!("write a number from {low} to {high}");
                problems.add(&entry.at, &entry.path, message, hint);
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
            let usual = || "write one such as 2 or 1.5, without quotes".to_owned();
            let hint = unquote(&entry.value).unwrap_or_else(usual);
            wrong_kind(&entry, "a number", hint, problems);
            return None;
        };
        match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{digits} is no number to reckon with");
                let hint = "write one such as 2 or 1.5".to_owned();
                problems.add(&entry.at, &entry.path, message, hint);
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
            wrong_kind(&entry, "a time span in quotes", hint, problems);
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
                problems.add(&entry.at, &entry.path, message, hint);
                None
            }
        }
    }

    pub(super) fn table(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        let keys = self.keys.table(key)?;
        let entry = self.take(key).or_else(|| self.take_misspelt(key, problems))?;
        let hint = format!("write {key} = {{ {} }}", keys.example);
        table_of(keys, entry, &hint, problems)
    }

    /// All tables below `key`, each with its name, in the order of their names.
    pub(super) fn tables(&mut self, key: &str, problems: &mut Problems) -> Vec<(Entry<String>, Self)> {
        let Some(keys) = self.keys.table(key) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        let right = self.take(key);
        let misspelt = std::iter::from_fn(|| self.take_misspelt(key, problems));
        let written: Vec<Entry<DeValue<'t>>> = right.into_iter().chain(misspelt).collect();
        for entry in written {
            tables.extend(tables_of(keys, key, entry, problems));
        }
        tables
    }

    /// A table under a name that seems to mean `key`: that is said, and what is wrong in it can be said as well.
    fn take_misspelt(&mut self, key: &str, problems: &mut Problems) -> Option<Entry<DeValue<'t>>> {
        let means_key = |item: &Item<'t>| {
            matches!(item.value.get_ref(), DeValue::Table(_))
                && !self.keys.has(&item.key)
                && self.keys.hint(&item.key).1 == Some(key)
        };
        let index = self.items.iter().position(means_key)?;
        let item = self.items.swap_remove(index);
        self.unknown(&item, problems);
        Some(self.entry_of(item))
    }

    fn entry_of(&self, item: Item<'t>) -> Entry<DeValue<'t>> {
        Entry {
            path: self.path_of(&item.key),
            at: Span {
                file: self.at.file,
                bytes: item.value.span(),
            },
            value: item.value.into_inner(),
        }
    }

    /// Says that a key is unknown, and returns the one that seems to be meant.
    fn unknown(&self, item: &Item<'_>, problems: &mut Problems) -> Option<&'static str> {
        let (hint, meant) = self.keys.hint(&item.key);
        problems.add(&item.key_at, &self.path_of(&item.key), "unknown key", hint);
        // It is not missing as well.
        if let Some(meant) = meant {
            problems.not_missing(&self.path_of(meant));
        }
        meant
    }

    /// Says of each key that nobody has read that it is unknown, and what may be meant; returns the keys that are.
    pub(super) fn finish(self, problems: &mut Problems) -> Vec<&'static str> {
        let meant = self.items.iter().filter_map(|item| self.unknown(item, problems));
        meant.collect()
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
        Some(self.entry_of(item))
    }
}

/// All tables in the one that is `key`.
fn tables_of<'t>(
    keys: &'static Keys,
    key: &str,
    entry: Entry<DeValue<'t>>,
    problems: &mut Problems,
) -> Vec<(Entry<String>, Table<'t>)> {
    let hint = format!("give it a name: [{key}.NAME], and its keys below");
    let Some(mut list) = table_of(keys, entry, &hint, problems) else {
        return Vec::new();
    };
    let mut tables = Vec::with_capacity(list.items.len());
    for item in std::mem::take(&mut list.items) {
        let (name, name_at) = (item.key.clone(), item.key_at.clone());
        let entry = list.entry_of(item);
        let name = Entry {
            value: name,
            at: name_at,
            path: entry.path.clone(),
        };
        tables.extend(table_of(keys, entry, &hint, problems).map(|table| (name, table)));
    }
    tables
}

pub(super) fn table_of<'t>(
    keys: &'static Keys,
    entry: Entry<DeValue<'t>>,
    hint: &str,
    problems: &mut Problems,
) -> Option<Table<'t>> {
    if !matches!(entry.value, DeValue::Table(_)) {
        wrong_kind(&entry, "a table", hint, problems);
        return None;
    }
    let DeValue::Table(table) = entry.value else {
        return None;
    };
    Some(Table::new(keys, entry.path, entry.at, table))
}
