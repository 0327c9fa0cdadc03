use std::process::ExitCode;
use std::str::FromStr;

use glob::Pattern;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::json;

use crate::client::ObjectInfo;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// A number of bytes as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let power = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
            "" => 0,
            "K" => 1,
            "M" => 2,
            "G" => 3,
            "T" => 4,
            _ => return Err(format!("{unit:?} is no unit: write K, M, G or T, or none for bytes")),
        };
        let number: u64 = number.parse().map_err(|_| "write a number and perhaps a unit: 10M".to_owned())?;
        number.checked_mul(1 << (10 * power)).map(Self).ok_or_else(|| format!("{text} is too much"))
    }
}

/// A moment, given as such or by how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(Timestamp);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::at(text, Timestamp::now())
    }
}

impl Age {
    fn at(text: &str, now: Timestamp) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        let wrong = || format!("{text:?} is neither an age (90m, 12h, 7d) nor a time (2026-11-29T04:00:00Z)");
        let span: Span = text.parse().map_err(|_| wrong())?;
        let then = now.to_zoned(TimeZone::UTC).checked_sub(span).map_err(|_| wrong())?;
        Ok(Self(then.timestamp()))
    }
}

/// What an object must be like.
pub(crate) struct Wanted {
    name: Option<Pattern>,
    sizes: [Option<Size>; 2],
    times: [Option<Age>; 2],
}

impl Wanted {
    /// `sizes`: more than, fewer than; `times`: after, before.
    pub(crate) fn new(name: Option<Pattern>, sizes: [Option<Size>; 2], times: [Option<Age>; 2]) -> Self {
        Self { name, sizes, times }
    }

    fn fits(&self, object: &ObjectInfo) -> Result<bool, Failure> {
        let ([larger, smaller], [newer, older]) = (&self.sizes, &self.times);
        let last = object.key.rsplit('/').next().unwrap_or_default();
        let size = larger.is_none_or(|least| object.size > least.0)
            && smaller.is_none_or(|most| object.size < most.0);
        if !size || !self.name.as_ref().is_none_or(|name| name.matches(last)) {
            return Ok(false);
        }
        if newer.is_none() && older.is_none() {
            return Ok(true);
        }
        let stored: Timestamp = object
            .last_modified
            .parse()
            .map_err(|_| Failure::Answer(format!("{}: no time of storing", object.key)))?;
        Ok(newer.is_none_or(|after| stored > after.0) && older.is_none_or(|before| stored < before.0))
    }
}

/// Shows what fits as it is found.
pub(crate) async fn run(session: &Session, prefix: &str, wanted: Wanted) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    let see = |object: ObjectInfo| {
        if wanted.fits(&object)? {
            if session.json {
                found.push(object);
            } else {
                output::line(&object.key)?;
            }
        }
        Ok(())
    };
    session.client.each_object(prefix, see).await?;
    session.show(&json!({ "items": found }), || Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, size: u64, day: u8) -> ObjectInfo {
        let last_modified = format!("2026-11-{day:02}T12:00:00Z");
        ObjectInfo { key: key.into(), size, etag: String::new(), last_modified }
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
        for (text, expected) in [("7", 7), ("1k", 1024), ("2KB", 2048), ("3MiB", 3 << 20), ("1T", 1 << 40)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for wrong in ["", "M", "1.5M", "10X", "-1", "99999999999999999999", "99999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_ages_or_times() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let then = |text: &str| Age::at(text, now).map(|age| age.0.to_string());
        assert_eq!(then("7d").unwrap(), "2026-11-23T00:00:00Z");
        assert_eq!(then("90m").unwrap(), "2026-11-29T22:30:00Z");
        assert_eq!(then("2026-11-29T04:00:00Z").unwrap(), "2026-11-29T04:00:00Z");
        assert!(then("yesterday").unwrap_err().contains("7d"));
    }

    #[test]
    fn what_fits_fits_in_everything() {
        let wanted = |name: Option<&str>, larger: Option<&str>, newer: Option<&str>| {
            let name = name.map(|name| Pattern::new(name).unwrap());
            let size = larger.map(|size| size.parse().unwrap());
            let time = newer.map(|time| Age::at(time, Timestamp::now()).unwrap());
            Wanted::new(name, [size, None], [time, None])
        };
        let photo = object("2026/summer/a.jpg", 2048, 10);
        assert!(wanted(None, None, None).fits(&photo).unwrap());
        assert!(wanted(Some("*.[jJ]pg"), Some("2047"), None).fits(&photo).unwrap());
        assert!(!wanted(Some("summer*"), None, None).fits(&photo).unwrap(), "the last part counts");
        assert!(!wanted(Some("*.jpg"), Some("2K"), None).fits(&photo).unwrap());
        assert!(wanted(None, None, Some("2026-11-10T11:59:59Z")).fits(&photo).unwrap());
        assert!(!wanted(None, None, Some("2026-11-10T12:00:00Z")).fits(&photo).unwrap());
        let untimed = ObjectInfo { last_modified: "then".into(), ..photo };
        assert!(wanted(None, None, Some("2026-11-10T12:00:00Z")).fits(&untimed).is_err());
    }
}
