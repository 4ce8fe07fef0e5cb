//! What kind of value was written, and how another is.

use toml::de::DeValue;

use super::document::Entry;
use super::problem::Problems;

/// The string that is written; `number` says how a number is written as one.
pub(super) fn text_of(
    entry: Entry<DeValue<'_>>,
    number: fn(&str) -> String,
    problems: &mut Problems,
) -> Option<Entry<String>> {
    if let DeValue::String(text) = &entry.value {
        let text = text.clone().into_owned();
        return Some(entry.map(|_| text));
    }
    let hint = match &entry.value {
        DeValue::Integer(written) => number(&written.to_string()),
        DeValue::Float(written) => in_quotes(written.as_str()),
        DeValue::Boolean(written) => in_quotes(&written.to_string()),
        DeValue::Datetime(written) => in_quotes(&written.to_string()),
        DeValue::Table(_) => "write one string, not a table".to_owned(),
        DeValue::Array(_) | DeValue::String(_) => "write one string, not a list".to_owned(),
    };
    wrong_kind(&entry, "a string", hint, problems);
    None
}

/// How to write something as a string.
pub(super) fn in_quotes(written: &str) -> String {
    format!("put it in quotes: \"{written}\"")
}

/// How to write a number that was put in quotes.
pub(super) fn unquote(value: &DeValue<'_>) -> Option<String> {
    let DeValue::String(text) = value else {
        return None;
    };
    text.parse::<f64>().ok()?;
    Some(format!("write {text}, without quotes"))
}

pub(super) fn wrong_kind(entry: &Entry<DeValue<'_>>, expected: &str, hint: impl Into<String>, problems: &mut Problems) {
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
