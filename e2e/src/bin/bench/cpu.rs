//! CPU time and memory of a process and its children, from /proc.

use anyhow::Context as _;

/// Seconds of CPU (user and system) of one process, and its peak memory since it was asked before.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
}

/// A process and all its descendants.
pub(crate) fn tree(root: u32) -> anyhow::Result<Vec<Usage>> {
    let mut all = Vec::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        all.push(usage(pid)?);
        waiting.extend(children(pid)?);
    }
    Ok(all)
}

fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(found)
}

fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), counted from the state, the first one after the name.
    let ticks =
        |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("short stat")?.parse::<f64>()?) };
    // USER_HZ is 100 on every Linux that Rust's std supports.
    let cpu_seconds = (ticks(11)? + ticks(12)?) / 100.0;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kib: f64 = peak.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    // Begins the peak anew (proc(5), clear_refs).
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let settings = command.split(|&byte| byte == 0).find(|part| part.ends_with(b".yaml"));
    let name = settings.and_then(|path| path.rsplit(|&byte| byte == b'/').next()).unwrap_or(b"dev");
    Ok(Usage {
        name: String::from_utf8_lossy(name).into_owned(),
        pid,
        cpu_seconds,
        peak_mib: peak_kib / 1024.0,
    })
}
