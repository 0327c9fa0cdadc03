//! Names of files as others see them, and as others give them.

use std::fmt::Write as _;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Bytes of a file's name that are kept of what others give.
const NAME_BYTES_MAX: usize = 200;
/// Bytes that are put in front of it: a time, a number and two dashes.
const STAMP_BYTES: usize = 26;
/// Bytes of what a drop box adds to its prefix at most.
pub(in crate::api) const DROPPED_NAME_BYTES_MAX: usize = NAME_BYTES_MAX + STAMP_BYTES;

/// What stays as it is in `filename*` (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Whether a character has no place in a file's name: it steers a terminal or a path, or turns the reading direction so that another
/// ending is read.
pub(in crate::api) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || "/\\:*?\"<>|".contains(c)
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The last part of a path as a file's name: never empty, `.` or `..`, never hidden, of at most [`NAME_BYTES_MAX`] bytes.
pub(in crate::api) fn file_name(path: &str) -> String {
    let last = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    let safe = safe.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let safe = safe.get(..safe.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    let safe = safe.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    if safe.is_empty() { "file".to_owned() } else { safe.to_owned() }
}

/// What a drop box calls a file: when it came, a random number, and its name. So none is overwritten, and nobody learns by a name that
/// is taken what there is.
pub(super) fn dropped_name(name: &str, at_unix_ms: u64, random: [u8; 4]) -> String {
    let seconds = i64::try_from(at_unix_ms / 1000).unwrap_or_default();
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{}-{}", at.strftime("%Y%m%dT%H%M%SZ"), hex::encode(random), file_name(name))
}

/// `Content-Disposition` that has a file of this name saved, not shown.
pub(in crate::api) fn attachment(name: &str) -> HeaderValue {
    let mut text = String::from("attachment; filename=\"");
    text.extend(name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }));
    text.push('"');
    if !name.is_ascii() {
        // Writing into a String cannot fail.
        let _ = write!(text, "; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN));
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (given, expected) in [
            ("a/b/report.pdf", "report.pdf"),
            ("photos/", "photos"),
            ("../../etc/passwd", "passwd"),
            ("C:\\windows\\evil.exe", "evil.exe"),
            ("..", "file"),
            ("", "file"),
            ("/", "file"),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x", "a__Set-Cookie_ x"),
            ("invoice\u{202e}fdp.exe", "invoice_fdp.exe"),
            (" spaced. ", "spaced"),
            ("grüße.txt", "grüße.txt"),
            ("a\"b", "a_b"),
        ] {
            assert_eq!(file_name(given), expected, "{given:?}");
        }
    }

    #[test]
    fn what_is_dropped_has_a_name_of_its_own() {
        let name = dropped_name("../x.txt", 1_790_000_000_000, [1, 2, 3, 4]);
        assert_eq!(name, "20260921T141320Z-01020304-x.txt");
        assert_eq!(dropped_name(&"ä".repeat(500), 0, [0; 4]).len(), DROPPED_NAME_BYTES_MAX);
    }

    #[test]
    fn headers_have_names_of_every_alphabet() {
        assert_eq!(attachment("a b.txt"), "attachment; filename=\"a b.txt\"");
        let two = attachment("grüße.txt");
        assert_eq!(two, "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt");
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_safe(name in "\\PC{0,300}|[./\\\\\r\n\u{202e}a]{0,20}") {
            let safe = file_name(&name);
            proptest::prop_assert!(!safe.is_empty() && safe.len() <= NAME_BYTES_MAX && !safe.chars().any(is_unsafe));
            proptest::prop_assert!(!safe.starts_with('.') && file_name(&safe) == safe);
            proptest::prop_assert!(attachment(&safe).to_str().unwrap().starts_with("attachment; filename="));
        }
    }
}
