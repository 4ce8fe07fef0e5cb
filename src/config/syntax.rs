//! What a syntax error of TOML means for somebody who writes a configuration twice a year.

use std::ops::Range;

/// A value that is longer is not repeated in a hint, in characters.
const LONGEST_REPEATED: usize = 60;

/// A syntax error in plain words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub(super) bytes: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The parser's words at the start of a message, ours, and what to do.
#[rustfmt::skip]
const PLAIN: &[(&str, &str, &str)] = &[
    ("invalid basic string, expected `\"`", "a quote is never closed", "close it with \""),
    ("invalid literal string, expected `'`", "a quote is never closed", "close it with '"),
    ("invalid multi-line", "the quotes that are opened above are never closed", "close them with the same three quotes"),
    ("invalid basic string", "there is a control character in this string", "remove it, or write it as an escape such as \\t"),
    ("invalid literal string", "there is a control character in this string", "remove it, or write it as an escape such as \\t in \"..\""),
    ("missing escaped value", "a backslash begins an escape in \"..\", and this is none", "write \\\\ for a backslash, or use '..'"),
    ("too few unicode value digits", "this escape is too short", "write \\u and four digits, or the character itself"),
    ("key with no value", "this is a key without a value", "write KEY = VALUE; a comment begins with #"),
    ("missing value", "there is no value", "write one after the `=`, or leave the key out"),
    ("unclosed array table", "the table's name is not closed", "write [session.NAME], with one bracket on each side"),
    ("unclosed table", "the table's name is not closed", "put a ] at its end"),
    ("unclosed array", "the list is never closed", "put a ] at its end"),
    ("unclosed inline table", "the table is never closed", "put a } at its end"),
    ("unexpected `=` in array", "a key is inside a list", "close the list with ] before it"),
    ("missing comma", "a comma is missing before this", "put a comma between two keys or values"),
    ("extra comma", "there is a comma too many", "remove it"),
    ("extra `=`", "there is a `=` too many", "write KEY = VALUE"),
    ("extra assignment", "a comma is missing before this key", "put a comma between two keys"),
    ("missing assignment", "a key is not followed by `=`", "write KEY = VALUE"),
    ("unexpected key or value", "there is more on this line than one key and its value", "begin a new line here; a comment begins with #"),
    ("unquoted keys cannot be empty", "a name is missing here", "write KEY = VALUE, or [session.NAME]"),
    ("cannot recurse further", "this is nested too deeply", "no key of autossm needs more than a few levels"),
    ("recursion limit", "this is nested too deeply", "no key of autossm needs more than a few levels"),
    ("carriage return", "a carriage return is alone here", "save the file with the line ends of Unix"),
];

/// How messages begin that are about a value nobody can read.
const VALUES: [&str; 6] = [
    "string values must be quoted",
    "invalid float",
    "invalid integer",
    "invalid boolean",
    "invalid value",
    "unexpected leading zero",
];

/// What to say about a text that is JSON, of which the parser would say something else for each line.
pub(super) fn json(text: &str) -> Option<Explained> {
    let begins = text.trim_start();
    let list = begins
        .strip_prefix('[')
        .is_some_and(|rest| rest.trim_start().starts_with('{'));
    if !begins.starts_with('{') && !list {
        return None;
    }
    let at = text.len() - begins.len();
    Some(Explained {
        bytes: at..at + 1,
        message: "this is JSON".to_owned(),
        hint: "write TOML: [session.NAME], and KEY = VALUE below; config/autossm.toml is a commented sample".to_owned(),
    })
}

/// Whether a value is missing here: what should follow the `=` is the end of the table or the list, or the next comma.
fn is_missing(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
    let behind = text.get(at..).unwrap_or_default();
    before.ends_with('=') && behind.starts_with(['}', ']', ','])
}

/// The parser's `message` about these bytes of `text`, in plain words.
pub(super) fn explain(message: &str, text: &str, bytes: Range<usize>) -> Explained {
    if is_missing(text, bytes.start) {
        return Explained {
            bytes: bytes.start..bytes.start,
            message: "there is no value".to_owned(),
            hint: "write one after the `=`, or leave the key out".to_owned(),
        };
    }
    let begins = |start: &&str| message.starts_with(start);
    if VALUES.iter().any(begins) {
        return value(text, &bytes);
    }
    let at = text.get(bytes.clone()).unwrap_or_default();
    let (message, hint) = if message.starts_with("duplicate key") {
        (
            format!("`{}` is here twice", at.escape_debug()),
            "keep one of them; a table's keys belong together below one [header]".to_owned(),
        )
    } else if at == ":" {
        let message = "`:` does not belong here".to_owned();
        (message, "write KEY = VALUE".to_owned())
    } else if message.starts_with("invalid unquoted key") {
        let message = "this cannot be in a key".to_owned();
        (message, "a key has only letters, digits, `-` and `_`".to_owned())
    } else if let Some((_, plain, hint)) = PLAIN.iter().find(|(start, ..)| begins(start)) {
        ((*plain).to_owned(), (*hint).to_owned())
    } else {
        let hint = "this is no TOML; config/autossm.toml is a commented sample";
        (message.to_owned(), hint.to_owned())
    };
    Explained { bytes, message, hint }
}

/// What is wrong with a value without quotes.
fn value(text: &str, bytes: &Range<usize>) -> Explained {
    let bytes = word_around(text, bytes);
    let word = text.get(bytes.clone()).unwrap_or_default();
    let shown = word.escape_debug();
    let number = word.trim_start_matches('0');
    let curly = |c: char| matches!(c, '\u{2018}'..='\u{201f}');
    let (message, hint) = match word.to_lowercase().as_str() {
        "" => (
            "there is no value",
            "write one after the `=`, or leave the key out".to_owned(),
        ),
        "true" | "yes" | "on" => ("this is nearly `true`", "write true".to_owned()),
        "false" | "no" | "off" => ("this is nearly `false`", "write false".to_owned()),
        _ if word.contains(curly) => (
            "these are typographic quotes",
            format!("write \"{}\"", word.trim_matches(curly).escape_debug()),
        ),
        _ if number.len() < word.len() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => (
            "a number does not begin with a zero",
            format!("write {number}, or \"{word}\" where a string is meant"),
        ),
        _ if word.chars().count() > LONGEST_REPEATED => ("a string needs quotes", "put it in \"..\"".to_owned()),
        _ => ("a string needs quotes", format!("write \"{shown}\"")),
    };
    Explained {
        message: message.to_owned(),
        hint,
        bytes,
    }
}

/// The word these bytes are in.
fn word_around(text: &str, bytes: &Range<usize>) -> Range<usize> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '#' | '"' | '\'');
    let before = text.get(..bytes.start).unwrap_or_default();
    let start = before.char_indices().rev().find(|&(_, c)| ends(c));
    let start = start.map_or(0, |(at, c)| at + c.len_utf8());
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find(ends).unwrap_or(rest.len());
    start..start + end
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, parse};

    /// What is said first about a text, and where.
    fn said(text: &str) -> (String, String) {
        let invalid = parse(text, Path::new("a.toml"), &Environment::default()).unwrap_err();
        let problem = &invalid.problems[0];
        let place = problem.place.line.as_ref().unwrap();
        let marked: String = place.text.chars().skip(place.column - 1).take(place.width).collect();
        let hint = problem.hint.as_str();
        (format!("{}; {hint}", problem.message), marked)
    }

    #[test]
    fn a_value_without_quotes_is_marked_as_a_whole() {
        for (value, hint, marked) in [
            ("work", "write \"work\"", "work"),
            ("127.0.0.1:5432", "write \"127.0.0.1:5432\"", "127.0.0.1:5432"),
            (":5432 # c", "write \":5432\"", ":5432"),
            ("15s", "write \"15s\"", "15s"),
            ("i-0123", "write \"i-0123\"", "i-0123"),
            ("[~/a, \"b\"]", "write \"~/a\"", "~/a"),
            ("True", "write true", "True"),
            ("no", "write false", "no"),
            ("05", "write 5, or \"05\"", "05"),
            ("\u{201c}x\u{201d}", "write \"x\"", "\u{201c}x\u{201d}"),
            ("", "write one after the `=`", ""),
        ] {
            let (message, found) = said(&format!("region = {value}\n"));
            assert!(message.contains(hint), "{value}: {message}");
            assert_eq!(found, marked, "{value}");
        }
    }

    #[test]
    fn no_value_before_a_bracket_or_a_comma_is_said_to_be_missing() {
        for text in [
            "a = { b = \":1\", c = }",
            "a = { b = }",
            "a = { b = , c = 1 }",
            "a = ,",
            "a = ]",
            "a = [1, , 2]",
        ] {
            let (message, _) = said(text);
            let wanted = if text.contains('[') {
                "a comma too many"
            } else {
                "there is no value"
            };
            assert!(message.contains(wanted), "{text}: {message}");
        }
    }

    #[test]
    fn json_is_named() {
        for text in [
            "{\"session\": {\"a\": {}}}",
            "\n  {\n  \"log\": {}\n}\n",
            "[{\"a\": 1}]",
        ] {
            let (message, _) = said(text);
            assert!(message.starts_with("this is JSON; "), "{text}: {message}");
        }
        let invalid = parse(
            "{\n\"a\": 1,\n\"b\": 2\n}",
            Path::new("a.toml"),
            &Environment::default(),
        )
        .unwrap_err();
        assert_eq!(invalid.problems.len(), 1, "{invalid}");
    }

    #[test]
    fn no_message_is_the_parsers_own() {
        for text in [
            "a = \"x\" \"y\"",
            "a = { b = 1",
            "a = { b = 1 c = 2 }",
            "a = { b: 1 }",
            "a = [\"x\" \"y\"]",
            "a = [\"x\"\nb = 1",
            "a = 'x",
            "a = \"x\\y\"",
            "a b = 1",
            "= 1",
            "[a",
            "[a.]",
            "[]",
            "[[a]",
            "a",
            "a.b = 1\na = 2",
            "a = \"\"\"x",
            "<x>",
            "a == 1",
            "- a: 1",
            "a = \"\u{7}\"",
            "a = {}}",
            "[session.db] target = 1",
        ] {
            let (message, _) = said(text);
            assert!(!message.contains("expected"), "{text}: {message}");
            assert!(!message.contains("no TOML"), "{text}: {message}");
        }
    }
}
