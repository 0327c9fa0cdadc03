use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datamesh_settings::admin::{
    AvoidedReason, ClusterStatus, DrainState, MemberState, MemberStatus, NotificationStatus, PoolScrub,
    PoolStatus, RecodeState, RecodeStatus,
};
use indicatif::HumanDuration;

use crate::commands::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

mod catalog;

/// Shows what the cluster knows of itself; exit code 7 when something is wrong.
pub(crate) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let status = session.client.status().await?;
    session.show(&status, || show(&status))?;
    let told = status.notifications.iter().all(|target| target.problems.is_empty());
    let is_well = catalog::is_well(&status.catalog) && status.pools.iter().all(is_well) && told;
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::NotWhole.into() })
}

/// What the nodes counted decides. Before they have counted all of it, short puts are shown, but are not known to be wrong still:
/// the count holds those that became whole afterwards, too.
fn is_well(pool: &PoolStatus) -> bool {
    let whole = pool.flaws().is_empty() && (pool.counts().is_some() || !is_damaged(pool));
    pool.problems.is_empty() && pool.writable && whole
}

fn is_damaged(pool: &PoolStatus) -> bool {
    let corrupt = |member: &MemberStatus| member.report.as_ref().is_some_and(|r| r.corrupt_shards > 0);
    pool.damaged_shards > 0 || pool.members.iter().any(corrupt)
}

fn show(status: &ClusterStatus) -> Result<(), Failure> {
    output::line(&format!(
        "cluster {}  version {}  key {}",
        status.cluster, status.version, status.key_fingerprint
    ))?;
    let catalog = &status.catalog;
    output::line(&format!("catalog {} objects, {}", catalog.objects, catalog::copies(catalog)))?;
    for line in catalog::backup(catalog, SystemTime::now())
        .into_iter()
        .chain(catalog::moving(catalog))
        .chain(catalog::leaving(catalog))
    {
        output::line(&format!("        {line}"))?;
    }
    if !catalog.members.is_empty() {
        let heading = ["GATEWAY", "CATALOG", ""].map(String::from);
        output::table(&[vec![heading.to_vec()], catalog::rows(catalog)].concat())?;
    }
    for pool in &status.pools {
        show_pool(pool)?;
    }
    show_notifications(&status.notifications)
}

fn show_notifications(targets: &[NotificationStatus]) -> Result<(), Failure> {
    if targets.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let row = |target: &NotificationStatus| {
        vec![target.target.to_string(), target.pending.to_string(), target.dropped.to_string()]
    };
    let heading = vec![["TARGET", "EVENTS WAITING", "GIVEN UP"].map(String::from).to_vec()];
    output::table(&heading.into_iter().chain(targets.iter().map(row)).collect::<Vec<_>>())?;
    for problem in targets.iter().flat_map(|target| &target.problems) {
        output::line(&format!("! {problem}"))?;
    }
    Ok(())
}

fn show_pool(pool: &PoolStatus) -> Result<(), Failure> {
    let epoch = pool.epoch.map_or("no layout yet".into(), |epoch| format!("layout {epoch}"));
    let writes = if pool.writable { "takes writes" } else { "TAKES NO WRITES" };
    output::line("")?;
    output::line(&format!("pool {}  {}  {epoch}  {writes}", pool.name, pool.erasure))?;
    let heading =
        ["NODE", "ZONE", "STATE", "SHARDS", "STORED", "CAPACITY", "FREE", "CORRUPT"].map(String::from);
    let mut rows = vec![heading.to_vec()];
    rows.extend(pool.members.iter().map(member_row));
    output::table(&rows)?;
    output::line(&seen(pool, SystemTime::now()))?;
    if let Some(recode) = &pool.recode {
        output::line(&recoded(pool, recode))?;
    }
    if let Some(scrub) = &pool.scrub {
        output::line(&scrubbed(scrub))?;
    }
    for trouble in pool.problems.iter().chain(&flaws(pool)) {
        output::line(&format!("! {trouble}"))?;
    }
    Ok(())
}

/// What the nodes counted; before they have, the gateway's own counts, and from when they are: it keeps them in memory.
fn seen(pool: &PoolStatus, now: SystemTime) -> String {
    if let Some(counts) = pool.counts() {
        let segments = counts.segments.iter().fold(counts.unreadable, |sum, segments| sum + segments);
        let ago = HumanDuration(Duration::from_secs(counts.oldest_seconds));
        return format!(
            "counted within the last {ago}: {segments} segments; {} shards rebuilt since the nodes started",
            counts.rebuilt_shards
        );
    }
    let since = pool.counting_since_unix_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let ago = since.and_then(|since| now.duration_since(since).ok());
    let ago = ago.map_or_else(String::new, |ago| format!(" {} ago", HumanDuration(ago)));
    format!(
        "since the gateway started{ago}: {} segments acknowledged short, {} shards found missing or corrupt (what was before \
         is forgotten)",
        pool.short_puts, pool.damaged_shards
    )
}

/// How far the nodes are with reading their shards, and whether they do.
fn scrubbed(scrub: &PoolScrub) -> String {
    let (heard, paused, members) = (scrub.heard_members, scrub.paused_members, scrub.members);
    let duration = |seconds| HumanDuration(Duration::from_secs(seconds));
    let round = match paused {
        0 => format!("every {}", duration(scrub.wanted.period_seconds)),
        _ => format!("PAUSED on {paused} of {heard} nodes"),
    };
    let read = match scrub.read_within_seconds {
        Some(seconds) => format!("every shard was read or written within the last {}", duration(seconds)),
        None if heard < members => {
            format!("{} of {members} nodes do not say how far theirs is", members - heard)
        }
        None => "not every shard was read yet".to_owned(),
    };
    format!("scrub {round}, {}% of the round done by the last node; {read}", scrub.done_permille / 10)
}

/// What is in which profile, and how far the pool is with coding it anew.
fn recoded(pool: &PoolStatus, recode: &RecodeStatus) -> String {
    let profiles: Vec<String> = pool
        .profiles
        .iter()
        .map(|profile| format!("{} as {}", output::bytes(profile.bytes), profile.erasure))
        .collect();
    let left = output::bytes(recode.left_bytes);
    let how = match recode.state {
        RecodeState::Off => "recode is off: it stays so".to_owned(),
        RecodeState::Running => format!("{left} are being coded anew"),
        RecodeState::Stalled => format!("{left} are to be coded anew, STALLED"),
        RecodeState::Ending => format!("{left} are left to go by themselves"),
    };
    let eta =
        recode.eta_seconds.map(|seconds| format!(", {} to go", HumanDuration(Duration::from_secs(seconds))));
    let waits: String = recode.waits_for.iter().map(|reason| format!("; {reason}")).collect();
    format!("data {}; {how}{}{waits}", profiles.join(", "), eta.unwrap_or_default())
}

/// What is known not to be whole, and what that means.
fn flaws(pool: &PoolStatus) -> Vec<String> {
    let mut flaws = pool.flaws();
    if pool.counts().is_some() {
        return flaws;
    }
    if pool.short_puts > 0 {
        let (total, m) = (pool.weakest().total(), pool.weakest().m());
        let survives = if m == 1 { "no loss".to_owned() } else { format!("1 loss, not {m}") };
        flaws.push(format!(
            "SHORT: fewer than all {total} shards of some segments were durable, or two stood on one node. Take it that \
             these survive {survives}; a file that is put again while all nodes are up is whole."
        ));
    }
    if is_damaged(pool) {
        flaws.push(
            "DAMAGED: shards were missing or corrupt; until the nodes have counted, take it that their segments survive that \
             many losses less."
                .to_owned(),
        );
    }
    flaws
}

/// What a node is to the gateway, for people.
pub(super) fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Full => "full",
        MemberState::Down => "DOWN",
    }
}

fn member_row(member: &MemberStatus) -> Vec<String> {
    let state = match &member.drain {
        Some(drain) if drain.state == DrainState::Drained => format!("{}, drained", state(member.state)),
        Some(_) => format!("{}, draining", state(member.state)),
        None => state(member.state).to_owned(),
    };
    let state = match member.avoided.as_ref().map(|avoided| avoided.reason) {
        Some(AvoidedReason::Slow) => format!("{state}, slow"),
        Some(AvoidedReason::WrongAnswers) => format!("{state}, QUARANTINED"),
        None => state,
    };
    let mut row = vec![member.node.to_string(), member.zone.to_string(), state];
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

#[cfg(test)]
mod tests {
    use datamesh_settings::admin::{NodeReport, PoolSafety, ProfileStatus};
    use datamesh_shard::ErasureProfile;

    use super::*;

    fn pool(short_puts: u64, damaged_shards: u64) -> PoolStatus {
        let text = format!(
            r#"{{"name": "main", "erasure": {{"data": 4, "parity": 2}}, "epoch": 1, "writable": true, "members": [],
                "shortPuts": {short_puts}, "damagedShards": {damaged_shards}, "problems": []}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn short_puts_and_damage_are_shown_and_damage_is_not_well() {
        assert!(is_well(&pool(0, 0)) && flaws(&pool(0, 0)).is_empty());
        let both = pool(3, 2);
        let counts = seen(&both, SystemTime::now());
        assert!(counts.contains("3 segments acknowledged short, 2 shards found missing"), "{counts}");
        assert!(counts.contains("what was before is forgotten"), "{counts}");
        let flaws = flaws(&both);
        assert!(flaws[0].contains("all 6 shards") && flaws[0].contains("survive 1 loss, not 2"), "{flaws:?}");
        assert!(flaws[1].starts_with("DAMAGED"), "{flaws:?}");
        assert!(is_well(&pool(1, 0)) && !is_well(&pool(0, 1)));
    }

    #[test]
    fn corruption_that_a_node_reports_is_not_well() {
        let mut reported = pool(0, 0);
        reported.members.push(MemberStatus {
            node: "n0".parse().unwrap(),
            zone: "a".parse().unwrap(),
            state: MemberState::Up,
            peer: None,
            report: Some(NodeReport { corrupt_shards: 1, ..NodeReport::default() }),
            report_age_seconds: Some(1),
            drain: None,
            avoided: None,
        });
        assert!(!is_well(&reported));
    }

    #[test]
    fn what_the_nodes_counted_decides() {
        let counted = |segments: &[u64], away| {
            let safety = PoolSafety {
                partitions: 2,
                counted_partitions: 2,
                segments: segments.to_vec(),
                short: [&segments[..2], &[0]].concat(),
                away,
                ..PoolSafety::default()
            };
            PoolStatus { safety: Some(safety), ..pool(3, 2) }
        };
        assert!(is_well(&counted(&[0, 0, 9], 0)), "what was short or damaged is whole by now");
        let short = counted(&[0, 4, 9], 0);
        assert!(
            !is_well(&short)
                && flaws(&short)[0].starts_with("4 segments survive the loss of 1 more nodes, fewer than")
        );
        assert!(seen(&short, SystemTime::now()).contains("13 segments"));
        assert!(!is_well(&counted(&[0, 0, 9], 1)));
        let mut partly = counted(&[0, 0, 9], 0);
        partly.safety.as_mut().unwrap().counted_partitions = 1;
        assert!(!is_well(&partly), "part of the counts does not clear what was seen");
        partly = PoolStatus { short_puts: 0, damaged_shards: 0, ..partly };
        assert!(is_well(&partly), "the control");
        let safety = partly.safety.as_mut().unwrap();
        safety.short[0] = 1;
        assert!(!is_well(&partly), "what part of them says is so");
        assert!(flaws(&partly)[0].contains("survive the loss of 0"));
        partly.safety = Some(PoolSafety { short: Vec::new(), short_lately: 2, ..partly.safety.unwrap() });
        assert!(flaws(&partly)[0].starts_with("2 segments were acknowledged short") && !is_well(&partly));
    }

    #[test]
    fn a_paused_scrub_is_shown_as_one() {
        let wanted = datamesh_settings::admin::ScrubSpec::default();
        let mut scrub = PoolScrub { wanted, heard_members: 6, done_permille: 425, ..PoolScrub::default() };
        let text = scrubbed(&scrub);
        assert_eq!(
            text,
            "scrub every 2 weeks, 42% of the round done by the last node; not every shard was read yet"
        );
        scrub.paused_members = 6;
        scrub.read_within_seconds = Some(7200);
        let text = scrubbed(&scrub);
        assert!(text.starts_with("scrub PAUSED on 6 of 6 nodes, 42%"), "{text}");
        assert!(text.ends_with("within the last 2 hours"), "{text}");
    }

    #[test]
    fn data_of_an_earlier_profile_is_shown_with_what_becomes_of_it() {
        let of = |data, parity, bytes| ProfileStatus {
            erasure: ErasureProfile::new(data, parity).unwrap(),
            bytes,
        };
        let profiles = vec![of(2, 1, 0), of(4, 2, 3 << 20)];
        let mut recode = RecodeStatus {
            state: RecodeState::Off,
            left_bytes: 3 << 20,
            done_bytes: 0,
            eta_seconds: None,
            waits_for: vec!["Set recode.enabled.".into()],
        };
        let pool = PoolStatus { profiles, ..pool(0, 0) };
        let text = recoded(&pool, &recode);
        assert!(text.contains("as 2+1, ") && text.contains("as 4+2; recode is off"), "{text}");
        assert!(text.ends_with("; Set recode.enabled."), "{text}");
        recode = RecodeStatus {
            state: RecodeState::Running,
            eta_seconds: Some(7200),
            waits_for: vec![],
            ..recode
        };
        assert!(recoded(&pool, &recode).ends_with("are being coded anew, 2 hours to go"));
    }

    #[test]
    fn counts_say_since_when() {
        let mut since = pool(0, 0);
        since.counting_since_unix_ms = Some(0);
        let text = seen(&since, UNIX_EPOCH + Duration::from_secs(3 * 3600));
        assert!(text.starts_with("since the gateway started 3 hours ago: 0 segments"), "{text}");
    }
}
