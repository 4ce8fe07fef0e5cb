//! A TOML text as tables whose keys and values know where they were written.
//!
//! serde's derived structs stop at their first problem. This reader notes a problem and goes on, so that one run names
//! every mistake of a file.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;

/// A value, where it was written, and under which path of keys.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
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
    path: String,
    at: Range<usize>,
    items: Vec<Item<'t>>,
}

#[derive(Debug)]
struct Item<'t> {
    key: String,
    key_at: Range<usize>,
    value: Spanned<DeValue<'t>>,
}

/// The text's top-level table; none, and every error of the syntax, when it is no TOML.
pub(super) fn read<'t>(text: &'t str, problems: &mut Problems) -> Option<Table<'t>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().unwrap_or_default();
        problems.add(&at, "", error.message(), None);
    }
    let at = root.span();
    errors
        .is_empty()
        .then(|| Table::new(String::new(), at, root.into_inner()))
}

impl<'t> Table<'t> {
    fn new(path: String, at: Range<usize>, table: DeTable<'t>) -> Self {
        let items = table
            .into_iter()
            .map(|(key, value)| Item {
                key_at: key.span(),
                key: key.into_inner().into_owned(),
                value,
            })
            .collect();
        Self { path, at, items }
    }

    /// The path of `key` in the whole file.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Where the table was written: its header, or its braces.
    pub(super) fn at(&self) -> &Range<usize> {
        &self.at
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
        let entry = self.text(key, problems)?;
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == entry.value) {
            return Some(entry.map(|_| value));
        }
        let known = || words.iter().map(|&(word, _)| word);
        let hint = similar(&entry.value, known()).map_or_else(
            || {
                let quoted: Vec<String> = known().map(|word| format!("\"{word}\"")).collect();
                format!("write one of {}", quoted.join(", "))
            },
            |meant| format!("did you mean \"{meant}\"?"),
        );
        let message = format!("\"{}\" is not known here", entry.value.escape_debug());
        problems.add(&entry.at, &entry.path, message, Some(hint));
        None
    }

    /// One string or a list of them.
    pub(super) fn texts(&mut self, key: &str, problems: &mut Problems) -> Vec<Entry<String>> {
        let Some(entry) = self.take(key) else {
            return Vec::new();
        };
        if !matches!(entry.value, DeValue::Array(_)) {
            return text_of(entry, problems).into_iter().collect();
        }
        let Entry { value, at, path } = entry;
        let DeValue::Array(list) = value else {
            return Vec::new();
        };
        if list.is_empty() {
            problems.add(&at, &path, "the list is empty", None);
        }
        list.into_iter()
            .filter_map(|element| {
                let entry = Entry {
                    at: element.span(),
                    value: element.into_inner(),
                    path: path.clone(),
                };
                text_of(entry, problems)
            })
            .collect()
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
            wrong_kind(&entry, "a whole number", None, problems);
            return None;
        };
        let value = u64::from_str_radix(number.as_str(), number.radix());
        match value {
            Ok(value) if (low..=high).contains(&value) => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{number} is not from {low} to {high}");
                problems.add(&entry.at, &entry.path, message, None);
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
            wrong_kind(&entry, "a number", None, problems);
            return None;
        };
        match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Some(entry.map(|_| value)),
            Ok(_) | Err(_) => {
                let message = format!("{digits} is not usable as a number here");
                problems.add(&entry.at, &entry.path, message, None);
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
                let message = format!("\"{text}\" is no time span: {error}");
                let hint = "write it like \"15s\", \"500ms\" or \"1m 30s\"".to_owned();
                problems.add(&entry.at, &entry.path, message, Some(hint));
                None
            }
        }
    }

    pub(super) fn table(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        let entry = self.take(key)?;
        table_of(entry, problems)
    }

    /// All that is in the table as tables of their own, each with its name, in the order of their names.
    pub(super) fn into_tables(self, problems: &mut Problems) -> Vec<(Entry<String>, Self)> {
        let mut tables = Vec::with_capacity(self.items.len());
        for item in self.items {
            let path = format!("{}.{}", self.path, item.key);
            let name = Entry {
                value: item.key,
                at: item.key_at,
                path: path.clone(),
            };
            let entry = Entry {
                at: item.value.span(),
                value: item.value.into_inner(),
                path,
            };
            tables.extend(table_of(entry, problems).map(|table| (name, table)));
        }
        tables
    }

    /// Says of each key that nobody has read that it is unknown; `hint` finds what was meant.
    pub(super) fn finish(self, problems: &mut Problems, hint: impl Fn(&str) -> Option<String>) {
        for item in &self.items {
            let path = self.path_of(&item.key);
            problems.add(&item.key_at, &path, "unknown key", hint(&item.key));
        }
    }

    fn take(&mut self, key: &str) -> Option<Entry<DeValue<'t>>> {
        let index = self.items.iter().position(|item| item.key == key)?;
        let item = self.items.swap_remove(index);
        Some(Entry {
            path: self.path_of(key),
            at: item.value.span(),
            value: item.value.into_inner(),
        })
    }
}

fn text_of(entry: Entry<DeValue<'_>>, problems: &mut Problems) -> Option<Entry<String>> {
    if let DeValue::String(text) = &entry.value {
        let text = text.clone().into_owned();
        return Some(entry.map(|_| text));
    }
    let hint = if let DeValue::Integer(number) = &entry.value {
        Some(format!("put it in quotes: \"{number}\""))
    } else {
        None
    };
    wrong_kind(&entry, "a string", hint, problems);
    None
}

fn table_of<'t>(entry: Entry<DeValue<'t>>, problems: &mut Problems) -> Option<Table<'t>> {
    if !matches!(entry.value, DeValue::Table(_)) {
        wrong_kind(&entry, "a table", None, problems);
        return None;
    }
    let DeValue::Table(table) = entry.value else {
        return None;
    };
    Some(Table::new(entry.path, entry.at, table))
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

/// The known word that is nearest to `word`, if one is near.
pub(super) fn similar<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
