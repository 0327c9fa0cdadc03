//! Texts with `*` for anything and `?` for one character.

/// Such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all of a text is as the pattern wants it. Takes at most the product of both lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut wanted, mut given) = (self.0.chars(), text.chars());
        // Behind the last star, and from where it may stand for one more character.
        let mut again = None;
        loop {
            let (mut wanted_next, mut given_next) = (wanted.clone(), given.clone());
            match (wanted_next.next(), given_next.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    again = Some((wanted_next.clone(), given.clone()));
                    wanted = wanted_next;
                    continue;
                }
                (Some(a), Some(b)) if a == '?' || a == b => {
                    (wanted, given) = (wanted_next, given_next);
                    continue;
                }
                _ => {}
            }
            let Some((behind, from)) = &mut again else { return false };
            if from.next().is_none() {
                return false;
            }
            (wanted, given) = (behind.clone(), from.clone());
        }
    }
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
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
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
            prop_assert_eq!(Pattern::new(pattern).matches(&text), expected);
        }
    }
}
