//! Logs go to standard error: for people by default, as JSON on request.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// It calls every refusal an error, with the names of objects. The gateway has a line for each request of its own.
const S3_LIBRARY: &str = "s3s";

/// Starts logging.
///
/// # Errors
/// The filter's own error where `filter` is not one.
pub(crate) fn start(filter: &str, json: bool) -> Result<(), ParseError> {
    let named = filter.contains(S3_LIBRARY);
    let mut filter = EnvFilter::builder().parse(filter)?;
    if !named {
        filter = filter.add_directive(format!("{S3_LIBRARY}=off").parse()?);
    }
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
