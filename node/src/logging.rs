//! Logs go to standard error: for people by default, as JSON on request.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// It calls every refusal an error, with the names of objects. The gateway has a line for each request of its own.
const S3_LIBRARY: &str = "s3s";
/// These parts of it print the fields of forms, among which may be keys of customers: they are silent whatever is asked for.
const INDISCREET: [&str; 2] = ["s3s::ops", "s3s::ops::signature"];

/// Starts logging.
///
/// # Errors
/// The filter's own error where `filter` is not one.
pub(crate) fn start(filter: &str, json: bool) -> Result<(), ParseError> {
    let filter = filter_of(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people; in a pod's log they are noise around every field.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
    Ok(())
}

/// What is logged where this is asked for.
fn filter_of(filter: &str) -> Result<EnvFilter, ParseError> {
    let named = filter.contains(S3_LIBRARY);
    let mut filter = EnvFilter::builder().parse(filter)?;
    if !named {
        filter = filter.add_directive(format!("{S3_LIBRARY}=off").parse()?);
    }
    for part in INDISCREET {
        filter = filter.add_directive(format!("{part}=off").parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::*;

    #[test]
    fn what_prints_fields_of_forms_is_silent_whatever_is_asked_for() {
        for asked in ["info", "trace", "info,s3s=trace", "s3s::ops=trace", "s3s::ops::signature=trace"] {
            let filter = filter_of(asked).unwrap().to_string();
            for part in INDISCREET {
                assert!(
                    filter.split(',').any(|directive| directive == format!("{part}=off")),
                    "{asked}: {filter}"
                );
            }
        }
        assert!(filter_of("info").unwrap().to_string().contains("s3s=off"));
        assert!(!filter_of("s3s=debug").unwrap().to_string().contains("s3s=off"));
    }
}
