//! What a syntax error of TOML means for somebody who writes a configuration twice a year.

use std::ops::Range;

/// The parser's `message` about these bytes of `text`, in plain words where it is a common mistake.
pub(super) fn explain(message: &str, text: &str, bytes: &Range<usize>) -> (String, Option<String>) {
    let _ = (text, bytes);
    (message.to_owned(), None)
}
