//! Where the value ends that follows a secret name, in the shapes that logs have.

/// How the value is joined to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// `name=value`: a bare one ends at a blank.
    Tight,
    /// `name: value`, `name = value`: a bare one may have several words.
    Loose,
    /// A header whose value is all of the line: `Cookie: a=1; b=2`.
    Line,
}

/// Bytes of the value that `rest` begins with: quoted, also within quotes; in brackets; as Rust shows it, `Some("…")`; or bare.
pub(super) fn length(rest: &str, joined: Joined) -> usize {
    let line = &rest[..rest.find(['\r', '\n']).unwrap_or(rest.len())];
    let start = wrapped(line);
    let inner = &line[start..];
    let escapes = inner.len() - inner.trim_start_matches('\\').len();
    let end = match inner[escapes..].chars().next() {
        Some(quote @ ('"' | '\'')) => closing_quote(inner, escapes, quote),
        Some('[') => closing_bracket(inner, ('[', ']')),
        Some('{') => closing_bracket(inner, ('{', '}')),
        _ => return bare(line, joined),
    };
    // One that is not closed goes to the end of the line.
    end.map_or(line.len(), |end| start + end)
}

/// Whether the value is quoted or in brackets.
pub(super) fn is_enclosed(rest: &str) -> bool {
    rest[wrapped(rest)..].trim_start_matches('\\').starts_with(['"', '\'', '[', '{'])
}

/// Bytes of what Rust shows around a value: `&`, `Some(`, `Token(`.
fn wrapped(line: &str) -> usize {
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let name = rest.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '&'));
        let length = rest.len() - name.len();
        let is_wrapper = length > 0 && name.starts_with('(');
        // What a wrapper has must be enclosed: else it is a bare value with a bracket in it.
        if !is_wrapper {
            return if line[start..].trim_start_matches('\\').starts_with(['"', '\'', '[', '{']) {
                start
            } else {
                0
            };
        }
        start += length + 1;
    }
}

/// The end of what begins with so many backslashes and a quote.
fn closing_quote(text: &str, escapes: usize, quote: char) -> Option<usize> {
    let body = escapes + 1;
    let mut run = 0_usize;
    for (at, c) in text[body..].char_indices() {
        let closes = if escapes == 0 { run.is_multiple_of(2) } else { run <= escapes };
        if c == quote && closes {
            return Some(body + at + 1);
        }
        run = if c == '\\' { run + 1 } else { 0 };
    }
    None
}

fn closing_bracket(text: &str, (open, close): (char, char)) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

fn bare(line: &str, joined: Joined) -> usize {
    let ends = |c: char| match joined {
        Joined::Tight => c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | '}' | ']'),
        Joined::Loose => matches!(c, ',' | ';' | '&' | '}'),
        Joined::Line => false,
    };
    line[..line.find(ends).unwrap_or(line.len())].trim_end().len()
}
