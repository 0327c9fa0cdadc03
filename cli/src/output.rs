//! What commands print: tables for people, JSON for programs.

use std::borrow::Cow;
use std::io::Write as _;

use serde::Serialize;

use crate::failure::Failure;

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Answer(error.to_string()))?;
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints a JSON document on one line, for what comes line by line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Answer(error.to_string()))?;
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints one line; see [`printable`].
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{}", printable(text))?)
}

/// Says something beside the result, on standard error; see [`printable`].
pub(crate) fn note(text: &str) {
    eprintln!("datamesh: {}", printable(text));
}

/// The text with what could steer a terminal or reorder a line written as escapes: keys are anybody's words.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (escape, plain) = if steers(c) { (Some(c.escape_default()), None) } else { (None, Some(c)) };
        escape.into_iter().flatten().chain(plain)
    });
    Cow::Owned(escaped.collect())
}

/// Prints rows in aligned columns; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Bytes for people: `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(printable("a/b c\u{e9}\u{1f600}"), "a/b c\u{e9}\u{1f600}");
        assert_eq!(printable("a\x1b[2J\nb\u{202e}gpj.exe"), r"a\u{1b}[2J\nb\u{202e}gpj.exe");
    }
}
