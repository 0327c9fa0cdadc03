use std::process::ExitCode;

use datamesh_settings::admin::{ClusterStatus, MemberState, MemberStatus, PoolStatus};

use crate::commands::Session;
use crate::failure::{Failure, NOT_WHOLE};
use crate::output;

/// Shows what the cluster knows of itself; exit code 7 when something is wrong.
pub(crate) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let status = session.client.status().await?;
    if session.json {
        output::json(&status)?;
    } else {
        show(&status)?;
    }
    let healthy = status.pools.iter().all(|pool| pool.problems.is_empty() && pool.writable);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(NOT_WHOLE) })
}

fn show(status: &ClusterStatus) -> Result<(), Failure> {
    output::line(&format!(
        "cluster {}  version {}  key {}",
        status.cluster, status.version, status.key_fingerprint
    ))?;
    let catalog = &status.catalog;
    let copies = if catalog.replicas == 1 {
        "ONE COPY: names and keys are lost with the gateway's volume (CatalogSingleCopy)".to_owned()
    } else {
        format!("{} copies", catalog.replicas)
    };
    output::line(&format!("catalog {} objects, {copies}", catalog.objects))?;
    for pool in &status.pools {
        show_pool(pool)?;
    }
    Ok(())
}

fn show_pool(pool: &PoolStatus) -> Result<(), Failure> {
    let epoch = pool.epoch.map_or("no layout yet".into(), |epoch| format!("layout {epoch}"));
    let writes = if pool.writable { "takes writes" } else { "TAKES NO WRITES" };
    output::line(&format!("\npool {}  {}  {epoch}  {writes}", pool.name, pool.erasure))?;
    let heading =
        ["NODE", "ZONE", "STATE", "SHARDS", "STORED", "CAPACITY", "FREE", "CORRUPT"].map(String::from);
    let mut rows = vec![heading.to_vec()];
    rows.extend(pool.members.iter().map(member_row));
    output::table(&rows)?;
    for problem in &pool.problems {
        output::line(&format!("! {problem}"))?;
    }
    Ok(())
}

fn member_row(member: &MemberStatus) -> Vec<String> {
    let state = match member.state {
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Full => "full",
        MemberState::Down => "DOWN",
    };
    let mut row = vec![member.node.to_string(), member.zone.to_string(), state.into()];
    match &member.report {
        Some(report) => row.extend([
            report.shards.to_string(),
            output::bytes(report.shard_bytes),
            output::bytes(report.capacity_bytes),
            output::bytes(report.free_bytes),
            report.corrupt_shards.to_string(),
        ]),
        None => row.extend(std::iter::repeat_n("-".to_owned(), 5)),
    }
    row
}
