//! Keys that are one string or several.

use toml::de::DeValue;

use super::document::{Entry, Table, table_of};
use super::kinds::{in_quotes, text_of};
use super::problem::{Problems, Span};

impl Table<'_> {
    /// One address or a list of them, such as `example`; a number is taken for a port.
    pub(super) fn texts(&mut self, key: &str, example: &str, problems: &mut Problems) -> Vec<Entry<String>> {
        debug_assert!(
            self.keys.has(key),
            "{key} is not in the vocabulary of {}",
            self.keys.name
        );
        self.texts_of(key, example, |port| format!("write \":{port}\""), problems)
    }

    /// The same of a key that need not be in the vocabulary.
    fn texts_of(
        &mut self,
        key: &str,
        example: &str,
        number: fn(&str) -> String,
        problems: &mut Problems,
    ) -> Vec<Entry<String>> {
        let Some(entry) = self.take_any(key) else {
            return Vec::new();
        };
        if !matches!(entry.value, DeValue::Array(_)) {
            return text_of(entry, number, problems).into_iter().collect();
        }
        let Entry { value, at, path } = entry;
        let file = at.file;
        let DeValue::Array(list) = value else {
            return Vec::new();
        };
        if list.is_empty() {
            let hint = format!("write one or more, such as [{example}]");
            problems.add(&at, &path, "the list is empty", hint);
        }
        list.into_iter()
            .filter_map(|element| {
                let entry = Entry {
                    at: Span {
                        file,
                        bytes: element.span(),
                    },
                    value: element.into_inner(),
                    path: path.clone(),
                };
                text_of(entry, number, problems)
            })
            .collect()
    }

    /// All that stands below `key`, each a string or a list of them, in the order of their names.
    pub(super) fn named(&mut self, key: &str, problems: &mut Problems) -> Vec<(String, Vec<Entry<String>>)> {
        let Some(entry) = self.take(key) else {
            return Vec::new();
        };
        let hint = format!("write {key} = {{ NAME = \"value\" }}");
        let Some(mut table) = table_of(self.keys, entry, &hint, problems) else {
            return Vec::new();
        };
        let names = table.names();
        let read = |name: String| {
            let texts = table.texts_of(&name, "\"value\"", in_quotes, problems);
            (name, texts)
        };
        names.into_iter().map(read).collect()
    }
}
