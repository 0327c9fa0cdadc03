//! Each node as a process of its own: as on Kubernetes, and so that one of them can be killed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use datamesh_settings::Role;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Before a process that died is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Keeps one process running until stopped: restarts it when it dies, as a kubelet would.
pub(super) async fn run(
    settings: PathBuf,
    role: Role,
    restart: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let role = match role {
        Role::Storage(_) => "storage",
        Role::Gateway(_) => "gateway",
    };
    while !stop.is_cancelled() {
        let mut child = start(role, &settings)?;
        tokio::select! {
            status = child.wait() => tracing::warn!("{} ended: {}", settings.display(), status?),
            () = stop.cancelled() => return terminate(child).await,
        }
        if !restart {
            stop.cancelled().await;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RESTART_AFTER) => {}
        }
    }
    Ok(())
}

/// glibc's settings, as in the image (Dockerfile says why).
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "4194304")];

fn start(role: &str, settings: &PathBuf) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg(role).arg("--settings").arg(settings).stdin(Stdio::null()).kill_on_drop(true);
    // Were this process killed, nobody would stop it.
    command.arg("--with-parent").arg(std::process::id().to_string());
    command.envs(ALLOCATOR);
    // Its own process group: Ctrl-C reaches this process alone, which stops the others in order.
    command.process_group(0);
    command.spawn().with_context(|| format!("starting {role}"))
}

async fn terminate(mut child: Child) -> anyhow::Result<()> {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        kill_process(pid, Signal::TERM)?;
    }
    child.wait().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_the_same_allocator_settings() {
        let dockerfile = include_str!("../../../Dockerfile");
        for (name, value) in ALLOCATOR {
            assert!(dockerfile.contains(&format!("{name}={value}")), "{name}");
        }
    }
}
