use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::Args;
use crate::failure::Failure;
use crate::output;

/// Prints the page of `datamesh` itself, or writes the pages of all commands.
pub(crate) fn run(as_json: bool, folder: Option<&Path>) -> Result<ExitCode, Failure> {
    let Some(folder) = folder else {
        clap_mangen::Man::new(Args::command()).render(&mut std::io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    };
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Args::command(), folder)
    };
    write().map_err(Failure::file(folder))?;
    if as_json {
        output::json(&json!({ "folder": folder }))?;
    } else {
        output::line(&format!("the pages are in {}", folder.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
