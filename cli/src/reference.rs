//! What `docs/cli.md` says of the commands, made of what the program itself goes by, so that neither can say else.

use clap::{Command, CommandFactory as _};

use crate::args::Args;
use crate::exit::Exit;

/// The Markdown of each block of `docs/cli.md` that is generated, by the name that its markers carry.
pub fn blocks() -> Vec<(&'static str, String)> {
    vec![("commands", commands()), ("options", options()), ("exit codes", exit_codes())]
}

/// The commands that do something, as they are typed: `node drain`.
pub fn command_names() -> Vec<String> {
    leaves().into_iter().map(|(name, _)| name).collect()
}

/// The leaves of the tree of commands with their whole names, in the order of `--help`.
fn leaves() -> Vec<(String, Command)> {
    let mut top = Args::command();
    top.build();
    let mut found = Vec::new();
    collect(&top, "", &mut found);
    found
}

fn collect(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let name = format!("{name} {}", below.get_name()).trim_start().to_owned();
        if below.has_subcommands() {
            collect(below, &name, found);
        } else {
            found.push((name, below.clone()));
        }
    }
}

fn commands() -> String {
    let row = |(_, mut command): (String, Command)| {
        let usage = command.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace(" [OPTIONS]", "");
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let options: Vec<String> = command
            .get_arguments()
            .filter(|option| !option.is_global_set() && option.get_id() != "help")
            .filter_map(|option| option.get_long().map(|long| format!("`--{long}`")))
            .collect();
        [format!("`{usage}`"), about, options.join(" ")]
    };
    table(["command", "does", "options"], leaves().into_iter().map(row))
}

fn options() -> String {
    let top = Args::command();
    let row = |option: &clap::Arg| {
        let long = option.get_long().unwrap_or_default();
        let short = option.get_short().map(|short| format!(", `-{short}`")).unwrap_or_default();
        let variable = option.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        [format!("`--{long}`{short}"), variable.unwrap_or_default(), help]
    };
    let global = top.get_arguments().filter(|option| option.is_global_set());
    table(["option", "variable", "is"], global.map(row).collect::<Vec<_>>().into_iter())
}

fn exit_codes() -> String {
    let row = |exit: &Exit| [(*exit as u8).to_string(), exit.meaning().to_owned()];
    table(["code", "means"], Exit::ALL.iter().map(row))
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line =
        |cells: [String; N]| format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    let mut text = line(head.map(String::from));
    text.push_str(&format!("|{}\n", "---|".repeat(N)));
    text.extend(rows.map(line));
    text
}
