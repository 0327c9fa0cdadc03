//! What is shown of the catalog's copies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datamesh_settings::admin::{
    BackupStatus, CatalogEngine, CatalogMember, CatalogMemberState, CatalogMovePhase, CatalogMoveStatus,
    CatalogStatus, CopiesStatus,
};
use indicatif::HumanDuration;

/// Whether no gateway that is to have the catalog lacks it. That one gateway alone keeps it is how it was wanted.
pub(super) fn is_well(catalog: &CatalogStatus) -> bool {
    catalog.members.iter().all(|member| member.state == CatalogMemberState::Current)
}

/// How many copies there are.
pub(super) fn copies(catalog: &CatalogStatus) -> String {
    match (catalog.engine, catalog.members.len(), catalog.replicas) {
        (CatalogEngine::Postgres, ..) => "in your PostgreSQL: its copies nobody here can see".to_owned(),
        (CatalogEngine::Embedded, 0, 1) => one_copy(catalog.backup.as_ref()),
        (CatalogEngine::Embedded, 0, copies) => format!("{copies} copies"),
        (CatalogEngine::Embedded, gateways, copies) => format!("whole on {copies} of {gateways} gateways"),
    }
}

/// What would be lost with the only copy.
fn one_copy(backup: Option<&BackupStatus>) -> String {
    if backup.is_some_and(|backup| backup.off) {
        return "ONE COPY, backups are Off: all files are lost with the gateway's volume".to_owned();
    }
    match backup.and_then(|backup| Some((backup.behind_seconds?, backup.counts()))) {
        Some((seconds, true)) => {
            format!("one copy, and a backup in the mesh: {seconds} s are lost with the gateway's volume")
        }
        Some((seconds, false)) => {
            let old = HumanDuration(Duration::from_secs(seconds));
            format!("ONE COPY, and a backup in the mesh that is {old} old (CatalogSingleCopy)")
        }
        None => "ONE COPY: names and keys are lost with the gateway's volume (CatalogSingleCopy)".to_owned(),
    }
}

/// What there is to know of its backup, where that is not as usual; times by this clock.
pub(super) fn backup(catalog: &CatalogStatus, now: SystemTime) -> Vec<String> {
    let Some(backup) = &catalog.backup else { return Vec::new() };
    let failing = backup.error.as_ref().map(|error| format!("its backup FAILS: {error}"));
    let copied = backup.copies.as_ref().map(copied);
    let restored = backup.restored.as_ref().map(|restored| {
        let ago =
            |unix_ms| now.duration_since(UNIX_EPOCH + Duration::from_millis(unix_ms)).unwrap_or_default();
        let (at, until) = (ago(restored.at_unix_ms), ago(restored.until_unix_ms));
        let lost = until.saturating_sub(at);
        if restored.until_unix_ms == 0 {
            return format!(
                "set back to an earlier state {} ago: LOST is what came after that",
                HumanDuration(at)
            );
        }
        let held = match restored.deletion_held {
            true => "; nothing is deleted until `datamesh fsck --confirm-restored`",
            false => "",
        };
        format!(
            "restored from a backup {} ago: LOST is what was acknowledged in the {} before that{held}",
            HumanDuration(at),
            HumanDuration(lost)
        )
    });
    failing.into_iter().chain(copied).chain(restored).collect()
}

/// How old the newest copy elsewhere is, and why there is no newer one.
fn copied(copies: &CopiesStatus) -> String {
    let place = &copies.place;
    let newest = match copies.behind_seconds {
        Some(seconds) => {
            let old = if copies.counts() { "" } else { ", TOO LONG" };
            format!("copied to {place} {} ago{old}", HumanDuration(Duration::from_secs(seconds)))
        }
        None => format!("NOT copied to {place} yet"),
    };
    let failing = copies.error.as_ref().map(|error| format!("; copies FAIL: {error}"));
    newest + &failing.unwrap_or_default()
}

/// How far its move to another engine is, where it moves.
pub(super) fn moving(catalog: &CatalogStatus) -> Option<String> {
    let CatalogMoveStatus { to, phase, rows, changes, waits_for } = catalog.moving.as_ref()?;
    let to = match to {
        CatalogEngine::Embedded => "the gateway's volume",
        CatalogEngine::Postgres => "PostgreSQL",
    };
    let doing = match phase {
        CatalogMovePhase::Beginning => "about to begin".to_owned(),
        CatalogMovePhase::Copying => format!("{rows} rows copied, {changes} changed meanwhile"),
        CatalogMovePhase::Comparing => format!("{rows} rows compared, {changes} changed meanwhile"),
        CatalogMovePhase::Following => format!("copied and compared, {changes} rows changed since"),
        CatalogMovePhase::Opening => "commits wait for some seconds".to_owned(),
        CatalogMovePhase::Moved => "done".to_owned(),
    };
    let waits_for = waits_for.as_ref().map(|waits_for| format!("; WAITS: {waits_for}")).unwrap_or_default();
    Some(format!("it moves to {to}: {doing}{waits_for}"))
}

/// Which gateways leave, and what that waits for.
pub(super) fn leaving(catalog: &CatalogStatus) -> Option<String> {
    let leaving = catalog.leaving.as_ref()?;
    let names: Vec<&str> = leaving.gateways.iter().map(|node| node.as_str()).collect();
    let doing = match (&leaving.waits_for, leaving.have_left) {
        (_, true) => "they have no part in it any more".to_owned(),
        (Some(waits_for), false) => format!("WAITS: {waits_for}"),
        (None, false) => "they still have a vote".to_owned(),
    };
    Some(format!("gateways leave ({}): {doing}", names.join(", ")))
}

/// The gateways that keep it together, one row each.
pub(super) fn rows(catalog: &CatalogStatus) -> Vec<Vec<String>> {
    let row = |member: &CatalogMember| {
        let leads = if member.leads { "leads" } else { "" };
        vec![member.node.to_string(), state(member.state).to_owned(), leads.to_owned()]
    };
    catalog.members.iter().map(row).collect()
}

fn state(state: CatalogMemberState) -> &'static str {
    match state {
        CatalogMemberState::Current => "current",
        CatalogMemberState::Behind => "BEHIND",
        CatalogMemberState::Joining => "JOINING",
        CatalogMemberState::Away => "AWAY",
    }
}

#[cfg(test)]
mod tests {
    use super::leaving as leaving_of;
    use super::*;
    use CatalogMemberState::{Away, Current};
    use datamesh_settings::admin::CatalogLeaving;
    use datamesh_settings::admin::RestoredStatus;

    fn kept_by(replicas: u32, states: &[CatalogMemberState]) -> CatalogStatus {
        let members = states.iter().enumerate().map(|(n, &state)| CatalogMember {
            node: format!("gateway-{n}").parse().unwrap(),
            state,
            leads: n == 0,
        });
        CatalogStatus {
            engine: CatalogEngine::Embedded,
            replicas,
            members: members.collect(),
            backup: None,
            moving: None,
            leaving: None,
            incarnation: Default::default(),
            objects: 0,
            condemned_segments: 0,
        }
    }

    #[test]
    fn a_move_says_how_far_it_is_and_what_it_waits_for() {
        let mut catalog = kept_by(1, &[]);
        assert_eq!(moving(&catalog), None);
        let waits_for = Some("for gateway-2 to have the target open".into());
        let (to, phase) = (CatalogEngine::Postgres, CatalogMovePhase::Following);
        catalog.moving = Some(CatalogMoveStatus { to, phase, rows: 7, changes: 3, waits_for });
        let told = moving(&catalog).unwrap();
        let wanted =
            "it moves to PostgreSQL: copied and compared, 3 rows changed since; WAITS: for gateway-2 to";
        assert!(told.starts_with(wanted), "{told}");
    }

    #[test]
    fn a_gateway_that_lacks_the_catalog_is_shown_and_counts_as_wrong() {
        let two = kept_by(2, &[Current, Away, Current]);
        assert!(!is_well(&two));
        assert_eq!(copies(&two), "whole on 2 of 3 gateways");
        assert_eq!(rows(&two)[..2], [["gateway-0", "current", "leads"], ["gateway-1", "AWAY", ""]]);
        assert!(is_well(&kept_by(3, &[Current; 3])));
    }

    #[test]
    fn a_restored_catalog_says_what_it_has_lost_and_a_backup_that_fails_says_why() {
        assert!(backup(&kept_by(1, &[]), SystemTime::now()).is_empty());
        let restored =
            RestoredStatus { until_unix_ms: 10_000, at_unix_ms: 40_000, revision: 7, deletion_held: true };
        let told = BackupStatus {
            error: Some("too few nodes".into()),
            restored: Some(restored),
            ..BackupStatus::default()
        };
        let catalog = CatalogStatus { backup: Some(told), ..kept_by(1, &[]) };
        let lines = backup(&catalog, UNIX_EPOCH + Duration::from_secs(100));
        assert_eq!(lines[0], "its backup FAILS: too few nodes");
        assert!(
            lines[1].ends_with("--confirm-restored`")
                && lines[1].contains("60 seconds ago")
                && lines[1].contains("in the 30 seconds before"),
            "{}",
            lines[1]
        );
        let error = Some("it answers 403 (AccessDenied)".to_owned());
        let copies =
            CopiesStatus { place: "s3/b/".into(), behind_seconds: Some(60), error, ..Default::default() };
        let told = BackupStatus { copies: Some(copies), ..BackupStatus::default() };
        let catalog = CatalogStatus { backup: Some(told), ..kept_by(1, &[]) };
        let lines = backup(&catalog, SystemTime::now());
        let told = "copied to s3/b/ 60 seconds ago; copies FAIL: it answers 403 (AccessDenied)";
        assert_eq!(lines, [told]);
        let set_back =
            RestoredStatus { until_unix_ms: 0, at_unix_ms: 40_000, revision: 7, deletion_held: false };
        let told = BackupStatus { restored: Some(set_back), ..BackupStatus::default() };
        let catalog = CatalogStatus { backup: Some(told), ..kept_by(1, &[]) };
        let lines = backup(&catalog, UNIX_EPOCH + Duration::from_secs(100));
        assert!(lines[0].contains("set back to an earlier state 60 seconds ago"), "{}", lines[0]);
    }

    #[test]
    fn who_leaves_is_told_with_what_that_waits_for() {
        let told = |have_left, waits_for: Option<&str>| {
            let gateways = vec!["gw-2".parse().unwrap(), "gw-3".parse().unwrap()];
            let waits_for = waits_for.map(str::to_owned);
            let leaving = Some(CatalogLeaving { gateways, have_left, waits_for });
            leaving_of(&CatalogStatus { leaving, ..kept_by(1, &[]) }).unwrap()
        };
        assert_eq!(told(false, Some("too few answer")), "gateways leave (gw-2, gw-3): WAITS: too few answer");
        assert!(told(true, None).ends_with("they have no part in it any more"));
        assert_eq!(leaving_of(&kept_by(1, &[])), None);
    }

    #[test]
    fn one_copy_is_called_so_only_where_a_gateway_keeps_it() {
        let alone = kept_by(1, &[]);
        assert!(is_well(&alone) && copies(&alone).starts_with("ONE COPY"));
        let backup = BackupStatus { behind_seconds: Some(31), ..BackupStatus::default() };
        let backed_up = CatalogStatus { backup: Some(backup), ..alone.clone() };
        assert!(copies(&backed_up).contains("31 s are lost"), "{}", copies(&backed_up));
        let backup = BackupStatus { behind_seconds: Some(7200), ..BackupStatus::default() };
        let long_ago = CatalogStatus { backup: Some(backup), ..alone.clone() };
        let text = copies(&long_ago);
        assert!(text.starts_with("ONE COPY") && text.contains("2 hours old"), "{text}");
        let off = BackupStatus { off: true, ..BackupStatus::default() };
        let without = CatalogStatus { backup: Some(off), ..alone.clone() };
        assert!(copies(&without).contains("backups are Off"), "{}", copies(&without));
        let postgres = CatalogStatus { engine: CatalogEngine::Postgres, ..alone };
        assert!(copies(&postgres).contains("PostgreSQL"));
    }
}
