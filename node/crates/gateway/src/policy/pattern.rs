//! Texts with `*` for anything and `?` for one character.

/// Characters between two stars at most where there is a `?` among them: those are tried at each place of a text, all others are
/// searched for in one go.
const QUESTIONS_MAX: usize = 64;

/// Such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

/// A pattern that would take long to hold against a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of a pattern that has a ? has at most {QUESTIONS_MAX} characters up to the next *")]
pub(crate) struct TooCostly;

impl Pattern {
    pub(super) fn new(text: impl Into<String>) -> Result<Self, TooCostly> {
        let text = text.into();
        let costly = |part: &str| part.contains('?') && part.chars().count() > QUESTIONS_MAX;
        if text.split('*').any(costly) { Err(TooCostly) } else { Ok(Self(text)) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all of a text is as the pattern wants it. Takes a time like the sum of both lengths, and like [`QUESTIONS_MAX`] times
    /// the text's where there are question marks.
    pub(super) fn matches(&self, text: &str) -> bool {
        matches(&self.0, text)
    }
}

/// Each part between stars is taken at the first place where it is: a later one would leave less to those behind.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut left) = begin(parts.next().unwrap_or_default(), text) else { return false };
    let Some(last) = parts.next_back() else { return left.is_empty() };
    for part in parts {
        let Some(behind) = find(part, left) else { return false };
        left = behind;
    }
    ends(last, left)
}

/// What is behind the part where the text begins with it.
fn begin<'a>(part: &str, text: &'a str) -> Option<&'a str> {
    let mut left = text.chars();
    part.chars().all(|wanted| left.next().is_some_and(|given| fits(wanted, given))).then_some(left.as_str())
}

/// What is behind the first place where the part is.
fn find<'a>(part: &str, text: &'a str) -> Option<&'a str> {
    if !part.contains('?') {
        return text.find(part).map(|at| &text[at + part.len()..]);
    }
    text.char_indices().find_map(|(at, _)| begin(part, &text[at..]))
}

fn ends(part: &str, text: &str) -> bool {
    let mut left = text.chars();
    part.chars().rev().all(|wanted| left.next_back().is_some_and(|given| fits(wanted, given)))
}

fn fits(wanted: char, given: char) -> bool {
    wanted == '?' || wanted == given
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "€", true),
            ("*??", "€", false),
            ("*ab", "aab", true),
            ("b/*", "b/", true),
            ("b/*", "b", false),
            ("A", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_would_take_long_is_refused() {
        let part = |characters: usize| format!("*{}?*", "a".repeat(characters - 1));
        assert!(Pattern::new(part(QUESTIONS_MAX)).is_ok());
        assert_eq!(Pattern::new(part(QUESTIONS_MAX + 1)), Err(TooCostly));
        assert!(Pattern::new("a".repeat(10_000)).is_ok());
    }

    /// The definition, slowly.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            (['?', rest @ ..], [_, others @ ..]) => by_definition(rest, others),
            ([a, rest @ ..], [b, others @ ..]) => a == b && by_definition(rest, others),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab€*?]{0,8}", text in "[ab€]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = by_definition(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::new(pattern).unwrap().matches(&text), expected);
        }
    }
}
