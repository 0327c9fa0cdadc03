use std::process::ExitCode;

use super::{Session, cp, du, find, get, ls, put, rm, shreds, sync, versions, zip};
use crate::args::FilesCommand;
use crate::client::Which;
use crate::failure::Failure;

/// Does what is done with files.
pub(crate) async fn run(session: &Session, command: FilesCommand) -> Result<ExitCode, Failure> {
    match command {
        FilesCommand::Put { source, key, recursive, no_clobber } => {
            put::run(session, put::Put { source, key, recursive, no_clobber }).await
        }
        FilesCommand::Get { key, target, recursive: true, .. } => get::all(session, &key, target).await,
        FilesCommand::Get { key, target, version, .. } => {
            get::one(session, Which { key: &key, version: version.as_deref() }, target).await
        }
        FilesCommand::Versions { command } => versions::run(session, command).await,
        FilesCommand::Zip { folder, target } => zip::run(session, &folder, target).await,
        FilesCommand::Ls { prefix, recursive } => ls::run(session, &prefix, recursive).await,
        FilesCommand::Rm { keys, recursive, shred: false, .. } => rm::run(session, keys, recursive).await,
        FilesCommand::Rm { keys, recursive, no_wait, .. } => {
            shreds::delete(session, keys, recursive, !no_wait).await
        }
        FilesCommand::Cp(args) => cp::run(session, args, cp::Source::Stays).await,
        FilesCommand::Mv(args) => cp::run(session, args, cp::Source::Goes).await,
        FilesCommand::Find { prefix, name, larger, smaller, newer, older } => {
            find::run(session, &prefix, find::Wanted::new(name, [larger, smaller], [newer, older])).await
        }
        FilesCommand::Sync(args) => sync::run(session, args).await,
        FilesCommand::Mirror(args) => sync::mirror(session, args).await,
        FilesCommand::Du { prefix, depth } => du::run(session, &prefix, depth).await,
    }
}
